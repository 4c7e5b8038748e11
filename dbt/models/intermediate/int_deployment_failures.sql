with rollbacks as (

    select
        blamed_deployment_key as deployment_key,
        deployment_key as evidence_key,
        is_marked_rollback,
        finished_at
    from {{ ref('int_deployments') }}
    where is_rollback and blamed_deployment_key is not null

),

rolled_back as (

    select
        deployment_key,
        min(finished_at) as rolled_back_at
    from rollbacks
    group by deployment_key

),

evidence as (

    select
        links.deployment_key,
        'incident' as cause,
        links.incident_key as evidence_key,
        links.attribution,
        greatest(deployments.finished_at, incidents.started_at) as failed_at,
        -- least() passes over the ends that are not known.
        least(
            incidents.mitigated_at,
            incidents.resolved_at,
            case when rolled_back.rolled_back_at >= incidents.started_at then rolled_back.rolled_back_at end
        ) as recovered_at
    from {{ ref('int_incident_links') }} as links
    inner join {{ ref('int_incidents') }} as incidents on links.incident_key = incidents.incident_key
    inner join {{ ref('int_deployments') }} as deployments on links.deployment_key = deployments.deployment_key
    left join rolled_back on links.deployment_key = rolled_back.deployment_key
    union all
    select
        rollbacks.deployment_key,
        'rollback' as cause,
        rollbacks.evidence_key,
        case when rollbacks.is_marked_rollback then 'explicit' else 'inferred' end as attribution,
        deployments.finished_at as failed_at,
        rollbacks.finished_at as recovered_at
    from rollbacks
    inner join {{ ref('int_deployments') }} as deployments on rollbacks.deployment_key = deployments.deployment_key

)

select * from evidence
