with deployments as (

    select
        deployments.service,
        deployments.deployment_key,
        deployments.production_sequence,
        deployments.finished_at,
        -- What comes with or after the next deployment says nothing about this one.
        coalesce(
            lead(deployments.finished_at) over (
                partition by deployments.service order by deployments.production_sequence
            ),
            as_of.as_of
        ) as observed_until
    from {{ ref('int_deployments') }} as deployments
    cross join {{ ref('int_as_of') }} as as_of
    where deployments.is_success

),

time_line as (

    select
        service,
        finished_at as occurred_at,
        production_sequence,
        cast(null as boolean) as is_success
    from deployments
    union all
    select
        service,
        occurred_at,
        null as production_sequence,
        is_success
    from {{ ref('stg_synthetic_checks') }}

),

checked as (

    select
        service,
        max(production_sequence) over (
            partition by service
            order by occurred_at, case when is_success is null then 0 else 1 end, production_sequence
            rows between unbounded preceding and current row
        ) as production_sequence,
        occurred_at,
        is_success
    from time_line

),

-- The window may start at the end of the deployment, or after whatever spoke against it.
observations as (

    select
        deployments.deployment_key,
        deployments.finished_at,
        deployments.observed_until,
        checked.occurred_at,
        coalesce(checked.is_success, false) as is_success
    from checked
    inner join deployments
        on
            checked.service = deployments.service
            and checked.production_sequence = deployments.production_sequence
    union all
    select
        deployments.deployment_key,
        deployments.finished_at,
        deployments.observed_until,
        incidents.started_at as occurred_at,
        false as is_success
    from deployments
    inner join {{ ref('int_incident_links') }} as links on deployments.deployment_key = links.deployment_key
    inner join {{ ref('int_incidents') }} as incidents on links.incident_key = incidents.incident_key
    where incidents.started_at >= deployments.finished_at

),

windows as (

    select
        deployment_key,
        is_success,
        occurred_at as opened_at,
        occurred_at + interval {{ var('bake_window_minutes') }} minute as closed_at,
        observed_until,
        min(case when is_success then occurred_at end) over later as next_success_at,
        min(case when not is_success then occurred_at end) over later as next_failure_at
    from observations
    window later as (
        partition by deployment_key
        order by occurred_at, case when is_success then 1 else 0 end
        rows between 1 following and unbounded following
    )

)

select
    windows.deployment_key,
    min(windows.closed_at) as observable_success_at
from windows
where
    not windows.is_success
    and windows.next_success_at <= windows.closed_at
    and windows.closed_at <= least(coalesce(windows.next_failure_at, windows.observed_until), windows.observed_until)
    -- What users experience got worse, or stayed so, whatever the checks say.
    and windows.deployment_key not in (
        select degradations.deployment_key
        from {{ ref('int_degradations') }} as degradations
        where degradations.verdict in ('degraded', 'still_degraded')
    )
group by windows.deployment_key
