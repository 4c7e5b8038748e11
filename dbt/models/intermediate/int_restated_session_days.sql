{%- do ref('int_restated_activity_days') -%}
{%- do ref('int_restated_sessions') -%}

{%- if is_update() -%}
select
    service,
    day
from {{ ref('int_restated_activity_days') }}
union
select
    service,
    started_on as day
from {{ ref('int_restated_sessions') }}
{%- else -%}
{{ no_rows({'service': 'string', 'day': 'date'}) }}
{%- endif %}
