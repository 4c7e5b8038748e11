{{ touched_rows('int_restated_session_days', {'service': 'service', 'started_on': 'day'}) }}

{%- set cell = ['service', 'started_on', 'journey', 'position'] -%}

with steps as (

    select known.*
    from {{ ref('int_journey_steps') }} as known
    where {{ is_touched('known') }}

),

ranked as (

    select
        *,
        case when step_seconds is not null then weight end as timed_weight,
        {{ weight_up_to('case when step_seconds is not null then weight end', cell, 'step_seconds') }} as weight_up_to,
        sum(case when step_seconds is not null then weight end)
            over (partition by {{ cell | join(', ') }}) as weight_of_all
    from steps

)

select
    service,
    started_on,
    journey,
    position,
    count(*) as sessions,
    cast(sum(weight) as bigint) as entered_weight,
    cast(coalesce(sum(weight) filter (where is_completed), 0) as bigint) as completed_weight,
    cast(coalesce(sum(weight) filter (where has_error), 0) as bigint) as error_weight,
    count(step_seconds) as timed_sessions,
    min(step_seconds) filter (where 2 * weight_up_to >= weight_of_all) as step_median_seconds,
    min(step_seconds) filter (where 4 * weight_up_to >= 3 * weight_of_all) as step_p75_seconds
from ranked
group by service, started_on, journey, position
