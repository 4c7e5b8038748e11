{{ touched_rows('int_restated_degradations', ['deployment_key']) }}

with kept as (

    select arms.*
    from {{ ref('int_degraded_arms') }} as arms
    where {{ is_touched('arms') }}

),

known as (

    select distinct
        service,
        release
    from {{ ref('int_release_matches') }}

),

cases as (

    select
        kept.deployment_key,
        kept.indicator,
        kept.days_before = 0 as is_after,
        cases.source,
        cases.service,
        cases.session_id,
        cases.day,
        cases.route,
        cases.component,
        cases.step,
        cases.device_class,
        cases.country,
        cases.cases * cases.weight as weight,
        cases.bad_cases * cases.weight as bad_weight
    from kept
    inner join {{ ref('int_indicator_cases') }} as cases
        on
            kept.service = cases.service
            and kept.indicator = cases.indicator
            and kept.from_hour <= {{ hour_number('cases.occurred_at') }}
            and kept.to_hour >= {{ hour_number('cases.occurred_at') }}
            and cases.cases > 0
            -- From whole hours of UTC, 24 of them a day: another day where clocks change or have half an hour.
            and {{ near_restated_days('cases.day', before=1, after=1) }}
    left join {{ ref('int_release_matches') }} as matches
        on
            cases.service = matches.service
            and cases.release = matches.release
            and kept.deployment_key = matches.deployment_key
    left join known on cases.service = known.service and cases.release = known.release
    where
        kept.days_before > 0
        or matches.deployment_key is not null
        or (known.release is null and {{ hour_number('cases.occurred_at') }} >= kept.first_whole_hour)

),

-- What only the events of a session tell: its flags, and where its first error was.
traits as (

    select
        sessions.source,
        sessions.service,
        sessions.session_id,
        sessions.day,
        min(events.feature_flags) as feature_flags,
        min_by(events.component, events.occurred_at) filter (where events.event_type = 'error') as component
    from (
        select distinct
            source,
            service,
            session_id,
            day
        from cases
    ) as sessions
    inner join {{ ref('stg_rum_events') }} as events
        on
            sessions.source = events.source
            and sessions.service = events.service
            and sessions.session_id = events.session_id
            -- An id may come back on another day; a session ends on the day after its first at the latest.
            and {{ day_of('events.occurred_at') }} >= sessions.day
            and {{ day_of('events.occurred_at') }} <= sessions.day + interval 1 day
    where {{ near_restated_days('events.occurred_at', before=1, after=2) }}
    group by sessions.source, sessions.service, sessions.session_id, sessions.day

)

select
    cases.deployment_key,
    cases.indicator,
    cases.is_after,
    cases.route,
    coalesce(cases.component, case when cases.indicator = 'error_sessions' then traits.component end) as component,
    cases.step,
    cases.device_class,
    cases.country,
    traits.feature_flags,
    cast(sum(cases.weight) as bigint) as weight,
    cast(sum(cases.bad_weight) as bigint) as bad_weight
from cases
left join traits
    on
        cases.source = traits.source
        and cases.service = traits.service
        and cases.session_id = traits.session_id
        and cases.day = traits.day
group by all
