with source as (

    select * from {{ source('raw', 'incident_events') }}

),

renamed as (

    select
        source || '/' || incident_id as incident_key,
        event_id,
        event_type,
        responder_key,
        occurred_at

    from source

)

select * from renamed
