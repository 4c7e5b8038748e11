with source as (

    select * from {{ source('raw', 'post_incident_actions') }}

),

renamed as (

    select
        source || '/' || action_id as action_key,
        source || '/' || incident_id as incident_key,
        team,
        agreed_at,
        due_on,
        closed_at

    from source

)

select * from renamed
