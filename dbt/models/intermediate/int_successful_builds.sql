{{ touched_rows('int_touched_heads', ['commit_sha']) }}

with builds as (

    select * from {{ ref('stg_builds') }}
    where
        status = 'success'
        and finished_at is not null
        and {{ is_touched() }}

),

-- The default branch's first-parent line: a commit on it contains whatever was merged at its place or before.
on_line as (

    select
        source,
        repository,
        commit_sha,
        mainline_position
    {% if is_incremental() -%}
    from {{ as_it_stands('int_touched_heads') }}
    where is_current
    {%- else -%}
    from {{ ref('stg_changes') }}
    where merge_commit_sha = commit_sha
    {%- endif %}

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
left join on_line on builds.commit_sha = on_line.commit_sha
