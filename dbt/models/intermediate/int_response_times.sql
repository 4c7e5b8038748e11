-- A week of one responder would be that person's chart: only whole quarters with at least five of them.
with responses as (

    select
        rotation,
        team,
        {{ period_start('quarter', 'alerted_on') }} as quarter,
        incident_key,
        {{ span_hours('alert_at', 'acknowledged_at') }} as acknowledge_hours,
        {{ span_hours('alert_at', 'action_at') }} as action_hours,
        {{ span_hours('alert_at', 'mitigated_at') }} as mitigate_hours,
        {{ span_hours('alert_at', 'resolved_at') }} as resolve_hours
    from {{ ref('int_oncall_incidents') }}
    where not is_merged and not is_false_positive

),

responders as (

    select
        responses.rotation,
        responses.team,
        responses.quarter,
        count(distinct events.responder_key) as responders
    from responses
    inner join {{ ref('stg_incident_events') }} as events on responses.incident_key = events.incident_key
    group by responses.rotation, responses.team, responses.quarter

)

select
    {%- for interval in ['acknowledge', 'action', 'mitigate', 'resolve'] %}
    count(responses.{{ interval }}_hours) as {{ interval }}_incidents,
    {{ percentile(0.5, 'responses.' ~ interval ~ '_hours') }} as {{ interval }}_median_hours,
    {{ percentile(0.9, 'responses.' ~ interval ~ '_hours') }} as {{ interval }}_p90_hours,
    {%- endfor %}
    responses.rotation,
    responses.team,
    responses.quarter
from responses
inner join responders
    on
        responses.rotation = responders.rotation
        and responses.team = responders.team
        and responses.quarter = responders.quarter
cross join {{ ref('int_as_of') }} as as_of
where
    responders.responders >= 5
    and {{ period_end('quarter', 'responses.quarter') }} <= {{ day_of('as_of.as_of') }}
group by responses.rotation, responses.team, responses.quarter
