with source as (

    select * from {{ source('raw', 'calibration_sessions') }}

),

renamed as (

    select
        source,
        session_id,
        quarter,
        held_at,
        assessor_group,
        claims_reviewed,
        claims_challenged,
        claims_changed,
        changes_with_evidence

    from source

)

select * from renamed
