{%- do ref('int_restated_vital_days') -%}

{%- if is_update() -%}
select distinct
    service,
    cast({{ each_day('day', 'day + interval 27 day') }} as date) as day
from {{ ref('int_restated_vital_days') }}
{%- else -%}
{{ no_rows({'service': 'string', 'day': 'date'}) }}
{%- endif %}
