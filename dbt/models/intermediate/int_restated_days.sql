{%- do ref('int_deployments') -%}
{%- do ref('int_touched_days') -%}
{%- do ref('int_deployment_contents') -%}
{%- do ref('int_observable_successes') -%}

{%- if is_update() -%}
with deployments as (

    select deployment_key
    from {{ differences(
        ['deployment_key'],
        '(select * from ' ~ ref('int_deployment_contents') ~ ' where is_bulk_import) as made',
        '(select * from meta.seen_deployment_contents where is_bulk_import) as seen'
    ) }} as bulk_imports
    union
    select deployment_key from {{ changed_since_last_build('observable_successes') }} as observable_successes

)

select
    service,
    deployed_on
from {{ ref('int_touched_days') }}
union
select
    known.service,
    known.deployed_on
from {{ ref('int_deployments') }} as known
inner join deployments on known.deployment_key = deployments.deployment_key
{%- else -%}
{{ no_rows({'service': 'string', 'deployed_on': 'date'}) }}
{%- endif %}
