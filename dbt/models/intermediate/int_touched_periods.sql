{%- for owner, period in delivery_groupings() -%}
select distinct
    '{{ owner }}' as owner_kind,
    {{ 'days' if owner == 'service' else 'services' }}.{{ owner }} as owner_name,
    '{{ period }}' as period,
    {{ period_start(period, 'days.deployed_on') }} as first_day
from {{ ref('int_restated_days') }} as days
{%- if owner == 'team' %}
inner join {{ ref('dim_services') }} as services
    on
        days.service = services.service
        and days.deployed_on >= services.valid_from
        and days.deployed_on < services.valid_to
{%- endif %}
{{ 'union all' if not loop.last }}
{% endfor -%}
