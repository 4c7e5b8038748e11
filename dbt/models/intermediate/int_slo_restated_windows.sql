{%- do ref('int_slo_restated_days') -%}
{%- do ref('int_slo_windows') -%}

{%- if is_update() -%}
select
    definition,
    day
from {{ ref('int_slo_restated_days') }}
union
select
    windows.definition,
    windows.day
from {{ ref('int_slo_windows') }} as windows
inner join (
    select
        definition,
        min(day) as first_day
    from {{ ref('int_slo_restated_days') }}
    group by definition
) as restated on windows.definition = restated.definition
where windows.day >= restated.first_day
{%- else -%}
{{ no_rows({'definition': 'string', 'day': 'date'}) }}
{%- endif %}
