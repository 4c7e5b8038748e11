with source as (

    select * from {{ source('raw', 'pull_request_events') }}

),

renamed as (

    select
        -- keys
        source,
        repository,
        pull_request_number,
        event_id,
        actor_key,

        -- what
        event_type,

        -- times
        occurred_at

    from source

)

select * from renamed
