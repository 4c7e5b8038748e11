with source as (

    select * from {{ source('raw', 'incident_reviews') }}

),

renamed as (

    select
        source || '/' || incident_id as incident_key,
        due_on,
        completed_at

    from source

)

select * from renamed
