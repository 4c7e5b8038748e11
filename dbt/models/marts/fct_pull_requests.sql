{{ touched_rows('int_touched_pull_requests', ['source', 'repository', 'pull_request_number']) }}

with pull_requests as (

    select
        *,
        coalesce(ready_at, created_at) as reviewable_at,
        {{ day_of('created_at') }} as created_on,
        {{ day_of('merged_at') }} as merged_on
    from {{ ref('stg_pull_requests') }}
    where {{ is_touched('stg_pull_requests') }}

),

first_deployments as (

    select * from {{ ref('int_shipped_pull_requests') }}
    where {{ is_touched('int_shipped_pull_requests') }}
    qualify row_number() over (
        partition by source, repository, pull_request_number order by deployed_at, deployment_key
    ) = 1

),

-- The services that shipped it; while none has, those of its repository.
candidates as (

    select
        pull_requests.source,
        pull_requests.repository,
        pull_requests.pull_request_number,
        services.service,
        services.team
    from pull_requests
    left join first_deployments
        on
            pull_requests.source = first_deployments.source
            and pull_requests.repository = first_deployments.repository
            and pull_requests.pull_request_number = first_deployments.pull_request_number
    inner join {{ ref('dim_services') }} as services
        on
            pull_requests.repository = services.repository
            and coalesce(pull_requests.merged_on, pull_requests.created_on) >= services.valid_from
            and coalesce(pull_requests.merged_on, pull_requests.created_on) < services.valid_to
    where first_deployments.deployment_key is null
    union all
    select
        shipped.source,
        shipped.repository,
        shipped.pull_request_number,
        shipped.service,
        services.team
    from {{ ref('int_shipped_pull_requests') }} as shipped
    inner join pull_requests
        on
            shipped.source = pull_requests.source
            and shipped.repository = pull_requests.repository
            and shipped.pull_request_number = pull_requests.pull_request_number
    left join {{ ref('dim_services') }} as services
        on
            shipped.service = services.service
            and coalesce(pull_requests.merged_on, pull_requests.created_on) >= services.valid_from
            and coalesce(pull_requests.merged_on, pull_requests.created_on) < services.valid_to

),

owners as (

    select
        source,
        repository,
        pull_request_number,
        case when count(*) = 1 then min(service) end as service,
        case when count(*) = count(team) and min(team) = max(team) then min(team) end as team
    from candidates
    group by source, repository, pull_request_number

)

select
    pull_requests.source,
    pull_requests.repository,
    pull_requests.pull_request_number,
    owners.service,
    owners.team,
    case
        when pull_requests.merged_at is not null then 'merged'
        when pull_requests.closed_at is not null then 'closed'
        else 'open'
    end as status,
    pull_requests.merge_method,
    pull_requests.review_count,
    pull_requests.files_changed,
    pull_requests.lines_added + pull_requests.lines_deleted as lines_changed,
    pull_requests.first_commit_at,
    pull_requests.created_at,
    pull_requests.created_on,
    pull_requests.ready_at,
    case when review_groups.is_large then pull_requests.first_review_at end as first_review_at,
    pull_requests.merged_at,
    pull_requests.merged_on,
    first_deployments.deployment_key,
    first_deployments.deployed_at,
    {{ span_hours('pull_requests.first_commit_at', 'pull_requests.created_at') }} as coding_hours,
    {{ span_hours('pull_requests.created_at', 'pull_requests.ready_at') }} as draft_hours,
    case
        when review_groups.is_large
            then {{ span_hours('pull_requests.reviewable_at', 'pull_requests.first_review_at') }}
    end as pickup_hours,
    case
        when review_groups.is_large then {{ span_hours('pull_requests.first_review_at', 'pull_requests.merged_at') }}
    end as review_hours,
    case
        when not coalesce(contents.is_bulk_import, false)
            then {{ span_hours('pull_requests.merged_at', 'first_deployments.deployed_at') }}
    end as merge_to_deploy_hours
from pull_requests
left join {{ ref('int_review_groups') }} as review_groups
    on
        pull_requests.source = review_groups.source
        and pull_requests.repository = review_groups.repository
        and {{ period_start('quarter', 'pull_requests.created_on') }} = review_groups.created_quarter
left join owners
    on
        pull_requests.source = owners.source
        and pull_requests.repository = owners.repository
        and pull_requests.pull_request_number = owners.pull_request_number
left join first_deployments
    on
        pull_requests.source = first_deployments.source
        and pull_requests.repository = first_deployments.repository
        and pull_requests.pull_request_number = first_deployments.pull_request_number
left join {{ ref('int_deployment_contents') }} as contents
    on first_deployments.deployment_key = contents.deployment_key
