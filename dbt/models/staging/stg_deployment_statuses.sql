with source as (

    select * from {{ source('raw', 'deployment_statuses') }}

),

renamed as (

    select
        source || '/' || deployment_id as deployment_key,
        status,
        occurred_at

    from source

)

select * from renamed
