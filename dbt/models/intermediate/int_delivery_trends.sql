{{ touched_rows('int_touched_trends', delivery_keys()) }}

with periods as (

    select delivery.*
    from {{ ref('int_delivery') }} as delivery
    {%- if is_incremental() %}
    -- Whole lines: sums over a part of one could round otherwise.
    inner join (
        select distinct
            owner_kind,
            owner_name,
            period
        from {{ as_it_stands('int_touched_trends') }}
    ) as lines
        on
            delivery.owner_kind = lines.owner_kind
            and delivery.owner_name = lines.owner_name
            and delivery.period = lines.period
    {%- endif %}
    where delivery.period <> 'day'

),

trends as (

    {{ trends('periods', 'first_day', 'owner_kind, owner_name, period') }}

)

select * from trends
where {{ is_touched() }}
