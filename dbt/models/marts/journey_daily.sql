with as_of as (

    select {{ local_time('as_of') }} as local_as_of
    from {{ ref('int_as_of') }}

),

active_days as (

    select distinct
        journey,
        started_on
    from {{ ref('int_journey_days') }}

),

-- Every step of a day on which somebody began, also one that nobody reached.
steps as (

    select
        active_days.started_on,
        journeys.service,
        journeys.journey,
        journeys.position,
        journeys.step,
        journeys.step_kind,
        coalesce(found.sessions, 0) as sessions,
        coalesce(found.entered_weight, 0) as entered_weight,
        coalesce(found.completed_weight, 0) as completed_weight,
        coalesce(found.error_weight, 0) as error_weight,
        coalesce(found.timed_sessions, 0) as timed_sessions,
        found.step_median_seconds,
        found.step_p75_seconds
    from active_days
    inner join {{ ref('stg_journeys') }} as journeys on active_days.journey = journeys.journey
    left join {{ ref('int_journey_days') }} as found
        on
            active_days.started_on = found.started_on
            and journeys.journey = found.journey
            and journeys.position = found.position

),

baselines as (

    select
        *,
        sum(sessions) over baseline as baseline_sessions,
        sum(entered_weight) over baseline as baseline_weight,
        sum(entered_weight - completed_weight) over baseline as baseline_dropped
    from steps
    window baseline as (
        partition by journey, position
        order by started_on
        range between interval {{ var('journey_baseline_days') }} day preceding and interval 1 day preceding
    )

),

rates as (

    select
        *,
        {{ ratio('baseline_dropped', 'baseline_weight') }} as baseline_drop_rate
    from baselines

),

compared as (

    select
        *,
        {{ ratio('completed_weight', 'entered_weight') }} as completion_rate,
        {{ ratio('entered_weight - completed_weight', 'entered_weight') }} as drop_rate,
        entered_weight - completed_weight - entered_weight * baseline_drop_rate as excess_weight
    from rates

),

-- Beyond three standard errors of chance, moved off 0 and 1 as Agresti and Coull do: once in 700 for a healthy step.
tested as (

    select
        *,
        drop_rate - baseline_drop_rate > 3 * sqrt(
            {{ ratio('baseline_drop_rate * baseline_sessions + 2', '(baseline_sessions + 4)') }}
            * (1 - {{ ratio('baseline_drop_rate * baseline_sessions + 2', '(baseline_sessions + 4)') }})
            * ({{ ratio('1', 'sessions') }} + {{ ratio('1', 'baseline_sessions') }})
        ) as is_worse
    from compared

),

broken as (

    select
        *,
        row_number() over (
            partition by journey, started_on
            order by case when is_worse then excess_weight end desc nulls last, position
        ) = 1
        and coalesce(is_worse, false) as is_broken_step
    from tested

)

select
    broken.started_on as day,
    services.team,
    broken.service,
    broken.journey,
    broken.position,
    broken.step,
    broken.step_kind,
    as_of.local_as_of < broken.started_on + interval {{ provisional_days() }} day as is_provisional,
    broken.sessions,
    broken.entered_weight / 1000000.0 as entered,
    broken.completed_weight / 1000000.0 as completed,
    (broken.entered_weight - broken.completed_weight) / 1000000.0 as dropped,
    broken.error_weight / 1000000.0 as errors,
    broken.completion_rate,
    {{ wilson_low('(broken.completion_rate * broken.sessions)', 'broken.sessions') }} as completion_rate_low,
    {{ wilson_high('(broken.completion_rate * broken.sessions)', 'broken.sessions') }} as completion_rate_high,
    {{ ratio('broken.error_weight', 'broken.entered_weight') }} as error_rate,
    broken.timed_sessions,
    broken.step_median_seconds,
    broken.step_p75_seconds,
    cast(coalesce(broken.baseline_sessions, 0) as bigint) as baseline_sessions,
    broken.baseline_drop_rate,
    broken.drop_rate,
    broken.is_broken_step
from broken
cross join as_of
left join {{ ref('dim_services') }} as services
    on
        broken.service = services.service
        and broken.started_on >= services.valid_from
        and broken.started_on < services.valid_to
