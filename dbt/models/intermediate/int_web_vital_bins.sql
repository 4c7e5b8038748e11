{{ touched_rows('int_restated_activity_days', ['service', 'day']) }}

with measurements as (

    select
        events.*,
        thresholds.good_to,
        thresholds.poor_above
    from {{ ref('int_user_events') }} as events
    inner join {{ ref('int_web_vital_thresholds') }} as thresholds on events.metric_name = thresholds.metric_name
    left join {{ ref('int_superseded_reports') }} as superseded
        on
            events.source = superseded.source
            and events.service = superseded.service
            and events.event_id = superseded.event_id
    where
        events.event_type = 'vital'
        and superseded.event_id is null
        and {{ near_restated_days('events.occurred_at') }}
        and {{ is_touched('events') }}

)

select
    service,
    day,
    route,
    release,
    device_class,
    metric_name,
    {{ value_bin('metric_value') }} as bin,
    count(*) as measurements,
    cast(sum(weight) as bigint) as weight,
    cast(coalesce(sum(weight) filter (where metric_value <= good_to), 0) as bigint) as good_weight,
    cast(coalesce(sum(weight) filter (where metric_value > poor_above), 0) as bigint) as poor_weight
from measurements
group by all
