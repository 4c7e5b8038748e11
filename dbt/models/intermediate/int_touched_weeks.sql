{%- do ref('int_delivery') -%}
{%- do ref('int_touched_delivery') -%}

{%- if is_update() -%}
with touched as (

    select
        owner_name as service,
        first_day as week
    from {{ ref('int_touched_delivery') }}
    where owner_kind = 'service' and period = 'week'

),

first_weeks as (

    select
        service,
        min(week) as week
    from touched
    group by service

)

select
    service,
    week
from touched
union
select
    delivery.owner_name as service,
    delivery.first_day as week
from {{ ref('int_delivery') }} as delivery
inner join first_weeks
    on
        delivery.owner_name = first_weeks.service
        and delivery.first_day > first_weeks.week
where delivery.owner_kind = 'service' and delivery.period = 'week'
{%- else -%}
{{ no_rows({'service': 'string', 'week': 'date'}) }}
{%- endif %}
