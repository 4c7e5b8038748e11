with pages as (

    select
        incidents.incident_key,
        incidents.rotation,
        incidents.team,
        incidents.business_from_minute,
        incidents.business_to_minute,
        incidents.sleep_from_minute,
        incidents.sleep_to_minute,
        incidents.shift_hours,
        incidents.handover_minute,
        coalesce(events.occurred_at, incidents.alert_at) as paged_at,
        {{ local_time_in('coalesce(events.occurred_at, incidents.alert_at)', 'incidents.time_zone') }}
            as local_paged_at,
        coalesce(events.event_id, '') as event_id
    from {{ ref('int_oncall_incidents') }} as incidents
    -- An incident whose log holds no alert has paged somebody all the same.
    left join {{ ref('stg_incident_events') }} as events
        on
            incidents.incident_key = events.incident_key
            and events.event_type in ('triggered', 'escalated', 'reassigned', 'reopened')

),

timed as (

    select
        *,
        60 * extract(hour from local_paged_at) + extract(minute from local_paged_at) as minute_of_day,
        {{ days_between("cast(date_trunc('week', local_paged_at) as date)", 'cast(local_paged_at as date)') }}
            as days_since_monday,
        lag(paged_at) over (partition by team, rotation order by paged_at, incident_key, event_id) as previous_paged_at,
        -- Shifts follow one another from the handover on a Monday; on the clock of the rotation, so that one is an
        -- hour shorter or longer where clocks change.
        cast(
            floor(
                (
                    {{ hours_between("timestamp '2000-01-03 00:00:00'", 'local_paged_at') }} - handover_minute / 60.0
                ) / shift_hours
            ) as bigint
        ) as shift_number
    from pages

)

select
    incident_key,
    rotation,
    team,
    paged_at,
    {{ day_of('paged_at') }} as paged_on,
    case
        when days_since_monday < 5 and minute_of_day >= business_from_minute and minute_of_day < business_to_minute
            then 'business'
        when
            (minute_of_day >= sleep_from_minute and minute_of_day < sleep_to_minute)
            or (
                sleep_from_minute > sleep_to_minute
                and (minute_of_day >= sleep_from_minute or minute_of_day < sleep_to_minute)
            )
            then 'sleep'
        else 'off'
    end as hours_class,
    coalesce(
        {{ hours_between('previous_paged_at', 'paged_at') }} * 60 >= {{ var('oncall_interruption_gap_minutes') }}, true
    ) as is_interruption,
    shift_number,
    shift_hours
from timed
