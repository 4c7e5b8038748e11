with evidence as (

    select
        *,
        row_number() over (partition by deployment_key, cause order by evidence_at, evidence_key) as evidence_sequence
    from {{ ref('int_deployment_failures') }}

),

failures as (

    select
        deployment_key,
        cause,
        max(case when evidence_sequence = 1 then evidence_key end) as first_evidence_key,
        count(*) as pieces_of_evidence,
        case
            when bool_or(attribution = 'manual') then 'manual'
            when bool_or(attribution = 'explicit') then 'explicit'
            else 'inferred'
        end as attribution,
        min(failed_at) as failed_at,
        min(recovery_started_at) as recovery_started_at,
        case when count(*) = count(recovered_at) then max(recovered_at) end as recovered_at
    from evidence
    group by deployment_key, cause

)

select
    failures.deployment_key,
    failures.cause,
    deployments.service,
    services.team,
    services.component_kind,
    deployments.deployed_on,
    failures.first_evidence_key,
    failures.pieces_of_evidence,
    failures.attribution,
    failures.cause in (
        {%- for cause in var('failure_causes') %}
        '{{ cause }}'{{ ',' if not loop.last }}
        {%- endfor %}
    ) as is_counted,
    failures.failed_at,
    failures.recovery_started_at,
    failures.recovered_at,
    {{ span_hours('failures.recovery_started_at', 'failures.recovered_at') }} as recovery_hours
from failures
inner join {{ ref('int_deployments') }} as deployments on failures.deployment_key = deployments.deployment_key
left join {{ ref('dim_services') }} as services
    on
        deployments.service = services.service
        and deployments.deployed_on >= services.valid_from
        and deployments.deployed_on < services.valid_to
