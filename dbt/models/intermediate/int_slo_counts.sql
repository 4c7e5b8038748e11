{{ touched_rows('int_slo_touched_days', ['definition_number', 'counted_on']) }}

{#- One pass over the events of each source reduces each to a slot of time and a class; conditions are judged once for
    each class, however many events it has. What they say of a class is one column for each place of int_slo_places,
    total and numerator in one number; so the events are grouped once, by slot and service, whatever the number of
    definitions. -#}
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
{%- set masks = slo_masks() -%}

with
{% for scan in scans -%}
{% if scan != of_sessions -%}
units_{{ loop.index }} as {{ materialized() if scan.classes > slo_enumerated_classes() }} (

    select
        {{ slot_number('events.counted_at', scan.slot_minutes) }} as slot_number,
        {{ slo_class(scan) }} as unit
    from ({{ slo_events(scan.event_source, scan.deadline_seconds) }}) as events
    where
        {{ slo_near_touched_days('events.counted_at', scan.event_source) }}
        and {{ slo_is_selected(scan) }}

),

{% endif -%}
classes_{{ loop.index }} as {{ materialized() }} (

    {% if scan.classes <= slo_enumerated_classes() -%}
    {{ slo_all_classes(scan) }}
    {%- elif scan == of_sessions -%}
    select distinct {{ slo_class(scan) }} as event_class
    from ({{ slo_events(scan.event_source, scan.deadline_seconds) }}) as events
    where {{ slo_is_selected(scan) }}
    {%- else -%}
    select distinct unit as event_class from units_{{ loop.index }}
    {%- endif %}

),

{% endfor -%}
class_codes as {{ materialized() }} (

    {% for scan in scans -%}
    {%- set number = loop.index -%}
    {%- for column, known in scan.columns.items() -%}
    select
        '{{ scan.name }}' as scan,
        event_class,
        '{{ column }}' as column_name,
        {{ whole_quotient('event_class', known.weight) }} % {{ known.codes_below }} as code
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

-- Nearly every definition is about one service, which rules most classes out.
candidates as (

    select
        class_codes.event_class,
        condition_groups.*
    from class_codes
    inner join {{ ref('int_slo_groups') }} as condition_groups
        on class_codes.scan = condition_groups.scan and class_codes.code = condition_groups.service_code
    where class_codes.column_name = 'service'
    union all
    select distinct
        class_codes.event_class,
        condition_groups.*
    from class_codes
    inner join {{ ref('int_slo_groups') }} as condition_groups on class_codes.scan = condition_groups.scan
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

met_groups as {{ materialized() }} (

    select
        scan,
        event_class,
        group_number
    from met_conditions
    group by scan, event_class, group_number, conditions
    having count(*) = conditions

),

{% if of_sessions -%}
-- What one of a session's events meets, a bit for each group. Groups about the service, which all of them meet or none,
-- come after (groups_of_services).
masks_of_classes as (

    select
        met_groups.event_class,
        {%- for mask in masks %}
        bit_or(case when condition_groups.mask = {{ loop.index0 }} then condition_groups.mask_bit else 0 end) as {{ mask }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from met_groups
    inner join {{ ref('int_slo_groups') }} as condition_groups
        on met_groups.group_number = condition_groups.group_number and not condition_groups.is_of_service
    where met_groups.scan = 'sessions'
    group by met_groups.event_class

),

met_events as (

    select
        events.session_key,
        events.occurred_at,
        {%- for mask in masks %}
        masks_of_classes.{{ mask }}{{ ',' if not loop.last }}
        {%- endfor %}
    from (
        select
            {{ session_key('events') }} as session_key,
            events.occurred_at,
            {{ slo_class(of_sessions) }} as event_class
        from ({{ slo_events('sessions', none) }}) as events
        where {{ slo_is_selected(of_sessions) }}
    ) as events
    inner join masks_of_classes on events.event_class = masks_of_classes.event_class

),

keyed_sessions as (

    select
        {{ session_key('sessions') }} as session_key,
        sessions.started_at,
        sessions.ended_at,
        {{ slo_code(of_sessions, 'service', 'sessions') if 'service' in of_sessions.columns else 0 }} as service_code
    from {{ ref('int_sessions') }} as sessions
    where
        {{ slo_near_touched_days('sessions.started_at', 'sessions') }}
        {%- if not of_sessions.places | rejectattr('is_of_one_service') | list %}
        -- Others are in no count. DuckDB takes a fifth to be left, however many are, and so looks for the session of an
        -- event, not for the events of a session: 3 % of counting, even where none is left out.
        and {{ is_one_of(of_sessions.columns.service.texts, 'sessions.service') }}
        {%- endif %}

),

met_of_sessions as {{ materialized() }} (

    select
        {{ slot_number('sessions.started_at', of_sessions.slot_minutes) }} as slot_number,
        sessions.service_code,
        {%- for mask in masks %}
        coalesce(bit_or(met_events.{{ mask }}), 0) as {{ mask }}{{ ',' if not loop.last }}
        {%- endfor %}
    from keyed_sessions as sessions
    left join met_events
        on
            sessions.session_key = met_events.session_key
            and sessions.started_at <= met_events.occurred_at
            and sessions.ended_at >= met_events.occurred_at
    group by sessions.session_key, sessions.started_at, sessions.service_code

),

session_units as {{ materialized() }} (

    select
        *,
        row_number() over (order by service_code, {{ masks | join(', ') }}) as unit
    from (select distinct service_code, {{ masks | join(', ') }} from met_of_sessions) as kinds

),

units_{{ scans.index(of_sessions) + 1 }} as (

    select
        met_of_sessions.slot_number,
        session_units.unit
    from met_of_sessions
    inner join session_units
        on
            met_of_sessions.service_code = session_units.service_code
            {%- for mask in masks %}
            and met_of_sessions.{{ mask }} = session_units.{{ mask }}
            {%- endfor %}

),

groups_of_services as (

    select distinct
        class_codes.code as service_code,
        met_groups.group_number
    from met_groups
    inner join {{ ref('int_slo_groups') }} as condition_groups
        on met_groups.group_number = condition_groups.group_number and condition_groups.is_of_service
    inner join class_codes on met_groups.scan = class_codes.scan and met_groups.event_class = class_codes.event_class
    where met_groups.scan = 'sessions' and class_codes.column_name = 'service'

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
            session_units.unit,
            condition_groups.group_number
        from session_units
        inner join {{ ref('int_slo_groups') }} as condition_groups
            on session_units.service_code = condition_groups.service_code or condition_groups.service_code is null
        where
            condition_groups.scan = 'sessions'
            and not condition_groups.is_of_service
            and case condition_groups.mask
                {%- for mask in masks %}
                when {{ loop.index0 }} then {{ whole_quotient('session_units.' ~ mask, 'condition_groups.mask_bit') }}
                {%- endfor %}
            end % 2 = 1
        union all
        select
            'sessions' as scan,
            session_units.unit,
            groups_of_services.group_number
        from session_units
        inner join groups_of_services on session_units.service_code = groups_of_services.service_code
        {%- endif %}
    ) as met
    inner join {{ ref('int_slo_groups') }} as condition_groups on met.group_number = condition_groups.group_number
    group by met.scan, met.unit, condition_groups.definition, condition_groups.part
    having bool_or(condition_groups.condition_group = 0) and not bool_or(condition_groups.condition_group > 0)

),

-- What a unit counts in a place, in the total and in the numerator, as one number: one sum takes half the time of two
-- counts, which saves 6 % of counting.
outcomes as {{ materialized() }} (

    select
        met_parts.scan,
        met_parts.unit,
        places.place,
        places.service_code,
        cast(
            case when bool_or(met_parts.part = 'total') then 1 else 0 end
            + case
                when
                    bool_or(met_parts.part = 'numerator')
                    and (bool_or(met_parts.part = 'total') or not slos.is_part_of_total)
                    then {{ slo_events_below() }}
                else 0
            end as double
        ) as packed
    from met_parts
    inner join {{ ref('stg_slos') }} as slos on met_parts.definition = slos.definition
    inner join {{ ref('int_slo_places') }} as places
        on met_parts.scan = places.scan and met_parts.definition = places.definition
    group by met_parts.scan, met_parts.unit, places.place, places.service_code, slos.is_part_of_total

),

{% for scan in scans -%}
slots_{{ loop.index }} as (

    select
        units.slot_number,
        outcomes.service_code,
        {%- for place in scan.places %}
        sum(outcomes.packed_{{ place.number }}) as packed_{{ place.number }},
        {%- endfor %}
        count(*) as events
    from units_{{ loop.index }} as units
    inner join (
        select
            unit,
            {%- for place in scan.places %}
            max(case when place = {{ place.number }} then packed else 0 end) as packed_{{ place.number }},
            {%- endfor %}
            max(service_code) as service_code
        from outcomes
        where scan = '{{ scan.name }}'
        group by unit
    ) as outcomes on units.unit = outcomes.unit
    group by units.slot_number, outcomes.service_code
    -- So that who needs a few days of the counts skips the blocks of most others.
    order by units.slot_number

),

{% endfor -%}
packed_slots as (

    {% for scan in scans -%}
    {%- set number = loop.index -%}
    {%- for is_of_one_service in scan.places | map(attribute='is_of_one_service') | unique -%}
    select
        places.definition_number,
        places.is_counted_at_once,
        places.numerator_kind,
        places.slot_minutes,
        {{ whole_quotient('slots.slot_number', 'places.scan_slots') }} as slot_number,
        case
            when slots.events >= {{ slo_events_below() }}
                then {{ failure(scan.name ~ ': ' ~ slo_events_below() ~ ' or more events in one slot of time') }}
            {%- for place in scan.places if place.is_of_one_service == is_of_one_service %}
            when places.place = {{ place.number }} then cast(slots.packed_{{ place.number }} as bigint)
            {%- endfor %}
        end as packed
    from slots_{{ number }} as slots
    inner join {{ ref('int_slo_places') }} as places
        on
            places.scan = '{{ scan.name }}'
            and {{ 'slots.service_code = places.service_code' if is_of_one_service else 'places.service_code is null' }}
    union all
    {% endfor -%}
    {% endfor -%}
    select
        cast(null as integer) as definition_number,
        cast(null as boolean) as is_counted_at_once,
        null as numerator_kind,
        cast(null as integer) as slot_minutes,
        cast(null as bigint) as slot_number,
        cast(null as bigint) as packed
    from outcomes
    where false

),

counted as (

    select
        definition_number,
        is_counted_at_once,
        {{ slot_start('slot_number', 'slot_minutes') }} as slot_starts_at,
        case when numerator_kind = 'good' then numerator else total - numerator end as good,
        total
    from (
        select
            *,
            packed % {{ slo_events_below() }} as total,
            {{ whole_quotient('packed', slo_events_below()) }} as numerator
        from packed_slots
        where packed > 0
    ) as unpacked

),

placed as (

    select
        definition_number,
        cast(slot_starts_at as date) as counted_on,
        slot_starts_at,
        good,
        total
    from counted
    where is_counted_at_once
    {%- if scans | map(attribute='places') | sum(start=[]) | rejectattr('is_counted_at_once') | list %}
    union all
    -- Counts of several services, of longer slots, or of a total and a numerator counted apart meet here.
    select
        definition_number,
        cast(slot_starts_at as date) as counted_on,
        slot_starts_at,
        cast(sum(good) as bigint) as good,
        cast(sum(total) as bigint) as total
    from counted
    where not is_counted_at_once
    group by definition_number, slot_starts_at
    {%- endif %}

)

select *
from placed
where {{ is_touched('placed') }}
