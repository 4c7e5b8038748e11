with source as (

    select * from {{ source('raw', 'incident_actions') }}

),

renamed as (

    select
        source || '/' || action_id as action_key,
        source || '/' || incident_id as incident_key,
        created_at,
        due_on,
        completed_at

    from source

)

select * from renamed
