with burn_windows as (

    {{ slo_burn_windows() }}
),

now as (

    select max(evaluated_at) as now_at from {{ ref('int_slo_windows') }}

),

recent_days as (

    select
        windows.definition,
        windows.definition_number,
        windows.day,
        windows.day_starts_at,
        windows.day_ends_at,
        windows.day_starts_at as units_start_at,
        windows.evaluated_at as units_end_at
    from {{ ref('int_slo_windows') }} as windows
    cross join now
    where windows.day_ends_at > now.now_at - interval 3 day

),

units as (

    {{ slo_units('recent_days') }}
)

select
    units.definition,
    units.objective,
    burn_windows.burn_window,
    objectives.target,
    {{ burn_rate('(sum(units.total_units) - sum(units.good_units))', 'sum(units.total_units)', 'objectives.target') }}
        as burn_rate,
    cast(sum(units.total) - sum(units.good) as bigint) as bad_events
from units
cross join now
inner join burn_windows on units.unit_starts_at >= now.now_at - burn_windows.minutes * interval 1 minute
inner join {{ ref('stg_slo_objectives') }} as objectives
    on units.definition = objectives.definition and units.objective = objectives.objective
group by units.definition, units.objective, burn_windows.burn_window, objectives.target
