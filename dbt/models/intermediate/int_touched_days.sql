{%- do ref('int_touched_commits') -%}
{%- do ref('int_touched_heads') -%}
{%- do ref('int_shipped_commits') -%}
{%- do ref('int_deployments') -%}

{%- if is_update() -%}
-- A build can count for what was merged before its head and deployed with it or after it: neither is known to the day,
-- so that each day has the span of places from its first merge to its last deployed commit.
with first_heads as (

    select
        source,
        repository,
        min(mainline_position) as mainline_position
    from {{ ref('int_touched_heads') }}
    group by source, repository

),

spans as (

    select
        changes.service,
        changes.deployed_on,
        changes.source,
        changes.repository,
        min(changes.mainline_position) as first_position,
        max(changes.deployed_position) as last_position
    from {{ as_it_stands('int_changes') }} as changes
    inner join first_heads
        on
            changes.source = first_heads.source
            and changes.repository is not distinct from first_heads.repository
            and changes.deployed_position >= first_heads.mainline_position
    group by changes.service, changes.deployed_on, changes.source, changes.repository

)

select
    changes.service,
    changes.deployed_on
from {{ as_it_stands('int_changes') }} as changes
inner join {{ ref('int_touched_commits') }} as touched on changes.commit_sha = touched.commit_sha
union
select
    shipped.service,
    shipped.deployed_on
from {{ ref('int_shipped_commits') }} as shipped
inner join {{ ref('int_touched_commits') }} as touched on shipped.commit_sha = touched.commit_sha
union
select
    spans.service,
    spans.deployed_on
from spans
inner join {{ ref('int_touched_heads') }} as heads
    on
        spans.source = heads.source
        and spans.repository is not distinct from heads.repository
        and spans.first_position <= heads.mainline_position
        and spans.last_position >= heads.mainline_position
union
select
    changes.service,
    changes.deployed_on
from {{ as_it_stands('int_changes') }} as changes
inner join {{ ref('int_touched_heads') }} as heads on changes.merge_commit_sha = heads.commit_sha
union
select
    deployments.service,
    deployments.deployed_on
from {{ ref('int_deployments') }} as deployments
inner join {{ ref('int_touched_heads') }} as heads on deployments.commit_sha = heads.commit_sha
{%- else -%}
{{ no_rows({'service': 'string', 'deployed_on': 'date'}) }}
{%- endif %}
