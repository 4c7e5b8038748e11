{%- do ref('stg_changes') -%}
{%- set builds = source('raw', 'builds') -%}
{%- set changes = source('raw', 'changes') -%}

{%- if is_update() -%}
with heads as (

    select commit_sha from {{ new_rows(builds) }} as builds
    union
    select commit_sha from {{ new_rows(changes) }} as changes
    union
    select stored.commit_sha
    from {{ as_it_stands('int_builds') }} as stored
    inner join {{ new_rows(builds) }} as builds on stored.build_key = builds.source || '/' || builds.build_id

),

places as (

    select
        changes.source,
        changes.repository,
        changes.commit_sha,
        changes.mainline_position,
        true as is_current
    from {{ ref('stg_changes') }} as changes
    inner join heads on changes.commit_sha = heads.commit_sha
    where changes.merge_commit_sha = changes.commit_sha
    union
    select
        builds.source,
        builds.repository,
        builds.commit_sha,
        builds.mainline_position,
        false as is_current
    from {{ as_it_stands('int_successful_builds') }} as builds
    inner join heads on builds.commit_sha = heads.commit_sha

)

select
    heads.commit_sha,
    places.source,
    places.repository,
    places.mainline_position,
    places.is_current
from heads
left join places on heads.commit_sha = places.commit_sha
{%- else -%}
{{ no_rows({
    'commit_sha': 'string',
    'source': 'string',
    'repository': 'string',
    'mainline_position': 'bigint',
    'is_current': 'boolean'
}) }}
{%- endif %}
