with source as (

    select * from {{ source('raw', 'post_incident_reviews') }}

),

renamed as (

    select
        source || '/' || review_id as review_key,
        source || '/' || incident_id as incident_key,
        due_on,
        completed_at

    from source

)

select * from renamed
