with source as (

    select * from {{ source('reference', 'journeys') }}

),

renamed as (

    select
        journey,
        service,
        position,
        step,
        step_kind,
        route,
        action,
        api_service,
        method

    from source

)

select * from renamed
