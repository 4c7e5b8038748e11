with source as (

    select * from {{ source('reference', 'dora_bands') }}

),

renamed as (

    select
        report_year,
        metric,
        band,
        lowest,
        highest,
        stated,
        caveat

    from source

)

select * from renamed
