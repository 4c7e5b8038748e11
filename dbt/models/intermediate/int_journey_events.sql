{{ touched_rows('int_restated_session_days', {'service': 'service', 'started_on': 'day'}) }}

{%- set session = ['source', 'service', 'session_id', 'started_at', 'started_on', 'ended_at', 'weight'] -%}

with front_ends as (

    select distinct
        journey,
        service
    from {{ ref('stg_journeys') }}

),

sessions as (

    select
        known.source,
        known.service,
        known.session_id,
        known.started_at,
        known.started_on,
        known.ended_at,
        known.weight
    from {{ ref('int_sessions') }} as known
    where
        known.service in (select front_ends.service from front_ends)
        and {{ is_touched('known') }}

),

-- A session reaches at most into the next day.
browser_events as (

    select
        sessions.*,
        events.event_type,
        events.route,
        coalesce(events.step, events.event_type) as action,
        events.trace_id,
        coalesce(events.is_success, true) as is_success,
        events.occurred_at
    from {{ ref('int_user_events') }} as events
    inner join sessions
        on
            events.source = sessions.source
            and events.service = sessions.service
            and events.session_id = sessions.session_id
            and events.occurred_at between sessions.started_at and sessions.ended_at
    where
        (events.event_type <> 'vital' or events.trace_id is not null)
        and {{ near_restated_days('events.occurred_at', after=1) }}

),

writes as (

    select
        journeys.service,
        journeys.journey,
        journeys.position,
        requests.source,
        requests.request_id,
        requests.session_id,
        requests.trace_id,
        requests.status between 100 and 399 as is_success,
        requests.occurred_at
    from {{ ref('stg_requests') }} as requests
    inner join {{ ref('stg_journeys') }} as journeys
        on
            requests.service = journeys.api_service
            and requests.route = journeys.route
            and (
                requests.method = journeys.method
                or (journeys.method is null and requests.method in ('POST', 'PUT', 'PATCH', 'DELETE'))
            )
    where
        journeys.step_kind = 'api_write'
        and not requests.is_synthetic
        and {{ near_restated_days('requests.occurred_at', before=1, after=2) }}

),

traces as (

    select
        source,
        service,
        session_id,
        started_at,
        started_on,
        ended_at,
        weight,
        trace_id,
        min(occurred_at) as occurred_at
    from browser_events
    where trace_id is not null
    group by all

),

-- A request with the trace of an event of the browser happened when that did; else the server's clock has to do.
traced_writes as (

    select
        {%- for column in session %}
        traces.{{ column }},
        {%- endfor %}
        traces.occurred_at,
        writes.journey,
        writes.position,
        writes.is_success,
        false as is_other_clock,
        writes.source as request_source,
        writes.request_id
    from writes
    inner join traces
        on
            writes.trace_id = traces.trace_id
            and writes.service = traces.service
            and writes.occurred_at between traces.occurred_at - interval 1 day and traces.occurred_at + interval 1 day

),

session_writes as (

    select
        sessions.*,
        writes.occurred_at,
        writes.journey,
        writes.position,
        writes.is_success
    from writes
    inner join sessions
        on
            writes.service = sessions.service
            and writes.session_id = sessions.session_id
            and writes.occurred_at
            between sessions.started_at - interval {{ var('journey_clock_tolerance_seconds') }} second
            and sessions.ended_at + interval {{ var('journey_clock_tolerance_seconds') }} second
    -- Each session by itself: what traces another session has is nothing that makes this one anew.
    left join traced_writes
        on
            writes.source = traced_writes.request_source
            and writes.request_id = traced_writes.request_id
            and sessions.source = traced_writes.source
            and sessions.service = traced_writes.service
            and sessions.session_id = traced_writes.session_id
            and sessions.started_at = traced_writes.started_at
    where traced_writes.request_id is null

)

select
    {%- for column in session %}
    browser_events.{{ column }},
    {%- endfor %}
    journeys.journey,
    journeys.position,
    browser_events.occurred_at,
    browser_events.is_success,
    false as is_other_clock
from browser_events
inner join {{ ref('stg_journeys') }} as journeys
    on
        browser_events.service = journeys.service
        and (
            (
                journeys.step_kind = 'page_view'
                and browser_events.route = journeys.route
                and (
                    browser_events.event_type = 'page_view'
                    or (browser_events.event_type = 'route_change' and browser_events.is_success)
                )
            )
            or (
                journeys.step_kind = 'action'
                and browser_events.event_type in ('interaction', 'journey_step', 'payment')
                and browser_events.action = journeys.action
                and browser_events.route = coalesce(journeys.route, browser_events.route)
            )
        )
union all
-- Uncaught errors belong to the step that the session is at: at no position as yet.
select
    {%- for column in session %}
    browser_events.{{ column }},
    {%- endfor %}
    front_ends.journey,
    0 as position,
    browser_events.occurred_at,
    false as is_success,
    false as is_other_clock
from browser_events
inner join front_ends on browser_events.service = front_ends.service
where browser_events.event_type = 'error'
union all
select
    {%- for column in session %}
    {{ column }},
    {%- endfor %}
    journey,
    position,
    occurred_at,
    is_success,
    is_other_clock
from traced_writes
union all
select
    {%- for column in session %}
    {{ column }},
    {%- endfor %}
    journey,
    position,
    occurred_at,
    is_success,
    true as is_other_clock
from session_writes
