with source as (

    select * from {{ source('raw', 'planned_items') }}

),

renamed as (

    select
        source || '/' || plan_id || '/' || item_id as planned_item_key,
        team,
        starts_on,
        due_on,
        committed_at,
        completed_at

    from source

)

select * from renamed
