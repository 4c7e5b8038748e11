with parts as (

    {{ slo_parts() }}
),

conditions as (

    select
        parts.scan,
        parts.event_source,
        parts.deadline_seconds,
        parts.slot_minutes,
        conditions.column_name,
        conditions.operator,
        conditions.value_type,
        conditions.value
    from {{ ref('stg_slo_conditions') }} as conditions
    inner join parts on conditions.definition = parts.definition and conditions.part = parts.part

),

-- A number is told from others by what it reaches (`lt`, `gte`) and what it exceeds (`lte`, `gt`).
steps as (

    select distinct
        scan,
        column_name,
        value_type,
        case when value_type = 'text' then value end as text_value,
        cast(null as double) as threshold,
        cast(null as boolean) as is_exceeded
    from conditions
    where value_type <> 'number'
    {%- for is_exceeded, operators in {'false': "('lte', 'gt')", 'true': "('lt', 'gte')"}.items() %}
    union all
    select distinct
        scan,
        column_name,
        value_type,
        null as text_value,
        cast(value as double) as threshold,
        {{ is_exceeded }} as is_exceeded
    from conditions
    where value_type = 'number' and operator not in {{ operators }}
    {%- endfor %}

),

scans as (

    select
        scan,
        event_source,
        deadline_seconds,
        min(slot_minutes) as slot_minutes
    from conditions
    group by scan, event_source, deadline_seconds

)

select
    scans.scan,
    scans.event_source,
    scans.deadline_seconds,
    scans.slot_minutes,
    steps.column_name,
    steps.value_type,
    steps.text_value,
    steps.threshold,
    steps.is_exceeded,
    -- Of texts 0 is none and 1 any other; of numbers 0 is none and 1 below all.
    cast(case
        when steps.value_type <> 'boolean'
            then row_number() over (
                partition by steps.scan, steps.column_name, steps.value_type
                order by steps.threshold, steps.is_exceeded, steps.text_value
            ) + 1
    end as integer) as code
from steps
inner join scans on steps.scan = scans.scan
