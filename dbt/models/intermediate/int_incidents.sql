with events as (

    select
        incident_key,
        min(occurred_at) filter (where event_type = 'triggered') as alert_at,
        min(occurred_at) filter (where event_type = 'acknowledged') as acknowledged_at,
        min(occurred_at) filter (where event_type = 'mitigated') as mitigated_at,
        max(occurred_at) filter (where event_type = 'resolved') as resolved_at,
        max(occurred_at) filter (where event_type = 'reopened') as reopened_at,
        max(occurred_at) filter (where event_type = 'merged') as merged_at
    from {{ ref('stg_incident_events') }}
    group by incident_key

)

select
    incidents.incident_key,
    incidents.source,
    incidents.incident_id,
    incidents.service,
    incidents.severity,
    incidents.alert_key,
    incidents.deployment_id,
    incidents.version,
    incidents.commit_sha,
    incidents.started_at,
    {{ day_of('incidents.started_at') }} as started_on,
    coalesce(events.alert_at, incidents.started_at) as alert_at,
    events.acknowledged_at,
    coalesce(incidents.mitigated_at, events.mitigated_at) as mitigated_at,
    coalesce(
        incidents.resolved_at,
        case when events.resolved_at >= coalesce(events.reopened_at, events.resolved_at) then events.resolved_at end
    ) as resolved_at,
    events.reopened_at is not null as is_reopened,
    events.merged_at is not null as is_merged,
    incidents.is_false_positive,
    incidents.is_third_party,
    incidents.is_change_related,
    case when corrections.verdict = 'incident_linked' then corrections.deployment_key end as corrected_deployment_key,
    case
        when corrections.verdict = 'incident_linked' then null
        when corrections.verdict = 'incident_not_linked' then 'corrected'
        when events.merged_at is not null then 'merged'
        when incidents.is_false_positive then 'false_positive'
        when incidents.is_third_party then 'third_party'
        when not incidents.is_change_related then 'not_change_related'
        when incidents.severity > '{{ var("incident_lowest_severity") }}' then 'low_severity'
    end as link_exclusion
from {{ ref('stg_incidents') }} as incidents
left join events on incidents.incident_key = events.incident_key
left join {{ ref('int_corrections') }} as corrections
    on
        incidents.incident_key = corrections.incident_key
        and corrections.is_in_force
        and corrections.verdict in ('incident_linked', 'incident_not_linked')
