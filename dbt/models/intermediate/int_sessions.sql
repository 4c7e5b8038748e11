{{ touched_rows('int_restated_sessions', ['source', 'service', 'session_id', 'started_on']) }}

{%- set counts = [
    'page_views', 'interactions', 'errors', 'lcp_page_views', 'good_lcp_page_views', 'poor_lcp_page_views'
] -%}

with activity_nearby as (

    select *
    from {{ ref('int_session_activity') }}
    where
        {{ near_restated_days('day', 1, 1, key='started_on') }}
        and {{ is_touched('int_session_activity', ['source', 'service', 'session_id']) }}

),

followed as (

    select
        *,
        lag(ended_at) over one_after_another as ended_before,
        lag(day) over one_after_another as day_before,
        lag(day, {{ slots_of_a_day() }}) over one_after_another as day_a_whole_day_before
    from activity_nearby
    window one_after_another as (partition by source, service, session_id order by started_at)

),

-- Who is active in as many slots as the shortest day has begins anew at midnight, so that no session reaches farther
-- than into the next day.
numbered as (

    select
        *,
        sum(
            case
                when
                    {{ hours_between('ended_before', 'started_at') }} * 60 < {{ var('session_timeout_minutes') }}
                    and (day_before = day or day_a_whole_day_before is distinct from day_before)
                    then 0
                else 1
            end
        ) over (
            partition by source, service, session_id order by started_at rows unbounded preceding
        ) as session_number
    from followed

),

sessions as (

    select
        source,
        service,
        session_id,
        min(started_at) as started_at,
        max(ended_at) as ended_at,
        min(first_page_view) as first_page_view,
        min(route) as least_route,
        min(release) as least_release,
        min(device_class) as device_class,
        min(country) as country,
        max(is_authenticated) as is_authenticated,
        {%- for count in counts %}
        cast(sum({{ count }}) as bigint) as {{ count }},
        {%- endfor %}
        max(weight) as weight
    from numbered
    group by source, service, session_id, session_number
    -- Vitals alone are what a tab reports when it is closed long after: no session.
    having sum(page_views + interactions + errors) > 0

),

placed as (

    select
        sessions.*,
        {{ day_of('sessions.started_at') }} as started_on,
        {{ hours_between('sessions.ended_at', 'as_of.as_of') }} * 60
        >= {{ var('session_timeout_minutes') }} as is_closed
    from sessions
    cross join {{ ref('int_as_of') }} as as_of

)

select
    placed.source,
    placed.service,
    placed.session_id,
    placed.started_at,
    placed.started_on,
    placed.ended_at,
    coalesce({{ field('placed.first_page_view', 'route') }}, placed.least_route) as entry_route,
    coalesce({{ field('placed.first_page_view', 'release') }}, placed.least_release) as release,
    placed.device_class,
    placed.country,
    placed.is_authenticated = 1 as is_authenticated,
    placed.weight,
    {%- for count in counts %}
    placed.{{ count }},
    {%- endfor %}
    placed.is_closed,
    case
        when placed.is_closed and placed.page_views > 0 and placed.started_on >= interactions.first_interacted_on
            then placed.page_views = 1 and placed.interactions = 0
    end as is_bounce,
    placed.errors = 0 as is_error_free
from placed
left join {{ ref('int_interaction_starts') }} as interactions
    on placed.source = interactions.source and placed.service = interactions.service
where {{ is_touched('placed') }}
-- Sorted, so that an update reads only the row groups of its days.
order by placed.started_on
