{{ touched_rows('int_touched_commits', ['commit_sha']) }}

with deployment_changes as (

    select * from {{ ref('stg_deployment_changes') }}
    where {{ is_touched() }}

),

reached as (

    select
        deployments.service,
        deployment_changes.commit_sha,
        min_by(deployment_changes.source, deployments.production_sequence) as source,
        min(deployments.production_sequence) as production_sequence
    from deployment_changes
    inner join {{ ref('int_deployments') }} as deployments
        on
            deployment_changes.source = deployments.source
            and deployment_changes.deployment_id = deployments.deployment_id
    where deployments.is_success
    group by deployments.service, deployment_changes.commit_sha

)

select
    reached.service,
    reached.source,
    reached.commit_sha,
    deployments.deployment_key,
    deployments.finished_at as deployed_at,
    deployments.deployed_on,
    deployments.commit_sha as deployed_commit_sha
from reached
inner join {{ ref('int_deployments') }} as deployments
    on
        reached.service = deployments.service
        and reached.production_sequence = deployments.production_sequence
left join {{ ref('stg_services') }} as services
    on
        reached.service = services.service
        and deployments.deployed_on >= services.valid_from
        and deployments.deployed_on < services.valid_to
left join {{ ref('int_path_matches') }} as matches
    on
        reached.source = matches.source
        and reached.commit_sha = matches.commit_sha
        and services.service = matches.service
        and services.valid_from = matches.valid_from
where
    (services.paths is null or matches.commit_sha is not null)
    {%- if var('first_deployment') == 'ships_nothing' %}
    and not deployments.is_first_on_record
    {%- endif %}
