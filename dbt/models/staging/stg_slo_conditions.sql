with source as (

    select * from {{ source('reference', 'slo_conditions') }}

),

renamed as (

    select
        definition,
        part,
        condition_group,
        position,
        column_name,
        operator,
        value_type,
        value

    from source

)

select * from renamed
