{%- do ref('int_touched_event_days') -%}
{%- do ref('int_touched_activity') -%}
{%- do ref('int_as_of') -%}
{%- do ref('stg_journeys') -%}
{%- do ref('stg_rum_events') -%}

{%- if is_update() -%}
{%- set provisional_days = var('late_beacon_days') + 1 -%}
with touched as (

    select
        service,
        day
    from {{ ref('int_touched_event_days') }}
    where event_table = 'rum_events'

),

-- Whose session a replaced event was is not on record, nor what a request may belong to.
touched_around as (

    select
        service,
        {{ day_of('from_time') }} as day
    from {{ newly_replaced('rum_events') }} as replaced
    union
    select
        journeys.service,
        requests.day
    from {{ ref('int_touched_event_days') }} as requests
    inner join {{ ref('stg_journeys') }} as journeys on requests.service = journeys.api_service
    where requests.event_table = 'requests'

),

known_days as (

    select distinct
        service,
        day
    from {{ as_it_stands('int_session_activity') }}

),

-- What is open or provisional depends on now.
moved_now as (

    select
        least(seen.as_of, as_of.as_of) as earlier,
        greatest(seen.as_of, as_of.as_of) as later
    from meta.seen_as_of as seen
    cross join {{ ref('int_as_of') }} as as_of
    where seen.as_of is distinct from as_of.as_of

),

-- Whether a bounce can be judged depends on the service's first interaction.
first_interactions as (

    select
        service,
        min(first_interacted_on) as first_interacted_on
    from {{ as_it_stands('int_interaction_starts') }}
    group by service

),

moved_starts as (

    select events.service
    from {{ new_rows(source('raw', 'rum_events')) }} as events
    left join first_interactions on events.service = first_interactions.service
    where
        {{ is_interaction('events') }}
        and (
            first_interactions.first_interacted_on is null
            or {{ day_of('events.occurred_at') }} < first_interactions.first_interacted_on
        )
    union
    select touched.service
    from touched
    inner join first_interactions
        on touched.service = first_interactions.service and touched.day = first_interactions.first_interacted_on

)

select
    service,
    day
from touched
union
select
    service,
    day
from {{ ref('int_touched_activity') }}
union
select
    service,
    cast({{ each_day('day - interval ' ~ days_changed_before() ~ ' day', 'day + interval 1 day') }} as date) as day
from touched_around
union
select
    sessions.service,
    sessions.started_on as day
from {{ as_it_stands('int_sessions') }} as sessions
inner join moved_now
    on {{ hours_between('sessions.ended_at', 'moved_now.earlier') }} * 60 < {{ var('session_timeout_minutes') }}
union
select
    known_days.service,
    known_days.day
from known_days
inner join moved_now
    on
        known_days.day > {{ day_of('moved_now.earlier') }} - interval {{ provisional_days }} day
        and known_days.day <= {{ day_of('moved_now.later') }} - interval {{ provisional_days }} day
union
select
    known_days.service,
    known_days.day
from known_days
inner join moved_starts on known_days.service = moved_starts.service
{%- else -%}
select
    cast(null as {{ dbt.type_string() }}) as service,
    cast(null as date) as day
where false
{%- endif %}
