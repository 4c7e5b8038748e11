{{ touched_rows('int_restated_activity_days', ['service', 'day']) }}

with reports as (

    select
        source,
        service,
        session_id,
        metric_name,
        metric_id,
        event_id,
        occurred_at,
        day
    from {{ ref('int_user_events') }}
    where
        event_type = 'vital'
        and metric_id is not null
        and {{ near_restated_days('occurred_at', after=var('late_beacon_days')) }}

),

-- Few are reported twice: only those need to be put in order. Found by two numbers alone (a quarter less time than by
-- all of a report's key); what merely shares both is told apart below.
repeated as (

    select
        session_id,
        metric_id
    from reports
    group by session_id, metric_id
    having count(*) > 1

),

followed as (

    select
        reports.source,
        reports.service,
        reports.event_id,
        reports.day,
        lead(reports.day) over (
            partition by
                reports.source, reports.service, reports.session_id, reports.metric_name, reports.metric_id
            order by reports.occurred_at, reports.event_id
        ) as next_day
    from reports
    inner join repeated on reports.session_id = repeated.session_id and reports.metric_id = repeated.metric_id

)

select
    source,
    service,
    event_id,
    day
from followed
where
    next_day <= day + interval {{ var('late_beacon_days') }} day
    and {{ is_touched('followed') }}
