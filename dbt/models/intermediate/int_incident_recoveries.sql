{%- set modes = ['flag_rollback', 'cdn_invalidation', 'safe_fallback', 'rollback', 'hotfix'] -%}

with incidents as (

    select
        incident_key,
        service,
        started_at,
        coalesce(mitigated_at, resolved_at) as ended_at
    from {{ ref('int_incidents') }}

),

actions as (

    select
        incident_key,
        event_type as recovery_mode,
        occurred_at
    from {{ ref('stg_incident_events') }}
    union all
    select
        incident_key,
        change_kind as recovery_mode,
        occurred_at
    from {{ ref('stg_operational_changes') }}
    where incident_key is not null
    union all
    -- A change that names no incident repaired what its service suffered from at the time.
    select
        incidents.incident_key,
        operational_changes.change_kind as recovery_mode,
        operational_changes.occurred_at
    from {{ ref('stg_operational_changes') }} as operational_changes
    inner join incidents
        on
            operational_changes.service = incidents.service
            and operational_changes.occurred_at >= incidents.started_at
            and operational_changes.occurred_at <= incidents.ended_at
    where operational_changes.incident_key is null
    union all
    select
        links.incident_key,
        case when repairs.is_rollback then 'rollback' else 'hotfix' end as recovery_mode,
        repairs.finished_at as occurred_at
    from {{ ref('int_incident_links') }} as links
    inner join {{ ref('int_deployments') }} as repairs on links.deployment_key = repairs.blamed_deployment_key

)

-- What came last before the suffering ended, ended it.
select
    actions.incident_key,
    actions.recovery_mode,
    actions.occurred_at
from actions
inner join incidents on actions.incident_key = incidents.incident_key
where
    actions.recovery_mode in ('{{ modes | join("', '") }}')
    and actions.occurred_at >= incidents.started_at
    and actions.occurred_at <= coalesce(incidents.ended_at, actions.occurred_at)
qualify row_number() over (
    partition by actions.incident_key
    order by
        actions.occurred_at desc,
        case actions.recovery_mode
            {%- for mode in modes %}
            when '{{ mode }}' then {{ loop.index }}
            {%- endfor %}
        end asc
) = 1
