{%- do ref('int_restated_activity_days') -%}
{%- do ref('int_touched_event_days') -%}
{%- do ref('int_as_of') -%}
{%- do ref('stg_rum_events') -%}

{%- if is_update() -%}
-- Whether a bounce can be judged depends on the service's first interaction.
with first_interactions as (

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
    from {{ ref('int_touched_event_days') }} as touched
    inner join first_interactions
        on touched.service = first_interactions.service and touched.day = first_interactions.first_interacted_on
    where touched.event_table = 'rum_events'

)

select
    service,
    day
from {{ ref('int_restated_activity_days') }}
union
-- What was open depends on now.
select
    sessions.service,
    sessions.started_on as day
from {{ as_it_stands('int_sessions') }} as sessions
cross join meta.seen_as_of as seen
inner join {{ ref('int_as_of') }} as as_of on seen.as_of is distinct from as_of.as_of
where
    {{ hours_between('sessions.ended_at', 'least(seen.as_of, as_of.as_of)') }} * 60 < {{ var('session_timeout_minutes') }}
union
select
    activity.service,
    activity.day
from {{ as_it_stands('int_session_activity') }} as activity
inner join moved_starts on activity.service = moved_starts.service
{%- else -%}
{{ no_rows({'service': 'string', 'day': 'date'}) }}
{%- endif %}
