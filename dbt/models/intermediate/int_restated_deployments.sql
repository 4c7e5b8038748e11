{%- do ref('int_deployments') -%}
{%- do ref('int_touched_deployments') -%}
{%- do ref('int_as_of') -%}
{%- do ref('int_corrections') -%}
{%- do ref('int_incident_links') -%}
{%- do ref('int_deployment_contents') -%}
{%- do ref('int_observable_successes') -%}
{%- do ref('fct_deployment_failures') -%}

{%- if is_update() -%}
select deployment_key from {{ ref('int_touched_deployments') }}
{%- for rows in [
    'deployment_failures', 'incident_links', 'acquittals', 'deployment_contents', 'observable_successes'
] %}
union
select deployment_key from {{ changed_since_last_build(rows) }} as {{ rows }}
{%- endfor %}
union
-- Time alone ends the wait for a verdict.
select deployments.deployment_key
from {{ ref('int_deployments') }} as deployments
cross join {{ ref('int_as_of') }} as as_of
cross join meta.seen_as_of as seen
where {{ hours_between('deployments.finished_at', 'least(as_of.as_of, seen.as_of)') }} < {{ failure_window_hours() }}
{%- else -%}
{{ no_rows({'deployment_key': 'string'}) }}
{%- endif %}
