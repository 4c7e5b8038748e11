with repairs as (

    select
        blamed_deployment_key as deployment_key,
        case when is_rollback then 'rollback' else 'hotfix' end as cause,
        deployment_key as evidence_key,
        -- A hotfix is marked by its source, but what it repairs is not.
        case when is_rollback and is_marked_rollback then 'explicit' else 'inferred' end as attribution,
        finished_at
    from {{ ref('int_deployments') }}
    where blamed_deployment_key is not null

),

evidence as (

    select
        links.deployment_key,
        'incident' as cause,
        links.incident_key as evidence_key,
        links.attribution,
        incidents.started_at as evidence_at,
        greatest(deployments.finished_at, incidents.started_at) as failed_at,
        incidents.mitigated_at,
        incidents.resolved_at
    from {{ ref('int_incident_links') }} as links
    inner join {{ ref('int_incidents') }} as incidents on links.incident_key = incidents.incident_key
    inner join {{ ref('int_deployments') }} as deployments on links.deployment_key = deployments.deployment_key
    union all
    select
        repairs.deployment_key,
        repairs.cause,
        repairs.evidence_key,
        repairs.attribution,
        repairs.finished_at as evidence_at,
        deployments.finished_at as failed_at,
        null as mitigated_at,
        null as resolved_at
    from repairs
    inner join {{ ref('int_deployments') }} as deployments on repairs.deployment_key = deployments.deployment_key

),

repaired as (

    select
        evidence.deployment_key,
        evidence.cause,
        evidence.evidence_key,
        min(repairs.finished_at) as repaired_at
    from evidence
    inner join repairs
        on
            evidence.deployment_key = repairs.deployment_key
            and evidence.failed_at <= repairs.finished_at
    group by evidence.deployment_key, evidence.cause, evidence.evidence_key

)

select
    evidence.deployment_key,
    evidence.cause,
    evidence.evidence_key,
    evidence.attribution,
    evidence.evidence_at,
    evidence.failed_at,
    -- least() passes over the ends that are not known.
    least(evidence.mitigated_at, evidence.resolved_at, repaired.repaired_at) as recovered_at
from evidence
left join repaired
    on
        evidence.deployment_key = repaired.deployment_key
        and evidence.cause = repaired.cause
        and evidence.evidence_key = repaired.evidence_key
