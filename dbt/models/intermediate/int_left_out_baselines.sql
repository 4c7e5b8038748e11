with effects as (

    {{ placed_effects(ref('int_indicator_effects')) | indent(4) }}

),

spells as (

    {{ degradation_spells('effects') | indent(4) }}

),

baseline_days as (

    select {{ each_number(1, var('degradation_baseline_days')) }} as days_before

)

select
    deployments.deployment_key,
    spells.indicator,
    baseline_days.days_before
from spells
inner join {{ ref('int_deployment_windows') }} as deployments
    on
        spells.service = deployments.service
        and spells.production_sequence < deployments.production_sequence
        and deployments.finished_at
        < spells.ended_at + interval {{ var('degradation_baseline_days') }} day
cross join baseline_days
where
    {{ hours_between('spells.ended_at', 'deployments.finished_at') }} < 24 * baseline_days.days_before
    and {{ hours_between('spells.degraded_at', 'deployments.window_closed_at') }} > 24 * baseline_days.days_before
