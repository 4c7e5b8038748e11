with parts as (

    {{ slo_parts() }}
),

conditions as (

    select
        parts.scan,
        parts.event_source,
        parts.deadline_seconds,
        parts.slot_minutes,
        parts.part = 'total' or not parts.is_part_of_total as is_counted_apart,
        conditions.definition,
        conditions.part,
        conditions.condition_group,
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

),

-- An event that meets none of these is of no use: what definitions say is meant; of a session's events, all they say.
needed_groups as (

    select
        scan,
        definition,
        part,
        condition_group,
        row_number() over (partition by scan order by definition, part, condition_group) as group_number,
        count(*) over (partition by scan) as group_count
    from conditions
    group by scan, event_source, definition, part, condition_group, is_counted_apart
    having
        case
            when event_source = 'sessions' then not bool_and(column_name = 'service')
            else condition_group = 0 and is_counted_apart
        end

),

named_columns as (

    select
        conditions.scan,
        conditions.column_name,
        -- Every event has a service.
        bool_or(conditions.operator = 'is_present' and conditions.column_name <> 'service') as tells_missing,
        -- Most services have a definition: to ask each event for its own would cost more than it spares.
        conditions.column_name <> 'service' and coalesce(count(distinct case
            when conditions.operator in ('eq', 'in') and conditions.value_type = 'text' then needed_groups.group_number
        end) = max(needed_groups.group_count), false) as is_selective
    from conditions
    left join needed_groups
        on
            conditions.scan = needed_groups.scan
            and conditions.definition = needed_groups.definition
            and conditions.part = needed_groups.part
            and conditions.condition_group = needed_groups.condition_group
    group by conditions.scan, conditions.column_name

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
    named_columns.tells_missing,
    named_columns.is_selective,
    -- Of texts 1 is any other, of numbers 1 is below all; 0 is none.
    cast(case
        when steps.value_type <> 'boolean'
            then row_number() over (
                partition by steps.scan, steps.column_name, steps.value_type
                order by steps.threshold, steps.is_exceeded, steps.text_value
            ) + 1
    end as integer) as code
from steps
inner join scans on steps.scan = scans.scan
inner join named_columns on steps.scan = named_columns.scan and steps.column_name = named_columns.column_name
