with reached as (

    select
        deployment_changes.source,
        deployment_changes.commit_sha,
        deployments.service,
        deployments.deployment_key,
        deployments.production_sequence,
        deployments.is_first_on_record
    from {{ ref('stg_deployment_changes') }} as deployment_changes
    inner join {{ ref('int_deployments') }} as deployments
        on deployment_changes.deployment_key = deployments.deployment_key
    where deployments.is_success
    qualify row_number() over (
        partition by deployments.service, deployment_changes.commit_sha
        order by deployments.production_sequence, deployment_changes.source
    ) = 1

)

select * from reached
where not is_first_on_record
