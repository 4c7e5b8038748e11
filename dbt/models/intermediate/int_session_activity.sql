{{ touched_rows('int_restated_activity_days', ['service', 'day']) }}

with lcp as (

    select
        good_to,
        poor_above
    from {{ ref('int_web_vital_thresholds') }}
    where metric_name = 'LCP'

),

events as (

    select
        events.*,
        {{ activity_slot('events.occurred_at') }} as slot,
        events.event_type = 'page_view'
        or (events.event_type = 'route_change' and coalesce(events.is_success, true)) as is_page_view,
        {{ is_interaction('events') }} as is_interaction,
        events.event_type = 'vital' and events.metric_name = 'LCP' as is_lcp,
        events.metric_value <= lcp.good_to as is_good_lcp,
        events.metric_value > lcp.poor_above as is_poor_lcp
    from {{ ref('int_user_events') }} as events
    cross join lcp
    left join {{ ref('int_superseded_reports') }} as superseded
        on
            events.source = superseded.source
            and events.service = superseded.service
            and events.event_id = superseded.event_id
    where
        superseded.event_id is null
        and {{ near_restated_days('events.occurred_at') }}
        and {{ is_touched('events') }}

)

select
    source,
    service,
    session_id,
    day,
    slot,
    min(occurred_at) as started_at,
    max(occurred_at) as ended_at,
    min({{ record(['occurred_at', 'event_id', 'route', 'release']) }}) filter (where is_page_view) as first_page_view,
    min(route) as route,
    min(release) as release,
    min(device_class) as device_class,
    min(country) as country,
    max(case when is_authenticated then 1 else 0 end) as is_authenticated,
    max(weight) as weight,
    count(*) filter (where is_page_view) as page_views,
    count(*) filter (where is_interaction) as interactions,
    count(*) filter (where event_type = 'error') as errors,
    count(*) filter (where is_lcp) as lcp_page_views,
    count(*) filter (where is_lcp and is_good_lcp) as good_lcp_page_views,
    count(*) filter (where is_lcp and is_poor_lcp) as poor_lcp_page_views
from events
group by source, service, session_id, day, slot
-- Sorted, so that an update reads only the row groups of its days.
order by day
