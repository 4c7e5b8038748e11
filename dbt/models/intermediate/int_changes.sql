{{ touched_rows('int_touched_days', ['service', 'deployed_on']) }}

with changes as (

    select
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
    from {{ ref('stg_changes') }} as changes
    left join {{ ref('stg_pull_requests') }} as pull_requests
        on
            changes.source = pull_requests.source
            and changes.repository = pull_requests.repository
            and changes.pull_request_number = pull_requests.pull_request_number
    where not changes.is_merge

)

select
    shipped.service,
    shipped.deployment_key,
    shipped.deployed_at,
    shipped.deployed_on,
    shipped.deployed_commit_sha,
    changes.source,
    changes.commit_sha,
    changes.repository,
    changes.pull_request_number,
    changes.change_type,
    changes.is_revert,
    changes.reverts_commit_sha,
    changes.lines_changed,
    changes.authored_at,
    changes.merged_at,
    changes.merge_commit_sha,
    changes.mainline_position,
    {% if var('lead_time_start') == 'opened' -%}
    'opened' as start_basis,
    changes.opened_at as started_at
    {%- elif var('lead_time_start') == 'merged' -%}
    'merged' as start_basis,
    changes.merged_at as started_at
    {%- else -%}
    case
        when changes.is_squash and changes.first_commit_at is not null then 'pull_request'
        when changes.is_squash then 'squash_only'
        else 'commit'
    end as start_basis,
    case
        when changes.is_squash then least(changes.first_commit_at, changes.authored_at)
        else changes.authored_at
    end as started_at
    {%- endif %}
from {{ ref('int_shipped_commits') }} as shipped
inner join changes
    on
        shipped.source = changes.source
        and shipped.commit_sha = changes.commit_sha
where {{ is_touched('shipped') }}
