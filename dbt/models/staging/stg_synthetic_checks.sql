with source as (

    select * from {{ source('raw', 'synthetic_checks') }}

),

renamed as (

    select
        service,
        check_name,
        occurred_at,
        is_success

    from source

)

select * from renamed
