{%- do ref('int_degraded_arms') -%}
{%- do ref('int_restated_windows') -%}

{%- if is_update() -%}
with deployments as (

    select deployment_key
    from {{ ref('int_restated_windows') }}
    union
    select deployment_key
    from {{ changed_since_last_build('degraded_arms') }} as differing

)

select
    deployments.deployment_key,
    arms.from_day as day
from deployments
left join {{ ref('int_degraded_arms') }} as arms on deployments.deployment_key = arms.deployment_key
union
select
    deployments.deployment_key,
    arms.to_day as day
from deployments
left join {{ ref('int_degraded_arms') }} as arms on deployments.deployment_key = arms.deployment_key
{%- else -%}
{{ no_rows({'deployment_key': 'string', 'day': 'date'}) }}
{%- endif %}
