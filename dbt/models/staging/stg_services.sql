with source as (

    select * from {{ source('reference', 'services') }}

),

renamed as (

    select
        service,
        team,
        component_kind,
        repository,
        paths,
        coalesce(valid_from, cast('1900-01-01' as date)) as valid_from,
        coalesce(valid_to, cast('9999-12-31' as date)) as valid_to

    from source

)

select * from renamed
