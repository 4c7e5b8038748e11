{{ touched_rows('int_slo_touched_days', ['definition', 'counted_on']) }}

{#- One pass over the events of each source reduces them to slots of time and classes; conditions are then judged once
    for each class, however many events it has. -#}
{%- do ref('stg_requests') -%}
{%- do ref('int_user_events') -%}
{%- do ref('int_superseded_reports') -%}
{%- do ref('int_sessions') -%}
{%- do ref('stg_jobs') -%}
{%- do ref('stg_process_samples') -%}
{%- do ref('stg_synthetic_checks') -%}
{%- do ref('int_as_of') -%}
{%- set scans = slo_scans() -%}
{%- set of_sessions = scans | selectattr('event_source', 'eq', 'sessions') | first -%}

with
{% for scan in scans -%}
{% if scan == of_sessions -%}
classes_{{ loop.index }} as materialized (

    select distinct {{ slo_class(scan) }} as event_class
    from ({{ slo_events(scan.event_source, scan.deadline_seconds) }}) as events

),
{%- else -%}
slots_{{ loop.index }} as materialized (

    select
        slot_number,
        event_class,
        count(*) as events
    from (
        select
            {{ slot_number('events.counted_at', scan.slot_minutes) }} as slot_number,
            {{ slo_class(scan) }} as event_class
        from ({{ slo_events(scan.event_source, scan.deadline_seconds) }}) as events
        where {{ slo_near_touched_days('events.counted_at', scan.event_source) }}
    ) as coded
    group by slot_number, event_class

),

classes_{{ loop.index }} as materialized (

    select distinct event_class from slots_{{ loop.index }}

),
{%- endif %}

{% endfor -%}
class_codes as materialized (

    {% for scan in scans -%}
    {%- set number = loop.index -%}
    {%- for column, known in scan.columns.items() -%}
    select
        '{{ scan.name }}' as scan,
        event_class,
        '{{ column }}' as column_name,
        {{ whole_quotient('event_class', known.weight) }} % {{ known.radix }} as code
    from classes_{{ number }}
    union all
    {% endfor -%}
    {% endfor -%}
    select
        null as scan,
        cast(null as bigint) as event_class,
        null as column_name,
        cast(null as bigint) as code
    where false

),

-- Nearly every count names its service, which rules most classes out; a part of a total has that of the total.
services_of_parts as (

    select
        definition,
        part,
        min(case when condition_group = 0 and column_name = 'service' and operator = 'eq' then least_code end)
            as service_code
    from {{ ref('int_slo_conditions') }}
    group by definition, part

),

condition_groups as materialized (

    select
        conditions.scan,
        conditions.definition,
        conditions.part,
        conditions.condition_group,
        coalesce(own.service_code, case when slos.is_part_of_total then totals.service_code end) as service_code,
        count(distinct conditions.position) as conditions,
        bool_and(conditions.column_name = 'service') as is_of_service,
        row_number() over (order by conditions.definition, conditions.part, conditions.condition_group)
            as group_number
    from {{ ref('int_slo_conditions') }} as conditions
    inner join {{ ref('stg_slos') }} as slos on conditions.definition = slos.definition
    inner join services_of_parts as own on conditions.definition = own.definition and conditions.part = own.part
    inner join services_of_parts as totals on conditions.definition = totals.definition and totals.part = 'total'
    group by
        conditions.scan, conditions.definition, conditions.part, conditions.condition_group, own.service_code,
        totals.service_code, slos.is_part_of_total

),

candidates as (

    select
        class_codes.event_class,
        condition_groups.*
    from class_codes
    inner join condition_groups
        on class_codes.scan = condition_groups.scan and class_codes.code = condition_groups.service_code
    where class_codes.column_name = 'service'
    union all
    select distinct
        class_codes.event_class,
        condition_groups.*
    from class_codes
    inner join condition_groups on class_codes.scan = condition_groups.scan
    where condition_groups.service_code is null

),

-- A missing value meets `ne` and `not_in`, since it is another than the given ones.
met_conditions as (

    select
        candidates.scan,
        candidates.event_class,
        candidates.group_number,
        candidates.conditions
    from candidates
    inner join {{ ref('int_slo_conditions') }} as conditions
        on
            candidates.definition = conditions.definition
            and candidates.part = conditions.part
            and candidates.condition_group = conditions.condition_group
    inner join class_codes
        on
            candidates.scan = class_codes.scan
            and candidates.event_class = class_codes.event_class
            and conditions.column_name = class_codes.column_name
    group by
        candidates.scan, candidates.event_class, candidates.group_number, candidates.conditions, conditions.position,
        conditions.is_negated
    having
        bool_or(class_codes.code between conditions.least_code and conditions.greatest_code) <> conditions.is_negated

),

met_groups as materialized (

    select
        scan,
        event_class,
        group_number
    from met_conditions
    group by scan, event_class, group_number, conditions
    having count(*) = conditions

),

{% if of_sessions -%}
{%- set same_session %}
    sessions.source = {0}.source
    and sessions.service = {0}.service
    and sessions.session_id = {0}.session_id
{%- endset -%}
-- What one of a session's events meets. Few do, apart from groups about the service, which all of them meet or none.
groups_of_sessions as (

    select
        sessions.source,
        sessions.service,
        sessions.session_id,
        sessions.started_at,
        {{ sorted_set('met_events.group_number') }} as met
    from (
        select
            events.source,
            events.service,
            events.session_id,
            events.occurred_at,
            met_groups.group_number
        from (
            select
                events.source,
                events.service,
                events.session_id,
                events.occurred_at,
                {{ slo_class(of_sessions) }} as event_class
            from ({{ slo_events('sessions', none) }}) as events
        ) as events
        inner join met_groups on met_groups.scan = 'sessions' and events.event_class = met_groups.event_class
        inner join condition_groups
            on met_groups.group_number = condition_groups.group_number and not condition_groups.is_of_service
    ) as met_events
    inner join {{ ref('int_sessions') }} as sessions
        on
            {{ same_session.format('met_events') }}
            and met_events.occurred_at >= sessions.started_at
            and met_events.occurred_at <= sessions.ended_at
    group by sessions.source, sessions.service, sessions.session_id, sessions.started_at

),

groups_of_services as (

    select distinct
        class_codes.code as service_code,
        met_groups.group_number
    from met_groups
    inner join condition_groups
        on met_groups.group_number = condition_groups.group_number and condition_groups.is_of_service
    inner join class_codes on met_groups.scan = class_codes.scan and met_groups.event_class = class_codes.event_class
    where met_groups.scan = 'sessions' and class_codes.column_name = 'service'

),

session_slots as materialized (

    select
        {{ slot_number('sessions.started_at', of_sessions.slot_minutes) }} as slot_number,
        {{ slo_code(of_sessions, 'service', 'sessions') }} as service_code,
        groups_of_sessions.met,
        count(*) as events
    from {{ ref('int_sessions') }} as sessions
    left join groups_of_sessions
        on {{ same_session.format('groups_of_sessions') }} and sessions.started_at = groups_of_sessions.started_at
    where {{ slo_near_touched_days('sessions.started_at', 'sessions') }}
    group by slot_number, service_code, groups_of_sessions.met

),

session_units as materialized (

    select
        *,
        row_number() over (order by service_code, met) as unit
    from (select distinct service_code, met from session_slots) as kinds

),

{% endif -%}
-- A unit is what is good or bad: a class of events, or sessions of a service that meet the same groups.
met_parts as (

    select
        met.scan,
        met.unit,
        condition_groups.definition,
        condition_groups.part
    from (
        select
            scan,
            event_class as unit,
            group_number
        from met_groups
        where scan <> 'sessions'
        {%- if of_sessions %}
        union all
        select
            'sessions' as scan,
            unit,
            {{ each_of('met') }} as group_number
        from session_units
        union all
        select
            'sessions' as scan,
            session_units.unit,
            groups_of_services.group_number
        from session_units
        inner join groups_of_services on session_units.service_code = groups_of_services.service_code
        {%- endif %}
    ) as met
    inner join condition_groups on met.group_number = condition_groups.group_number
    group by met.scan, met.unit, condition_groups.definition, condition_groups.part
    having bool_or(condition_groups.condition_group = 0) and not bool_or(condition_groups.condition_group > 0)

),

numbered as (

    select
        definition,
        numerator_kind,
        slot_minutes,
        is_part_of_total,
        row_number() over (order by definition) as definition_number
    from {{ ref('stg_slos') }}

),

outcomes as (

    select
        met_parts.scan,
        met_parts.unit,
        numbered.definition_number,
        numbered.slot_minutes,
        case when bool_or(met_parts.part = 'total') then 1 else 0 end as in_total,
        case
            when
                bool_or(met_parts.part = 'numerator')
                and (bool_or(met_parts.part = 'total') or not numbered.is_part_of_total)
                then 1
            else 0
        end as in_numerator
    from met_parts
    inner join numbered on met_parts.definition = numbered.definition
    group by
        met_parts.scan, met_parts.unit, numbered.definition_number, numbered.slot_minutes, numbered.is_part_of_total

),

counted as (

    {% for scan in scans -%}
    select
        outcomes.definition_number,
        {{ whole_quotient('slots.slot_number', 'cast(outcomes.slot_minutes / ' ~ scan.slot_minutes ~ ' as bigint)') }}
            as slot_number,
        sum(slots.events * outcomes.in_total) as total,
        sum(slots.events * outcomes.in_numerator) as numerator
    {% if scan == of_sessions -%}
    from session_slots as slots
    inner join session_units
        on slots.service_code = session_units.service_code and slots.met is not distinct from session_units.met
    inner join outcomes on outcomes.scan = 'sessions' and session_units.unit = outcomes.unit
    {% else -%}
    from slots_{{ loop.index }} as slots
    inner join outcomes on outcomes.scan = '{{ scan.name }}' and slots.event_class = outcomes.unit
    {% endif -%}
    where outcomes.in_total + outcomes.in_numerator > 0
    group by 1, 2
    union all
    {% endfor -%}
    select
        definition_number,
        cast(null as bigint) as slot_number,
        cast(null as bigint) as total,
        cast(null as bigint) as numerator
    from outcomes
    where false

),

-- Where total and numerator are counted apart, they meet here.
summed as (

    select
        numbered.definition,
        numbered.numerator_kind,
        {{ slot_start('counted.slot_number', 'numbered.slot_minutes') }} as slot_starts_at,
        counted.total,
        counted.numerator
    from counted
    inner join numbered on counted.definition_number = numbered.definition_number
    where numbered.is_part_of_total
    union all
    select
        numbered.definition,
        numbered.numerator_kind,
        {{ slot_start('counted.slot_number', 'numbered.slot_minutes') }} as slot_starts_at,
        sum(counted.total) as total,
        sum(counted.numerator) as numerator
    from counted
    inner join numbered on counted.definition_number = numbered.definition_number
    where not numbered.is_part_of_total
    group by numbered.definition, numbered.numerator_kind, slot_starts_at

),

placed as (

    select
        definition,
        cast(slot_starts_at as date) as counted_on,
        slot_starts_at,
        cast(case when numerator_kind = 'good' then numerator else total - numerator end as bigint) as good,
        cast(total as bigint) as total
    from summed

)

select *
from placed
where {{ is_touched('placed') }}
-- In the order of time, so that who needs a few days skips the blocks of the others.
order by slot_starts_at
