{%- do ref('stg_deployments') -%}
{%- do ref('int_deployment_outcomes') -%}
{%- set deployments = source('raw', 'deployments') -%}
{%- set statuses = source('raw', 'deployment_statuses') -%}

{%- if is_update() -%}
with reported as (

    select source || '/' || deployment_id as deployment_key from {{ new_rows(deployments) }} as deployments
    union
    select source || '/' || deployment_id as deployment_key from {{ new_rows(statuses) }} as statuses

),

ends as (

    select
        stored.service,
        stored.finished_at
    from {{ as_it_stands('int_deployments') }} as stored
    inner join reported on stored.deployment_key = reported.deployment_key
    union all
    select
        deployments.service,
        coalesce(outcomes.finished_at, deployments.finished_at) as finished_at
    from {{ ref('stg_deployments') }} as deployments
    inner join reported on deployments.deployment_key = reported.deployment_key
    left join {{ ref('int_deployment_outcomes') }} as outcomes
        on deployments.deployment_key = outcomes.deployment_key

),

first_ends as (

    select
        service,
        min(finished_at) as finished_at
    from ends
    group by service

)

select deployment_key from reported
union
-- Places in the sequence, and whom a rollback or hotfix blames, follow from what ended earlier.
select stored.deployment_key
from {{ as_it_stands('int_deployments') }} as stored
inner join first_ends
    on
        stored.service = first_ends.service
        and stored.finished_at >= first_ends.finished_at
{%- else -%}
{{ no_rows({'deployment_key': 'string'}) }}
{%- endif %}
