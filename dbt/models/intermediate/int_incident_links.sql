with linkable as (

    select * from {{ ref('int_incidents') }}
    where link_exclusion is null

),

deployments as (

    select
        *,
        coalesce(started_at, finished_at) as began_at,
        row_number() over (
            partition by service order by coalesce(started_at, finished_at), production_sequence
        ) as start_sequence
    from {{ ref('int_deployments') }}
    where is_success

),

-- What the incident itself names, the most exact first.
named as (

    select
        linkable.incident_key,
        deployments.deployment_key,
        'deployment_id' as link_basis,
        1 as preference,
        deployments.production_sequence
    from linkable
    inner join deployments
        on
            linkable.service = deployments.service
            and linkable.deployment_id = deployments.deployment_id
    union all
    select
        linkable.incident_key,
        deployments.deployment_key,
        'version' as link_basis,
        2 as preference,
        deployments.production_sequence
    from linkable
    inner join deployments
        on
            linkable.service = deployments.service
            and linkable.version = deployments.version
            and linkable.started_at > deployments.began_at
    union all
    select
        linkable.incident_key,
        deployments.deployment_key,
        'commit_sha' as link_basis,
        3 as preference,
        deployments.production_sequence
    from linkable
    inner join deployments
        on
            linkable.service = deployments.service
            and linkable.commit_sha = deployments.commit_sha
            and linkable.started_at > deployments.began_at

),

explicit_links as (

    select
        incident_key,
        deployment_key,
        link_basis
    from named
    qualify row_number() over (partition by incident_key order by preference asc, production_sequence desc) = 1

),

-- One pass along each service's time line instead of a join of every incident with every deployment.
time_line as (

    select
        service,
        began_at as occurred_at,
        start_sequence,
        cast(null as string) as incident_key
    from deployments
    union all
    select
        service,
        started_at as occurred_at,
        null as start_sequence,
        incident_key
    from linkable

),

latest_before as (

    select
        incident_key,
        service,
        occurred_at,
        -- At one moment the incident sorts first: a deployment that starts with it is not before it.
        max(start_sequence) over (
            partition by service
            order by occurred_at, case when incident_key is null then 1 else 0 end
            rows between unbounded preceding and current row
        ) as start_sequence
    from time_line

),

inferred_links as (

    select
        latest_before.incident_key,
        deployments.deployment_key,
        'latest_deployment' as link_basis
    from latest_before
    inner join deployments
        on
            latest_before.service = deployments.service
            and latest_before.start_sequence = deployments.start_sequence
    where
        latest_before.incident_key is not null
        and {{ hours_between('deployments.began_at', 'latest_before.occurred_at') }}
        <= {{ var('incident_link_window_hours') }}

)

select
    incident_key,
    deployment_key,
    link_basis,
    'explicit' as attribution
from explicit_links
union all
select
    inferred_links.incident_key,
    inferred_links.deployment_key,
    inferred_links.link_basis,
    'inferred' as attribution
from inferred_links
left join explicit_links on inferred_links.incident_key = explicit_links.incident_key
where explicit_links.incident_key is null
