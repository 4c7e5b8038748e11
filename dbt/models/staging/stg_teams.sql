with source as (

    select * from {{ source('reference', 'teams') }}

),

renamed as (

    select
        team,
        parent,
        time_zone

    from source

)

select * from renamed
