with owned_days as (

    select
        restated.service,
        restated.deployed_on,
        services.team
    from {{ ref('int_restated_days') }} as restated
    left join {{ ref('dim_services') }} as services
        on
            restated.service = services.service
            and restated.deployed_on >= services.valid_from
            and restated.deployed_on < services.valid_to

)
{%- for owner, period in delivery_groupings() %}
select distinct
    '{{ owner }}' as owner_kind,
    {{ owner }} as owner_name,
    '{{ period }}' as period,
    {{ period_start(period, 'deployed_on') }} as first_day
from owned_days
{%- if not loop.last %}
union all
{%- endif %}
{%- endfor %}
