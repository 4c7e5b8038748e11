{{ config(materialized='view') }}

{%- set of_sessions = {
    'bounced_sessions': (
        'case when is_bounce is null then 0 else 1 end', 'case when is_bounce then 1 else 0 end'
    ),
    'error_sessions': ('1', 'case when is_error_free then 0 else 1 end'),
    'poor_lcp_page_loads': ('lcp_page_views', 'poor_lcp_page_views'),
    'not_good_lcp_page_loads': ('lcp_page_views', 'lcp_page_views - good_lcp_page_views')
} -%}

with requests as (

    select
        requests.*,
        indicators.objective_ms
    from {{ ref('stg_requests') }} as requests
    left join {{ ref('int_indicators') }} as indicators
        on requests.service = indicators.service and indicators.indicator = 'slow_requests'
    where not requests.is_synthetic

),

-- A restart is bad for the hour of a process in which it falls; hours of a process in which nothing is heard of it are
-- none.
process_hours as (

    select
        source,
        service,
        process_id,
        date_trunc('hour', occurred_at) as started_at,
        max(case when sample_kind in ('restart', 'crash') then 1 else 0 end) as is_bad
    from {{ ref('stg_process_samples') }}
    group by source, service, process_id, date_trunc('hour', occurred_at)

),

-- Each journey of a session at the last step that it reached.
journeys as (

    select
        journey,
        source,
        service,
        session_id,
        started_at,
        started_on,
        weight,
        max(position) as position,
        max_by(is_completed, position) as is_completed
    from {{ ref('int_journey_steps') }}
    group by journey, source, service, session_id, started_at, started_on, weight

)

{% for indicator, (cases, bad_cases) in of_sessions.items() -%}
select
    '{{ indicator }}' as indicator,
    service,
    started_on as day,
    started_at as occurred_at,
    device_class,
    entry_route as route,
    release,
    country,
    cast(null as {{ dbt.type_string() }}) as component,
    cast(null as {{ dbt.type_string() }}) as step,
    source,
    session_id,
    weight,
    {{ cases }} as cases,
    {{ bad_cases }} as bad_cases
from {{ ref('int_sessions') }}
where is_closed
union all
{% endfor -%}
-- A journey began on the route that the session entered at: where it ended is an outcome, and no stratum.
select
    'incomplete_journeys' as indicator,
    journeys.service,
    journeys.started_on as day,
    journeys.started_at as occurred_at,
    sessions.device_class,
    sessions.entry_route as route,
    sessions.release,
    sessions.country,
    cast(null as {{ dbt.type_string() }}) as component,
    journeys.journey || '/' || steps.step as step,
    journeys.source,
    journeys.session_id,
    journeys.weight,
    1 as cases,
    case when journeys.is_completed then 0 else 1 end as bad_cases
from journeys
inner join {{ ref('int_sessions') }} as sessions
    on
        journeys.source = sessions.source
        and journeys.service = sessions.service
        and journeys.session_id = sessions.session_id
        and journeys.started_at = sessions.started_at
        and sessions.is_closed
inner join {{ ref('stg_journeys') }} as steps
    on
        journeys.journey = steps.journey
        and journeys.position = steps.position
union all
select
    case when event_type = 'payment' then 'failed_payments' else 'failed_accessibility_checks' end as indicator,
    service,
    day,
    occurred_at,
    device_class,
    route,
    release,
    country,
    component,
    cast(null as {{ dbt.type_string() }}) as step,
    source,
    session_id,
    weight,
    1 as cases,
    case when is_success then 0 else 1 end as bad_cases
from {{ ref('int_user_events') }}
where event_type in ('accessibility_check', 'payment') and is_success is not null
union all
select
    'failed_requests' as indicator,
    service,
    {{ day_of('occurred_at') }} as day,
    occurred_at,
    'server' as device_class,
    route,
    release,
    cast(null as {{ dbt.type_string() }}) as country,
    cast(null as {{ dbt.type_string() }}) as component,
    cast(null as {{ dbt.type_string() }}) as step,
    source,
    session_id,
    1000000 as weight,
    1 as cases,
    case when status >= 500 then 1 else 0 end as bad_cases
from requests
union all
select
    'slow_requests' as indicator,
    service,
    {{ day_of('occurred_at') }} as day,
    occurred_at,
    'server' as device_class,
    route,
    release,
    cast(null as {{ dbt.type_string() }}) as country,
    cast(null as {{ dbt.type_string() }}) as component,
    cast(null as {{ dbt.type_string() }}) as step,
    source,
    session_id,
    1000000 as weight,
    1 as cases,
    case when duration_ms > objective_ms then 1 else 0 end as bad_cases
from requests
where duration_ms is not null and objective_ms is not null
union all
-- Without a release: the restart that a deployment makes is over when it has finished, and what follows is its doing.
select
    'process_restarts' as indicator,
    service,
    {{ day_of('started_at') }} as day,
    started_at as occurred_at,
    'server' as device_class,
    cast(null as {{ dbt.type_string() }}) as route,
    cast(null as {{ dbt.type_string() }}) as release,
    cast(null as {{ dbt.type_string() }}) as country,
    cast(null as {{ dbt.type_string() }}) as component,
    cast(null as {{ dbt.type_string() }}) as step,
    source,
    null as session_id,
    1000000 as weight,
    1 as cases,
    is_bad as bad_cases
from process_hours
