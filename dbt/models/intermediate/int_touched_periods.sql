{%- do ref('int_periods') -%}
{%- do ref('int_restated_days') -%}
{%- do ref('dim_services') -%}
{%- for watched in watched_events() -%}
    {%- do ref(watched.model) -%}
{%- endfor -%}
{%- set columns = delivery_keys() + ['last_day', 'is_complete', 'is_provisional'] -%}

{%- if is_update() -%}
with owned_days as (

    select
        restated.service,
        services.team,
        restated.deployed_on as day
    from {{ ref('int_restated_days') }} as restated
    left join {{ ref('dim_services') }} as services
        on
            restated.service = services.service
            and restated.deployed_on >= services.valid_from
            and restated.deployed_on < services.valid_to
    union
    select
        service,
        team,
        day
    from ({{ differences(watched_event_days(), 'select * from meta.seen_event_days') }}) as differing

)

{% for owner, period in delivery_groupings() -%}
select
    '{{ owner }}' as owner_kind,
    {{ owner }} as owner_name,
    '{{ period }}' as period,
    {{ period_start(period, 'day') }} as first_day
from owned_days
union
{% endfor -%}
select {{ delivery_keys() | join(', ') }}
from (
    {{ differences(
        'select ' ~ columns | join(', ') ~ ' from ' ~ ref('int_periods'),
        'select ' ~ columns | join(', ') ~ ' from ' ~ as_it_stands('int_delivery')
    ) }}
) as differing
{%- else -%}
select
    cast(null as {{ dbt.type_string() }}) as owner_kind,
    cast(null as {{ dbt.type_string() }}) as owner_name,
    cast(null as {{ dbt.type_string() }}) as period,
    cast(null as date) as first_day
where false
{%- endif %}
