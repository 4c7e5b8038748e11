-- The default branch's first-parent line: a commit on it contains whatever was merged at its place or before.
with on_line as (

    select
        source,
        repository,
        commit_sha,
        mainline_position
    from {{ ref('stg_changes') }}
    where merge_commit_sha = commit_sha and mainline_position is not null

),

successful_builds as (

    select
        -- Empty for a workflow that builds for every service of the repository.
        coalesce(service, '') as built_service,
        commit_sha,
        started_at,
        finished_at
    from {{ ref('stg_builds') }}
    where status = 'success' and finished_at is not null

),

line_builds as (

    select
        on_line.source,
        on_line.repository,
        builds.built_service,
        on_line.mainline_position,
        builds.started_at,
        builds.finished_at,
        row_number() over (
            partition by on_line.source, on_line.repository, builds.built_service
            order by builds.finished_at, on_line.mainline_position, builds.started_at
        ) as finish_sequence
    from successful_builds as builds
    inner join on_line on builds.commit_sha = on_line.commit_sha

),

lines as (

    select distinct
        source,
        repository,
        built_service
    from line_builds

),

changes as (

    select
        changes.service,
        changes.commit_sha,
        changes.source,
        changes.repository,
        lines.built_service,
        changes.mainline_position,
        changes.merged_at,
        changes.deployed_at,
        on_line.mainline_position as deployed_position
    from {{ ref('int_changes') }} as changes
    inner join on_line
        on
            changes.source = on_line.source
            and changes.deployed_commit_sha = on_line.commit_sha
    inner join lines
        on
            changes.source = lines.source
            and changes.repository is not distinct from lines.repository
            and lines.built_service in ('', changes.service)
    where changes.mainline_position is not null

),

places as (

    select
        source,
        repository,
        built_service,
        mainline_position,
        finish_sequence
    from line_builds
    union all
    select distinct
        source,
        repository,
        built_service,
        mainline_position,
        cast(null as bigint) as finish_sequence
    from changes

),

-- For each place, the build that was the first to end of those whose head contains it.
first_builds as (

    select distinct
        source,
        repository,
        built_service,
        mainline_position,
        min(finish_sequence) over (
            partition by source, repository, built_service order by mainline_position desc
        ) as finish_sequence
    from places

),

tried as (

    select
        changes.*,
        builds.finished_at,
        builds.mainline_position <= changes.deployed_position
        and builds.started_at >= changes.merged_at as is_on_the_way
    from changes
    inner join first_builds
        on
            changes.source = first_builds.source
            and changes.repository is not distinct from first_builds.repository
            and changes.built_service = first_builds.built_service
            and changes.mainline_position = first_builds.mainline_position
    inner join line_builds as builds
        on
            first_builds.source = builds.source
            and first_builds.repository is not distinct from builds.repository
            and first_builds.built_service = builds.built_service
            and first_builds.finish_sequence = builds.finish_sequence
    -- Where the first to end came too late, so did the others.
    where changes.deployed_at >= builds.finished_at

),

-- Rarely the first to end is of a head beyond the deployed one, or began before a merge whose clock was ahead.
line_results as (

    select
        service,
        commit_sha,
        finished_at as built_at
    from tried
    where is_on_the_way
    union all
    select
        tried.service,
        tried.commit_sha,
        builds.finished_at as built_at
    from tried
    inner join line_builds as builds
        on
            tried.source = builds.source
            and tried.repository is not distinct from builds.repository
            and tried.built_service = builds.built_service
            and tried.mainline_position <= builds.mainline_position
            and tried.deployed_position >= builds.mainline_position
            and tried.merged_at <= builds.started_at
            and tried.deployed_at >= builds.finished_at
    where not tried.is_on_the_way

),

-- Off the line, and where places on it are unknown, two heads are sure to contain the merge: itself and what is
-- deployed.
unplaced as (

    select changes.*
    from {{ ref('int_changes') }} as changes
    left join line_results
        on
            changes.service = line_results.service
            and changes.commit_sha = line_results.commit_sha
    where line_results.commit_sha is null

),

heads as (

    select
        service,
        commit_sha,
        merge_commit_sha as head_sha,
        merged_at,
        deployed_at
    from unplaced
    union all
    select
        service,
        commit_sha,
        deployed_commit_sha as head_sha,
        merged_at,
        deployed_at
    from unplaced

),

results as (

    select * from line_results
    union all
    select
        heads.service,
        heads.commit_sha,
        builds.finished_at as built_at
    from heads
    inner join successful_builds as builds
        on
            heads.head_sha = builds.commit_sha
            and builds.built_service in ('', heads.service)
            and heads.merged_at <= builds.started_at
            and heads.deployed_at >= builds.finished_at

)

select
    service,
    commit_sha,
    min(built_at) as built_at
from results
group by service, commit_sha
