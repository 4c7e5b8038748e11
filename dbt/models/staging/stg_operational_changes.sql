with source as (

    select * from {{ source('raw', 'operational_changes') }}

),

renamed as (

    select
        -- keys
        source || '/' || operational_change_id as operational_change_key,
        source || '/' || incident_id as incident_key,
        service,

        -- what
        change_kind,
        flag,

        -- times
        occurred_at

    from source

)

select * from renamed
