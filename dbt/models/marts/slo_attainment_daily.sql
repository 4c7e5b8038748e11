{{ touched_rows('int_slo_restated_windows', ['definition', 'day']) }}

with judged as (

    select
        windows.day,
        slos.slo,
        objectives.objective,
        objectives.objective_name,
        slos.service,
        slos.definition,
        slos.budgeting_method,
        slos.window_duration,
        windows.window_starts_at,
        windows.evaluated_at,
        windows.window_hours,
        objectives.target,
        coalesce(daily.good, 0) as good,
        coalesce(daily.total, 0) as total,
        {{ ratio('daily.good_units', 'daily.total_units') }} as day_attainment_rate,
        {{ burn_rate('(daily.total_units - daily.good_units)', 'daily.total_units', 'objectives.target') }}
            as day_burn_rate,
        sums.good as window_good,
        sums.total as window_total,
        sums.total_units,
        sums.total_units - sums.good_units as bad_units,
        sums.contradictory_units,
        {{ ratio('sums.good_units', 'sums.total_units') }} as attainment_rate,
        round(sums.total_units * (1 - objectives.target), 9) as budget_units,
        {{ burn_rate('(sums.total_units - sums.good_units)', 'sums.total_units', 'objectives.target') }}
            as consumed_rate,
        {{ ratio(
            'sums.counted_units',
            'floor(' ~ minutes_between('windows.window_starts_at', 'windows.evaluated_at')
            ~ ' / objectives.time_slice_minutes)'
        ) }} as coverage_rate,
        windows.evaluated_at = windows.day_ends_at as is_complete
    from {{ ref('int_slo_windows') }} as windows
    inner join {{ ref('stg_slos') }} as slos
        on
            windows.definition = slos.definition
            and windows.day >= slos.valid_from
            and windows.day < slos.valid_to
    inner join {{ ref('int_slo_window_sums') }} as sums
        on windows.definition = sums.definition and windows.day = sums.day
    inner join {{ ref('stg_slo_objectives') }} as objectives
        on sums.definition = objectives.definition and sums.objective = objectives.objective
    left join {{ ref('int_slo_days') }} as daily
        on sums.definition = daily.definition and sums.objective = daily.objective and sums.day = daily.day
    where
        {{ is_touched('windows') }}
        and {{ near_restated_days('windows.day') }}

)

select
    judged.day,
    judged.slo,
    cast(judged.objective as integer) as objective,
    judged.objective_name,
    judged.service,
    services.team,
    judged.definition,
    judged.budgeting_method,
    case when judged.budgeting_method = 'Occurrences' then 'event' else 'slice' end as budget_unit,
    judged.window_duration,
    judged.window_starts_at,
    judged.evaluated_at,
    judged.window_hours,
    judged.target,
    judged.good,
    judged.total,
    judged.day_attainment_rate,
    judged.day_burn_rate,
    judged.window_good,
    judged.window_total,
    judged.attainment_rate,
    cast(judged.budget_units as double) as budget_total,
    cast(judged.bad_units as double) as budget_consumed,
    round(cast(judged.budget_units - judged.bad_units as double), 9) as budget_remaining,
    judged.consumed_rate as budget_consumed_rate,
    round(1 - judged.consumed_rate, 9) as budget_remaining_rate,
    judged.coverage_rate,
    case
        when judged.contradictory_units > 0 then 'data_error'
        when judged.total_units = 0 then 'no_data'
        when judged.window_total < {{ var('slo_minimum_events') }} then 'insufficient_data'
        when judged.consumed_rate >= 1 then 'exhausted'
        when judged.day_burn_rate > {{ slo_burn_factor('judged.window_hours', '0.1', '1440') }} then 'burning'
        else 'healthy'
    end as state,
    judged.is_complete
from judged
left join {{ ref('dim_services') }} as services
    on
        judged.service = services.service
        and judged.day >= services.valid_from
        and judged.day < services.valid_to
