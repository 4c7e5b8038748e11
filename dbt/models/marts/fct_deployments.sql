{{ touched_rows('int_restated_deployments', ['deployment_key']) }}

with failures as (

    select
        deployment_key,
        bool_or(cause = 'incident') as failed_by_incident,
        bool_or(cause = 'rollback') as failed_by_rollback,
        bool_or(cause = 'hotfix') as failed_by_hotfix,
        bool_or(cause = 'degradation') as failed_by_degradation,
        bool_or(is_counted) as is_failed,
        case
            when bool_or(is_counted and attribution = 'manual') then 'manual'
            when bool_or(is_counted and attribution = 'explicit') then 'explicit'
            when bool_or(is_counted) then 'inferred'
        end as attribution,
        -- Users tell when a failure began and ended; without an incident it began with the deployment.
        bool_or(is_counted and cause = 'incident') as is_told_by_incident,
        min(failed_at) filter (where is_counted and cause = 'incident') as incident_failed_at,
        min(recovery_started_at) filter (where is_counted and cause = 'incident') as incident_recovery_started_at,
        min(recovered_at) filter (where is_counted and cause = 'incident') as incident_recovered_at,
        min(failed_at) filter (where is_counted) as any_failed_at,
        min(recovery_started_at) filter (where is_counted) as any_recovery_started_at,
        min(recovered_at) filter (where is_counted) as any_recovered_at
    from {{ ref('fct_deployment_failures') }}
    group by deployment_key

),

links as (

    select
        deployment_key,
        count(*) as incidents
    from {{ ref('int_incident_links') }}
    group by deployment_key

),

acquittals as (

    {{ acquittals(ref('int_corrections')) }}

),

judged as (

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
        deployments.is_repair or coalesce(contents.is_remediation, false) as is_remediation,
        deployments.is_rollback
        or deployments.is_hotfix
        or deployments.is_repair
        or coalesce(contents.is_remediation, false) as is_unplanned,
        coalesce(contents.changes, 0) as changes,
        cast(contents.lines_changed as bigint) as lines_changed,
        coalesce(contents.is_bulk_import, false) as is_bulk_import,
        coalesce(links.incidents, 0) as incidents,
        coalesce(failures.failed_by_incident, false) as failed_by_incident,
        coalesce(failures.failed_by_rollback, false) as failed_by_rollback,
        coalesce(failures.failed_by_hotfix, false) as failed_by_hotfix,
        coalesce(failures.failed_by_degradation, false) as failed_by_degradation,
        coalesce(failures.is_failed, false) as is_failed,
        case
            when not deployments.is_success then null
            when failures.is_failed then 'failed'
            when acquittals.deployment_key is not null then 'not_failed'
            when
                {{ hours_between('deployments.finished_at', 'as_of.as_of') }} < {{ failure_window_hours() }}
                then 'pending'
            else 'not_failed'
        end as verdict,
        case
            when acquittals.deployment_key is not null then 'manual'
            else failures.attribution
        end as verdict_attribution,
        case
            when failures.is_told_by_incident then failures.incident_failed_at else failures.any_failed_at
        end as failed_at,
        case
            when failures.is_told_by_incident then failures.incident_recovery_started_at
            else failures.any_recovery_started_at
        end as recovery_started_at,
        case
            when failures.is_told_by_incident then failures.incident_recovered_at else failures.any_recovered_at
        end as recovered_at,
        observable.observable_success_at
    from {{ ref('int_deployments') }} as deployments
    left join {{ ref('int_deployment_contents') }} as contents on deployments.deployment_key = contents.deployment_key
    left join failures on deployments.deployment_key = failures.deployment_key
    left join links on deployments.deployment_key = links.deployment_key
    left join acquittals on deployments.deployment_key = acquittals.deployment_key
    left join {{ ref('int_observable_successes') }} as observable
        on deployments.deployment_key = observable.deployment_key
    cross join {{ ref('int_as_of') }} as as_of
    left join {{ ref('dim_services') }} as services
        on
            deployments.service = services.service
            and deployments.deployed_on >= services.valid_from
            and deployments.deployed_on < services.valid_to
    where {{ is_touched('deployments') }}

)

select
    *,
    {{ span_hours('recovery_started_at', 'recovered_at') }} as recovery_hours,
    {{ span_hours('finished_at', 'observable_success_at') }} as deploy_to_success_hours
from judged
