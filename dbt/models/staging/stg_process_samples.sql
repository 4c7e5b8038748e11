with source as (

    select * from {{ source('raw', 'process_samples') }}

),

renamed as (

    select
        -- keys
        source,
        sample_id,
        service,
        process_id,

        -- what
        cast(sample_kind as {{ dbt.type_string() }}) as sample_kind,
        release,
        is_cold_start,
        startup_ms,
        uptime_seconds,
        rss_bytes,
        heap_used_bytes,
        event_loop_delay_p99_ms,

        -- times
        occurred_at

    from source

)

select * from renamed
