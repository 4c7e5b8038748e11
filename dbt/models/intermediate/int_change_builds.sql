{{ touched_rows('int_touched_days', ['service', 'deployed_on']) }}

with changes as (

    select * from {{ ref('int_changes') }}
    where {{ is_touched() }}

),

{% if is_incremental() -%}
-- Of all builds only those can count whose head lies between a merge and the commit that it was deployed with.
spans as (

    select
        source,
        repository,
        min(mainline_position) as first_position,
        max(deployed_position) as last_position
    from changes
    group by service, deployed_on, source, repository

),

builds as (

    select distinct builds.*
    from {{ ref('int_successful_builds') }} as builds
    inner join spans
        on
            builds.source = spans.source
            and builds.repository is not distinct from spans.repository
            and builds.mainline_position >= spans.first_position
            and builds.mainline_position <= spans.last_position

),

{% else -%}
builds as (

    select * from {{ ref('int_successful_builds') }}

),

{% endif -%}
-- One number for each line, so that what follows joins and sorts by numbers.
lines as (

    select
        source,
        repository,
        built_service,
        row_number() over (order by source, repository, built_service) as line_number
    from (
        select distinct
            source,
            repository,
            built_service
        from builds
        where mainline_position is not null
    ) as built_lines

),

line_builds as (

    select
        lines.line_number,
        builds.mainline_position,
        builds.started_at,
        builds.finished_at,
        row_number() over (
            partition by lines.line_number
            order by builds.finished_at, builds.mainline_position, builds.started_at
        ) as finish_sequence
    from builds
    inner join lines
        on
            builds.source = lines.source
            and builds.repository is not distinct from lines.repository
            and builds.built_service = lines.built_service
    where builds.mainline_position is not null

),

placed as (

    select
        changes.service,
        changes.deployed_on,
        changes.commit_sha,
        lines.line_number,
        changes.mainline_position,
        changes.deployed_position,
        changes.merged_at,
        changes.deployed_at
    from changes
    inner join lines
        on
            changes.source = lines.source
            and changes.repository is not distinct from lines.repository
            and lines.built_service in ('', changes.service)
    where changes.mainline_position is not null and changes.deployed_position is not null

),

places as (

    select
        line_number,
        mainline_position,
        finish_sequence
    from line_builds
    union all
    select distinct
        line_number,
        mainline_position,
        cast(null as bigint) as finish_sequence
    from placed

),

-- For each place, the build that was the first to end of those whose head contains it.
first_to_end as (

    select distinct
        line_number,
        mainline_position,
        min(finish_sequence) over (
            partition by line_number order by mainline_position desc
        ) as finish_sequence
    from places

),

-- Made before it is joined: an engine that joined changes and builds by line first would make pairs of all of them
-- (75,000 of each: 140 s).
first_builds as {{ materialized() }} (

    select
        first_to_end.line_number,
        first_to_end.mainline_position,
        builds.mainline_position as head_position,
        builds.started_at,
        builds.finished_at
    from first_to_end
    inner join line_builds as builds
        on
            first_to_end.line_number = builds.line_number
            and first_to_end.finish_sequence = builds.finish_sequence

),

tried as (

    select
        placed.*,
        first_builds.finished_at,
        first_builds.head_position <= placed.deployed_position
        and first_builds.started_at >= placed.merged_at as is_on_the_way
    from placed
    inner join first_builds
        on
            placed.line_number = first_builds.line_number
            and placed.mainline_position = first_builds.mainline_position
    -- Where the first to end came too late, so did the others.
    where placed.deployed_at >= first_builds.finished_at

),

-- Rarely the first to end is of a head beyond the deployed one, or began before a merge whose clock was ahead.
line_results as (

    select
        service,
        deployed_on,
        commit_sha,
        finished_at as built_at
    from tried
    where is_on_the_way
    union all
    select
        tried.service,
        tried.deployed_on,
        tried.commit_sha,
        builds.finished_at as built_at
    from tried
    inner join line_builds as builds
        on
            tried.line_number = builds.line_number
            and tried.mainline_position <= builds.mainline_position
            and tried.deployed_position >= builds.mainline_position
            and tried.merged_at <= builds.started_at
            and tried.deployed_at >= builds.finished_at
    where not tried.is_on_the_way

),

-- Where places on the line are unknown, two heads are sure to contain the merge: itself and what is deployed.
unplaced as (

    select * from changes
    where mainline_position is null or deployed_position is null

),

heads as (

    select
        service,
        deployed_on,
        commit_sha,
        merge_commit_sha as head_sha,
        merged_at,
        deployed_at
    from unplaced
    union all
    select
        service,
        deployed_on,
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
        heads.deployed_on,
        heads.commit_sha,
        builds.finished_at as built_at
    from heads
    inner join {{ ref('int_successful_builds') }} as builds
        on
            heads.head_sha = builds.commit_sha
            and builds.built_service in ('', heads.service)
            and heads.merged_at <= builds.started_at
            and heads.deployed_at >= builds.finished_at

)

select
    service,
    deployed_on,
    commit_sha,
    min(built_at) as built_at
from results
group by service, deployed_on, commit_sha
-- Sorted, so that an update reads only the row groups of its days.
order by deployed_on
