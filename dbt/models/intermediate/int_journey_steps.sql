{{ touched_rows('int_restated_session_days', {'service': 'service', 'started_on': 'day'}) }}

{%- set tolerance = 'interval ' ~ var('journey_clock_tolerance_seconds') ~ ' second' -%}
{%- set session = ['journey', 'source', 'service', 'session_id', 'started_at'] -%}
{%- set steps = range(1, longest_journey() + 1) -%}

with events as (

    select *
    from {{ ref('int_journey_events') }} as events
    where {{ is_touched('events') }}

),

-- Each step at the first event that shows it at or after the step before; the first at its first.
{% for position in steps -%}
step_{{ position }} as (

    select
        {%- for key in session %}
        events.{{ key }},
        {%- endfor %}
        events.started_on,
        events.weight,
        events.position,
        {%- if position == 1 %}
        min(events.occurred_at) as reached_at,
        {%- else %}
        min(greatest(events.occurred_at, before.reached_at)) as reached_at,
        {%- endif %}
        max(case when events.is_other_clock then 1 else 0 end) as is_other_clock
    from events
    {%- if position > 1 %}
    inner join step_{{ position - 1 }} as before
        on
            {%- for key in session %}
            events.{{ key }} = before.{{ key }} and
            {%- endfor %}
            (
                events.occurred_at >= before.reached_at
                or (
                    (events.is_other_clock or before.is_other_clock = 1)
                    and events.occurred_at >= before.reached_at - {{ tolerance }}
                )
            )
    {%- endif %}
    where events.position = {{ position }}
    group by all

),

{% endfor -%}
reached as (

    {% for position in steps -%}
    select * from step_{{ position }}
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

),

in_order as (

    select
        *,
        lead(reached_at) over (partition by {{ session | join(', ') }} order by position) as left_at
    from reached

),

-- What happened at a step: its own attempts, failed or not, and uncaught errors until it was left.
attempts as (

    select
        {%- for key in session %}
        in_order.{{ key }},
        {%- endfor %}
        in_order.position,
        max(case when events.position > 0 and events.is_success then 1 else 0 end) as is_successful,
        max(case when events.is_success then 0 else 1 end) as has_error
    from in_order
    inner join events
        on
            {%- for key in session %}
            in_order.{{ key }} = events.{{ key }}{{ ' and' if not loop.last }}
            {%- endfor %}
    where
        (events.position = 0 or events.position = in_order.position)
        and (
            events.occurred_at >= in_order.reached_at
            or (
                (events.is_other_clock or in_order.is_other_clock = 1)
                and events.occurred_at >= in_order.reached_at - {{ tolerance }}
            )
        )
        and (in_order.left_at is null or events.occurred_at <= in_order.left_at)
    group by all

),

judged as (

    select
        in_order.*,
        coalesce(attempts.is_successful, 0) as is_successful,
        coalesce(attempts.has_error, 0) as has_error
    from in_order
    left join attempts
        on
            {%- for key in session %}
            in_order.{{ key }} = attempts.{{ key }} and
            {%- endfor %}
            in_order.position = attempts.position

)

select
    {%- for key in session %}
    judged.{{ key }},
    {%- endfor %}
    judged.started_on,
    judged.weight,
    judged.position,
    judged.reached_at,
    judged.left_at,
    case
        when judged.position = lengths.steps then judged.is_successful = 1
        else judged.left_at is not null
    end as is_completed,
    judged.has_error = 1 as has_error,
    round({{ hours_between('judged.reached_at', 'judged.left_at') }} * 3600, 3) as step_seconds
from judged
inner join (select journey, max(position) as steps from {{ ref('stg_journeys') }} group by journey) as lengths
    on judged.journey = lengths.journey
