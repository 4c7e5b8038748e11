{%- do ref('int_touched_event_days') -%}
{%- do ref('stg_rum_events') -%}

{%- if is_update() -%}
with new_sessions as (

    select
        source,
        service,
        session_id,
        min({{ day_of('occurred_at') }}) as first_day,
        max({{ day_of('occurred_at') }}) as last_day
    from {{ new_rows(source('raw', 'rum_events')) }} as loaded
    group by source, service, session_id

)

select distinct
    activity.service,
    activity.day,
    cast({{ each_day('cast(activity.started_at as date)', 'cast(activity.ended_at as date)') }} as date) as utc_day
from {{ as_it_stands('int_session_activity') }} as activity
inner join new_sessions on {{ session_key('activity') }} = {{ session_key('new_sessions') }}
where
    {{ near_days(
        'activity.day', 'day', as_it_stands('int_touched_event_days') ~ " where event_table = 'rum_events'",
        days_changed_before(), 1
    ) }}
    and activity.day >= new_sessions.first_day - interval {{ days_changed_before() }} day
    and activity.day <= new_sessions.last_day + interval 1 day
{%- else -%}
{{ no_rows({'service': 'string', 'day': 'date', 'utc_day': 'date'}) }}
{%- endif %}
