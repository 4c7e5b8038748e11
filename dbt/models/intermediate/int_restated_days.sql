{%- do ref('int_deployments') -%}
{%- do ref('int_touched_days') -%}
{%- do ref('int_changes') -%}
{%- do ref('int_change_builds') -%}
{%- do ref('int_deployment_contents') -%}
{%- do ref('int_observable_successes') -%}

{%- if is_update() -%}
select
    service,
    deployed_on
from {{ ref('int_touched_days') }}
union
select
    changes.service,
    changes.deployed_on
from {{ as_it_stands('fct_changes') }} as changes
left join {{ ref('int_change_builds') }} as builds
    on
        changes.service = builds.service
        and changes.commit_sha = builds.commit_sha
left join {{ ref('int_observable_successes') }} as observable
    on changes.deployment_key = observable.deployment_key
where
    changes.built_at is distinct from builds.built_at
    or changes.observable_success_at is distinct from observable.observable_success_at
union
select
    deployments.service,
    deployments.deployed_on
from {{ ref('int_deployments') }} as deployments
inner join
    ({{ differences(watched_bulk_imports(), 'select * from meta.seen_bulk_imports') }}) as differing
    on deployments.deployment_key = differing.deployment_key
{%- else -%}
select
    cast(null as {{ dbt.type_string() }}) as service,
    cast(null as date) as deployed_on
where false
{%- endif %}
