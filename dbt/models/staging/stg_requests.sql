with source as (

    select * from {{ source('raw', 'requests') }}

),

renamed as (

    select
        -- keys
        source,
        request_id,
        service,
        session_id,
        trace_id,

        -- where
        coalesce(route, 'unknown') as route,
        cast(method as {{ dbt.type_string() }}) as method,
        release,
        coalesce(is_synthetic, false) as is_synthetic,

        -- what
        status,
        coalesce(is_validation_error, false) as is_validation_error,
        duration_ms,

        -- times
        occurred_at

    from source

)

select * from renamed
