{{ config(materialized='view') }}
-- The one place that leaves out bots and synthetic traffic.
select
    source,
    event_id,
    service,
    session_id,
    page_view_id,
    trace_id,
    route,
    coalesce(release, 'unknown') as release,
    component,
    device_class,
    country,
    is_authenticated,
    feature_flags,
    navigation_type,
    event_type,
    metric_name,
    metric_id,
    metric_value,
    is_success,
    is_retry_visible,
    step,
    weight,
    occurred_at,
    {{ day_of('occurred_at') }} as day
from {{ ref('stg_rum_events') }}
where device_class <> 'bot' and not is_synthetic
