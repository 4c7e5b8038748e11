with failures as (

    select
        deployment_key,
        sum(case when cause = 'incident' then pieces_of_evidence else 0 end) as incidents,
        bool_or(cause = 'incident') as failed_by_incident,
        bool_or(cause = 'rollback') as failed_by_rollback,
        bool_or(cause = 'hotfix') as failed_by_hotfix,
        -- Users tell when a failure began and ended; without an incident it began with the deployment.
        coalesce(min(failed_at) filter (where cause = 'incident'), min(failed_at)) as failed_at,
        case
            when bool_or(cause = 'incident') then min(recovered_at) filter (where cause = 'incident')
            else min(recovered_at)
        end as recovered_at
    from {{ ref('fct_deployment_failures') }}
    group by deployment_key

)

select
    deployments.deployment_key,
    deployments.source,
    deployments.deployment_id,
    deployments.service,
    services.team,
    services.component_kind,
    deployments.status,
    deployments.started_at,
    deployments.finished_at,
    deployments.deployed_on,
    deployments.commit_sha,
    deployments.version,
    deployments.trigger,
    deployments.is_success,
    deployments.is_failed_attempt,
    deployments.production_sequence,
    deployments.replaced_deployment_key,
    deployments.is_first_on_record,
    deployments.is_redeploy,
    deployments.is_rollback,
    deployments.blamed_deployment_key,
    deployments.is_return_to_earlier,
    deployments.is_hotfix,
    coalesce(contents.is_remediation, false) as is_remediation,
    deployments.is_rollback or deployments.is_hotfix or coalesce(contents.is_remediation, false) as is_unplanned,
    coalesce(contents.changes, 0) as changes,
    cast(contents.lines_changed as bigint) as lines_changed,
    coalesce(contents.is_bulk_import, false) as is_bulk_import,
    cast(coalesce(failures.incidents, 0) as bigint) as incidents,
    coalesce(failures.failed_by_incident, false) as failed_by_incident,
    coalesce(failures.failed_by_rollback, false) as failed_by_rollback,
    coalesce(failures.failed_by_hotfix, false) as failed_by_hotfix,
    failures.deployment_key is not null as is_failed,
    failures.failed_at,
    failures.recovered_at,
    {{ span_hours('failures.failed_at', 'failures.recovered_at') }} as recovery_hours,
    cast(null as double) as deploy_to_success_hours
from {{ ref('int_deployments') }} as deployments
left join {{ ref('int_deployment_contents') }} as contents on deployments.deployment_key = contents.deployment_key
left join failures on deployments.deployment_key = failures.deployment_key
left join {{ ref('dim_services') }} as services
    on
        deployments.service = services.service
        and deployments.deployed_on >= services.valid_from
        and deployments.deployed_on < services.valid_to
