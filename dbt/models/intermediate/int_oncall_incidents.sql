with logs as (

    select
        incident_key,
        min(occurred_at) filter (
            where event_type in (
                'mitigated', 'flag_rollback', 'cdn_invalidation', 'safe_fallback', 'rollback', 'hotfix'
            )
        ) as action_at
    from {{ ref('stg_incident_events') }}
    group by incident_key

),

-- The same alert again, soon after it seemed over.
recurrences as (

    select distinct incidents.incident_key
    from {{ ref('int_incidents') }} as incidents
    inner join {{ ref('int_incidents') }} as earlier
        on
            incidents.service = earlier.service
            and incidents.alert_key = earlier.alert_key
            and incidents.incident_key <> earlier.incident_key
            and incidents.started_at >= earlier.resolved_at
    where
        not incidents.is_merged
        and not earlier.is_merged
        and {{ hours_between('earlier.resolved_at', 'incidents.started_at') }}
        <= 24 * {{ var('oncall_recurrence_window_days') }}

),

reviews as (

    select
        incident_key,
        min(completed_at) as completed_at
    from {{ ref('stg_post_incident_reviews') }}
    group by incident_key

),

incidents as (

    select
        incidents.*,
        services.team,
        least(logs.action_at, incidents.mitigated_at) as action_at,
        recurrences.incident_key is not null as is_recurrence
    from {{ ref('int_incidents') }} as incidents
    inner join {{ ref('dim_services') }} as services
        on
            incidents.service = services.service
            and incidents.started_on >= services.valid_from
            and incidents.started_on < services.valid_to
    left join logs on incidents.incident_key = logs.incident_key
    left join recurrences on incidents.incident_key = recurrences.incident_key

)

select
    incidents.incident_key,
    incidents.service,
    rotations.rotation,
    rotations.team,
    rotations.time_zone,
    rotations.business_from_minute,
    rotations.business_to_minute,
    rotations.sleep_from_minute,
    rotations.sleep_to_minute,
    rotations.shift_hours,
    rotations.handover_minute,
    {{ day_of('incidents.alert_at') }} as alerted_on,
    incidents.alert_at,
    incidents.acknowledged_at,
    incidents.action_at,
    incidents.mitigated_at,
    incidents.resolved_at,
    incidents.is_merged,
    incidents.resolved_at is not null as is_closed,
    coalesce(
        incidents.is_false_positive
        -- Closed with no action: nobody even said that they had seen it.
        or (
            incidents.resolved_at is not null
            and incidents.acknowledged_at is null
            and incidents.action_at is null
        ),
        false
    ) as is_false_positive,
    incidents.alert_key is not null as has_alert_key,
    incidents.is_recurrence,
    coalesce(incidents.severity <= '{{ var("oncall_review_severity") }}', false)
    or reviews.incident_key is not null as is_reviewable,
    reviews.completed_at as reviewed_at
from incidents
inner join {{ ref('int_rotations') }} as rotations
    on
        incidents.team = rotations.team
        and incidents.started_on >= rotations.valid_from
        and incidents.started_on < rotations.valid_to
        and (
            rotations.services is null
            or ' ' || rotations.services || ' ' like '% ' || incidents.service || ' %'
        )
left join reviews on incidents.incident_key = reviews.incident_key
-- A rotation that names the service goes before one that takes what is left.
qualify row_number() over (
    partition by incidents.incident_key
    order by rotations.is_default, case when rotations.services is null then 1 else 0 end, rotations.rotation
) = 1
