{%- set keys = delivery_keys() -%}

{{ touched_rows('int_touched_trends', keys) }}

with periods as (

    select delivery.*
    from {{ ref('int_delivery') }} as delivery
    {%- if is_incremental() %}
    -- With what the first touched one looks back on, and one more, which its trend takes for the first on record.
    inner join (
        select
            owner_kind,
            owner_name,
            period,
            min(first_day) as first_day
        from {{ as_it_stands('int_touched_trends') }}
        group by owner_kind, owner_name, period
    ) as first_touched
        on
            delivery.owner_kind = first_touched.owner_kind
            and delivery.owner_name = first_touched.owner_name
            and delivery.period = first_touched.period
            and {{ days_between('delivery.first_day', 'first_touched.first_day') }}
            <= {{ var('trend_baseline_periods') + 2 }}
            * case delivery.period when 'week' then 7 when 'month' then 31 else 92 end
    {%- endif %}
    where delivery.period <> 'day'

),

figures as (

    select
        {%- for each in trend_metrics() if each.numerator %}
        {{ ratio(each.numerator, each.n) }} as {{ each.metric }},
        {%- endfor %}
        *
    from periods

),

trends as (

    {{ trends('figures', 'first_day', 'owner_kind, owner_name, period') }}

)

select * from trends
where {{ is_touched() }}
