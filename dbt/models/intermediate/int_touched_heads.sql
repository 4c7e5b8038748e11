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
        source,
        repository,
        commit_sha,
        mainline_position
    from {{ ref('stg_changes') }}
    where merge_commit_sha = commit_sha
    union all
    select
        source,
        repository,
        commit_sha,
        mainline_position
    from {{ as_it_stands('int_successful_builds') }}

)

select distinct
    heads.commit_sha,
    places.source,
    places.repository,
    places.mainline_position
from heads
left join places on heads.commit_sha = places.commit_sha
{%- else -%}
select
    cast(null as {{ dbt.type_string() }}) as commit_sha,
    cast(null as {{ dbt.type_string() }}) as source,
    cast(null as {{ dbt.type_string() }}) as repository,
    cast(null as bigint) as mainline_position
where false
{%- endif %}
