-- A change counts by when it was merged or committed: an author's own clock may be years ahead.
with latest_events as (

    select max(coalesce(finished_at, started_at)) as latest_at from {{ ref('stg_deployments') }}
    union all
    select max(occurred_at) as latest_at from {{ ref('stg_deployment_statuses') }}
    union all
    select max(coalesce(merged_at, committed_at, authored_at)) as latest_at from {{ ref('stg_changes') }}
    union all
    select max(coalesce(closed_at, merged_at, created_at)) as latest_at from {{ ref('stg_pull_requests') }}
    union all
    select max(coalesce(finished_at, started_at)) as latest_at from {{ ref('stg_builds') }}
    union all
    select max(coalesce(resolved_at, mitigated_at, started_at)) as latest_at from {{ ref('stg_incidents') }}
    union all
    select max(occurred_at) as latest_at from {{ ref('stg_incident_events') }}
    union all
    select max(completed_at) as latest_at from {{ ref('stg_post_incident_reviews') }}
    union all
    select max(coalesce(closed_at, agreed_at)) as latest_at from {{ ref('stg_post_incident_actions') }}
    union all
    select max(occurred_at) as latest_at from {{ ref('stg_operational_changes') }}
    union all
    select max(occurred_at) as latest_at from {{ ref('stg_rum_events') }}
    union all
    select max(occurred_at) as latest_at from {{ ref('stg_requests') }}
    union all
    select max(coalesce(finished_at, started_at, enqueued_at)) as latest_at from {{ ref('stg_jobs') }}
    union all
    select max(occurred_at) as latest_at from {{ ref('stg_process_samples') }}
    union all
    select max(occurred_at) as latest_at from {{ ref('stg_synthetic_checks') }}

)

-- Depends on the same tables with and without the var, so that Dagster's graph stays true.
select
    coalesce(
        cast({% if var('as_of') is none %}null{% else %}'{{ var("as_of") }}'{% endif %} as timestamp),
        max(latest_at)
    ) as as_of
from latest_events
