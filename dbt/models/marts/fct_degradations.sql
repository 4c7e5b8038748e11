select
    degradations.deployment_key,
    degradations.indicator,
    degradations.service,
    services.team,
    services.component_kind,
    deployments.deployed_on,
    degradations.finished_at,
    degradations.window_closed_at,
    degradations.is_complete,
    degradations.verdict,
    degradations.first_degraded_deployment_key,
    degradations.recovered_at,
    degradations.cases,
    degradations.bad_cases,
    degradations.comparable_cases,
    degradations.bad_share as bad_rate,
    degradations.baseline_cases,
    degradations.baseline_bad_cases,
    degradations.baseline_days,
    degradations.baseline_bad_share as baseline_bad_rate,
    degradations.rise as rise_rate,
    degradations.rise_low as rise_rate_low,
    degradations.rise_high as rise_rate_high,
    degradations.ratio,
    degradations.ratio_low,
    degradations.ratio_high,
    degradations.p_value,
    degradations.indicators_tried,
    degradations.power,
    degradations.telemetry_cases,
    degradations.expected_telemetry_cases
from {{ ref('int_degradations') }} as degradations
inner join {{ ref('int_deployments') }} as deployments on degradations.deployment_key = deployments.deployment_key
left join {{ ref('dim_services') }} as services
    on
        degradations.service = services.service
        and deployments.deployed_on >= services.valid_from
        and deployments.deployed_on < services.valid_to
