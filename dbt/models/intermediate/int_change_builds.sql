with successful_builds as (

    select
        service,
        commit_sha,
        started_at,
        finished_at
    from {{ ref('stg_builds') }}
    where status = 'success' and finished_at is not null

),

-- The default branch's first-parent line: a commit on it contains whatever was merged at its place or before.
on_line as (

    select
        source,
        repository,
        commit_sha,
        mainline_position
    from {{ ref('stg_changes') }}
    where merge_commit_sha = commit_sha and mainline_position is not null

),

deployed_places as (

    select
        deployments.service,
        on_line.source,
        on_line.repository,
        on_line.mainline_position,
        deployments.production_sequence
    from {{ ref('int_deployments') }} as deployments
    inner join on_line
        on
            deployments.source = on_line.source
            and deployments.commit_sha = on_line.commit_sha
    where deployments.is_success

),

deployed_lines as (

    select distinct
        service,
        source,
        repository
    from deployed_places

),

built_places as (

    select
        deployed_lines.service,
        deployed_lines.source,
        deployed_lines.repository,
        on_line.mainline_position,
        builds.started_at,
        builds.finished_at
    from successful_builds as builds
    inner join on_line on builds.commit_sha = on_line.commit_sha
    inner join deployed_lines
        on
            on_line.source = deployed_lines.source
            and on_line.repository is not distinct from deployed_lines.repository
            and coalesce(builds.service, deployed_lines.service) = deployed_lines.service

),

places as (

    select
        service,
        source,
        repository,
        mainline_position,
        production_sequence,
        cast(null as timestamp) as started_at,
        cast(null as timestamp) as finished_at
    from deployed_places
    union all
    select
        service,
        source,
        repository,
        mainline_position,
        null as production_sequence,
        started_at,
        finished_at
    from built_places

),

-- A build of the line belongs to the first deployment that holds its head, which ships what only such builds contain.
shipped_builds as (

    select
        service,
        mainline_position,
        started_at,
        finished_at,
        min(production_sequence) over (
            partition by service, source, repository order by mainline_position desc
        ) as production_sequence
    from places

),

-- On the line a merge comes no earlier than those before it, whatever the clocks say.
shipped_merges as (

    select
        changes.service,
        deployments.production_sequence,
        changes.mainline_position,
        max(max(changes.merged_at)) over (
            partition by changes.service, deployments.production_sequence order by changes.mainline_position
        ) as merged_at
    from {{ ref('int_changes') }} as changes
    inner join {{ ref('int_deployments') }} as deployments
        on changes.deployment_key = deployments.deployment_key
    where changes.mainline_position is not null and changes.merged_at is not null
    group by changes.service, deployments.production_sequence, changes.mainline_position

),

stages as (

    select
        service,
        production_sequence,
        mainline_position,
        mainline_position as merged_position,
        merged_at as started_at,
        cast(null as timestamp) as finished_at
    from shipped_merges
    union all
    select
        builds.service,
        builds.production_sequence,
        builds.mainline_position,
        null as merged_position,
        builds.started_at,
        builds.finished_at
    from shipped_builds as builds
    inner join {{ ref('int_deployments') }} as deployments
        on
            builds.service = deployments.service
            and builds.production_sequence = deployments.production_sequence
            and builds.finished_at <= deployments.finished_at

),

-- A build contains what had been merged when it started, up to its head.
contents as (

    select
        service,
        production_sequence,
        merged_position,
        finished_at,
        least(
            mainline_position,
            coalesce(max(merged_position) over (partition by service, production_sequence order by started_at), 0)
        ) as contained_position
    from stages

),

merge_builds as (

    select
        service,
        production_sequence,
        merged_position,
        min(finished_at) over (
            partition by service, production_sequence order by contained_position desc
        ) as built_at
    from contents

),

-- Off the line, and where places on it are unknown, two heads are sure to contain the merge: itself and what is
-- deployed.
heads as (

    select
        service,
        commit_sha,
        merge_commit_sha as head_sha,
        merged_at,
        deployed_at
    from {{ ref('int_changes') }}
    union all
    select
        service,
        commit_sha,
        deployed_commit_sha as head_sha,
        merged_at,
        deployed_at
    from {{ ref('int_changes') }}

),

candidates as (

    select
        changes.service,
        changes.commit_sha,
        merge_builds.built_at
    from {{ ref('int_changes') }} as changes
    inner join {{ ref('int_deployments') }} as deployments
        on changes.deployment_key = deployments.deployment_key
    inner join merge_builds
        on
            changes.service = merge_builds.service
            and deployments.production_sequence = merge_builds.production_sequence
            and changes.mainline_position = merge_builds.merged_position
    where merge_builds.built_at is not null
    union all
    select
        heads.service,
        heads.commit_sha,
        successful_builds.finished_at as built_at
    from heads
    inner join successful_builds
        on
            heads.head_sha = successful_builds.commit_sha
            and heads.service = coalesce(successful_builds.service, heads.service)
            and heads.merged_at <= successful_builds.started_at
            and heads.deployed_at >= successful_builds.finished_at

)

select
    service,
    commit_sha,
    min(built_at) as built_at
from candidates
group by service, commit_sha
