with shipped as (

    select
        commits.service,
        commits.deployment_key,
        deployments.finished_at as deployed_at,
        deployments.deployed_on,
        deployments.commit_sha as deployed_commit_sha,
        changes.source,
        changes.commit_sha,
        changes.pull_request_number,
        changes.change_type,
        changes.is_revert,
        changes.reverts_commit_sha,
        changes.lines_added + changes.lines_deleted as lines_changed,
        changes.authored_at,
        coalesce(pull_requests.merged_at, changes.merged_at) as merged_at,
        coalesce(pull_requests.merge_commit_sha, changes.merge_commit_sha) as merge_commit_sha,
        pull_requests.first_commit_at as pull_request_started_at,
        -- A squash merge writes one new commit on the default branch; its times are the moment of the merge.
        coalesce(
            changes.pull_request_number is not null
            and changes.merge_commit_sha = changes.commit_sha
            and coalesce(pull_requests.merge_method, 'squash') = 'squash'
            and (pull_requests.merge_method = 'squash' or changes.authored_at = changes.committed_at),
            false
        ) as is_squash
    from {{ ref('int_shipped_commits') }} as commits
    inner join {{ ref('stg_changes') }} as changes
        on
            commits.source = changes.source
            and commits.commit_sha = changes.commit_sha
    inner join {{ ref('int_deployments') }} as deployments
        on commits.deployment_key = deployments.deployment_key
    left join {{ ref('stg_pull_requests') }} as pull_requests
        on
            changes.source = pull_requests.source
            and changes.repository = pull_requests.repository
            and changes.pull_request_number = pull_requests.pull_request_number
    where not changes.is_merge

)

select
    service,
    deployment_key,
    deployed_at,
    deployed_on,
    deployed_commit_sha,
    source,
    commit_sha,
    pull_request_number,
    change_type,
    is_revert,
    reverts_commit_sha,
    lines_changed,
    authored_at,
    merged_at,
    merge_commit_sha,
    case
        when is_squash and pull_request_started_at is not null then 'pull_request'
        when is_squash then 'squash_only'
        else 'commit'
    end as start_basis,
    case
        when is_squash then least(pull_request_started_at, authored_at)
        else authored_at
    end as started_at
from shipped
