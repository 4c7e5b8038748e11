-- Counts are kept by slots of time, so that now is the end of the slot that it lies in. The latest event, where that is
-- now, may be the first moment of one; a given time is the end of what went before.
{%- set end_of_slot = 'as_of + interval 5 minute' ~ ('' if var('as_of') is none else ' - interval 1 microsecond') %}

with now as (

    select {{ time_slot(end_of_slot, 5) }} as now_at
    from {{ ref('int_as_of') }}
    where as_of is not null

),

first_counts as (

    select
        definition_number,
        min(first_counted_at) as first_counted_at
    from {{ ref('int_slo_counted_days') }}
    group by definition_number

),

-- A day of a calendar window begins at the clock time at which the window does, in its own time zone.
clocks as (

    select
        slos.definition,
        slos.definition_number,
        slos.window_length,
        slos.window_unit,
        slos.window_starts_at,
        slos.time_zone,
        now.now_at,
        coalesce(slos.window_starts_at, cast('2000-01-01 00:00:00' as timestamp)) as anchor,
        coalesce(first_counts.first_counted_at, now.now_at - interval 1 minute) as first_counted_at
    from {{ ref('stg_slos') }} as slos
    cross join now
    left join first_counts on slos.definition_number = first_counts.definition_number

),

offsets as (

    select
        *,
        cast({{ minutes_between("date_trunc('day', anchor)", 'anchor') }} as integer) * interval 1 minute as day_offset
    from clocks

),

definitions as (

    select
        *,
        cast({{ zoned_time('first_counted_at', 'time_zone') }} - day_offset as date) as first_day,
        dense_rank() over (order by window_length, window_unit, window_starts_at, time_zone) as window_kind
    from offsets

),

-- Many definitions have windows of the same kind, whose times in their zone are found once.
window_kinds as (

    select
        window_kind,
        window_length,
        window_unit,
        window_starts_at,
        time_zone,
        now_at,
        anchor,
        day_offset,
        min(first_day) as first_day
    from definitions
    group by
        window_kind, window_length, window_unit, window_starts_at, time_zone, now_at, anchor, day_offset

),

days as (

    select
        *,
        cast({{ each_day(
            'first_day',
            'cast(' ~ zoned_time('now_at - interval 1 microsecond', 'time_zone') ~ ' - day_offset as date)'
        ) }} as date) as day
    from window_kinds

),

bounded as (

    select
        *,
        day + day_offset as local_start,
        {{ utc_time('day + day_offset', 'time_zone') }} as day_starts_at,
        {{ utc_time('day + interval 1 day + day_offset', 'time_zone') }} as day_ends_at,
        {{ utc_time('anchor', 'time_zone') }} as anchor_at
    from days
    where window_starts_at is null or day + day_offset >= window_starts_at

),

evaluated as (

    select
        *,
        least(day_ends_at, now_at) as evaluated_at,
        -- Whole windows since the first one; of months, one less where the day of the month is not reached.
        cast(case window_unit
            when 'day' then floor({{ days_between('cast(anchor as date)', 'day') }} / window_length)
            when 'month'
                then floor((
                    (extract(year from day) - extract(year from anchor)) * 12
                    + extract(month from day) - extract(month from anchor)
                    - case
                        when anchor + cast(
                            (extract(year from day) - extract(year from anchor)) * 12
                            + extract(month from day) - extract(month from anchor) as integer
                        ) * interval 1 month > local_start then 1
                        else 0
                    end
                ) / window_length)
            else ceil({{ minutes_between('anchor_at', 'least(day_ends_at, now_at)') }} / window_length) - 1
        end as integer) as windows_before
    from bounded

),

windows as (

    select
        *,
        case
            when window_starts_at is null and window_unit = 'day'
                then evaluated_at - cast(window_length as integer) * interval 24 hour
            when window_starts_at is null
                then evaluated_at - cast(window_length as integer) * interval 1 minute
            {%- for unit in ['day', 'month'] %}
            when window_unit = '{{ unit }}'
                then {{ utc_time(
                    'anchor + cast(windows_before * window_length as integer) * interval 1 ' ~ unit, 'time_zone'
                ) }}
            {%- endfor %}
            else anchor_at + cast(windows_before * window_length as integer) * interval 1 minute
        end as starts_at,
        case
            when window_starts_at is null then evaluated_at
            {%- for unit in ['day', 'month'] %}
            when window_unit = '{{ unit }}'
                then {{ utc_time(
                    'anchor + cast((windows_before + 1) * window_length as integer) * interval 1 ' ~ unit, 'time_zone'
                ) }}
            {%- endfor %}
            else anchor_at + cast((windows_before + 1) * window_length as integer) * interval 1 minute
        end as ends_at
    from evaluated

),

first_days as (

    select
        *,
        cast({{ zoned_time('starts_at', 'time_zone') }} - day_offset as date) as starts_on
    from windows

),

placed as (

    select
        window_kind,
        day,
        day_starts_at,
        day_ends_at,
        evaluated_at,
        starts_at,
        ends_at,
        starts_on,
        starts_at = {{ utc_time('starts_on + day_offset', 'time_zone') }} as is_window_of_whole_days,
        {{ hours_between('starts_at', 'ends_at') }} as window_hours
    from first_days

)

select
    definitions.definition,
    definitions.definition_number,
    placed.day,
    placed.day_starts_at,
    placed.day_ends_at,
    placed.evaluated_at,
    placed.starts_at as window_starts_at,
    placed.ends_at as window_ends_at,
    placed.starts_on as window_starts_on,
    placed.is_window_of_whole_days,
    placed.window_hours
from definitions
inner join placed on definitions.window_kind = placed.window_kind and definitions.first_day <= placed.day
