{%- do ref('int_touched_event_days') -%}
{%- do ref('int_touched_activity') -%}
{%- do ref('stg_journeys') -%}

{%- if is_update() -%}
select
    service,
    day
from {{ ref('int_touched_event_days') }}
where event_table = 'rum_events'
union
select
    service,
    day
from {{ ref('int_touched_activity') }}
union
-- Whose session a replaced event was is not on record.
select
    service,
    cast({{ each_day(
        day_of('from_time') ~ ' - interval ' ~ days_changed_before() ~ ' day', day_of('from_time') ~ ' + interval 1 day'
    ) }} as date) as day
from {{ newly_replaced('rum_events') }} as replaced
union
-- A request may belong to an event of the day before or after, and that to a session of the day before.
select
    journeys.service,
    cast({{ each_day('requests.day - interval 2 day', 'requests.day + interval 1 day') }} as date) as day
from {{ ref('int_touched_event_days') }} as requests
inner join {{ ref('stg_journeys') }} as journeys on requests.service = journeys.api_service
where requests.event_table = 'requests'
{%- else -%}
{{ no_rows({'service': 'string', 'day': 'date'}) }}
{%- endif %}
