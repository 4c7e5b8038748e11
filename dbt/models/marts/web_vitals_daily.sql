with reports as (

    select *
    from {{ ref('stg_rum_events') }}
    where event_type = 'vital' and device_class <> 'bot'

),

-- A metric is reported again while its value grows; the last report is the measurement.
measurements as (

    select
        {{ day_of('occurred_at') }} as day,
        service,
        route,
        device_class,
        metric_name,
        metric_value,
        weight,
        event_id
    from reports
    qualify row_number() over (
        partition by source, service, session_id, metric_name, coalesce(metric_id, event_id)
        order by occurred_at desc, event_id desc
    ) = 1

),

ranked as (

    select
        measurements.*,
        thresholds.good_to,
        thresholds.poor_above,
        sum(measurements.weight) over (
            partition by
                measurements.day,
                measurements.service,
                measurements.route,
                measurements.device_class,
                measurements.metric_name
            order by measurements.metric_value, measurements.event_id
            rows between unbounded preceding and current row
        ) as weight_up_to,
        sum(measurements.weight) over (
            partition by
                measurements.day,
                measurements.service,
                measurements.route,
                measurements.device_class,
                measurements.metric_name
        ) as weight_of_all
    from measurements
    inner join {{ ref('int_web_vital_thresholds') }} as thresholds on measurements.metric_name = thresholds.metric_name

),

summed as (

    select
        day,
        service,
        route,
        device_class,
        metric_name,
        count(*) as measurements,
        sum(weight) / 1000000.0 as page_views,
        coalesce(sum(weight) filter (where metric_value <= good_to), 0) / 1000000.0 as good_page_views,
        coalesce(sum(weight) filter (where metric_value > good_to and metric_value <= poor_above), 0)
        / 1000000.0 as needs_improvement_page_views,
        coalesce(sum(weight) filter (where metric_value > poor_above), 0) / 1000000.0 as poor_page_views,
        min(metric_value) filter (where 4 * weight_up_to >= 3 * weight_of_all) as p75_value,
        min(good_to) as good_to,
        min(poor_above) as poor_above
    from ranked
    group by day, service, route, device_class, metric_name

)

select
    summed.day,
    services.team,
    summed.service,
    summed.route,
    summed.device_class,
    summed.metric_name,
    summed.measurements,
    cast(summed.page_views as double) as page_views,
    cast(summed.good_page_views as double) as good_page_views,
    cast(summed.needs_improvement_page_views as double) as needs_improvement_page_views,
    cast(summed.poor_page_views as double) as poor_page_views,
    {{ ratio('summed.good_page_views', 'summed.page_views') }} as good_rate,
    summed.p75_value,
    case
        when summed.p75_value <= summed.good_to then 'good'
        when summed.p75_value <= summed.poor_above then 'needs_improvement'
        else 'poor'
    end as rating
from summed
left join {{ ref('dim_services') }} as services
    on
        summed.service = services.service
        and summed.day >= services.valid_from
        and summed.day < services.valid_to
