{{ touched_rows('int_slo_restated_windows', ['definition', 'day']) }}

{%- set sums = ['good', 'total', 'good_units', 'total_units', 'counted_units', 'contradictory_units'] -%}

-- A window is the difference of two running sums, which may begin anywhere before it: just before the first window that
-- is wanted.
with first_needed_days as (

    select
        definition,
        min(window_starts_on) - 1 as day
    from {{ ref('int_slo_windows') }}
    where {{ is_touched('int_slo_windows') }}
    group by definition

),

running as (

    select
        windows.definition,
        objectives.objective,
        windows.day,
        windows.window_starts_on,
        {%- for sum in sums %}
        sum(coalesce(daily.{{ sum }}, 0)) over up_to_day as {{ sum }},
        {%- endfor %}
        windows.is_window_of_whole_days
    from {{ ref('int_slo_windows') }} as windows
    inner join first_needed_days
        on windows.definition = first_needed_days.definition and windows.day >= first_needed_days.day
    inner join {{ ref('stg_slo_objectives') }} as objectives on windows.definition = objectives.definition
    left join {{ ref('int_slo_days') }} as daily
        on
            windows.definition = daily.definition
            and objectives.objective = daily.objective
            and windows.day = daily.day
    window up_to_day as (
        partition by windows.definition, objectives.objective order by windows.day rows unbounded preceding
    )

),

-- Where a window begins within a day, as a rolling one does today, the part of that day.
first_days as (

    select
        windows.definition,
        windows.definition_number,
        windows.day,
        first_days.day_starts_at,
        first_days.day_ends_at,
        windows.window_starts_at as units_start_at,
        least(first_days.evaluated_at, windows.evaluated_at) as units_end_at
    from {{ ref('int_slo_windows') }} as windows
    inner join {{ ref('int_slo_windows') }} as first_days
        on windows.definition = first_days.definition and windows.window_starts_on = first_days.day
    where
        not windows.is_window_of_whole_days
        and {{ is_touched('windows') }}

),

first_day_units as (

    {{ slo_units('first_days') }}
),

first_day_sums as (

    select
        definition,
        objective,
        day,
        {{ slo_sums() }}
    from first_day_units
    group by definition, objective, day

)

select
    running.definition,
    running.objective,
    {%- for sum in sums %}
    cast(
        running.{{ sum }} - coalesce(earlier.{{ sum }}, 0) + coalesce(first_day_sums.{{ sum }}, 0)
        as {{ 'decimal(38, 12)' if sum == 'good_units' else 'bigint' }}
    ) as {{ sum }},
    {%- endfor %}
    running.day
from running
left join running as earlier
    on
        running.definition = earlier.definition
        and running.objective = earlier.objective
        and earlier.day = case
            when running.is_window_of_whole_days then running.window_starts_on - 1 else running.window_starts_on
        end
left join first_day_sums
    on
        running.definition = first_day_sums.definition
        and running.objective = first_day_sums.objective
        and running.day = first_day_sums.day
where {{ is_touched('running') }}
