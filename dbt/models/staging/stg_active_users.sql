with source as (

    select * from {{ source('raw', 'active_users') }}

),

renamed as (

    select
        source,
        service,
        day,
        users

    from source

)

select * from renamed
