with successful_builds as (

    select
        service,
        commit_sha,
        started_at,
        finished_at
    from {{ ref('stg_builds') }}
    where status = 'success' and finished_at is not null

),

heads as (

    select
        service,
        commit_sha,
        merge_commit_sha as head_sha,
        1 as preference,
        merged_at,
        deployed_at
    from {{ ref('int_changes') }}
    union all
    select
        service,
        commit_sha,
        deployed_commit_sha as head_sha,
        2 as preference,
        merged_at,
        deployed_at
    from {{ ref('int_changes') }}

),

candidates as (

    select
        heads.service,
        heads.commit_sha,
        heads.preference,
        min(successful_builds.finished_at) as built_at
    from heads
    inner join successful_builds
        on
            heads.head_sha = successful_builds.commit_sha
            and heads.service = coalesce(successful_builds.service, heads.service)
            and heads.merged_at <= successful_builds.started_at
            and heads.deployed_at >= successful_builds.finished_at
    group by heads.service, heads.commit_sha, heads.preference

)

select
    service,
    commit_sha,
    min_by(built_at, preference) as built_at
from candidates
group by service, commit_sha
