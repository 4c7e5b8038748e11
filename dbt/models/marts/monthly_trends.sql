with trends as (

    select
        *,
        owner_name as service,
        first_day as month
    from {{ ref('int_delivery_trends') }}
    where owner_kind = 'service' and period = 'month'

),

paired as (

    select
        *,
        case metric
            {%- for each in trend_metrics() if each.pair %}
            when '{{ each.metric }}' then '{{ each.pair }}'
            {%- endfor %}
        end as paired_metric
    from trends

)

select
    paired.month,
    monthly.team,
    paired.service,
    paired.metric,
    paired.value,
    paired.numerator,
    paired.n,
    paired.baseline_periods,
    paired.baseline_mean,
    paired.lower_limit,
    paired.upper_limit,
    paired.verdict,
    paired.paired_metric,
    pairs.verdict as paired_verdict,
    coalesce(paired.verdict = 'improving' and pairs.verdict = 'worsening', false) as is_trade
from paired
inner join {{ ref('delivery_monthly') }} as monthly
    on paired.service = monthly.service and paired.month = monthly.month
left join trends as pairs
    on
        paired.service = pairs.service
        and paired.month = pairs.month
        and paired.paired_metric = pairs.metric
