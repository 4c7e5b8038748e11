{%- do ref('int_restated_activity_days') -%}
{%- do ref('int_session_activity') -%}
{%- do ref('int_interaction_starts') -%}
{%- do ref('int_as_of') -%}

{%- if is_update() -%}
-- Each reason reads only its rows; for one `where` of all of them DuckDB reads the whole table (1 ms against 22, of 1.25
-- million sessions).
-- Of a day whose activity is made anew, sessions that begin on it now or did so at the last build.
select
    activity.source,
    activity.service,
    activity.session_id,
    activity.day as started_on
from {{ ref('int_session_activity') }} as activity
where (activity.service, activity.day) in (select service, day from {{ ref('int_restated_activity_days') }})
union
select
    sessions.source,
    sessions.service,
    sessions.session_id,
    sessions.started_on
from {{ as_it_stands('int_sessions') }} as sessions
where (sessions.service, sessions.started_on) in (select service, day from {{ ref('int_restated_activity_days') }})
union
-- What was open depends on now.
select
    sessions.source,
    sessions.service,
    sessions.session_id,
    sessions.started_on
from {{ as_it_stands('int_sessions') }} as sessions
cross join (
    select least(seen.as_of, as_of.as_of) - interval {{ var('session_timeout_minutes') }} minute as closed_before
    from meta.seen_as_of as seen
    inner join {{ ref('int_as_of') }} as as_of on seen.as_of is distinct from as_of.as_of
) as times
where sessions.ended_at >= times.closed_before
union
-- Whether a bounce can be judged depends on the first interaction.
select
    sessions.source,
    sessions.service,
    sessions.session_id,
    sessions.started_on
from {{ as_it_stands('int_sessions') }} as sessions
where (sessions.source, sessions.service) in (
    select source, service
    from {{ changed_since_last_build('interaction_starts') }} as starts
)
{%- else -%}
{{ no_rows({'source': 'string', 'service': 'string', 'session_id': type_of_whole_numbers(), 'started_on': 'date'}) }}
{%- endif %}
