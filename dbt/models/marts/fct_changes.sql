{{ touched_rows('int_restated_days', ['service', 'deployed_on']) }}

with shipped as (

    select * from {{ ref('int_changes') }}
    where {{ is_touched() }}

),

changes as (

    select
        shipped.*,
        services.team,
        services.component_kind,
        contents.is_bulk_import,
        -- A merge after the deployment is no stage on the way to it.
        case when shipped.merged_at <= shipped.deployed_at then shipped.merged_at end as merged_before_at,
        builds.built_at,
        observable.observable_success_at
    from shipped
    inner join {{ ref('int_deployment_contents') }} as contents
        on shipped.deployment_key = contents.deployment_key
    left join {{ ref('int_change_builds') }} as builds
        on
            shipped.service = builds.service
            and shipped.deployed_on = builds.deployed_on
            and shipped.commit_sha = builds.commit_sha
    left join {{ ref('int_observable_successes') }} as observable
        on shipped.deployment_key = observable.deployment_key
    left join {{ ref('dim_services') }} as services
        on
            shipped.service = services.service
            and shipped.deployed_on >= services.valid_from
            and shipped.deployed_on < services.valid_to

)

select
    service,
    source,
    commit_sha,
    deployment_key,
    team,
    component_kind,
    repository,
    pull_request_number,
    change_type,
    is_revert,
    lines_changed,
    start_basis,
    started_at,
    merged_at,
    built_at,
    deployed_at,
    deployed_on,
    observable_success_at,
    is_bulk_import,
    coalesce(started_at > deployed_at, false) or coalesce(started_at > merged_before_at, false) as is_clock_skew,
    case when not is_bulk_import then {{ span_hours('started_at', 'deployed_at') }} end as lead_time_hours,
    case
        when not is_bulk_import and start_basis <> 'squash_only'
            then {{ span_hours('started_at', 'merged_before_at') }}
    end as commit_to_merge_hours,
    case when not is_bulk_import then {{ span_hours('merged_before_at', 'built_at') }} end as merge_to_build_hours,
    case when not is_bulk_import then {{ span_hours('built_at', 'deployed_at') }} end as build_to_deploy_hours,
    {{ span_hours('deployed_at', 'observable_success_at') }} as deploy_to_success_hours
from changes
-- Sorted, so that an update reads only the row groups of its days.
order by deployed_on
