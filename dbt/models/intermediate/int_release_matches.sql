with releases as (

    select distinct
        service,
        release
    from {{ ref('int_indicator_counts') }}
    where release is not null

)

select
    releases.service,
    releases.release,
    deployments.deployment_key
from releases
inner join {{ ref('int_deployment_windows') }} as deployments
    on releases.service = deployments.service and releases.release = deployments.version
union
select
    releases.service,
    releases.release,
    deployments.deployment_key
from releases
inner join {{ ref('int_deployment_windows') }} as deployments
    on
        releases.service = deployments.service
        -- Equal beginnings first, so that the engine can hash them.
        and substr(releases.release, 1, 7) = substr(deployments.commit_sha, 1, 7)
        and substr(deployments.commit_sha, 1, length(releases.release)) = releases.release
where length(releases.release) >= 7
