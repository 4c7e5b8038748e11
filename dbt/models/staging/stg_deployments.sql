with source as (

    select * from {{ source('raw', 'deployments') }}

),

renamed as (

    select
        -- keys
        source || '/' || deployment_id as deployment_key,
        source,
        deployment_id,
        service,

        -- what
        environment,
        status,
        commit_sha,
        version,
        trigger,

        -- kind
        commit_relation,
        coalesce(is_rollback, false) as is_marked_rollback,
        coalesce(is_hotfix, false) as is_hotfix,
        source || '/' || repairs_deployment_id as repairs_deployment_key,

        -- times
        started_at,
        finished_at

    from source

)

select * from renamed
