with source as (

    select * from {{ source('raw', 'synthetic_checks') }}

),

renamed as (

    select
        service,
        check_name,
        location,
        occurred_at,
        is_success,
        duration_ms

    from source

)

select * from renamed
