with second_look as (

    {{ indicator_effects(left_out=ref('int_left_out_baselines')) | indent(4) }}

),

looks as (

    select first_look.*
    from {{ ref('int_indicator_effects') }} as first_look
    where
        first_look.deployment_key not in (
            select left_out.deployment_key from {{ ref('int_left_out_baselines') }} as left_out
        )
    union all
    select * from second_look

),

effects as (

    {{ placed_effects('looks') | indent(4) }}

),

spells as (

    {{ degradation_spells('effects') | indent(4) }}

),

-- The spell of the indicator itself, else the earliest one of the service.
blames as (

    select
        effects.deployment_key,
        effects.indicator,
        min_by(spells.deployment_key, spells.production_sequence) as service_deployment_key,
        min_by(spells.deployment_key, spells.production_sequence) filter (
            where spells.indicator = effects.indicator
        ) as indicator_deployment_key,
        min(spells.recovered_at) filter (
            where spells.indicator = effects.indicator and spells.deployment_key = effects.deployment_key
        ) as recovered_at
    from effects
    inner join spells
        on
            effects.service = spells.service
            and effects.finished_at >= spells.degraded_at
            and effects.finished_at < spells.ended_at
    where
        effects.is_degraded
        and (spells.indicator = effects.indicator or spells.deployment_key <> effects.deployment_key)
    group by effects.deployment_key, effects.indicator

)

select
    effects.deployment_key,
    effects.service,
    effects.production_sequence,
    effects.finished_at,
    effects.window_closed_at,
    effects.is_complete,
    effects.indicator,
    effects.cases,
    effects.bad_cases,
    effects.comparable_cases,
    effects.baseline_cases,
    effects.baseline_bad_cases,
    effects.baseline_days,
    effects.telemetry_cases,
    effects.expected_telemetry_cases,
    effects.indicators_tried,
    effects.bad_share,
    effects.baseline_bad_share,
    effects.rise,
    effects.rise_low,
    effects.rise_high,
    effects.ratio,
    effects.ratio_low,
    effects.ratio_high,
    effects.p_value,
    effects.power,
    effects.is_significant,
    effects.is_telemetry_lost,
    coalesce(blames.indicator_deployment_key, blames.service_deployment_key) as first_degraded_deployment_key,
    blames.recovered_at,
    case
        when effects.is_telemetry_lost then 'telemetry_lost'
        when coalesce(blames.indicator_deployment_key, blames.service_deployment_key) = effects.deployment_key
            then 'degraded'
        when blames.service_deployment_key is not null then 'still_degraded'
        when
            effects.is_significant
            and coalesce(effects.ratio_high >= {{ 1 + var('degradation_relative_rise') }}, true)
            then 'suspected'
        when effects.is_complete and effects.power >= {{ var('degradation_least_power') }} then 'ok'
        else 'insufficient_data'
    end as verdict
from effects
left join blames on effects.deployment_key = blames.deployment_key and effects.indicator = blames.indicator
