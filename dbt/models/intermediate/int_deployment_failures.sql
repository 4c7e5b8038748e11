with repairs as (

    select
        blamed_deployment_key as deployment_key,
        case when is_rollback then 'rollback' else 'hotfix' end as cause,
        deployment_key as evidence_key,
        case when is_blame_explicit then 'explicit' else 'inferred' end as attribution,
        finished_at
    from {{ ref('int_deployments') }}
    where blamed_deployment_key is not null

),

corrections as (

    select * from {{ ref('int_corrections') }}
    where is_in_force and verdict in ('deployment_failed', 'deployment_not_failed')

),

evidence as (

    select
        links.deployment_key,
        'incident' as cause,
        links.incident_key as evidence_key,
        links.attribution,
        incidents.started_at,
        incidents.mitigated_at,
        incidents.resolved_at
    from {{ ref('int_incident_links') }} as links
    inner join {{ ref('int_incidents') }} as incidents on links.incident_key = incidents.incident_key
    union all
    select
        deployment_key,
        cause,
        evidence_key,
        attribution,
        null as started_at,
        null as mitigated_at,
        null as resolved_at
    from repairs
    union all
    select
        deployment_key,
        cause,
        'correction' as evidence_key,
        'manual' as attribution,
        null as started_at,
        null as mitigated_at,
        null as resolved_at
    from corrections
    where verdict = 'deployment_failed'
    union all
    -- A later deployment in which nobody has repaired it yet is no second failure.
    select
        deployment_key,
        'degradation' as cause,
        indicator as evidence_key,
        'inferred' as attribution,
        null as started_at,
        recovered_at as mitigated_at,
        recovered_at as resolved_at
    from {{ ref('int_degradations') }}
    where verdict = 'degraded'

),

timed as (

    select
        evidence.deployment_key,
        evidence.cause,
        evidence.evidence_key,
        evidence.attribution,
        coalesce(evidence.started_at, repairs.finished_at, deployments.finished_at) as evidence_at,
        -- greatest() passes over a start that is not known.
        greatest(deployments.finished_at, evidence.started_at) as failed_at,
        {% if var('recovery_start') == 'incident_started' -%}
        coalesce(evidence.started_at, deployments.finished_at) as recovery_started_at,
        {%- elif var('recovery_start') == 'deployment_finished' -%}
        deployments.finished_at as recovery_started_at,
        {%- else -%}
        greatest(deployments.finished_at, evidence.started_at) as recovery_started_at,
        {%- endif %}
        evidence.mitigated_at,
        evidence.resolved_at
    from evidence
    inner join {{ ref('int_deployments') }} as deployments
        on evidence.deployment_key = deployments.deployment_key and deployments.is_success
    left join repairs on evidence.evidence_key = repairs.evidence_key
    left join corrections as acquittals
        on
            evidence.deployment_key = acquittals.deployment_key
            and acquittals.verdict = 'deployment_not_failed'
    where acquittals.deployment_key is null

),

repaired as (

    select
        timed.deployment_key,
        timed.cause,
        timed.evidence_key,
        min(repairs.finished_at) as repaired_at
    from timed
    inner join repairs
        on
            timed.deployment_key = repairs.deployment_key
            and timed.failed_at <= repairs.finished_at
    group by timed.deployment_key, timed.cause, timed.evidence_key

)

select
    timed.deployment_key,
    timed.cause,
    timed.evidence_key,
    timed.attribution,
    timed.evidence_at,
    timed.failed_at,
    timed.recovery_started_at,
    {% if var('recovery_end') == 'resolved' -%}
    timed.resolved_at as recovered_at
    {%- else -%}
    -- least() passes over the ends that are not known.
    least(timed.mitigated_at, timed.resolved_at, repaired.repaired_at) as recovered_at
    {%- endif %}
from timed
left join repaired
    on
        timed.deployment_key = repaired.deployment_key
        and timed.cause = repaired.cause
        and timed.evidence_key = repaired.evidence_key
