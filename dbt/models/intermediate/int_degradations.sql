with effects as (

    {{ indicator_effects(left_out=ref('int_left_out_baselines')) | indent(4) }}

),

spells as (

    {{ degradation_spells('effects') | indent(4) }}

)

select
    effects.*,
    spells.deployment_key as first_degraded_deployment_key,
    spells.recovered_at,
    case
        when effects.is_telemetry_lost then 'telemetry_lost'
        when spells.deployment_key = effects.deployment_key then 'degraded'
        when spells.deployment_key is not null then 'still_degraded'
        when
            effects.is_significant
            and coalesce(effects.ratio_high >= {{ 1 + var('degradation_relative_rise') }}, true)
            then 'suspected'
        when effects.is_complete and effects.power >= {{ var('degradation_least_power') }} then 'ok'
        else 'insufficient_data'
    end as verdict
from effects
left join spells
    on
        effects.is_degraded
        and effects.service = spells.service
        and effects.indicator = spells.indicator
        and effects.finished_at >= spells.degraded_at
        and effects.finished_at < spells.ended_at
