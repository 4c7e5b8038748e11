select
    incidents.incident_key,
    incidents.source,
    incidents.incident_id,
    incidents.service,
    services.team,
    services.component_kind,
    incidents.severity,
    incidents.started_at,
    incidents.started_on,
    incidents.alert_at,
    incidents.acknowledged_at,
    incidents.mitigated_at,
    incidents.resolved_at,
    {{ span_hours('incidents.alert_at', 'incidents.acknowledged_at') }} as alert_to_acknowledge_hours,
    {{ span_hours('incidents.alert_at', 'incidents.mitigated_at') }} as alert_to_mitigation_hours,
    {{ span_hours('incidents.mitigated_at', 'incidents.resolved_at') }} as mitigation_to_resolution_hours,
    {{ span_hours('incidents.alert_at', 'incidents.resolved_at') }} as alert_to_resolution_hours,
    incidents.is_reopened,
    incidents.is_merged,
    incidents.is_false_positive,
    incidents.is_third_party,
    incidents.is_change_related,
    incidents.link_exclusion,
    links.deployment_key,
    links.attribution,
    links.link_basis,
    links.candidate_deployments,
    links.link_confidence,
    recoveries.recovery_mode
from {{ ref('int_incidents') }} as incidents
left join {{ ref('int_incident_links') }} as links on incidents.incident_key = links.incident_key
left join {{ ref('int_incident_recoveries') }} as recoveries on incidents.incident_key = recoveries.incident_key
left join {{ ref('dim_services') }} as services
    on
        incidents.service = services.service
        and incidents.started_on >= services.valid_from
        and incidents.started_on < services.valid_to
