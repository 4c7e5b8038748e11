with source as (

    select * from {{ source('raw', 'builds') }}

),

renamed as (

    select
        -- keys
        source,
        build_id,
        repository,
        service,
        commit_sha,

        -- what
        workflow,
        status,

        -- times
        started_at,
        finished_at

    from source

)

select * from renamed
