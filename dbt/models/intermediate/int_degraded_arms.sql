with degraded as (

    select
        degradations.deployment_key,
        degradations.indicator,
        windows.service,
        windows.finished_at,
        windows.window_closed_at,
        windows.first_hour,
        windows.first_whole_hour,
        windows.last_hour
    from {{ ref('int_degradations') }} as degradations
    inner join {{ ref('int_deployment_windows') }} as windows
        on degradations.deployment_key = windows.deployment_key
    where degradations.verdict = 'degraded'

),

arms as (

    select
        *,
        {{ each_number(0, var('degradation_baseline_days') // 7) }} * 7 as days_before
    from degraded

)

select
    arms.deployment_key,
    arms.indicator,
    arms.service,
    arms.days_before,
    arms.first_whole_hour,
    arms.first_hour - 24 * arms.days_before as from_hour,
    arms.last_hour - 24 * arms.days_before as to_hour,
    cast({{ day_of('arms.finished_at') }} - interval 1 day * arms.days_before as date) as from_day,
    cast({{ day_of('arms.window_closed_at') }} - interval 1 day * arms.days_before as date) as to_day
from arms
left join {{ ref('int_left_out_baselines') }} as left_out
    on
        arms.deployment_key = left_out.deployment_key
        and arms.indicator = left_out.indicator
        and arms.days_before = left_out.days_before
where left_out.deployment_key is null
