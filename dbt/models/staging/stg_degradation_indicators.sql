with source as (

    select * from {{ source('reference', 'degradation_indicators') }}

),

renamed as (

    select
        -- keys
        indicator,
        service,

        -- what
        least_rise,
        objective_ms

    from source

)

select * from renamed
