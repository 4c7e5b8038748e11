with source as (

    select * from {{ source('raw', 'deployment_changes') }}

),

renamed as (

    select
        source,
        deployment_id,
        commit_sha

    from source

)

select * from renamed
