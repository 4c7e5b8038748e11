with successes as (

    select
        deployments.deployment_key,
        deployments.service,
        deployments.production_sequence,
        deployments.replaced_deployment_key,
        deployments.blamed_deployment_key,
        deployments.version,
        deployments.commit_sha,
        deployments.finished_at,
        least(
            deployments.finished_at + interval {{ var('degradation_window_hours') }} hour,
            lead(deployments.finished_at) over (
                partition by deployments.service order by deployments.production_sequence
            )
        ) as closes_at,
        as_of.as_of
    from {{ ref('int_deployments') }} as deployments
    cross join {{ ref('int_as_of') }} as as_of
    where
        deployments.is_success
        and deployments.service in (select counts.service from {{ ref('int_indicator_counts') }} as counts)

)

select
    deployment_key,
    service,
    production_sequence,
    replaced_deployment_key,
    blamed_deployment_key,
    version,
    commit_sha,
    finished_at,
    least(closes_at, as_of) as window_closed_at,
    closes_at <= as_of as is_complete,
    {{ hour_number('finished_at') }} as first_hour,
    -- The first and the last hour that lie in the window as a whole, and the last that it reaches into.
    {{ hour_number('finished_at - interval 1 microsecond') }} + 1 as first_whole_hour,
    {{ hour_number('least(closes_at, as_of)') }} - 1 as last_whole_hour,
    {{ hour_number('least(closes_at, as_of) - interval 1 microsecond') }} as last_hour
from successes
where finished_at < least(closes_at, as_of)
