{{ touched_rows('int_slo_touched_days', ['definition', 'counted_on']) }}

{#- One pass over the events of each source reduces them to slots of time and distinct combinations of values
    (signatures); conditions are then judged once for each signature, however many events have it. -#}
{%- do ref('stg_requests') -%}
{%- do ref('int_user_events') -%}
{%- do ref('int_superseded_reports') -%}
{%- do ref('int_sessions') -%}
{%- do ref('stg_jobs') -%}
{%- do ref('stg_process_samples') -%}
{%- do ref('stg_synthetic_checks') -%}
{%- do ref('int_as_of') -%}
{%- set scans = slo_scans() -%}

with
{% for scan in scans %}
{%- set columns = scan.columns.keys() | list -%}
{%- set unit = 'source, session_id, counted_at' if scan.event_source == 'sessions' else none %}
reduced_{{ loop.index }} as materialized (

    select
        {{ unit ~ ',' if unit }}
        {{ time_slot('counted_at', scan.slot_minutes | min) }} as slot_starts_at,
        {%- for column, thresholds in scan.columns.items() %}
        {{ slo_reduced(scan.event_source, column, thresholds) }} as {{ column }},
        {%- endfor %}
        count(*) as events
    from ({{ slo_events(scan.event_source, scan.deadline_seconds) }}) as events
    where {{ slo_near_touched_days('counted_at', scan.event_source) }}
    group by all

),

signatures_{{ loop.index }} as materialized (

    select
        *,
        row_number() over (order by {{ columns | join(', ') }}) as signature
    from (select distinct {{ columns | join(', ') }} from reduced_{{ loop.index }}) as combinations

),

signed_{{ loop.index }} as (

    select
        reduced.slot_starts_at,
        reduced.events,
        signatures.signature,
        {{ 'dense_rank() over (order by ' ~ unit ~ ')' if unit else 'signatures.signature' }} as unit
    from reduced_{{ loop.index }} as reduced
    inner join signatures_{{ loop.index }} as signatures
        on
            {%- for column in columns %}
            reduced.{{ column }} is not distinct from signatures.{{ column }}{{ ' and' if not loop.last }}
            {%- endfor %}

),
{% endfor %}
-- A unit is what is good or bad: an event, that is one of those with its signature, or a session.
unit_slots as (

    {% for scan in scans -%}
    select
        '{{ scan.name }}' as scan,
        unit,
        slot_starts_at,
        {{ '1' if scan.event_source == 'sessions' else 'events' }} as units
    from signed_{{ loop.index }}
    {{ 'group by unit, slot_starts_at' if scan.event_source == 'sessions' }}
    union all
    {% endfor -%}
    select
        null as scan,
        cast(null as bigint) as unit,
        cast(null as timestamp) as slot_starts_at,
        cast(null as bigint) as units
    where false

),

unit_signatures as (

    {% for scan in scans -%}
    select distinct
        '{{ scan.name }}' as scan,
        unit,
        signature
    from {{ 'signed_' if scan.event_source == 'sessions' else 'signatures_' }}{{ loop.index }}
    {{- ' cross join lateral (select signature as unit) as units' if scan.event_source != 'sessions' }}
    union all
    {% endfor -%}
    select
        null as scan,
        cast(null as bigint) as unit,
        cast(null as bigint) as signature
    where false

),

signature_values as (

    {% for scan in scans -%}
    {%- set number = loop.index -%}
    {%- for column in scan.columns -%}
    select
        '{{ scan.name }}' as scan,
        signature,
        '{{ column }}' as column_name,
        cast({{ column }} as {{ dbt.type_string() }}) as text_value,
        {% if slo_vocabulary()[scan.event_source][column] == 'number' -%}
        {{ column }}
        {%- else -%}
        null
        {%- endif %} as number_value
    from signatures_{{ number }}
    union all
    {% endfor -%}
    {% endfor -%}
    select
        null as scan,
        cast(null as bigint) as signature,
        null as column_name,
        cast(null as {{ dbt.type_string() }}) as text_value,
        cast(null as double) as number_value
    where false

),

parts as (

    {% for part in ['total', 'numerator'] -%}
    select
        definition,
        '{{ part }}' as part,
        {{ part }}_source || coalesce('/' || {{ part }}_deadline_seconds, '') as scan,
        is_part_of_total,
        numerator_kind,
        slot_minutes
    from {{ ref('stg_slos') }}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

conditions as (

    select
        parts.scan,
        conditions.*,
        case when conditions.value_type = 'number' then cast(conditions.value as double) end as number_value
    from {{ ref('stg_slo_conditions') }} as conditions
    inner join parts on conditions.definition = parts.definition and conditions.part = parts.part

),

-- Nearly every count names its service, which rules most signatures out at once; a part of a total has that of the total.
services_of_parts as (

    select
        definition,
        part,
        min(case when condition_group = 0 and column_name = 'service' and operator = 'eq' then value end) as service
    from conditions
    group by definition, part

),

condition_groups as (

    select
        conditions.scan,
        conditions.definition,
        conditions.part,
        conditions.condition_group,
        coalesce(own.service, case when slos.is_part_of_total then totals.service end) as service,
        count(distinct conditions.position) as conditions
    from conditions
    inner join {{ ref('stg_slos') }} as slos on conditions.definition = slos.definition
    inner join services_of_parts as own on conditions.definition = own.definition and conditions.part = own.part
    inner join services_of_parts as totals on conditions.definition = totals.definition and totals.part = 'total'
    group by
        conditions.scan, conditions.definition, conditions.part, conditions.condition_group, own.service,
        totals.service, slos.is_part_of_total

),

candidates as (

    select
        signature_values.signature,
        condition_groups.*
    from signature_values
    inner join condition_groups
        on
            signature_values.scan = condition_groups.scan
            and signature_values.text_value = condition_groups.service
    where signature_values.column_name = 'service'
    union all
    select
        signature_values.signature,
        condition_groups.*
    from signature_values
    inner join condition_groups on signature_values.scan = condition_groups.scan
    where signature_values.column_name = 'service' and condition_groups.service is null

),

-- A missing value meets `ne` and `not_in`, since it is another than the given ones.
met_conditions as (

    select
        candidates.scan,
        candidates.signature,
        candidates.definition,
        candidates.part,
        candidates.condition_group,
        candidates.conditions,
        conditions.position
    from candidates
    inner join conditions
        on
            candidates.definition = conditions.definition
            and candidates.part = conditions.part
            and candidates.condition_group = conditions.condition_group
    inner join signature_values as known
        on
            candidates.scan = known.scan
            and candidates.signature = known.signature
            and conditions.column_name = known.column_name
    group by
        candidates.scan, candidates.signature, candidates.definition, candidates.part, candidates.condition_group,
        candidates.conditions, conditions.position, conditions.operator
    having
        bool_or(coalesce({{ slo_compares('conditions', 'known') }}, false))
        <> (conditions.operator in ('ne', 'not_in'))

),

met_groups as (

    select
        scan,
        signature,
        definition,
        part,
        condition_group
    from met_conditions
    group by scan, signature, definition, part, condition_group, conditions
    having count(*) = conditions

),

met_parts as (

    select
        units.scan,
        units.unit,
        met_groups.definition,
        met_groups.part
    from unit_signatures as units
    inner join met_groups on units.scan = met_groups.scan and units.signature = met_groups.signature
    group by units.scan, units.unit, met_groups.definition, met_groups.part
    having bool_or(met_groups.condition_group = 0) and not bool_or(met_groups.condition_group > 0)

),

outcomes as (

    select
        met_parts.scan,
        met_parts.unit,
        parts.definition,
        parts.slot_minutes,
        parts.numerator_kind,
        bool_or(met_parts.part = 'total') as is_in_total,
        bool_or(met_parts.part = 'numerator')
        and (bool_or(met_parts.part = 'total') or not parts.is_part_of_total) as is_in_numerator
    from met_parts
    inner join parts on met_parts.definition = parts.definition and met_parts.part = parts.part
    group by
        met_parts.scan, met_parts.unit, parts.definition, parts.slot_minutes, parts.numerator_kind,
        parts.is_part_of_total

),

counted as (

    select
        outcomes.definition,
        {{ time_slot('unit_slots.slot_starts_at', 'outcomes.slot_minutes') }} as slot_starts_at,
        outcomes.numerator_kind,
        coalesce(sum(unit_slots.units) filter (where outcomes.is_in_total), 0) as total,
        coalesce(sum(unit_slots.units) filter (where outcomes.is_in_numerator), 0) as numerator
    from unit_slots
    inner join outcomes on unit_slots.scan = outcomes.scan and unit_slots.unit = outcomes.unit
    where outcomes.is_in_total or outcomes.is_in_numerator
    group by
        outcomes.definition, {{ time_slot('unit_slots.slot_starts_at', 'outcomes.slot_minutes') }},
        outcomes.numerator_kind

),

placed as (

    select
        definition,
        cast(slot_starts_at as date) as counted_on,
        slot_starts_at,
        cast(case when numerator_kind = 'good' then numerator else total - numerator end as bigint) as good,
        cast(total as bigint) as total
    from counted

)

select *
from placed
where {{ is_touched('placed') }}
-- In the order of time, so that who needs a few days skips the blocks of the others.
order by counted_on, definition, slot_starts_at
