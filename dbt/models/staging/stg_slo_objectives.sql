with source as (

    select * from {{ source('reference', 'slo_objectives') }}

),

renamed as (

    select
        definition,
        objective,
        objective_name,
        target,
        time_slice_target,
        time_slice_minutes

    from source

)

select * from renamed
