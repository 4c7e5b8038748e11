{%- do ref('int_delivery') -%}
{%- do ref('int_touched_delivery') -%}

{%- if is_update() -%}
with first_touched as (

    select
        owner_kind,
        owner_name,
        period,
        min(first_day) as first_day
    from {{ ref('int_touched_delivery') }}
    where period <> 'day'
    group by owner_kind, owner_name, period

)

select {{ delivery_keys() | join(', ') }}
from {{ ref('int_touched_delivery') }}
where period <> 'day'
union
select
    delivery.owner_kind,
    delivery.owner_name,
    delivery.period,
    delivery.first_day
from {{ ref('int_delivery') }} as delivery
inner join first_touched
    on
        delivery.owner_kind = first_touched.owner_kind
        and delivery.owner_name = first_touched.owner_name
        and delivery.period = first_touched.period
        and delivery.first_day > first_touched.first_day
{%- else -%}
{{ no_rows({'owner_kind': 'string', 'owner_name': 'string', 'period': 'string', 'first_day': 'date'}) }}
{%- endif %}
