{{ touched_rows('int_touched_heads', ['commit_sha']) }}

with builds as (

    select * from {{ ref('stg_builds') }}
    where
        status = 'success'
        and finished_at is not null
        and {{ is_touched() }}

)

select
    -- Empty for a workflow that builds for every service of the repository.
    coalesce(builds.service, '') as built_service,
    builds.commit_sha,
    builds.started_at,
    builds.finished_at,
    on_line.source,
    on_line.repository,
    on_line.mainline_position
from builds
-- The default branch's first-parent line: a commit on it contains whatever was merged at its place or before.
left join {{ ref('stg_changes') }} as on_line
    on
        builds.commit_sha = on_line.commit_sha
        and on_line.merge_commit_sha = on_line.commit_sha
