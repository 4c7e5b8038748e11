-- What was kept at the end of the quarter, by each objective of which enough was seen.
with last_days as (

    select
        {{ period_start('quarter', 'day') }} as quarter,
        team,
        attainment_rate >= target as is_met
    from {{ ref('slo_attainment_daily') }}
    where team is not null
    qualify row_number() over (
        partition by {{ period_start('quarter', 'day') }}, team, slo, objective order by day desc
    ) = 1
    and state not in ('data_error', 'no_data', 'insufficient_data')

),

objectives as (

    select
        quarter,
        team,
        count(*) as slo_objectives,
        count(*) filter (where is_met) as met_slo_objectives
    from last_days
    group by 1, 2

)

select
    releases.quarter,
    releases.team,
    releases.dimension,
    releases.status,
    releases.value_quarter,
    releases.value_quarter < releases.quarter as is_stale,
    releases.mean_low,
    releases.mean_high,
    releases.people_band,
    releases.assessed_share_band,
    releases.refused_scores,
    releases.recent_evidence_band,
    coalesce(signals.deployments, 0) as deployments,
    coalesce(signals.failed_deployments, 0) as failed_deployments,
    signals.change_failure_rate,
    coalesce(signals.recovered_deployments, 0) as recovered_deployments,
    signals.recovery_median_hours,
    coalesce(objectives.slo_objectives, 0) as slo_objectives,
    coalesce(objectives.met_slo_objectives, 0) as met_slo_objectives
from {{ ref('stg_ov_releases') }} as releases
left join {{ ref('int_team_delivery_quarterly') }} as signals
    on releases.quarter = signals.quarter and releases.team = signals.team
left join objectives on releases.quarter = objectives.quarter and releases.team = objectives.team
