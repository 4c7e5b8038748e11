{{ touched_rows('int_touched_pull_requests', ['source', 'repository', 'pull_request_number']) }}

with pull_requests as (

    select
        source,
        repository,
        pull_request_number,
        merge_commit_sha
    from {{ ref('stg_pull_requests') }}
    where {{ is_touched() }}

),

shipped as (

    select
        source,
        repository,
        pull_request_number,
        service,
        deployment_key,
        deployed_at
    from {{ ref('int_changes') }}
    where
        pull_request_number is not null
        and {{ is_touched('int_changes') }}
    union
    select
        pull_requests.source,
        pull_requests.repository,
        pull_requests.pull_request_number,
        shipped.service,
        shipped.deployment_key,
        shipped.deployed_at
    from pull_requests
    inner join {{ ref('int_shipped_commits') }} as shipped
        on
            pull_requests.source = shipped.source
            and pull_requests.merge_commit_sha = shipped.commit_sha

)

select
    source,
    repository,
    pull_request_number,
    service,
    deployment_key,
    deployed_at
from shipped
qualify row_number() over (
    partition by source, repository, pull_request_number, service order by deployed_at, deployment_key
) = 1
