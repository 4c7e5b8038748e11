with source as (

    select * from {{ source('raw', 'jobs') }}

),

renamed as (

    select
        -- keys
        source,
        job_id,
        service,
        trace_id,

        -- what
        queue,
        job_name,
        release,
        cast(status as {{ dbt.type_string() }}) as status,
        attempts,

        -- times
        enqueued_at,
        started_at,
        finished_at

    from source

)

select * from renamed
