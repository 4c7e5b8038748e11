select
    service,
    day
from {{ ref('int_restated_session_days') }}
union
select
    service,
    day
from {{ ref('int_touched_event_days') }}
where event_table in ('rum_events', 'requests', 'process_samples')
