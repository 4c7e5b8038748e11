{%- set window_hours = var('incident_link_window_hours') -%}

with linkable as (

    select * from {{ ref('int_incidents') }}
    where link_exclusion is null

),

deployments as (

    select
        *,
        row_number() over (partition by service order by ready_at, production_sequence) as time_sequence
    from (
        select
            *,
            {% if var('incident_link_boundary') == 'finished' -%}
            finished_at as ready_at
            {%- else -%}
            coalesce(started_at, finished_at) as ready_at
            {%- endif %}
        from {{ ref('int_deployments') }}
        where is_success
    ) as successes

),

-- What a correction says, or the incident itself names, the most exact first.
named as (

    select
        linkable.incident_key,
        deployments.deployment_key,
        'correction' as link_basis,
        0 as preference,
        deployments.production_sequence
    from linkable
    inner join deployments on linkable.corrected_deployment_key = deployments.deployment_key
    union all
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
            and linkable.started_at > deployments.ready_at
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
            and linkable.started_at > deployments.ready_at

),

explicit_links as (

    select
        incident_key,
        deployment_key,
        link_basis,
        count(*) over (partition by incident_key, preference) as candidate_deployments
    from named
    qualify row_number() over (partition by incident_key order by preference asc, production_sequence desc) = 1

),

-- One pass along each service's time line instead of a join of every incident with every deployment.
time_line as (

    select
        service,
        ready_at as occurred_at,
        time_sequence,
        cast(null as string) as incident_key,
        false as is_window_start
    from deployments
    union all
    select
        service,
        started_at as occurred_at,
        null as time_sequence,
        incident_key,
        false as is_window_start
    from linkable
    {%- if window_hours is not none %}
    union all
    select
        service,
        started_at - interval {{ window_hours }} hour as occurred_at,
        null as time_sequence,
        incident_key,
        true as is_window_start
    from linkable
    {%- endif %}

),

deployed_by_then as (

    select
        incident_key,
        service,
        is_window_start,
        -- At one moment the incident sorts first: a deployment of that moment is not before it.
        coalesce(
            max(time_sequence) over (
                partition by service
                order by occurred_at, case when incident_key is null then 1 else 0 end
                rows between unbounded preceding and current row
            ), 0
        ) as deployments
    from time_line

),

windows as (

    select
        incident_key,
        service,
        max(case when not is_window_start then deployments end) as deployments_before,
        coalesce(max(case when is_window_start then deployments end), 0) as deployments_before_window
    from deployed_by_then
    where incident_key is not null
    group by incident_key, service

),

inferred_links as (

    select
        windows.incident_key,
        deployments.deployment_key,
        windows.deployments_before - windows.deployments_before_window as candidate_deployments
    from windows
    inner join deployments
        on
            windows.service = deployments.service
            and windows.deployments_before = deployments.time_sequence
    where windows.deployments_before > windows.deployments_before_window

)

select
    incident_key,
    deployment_key,
    link_basis,
    case when link_basis = 'correction' then 'manual' else 'explicit' end as attribution,
    candidate_deployments,
    case when candidate_deployments = 1 then 'high' else 'medium' end as link_confidence
from explicit_links
union all
select
    inferred_links.incident_key,
    inferred_links.deployment_key,
    'latest_deployment' as link_basis,
    'inferred' as attribution,
    inferred_links.candidate_deployments,
    case when inferred_links.candidate_deployments = 1 then 'medium' else 'low' end as link_confidence
from inferred_links
left join explicit_links on inferred_links.incident_key = explicit_links.incident_key
where explicit_links.incident_key is null
