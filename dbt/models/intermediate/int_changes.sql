{{ touched_rows('int_touched_days', ['service', 'deployed_on']) }}

with shipped as (

    select * from {{ ref('int_shipped_commits') }}
    where {{ is_touched() }}

),

{% if is_incremental() -%}
-- In one read of all: what was shipped, and with what.
known as (

    select changes.*
    from {{ ref('stg_changes') }} as changes
    inner join (
        select
            source,
            commit_sha
        from shipped
        union
        select
            source,
            deployed_commit_sha as commit_sha
        from shipped
    ) as needed
        on
            changes.source = needed.source
            and changes.commit_sha = needed.commit_sha

),

{% else -%}
known as (

    select * from {{ ref('stg_changes') }}

),

{% endif -%}
changes as (

    select
        shipped.service,
        shipped.deployment_key,
        shipped.deployed_at,
        shipped.deployed_on,
        shipped.deployed_commit_sha,
        deployed.mainline_position as deployed_position,
        changes.source,
        changes.commit_sha,
        changes.repository,
        changes.pull_request_number,
        changes.change_type,
        changes.is_revert,
        changes.reverts_commit_sha,
        changes.lines_added + changes.lines_deleted as lines_changed,
        changes.authored_at,
        coalesce(pull_requests.merged_at, changes.merged_at) as merged_at,
        coalesce(pull_requests.merge_commit_sha, changes.merge_commit_sha) as merge_commit_sha,
        changes.mainline_position,
        pull_requests.first_commit_at,
        pull_requests.created_at as opened_at,
        -- A squash merge writes one new commit on the default branch; its times are the moment of the merge.
        coalesce(
            changes.pull_request_number is not null
            and changes.merge_commit_sha = changes.commit_sha
            and coalesce(pull_requests.merge_method, 'squash') = 'squash'
            and (pull_requests.merge_method = 'squash' or changes.authored_at = changes.committed_at),
            false
        ) as is_squash
    from shipped
    inner join known as changes
        on
            shipped.source = changes.source
            and shipped.commit_sha = changes.commit_sha
    left join {{ ref('stg_pull_requests') }} as pull_requests
        on
            changes.source = pull_requests.source
            and changes.repository = pull_requests.repository
            and changes.pull_request_number = pull_requests.pull_request_number
    left join known as deployed
        on
            shipped.source = deployed.source
            and shipped.deployed_commit_sha = deployed.commit_sha
            and deployed.merge_commit_sha = deployed.commit_sha
    where not changes.is_merge

)

select
    service,
    deployment_key,
    deployed_at,
    deployed_on,
    deployed_commit_sha,
    deployed_position,
    source,
    commit_sha,
    repository,
    pull_request_number,
    change_type,
    is_revert,
    reverts_commit_sha,
    lines_changed,
    authored_at,
    merged_at,
    merge_commit_sha,
    mainline_position,
    {% if var('lead_time_start') == 'opened' -%}
    'opened' as start_basis,
    opened_at as started_at
    {%- elif var('lead_time_start') == 'merged' -%}
    'merged' as start_basis,
    merged_at as started_at
    {%- else -%}
    case
        when is_squash and first_commit_at is not null then 'pull_request'
        when is_squash then 'squash_only'
        else 'commit'
    end as start_basis,
    case
        when is_squash then least(first_commit_at, authored_at)
        else authored_at
    end as started_at
    {%- endif %}
from changes
-- Sorted, so that an update reads only the row groups of its days.
order by deployed_on
