{%- do ref('int_touched_commits') -%}
{%- do ref('int_shipped_commits') -%}

{%- if is_update() -%}
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
{%- else -%}
select
    cast(null as {{ dbt.type_string() }}) as service,
    cast(null as date) as deployed_on
where false
{%- endif %}
