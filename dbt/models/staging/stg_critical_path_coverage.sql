with source as (

    select * from {{ source('raw', 'critical_path_coverage') }}

),

renamed as (

    select
        source,
        service,
        critical_path,
        measured_at,
        {{ day_of('measured_at') }} as measured_on,
        lines_total,
        lines_covered

    from source

)

select * from renamed
