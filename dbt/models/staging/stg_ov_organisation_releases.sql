with source as (

    select * from {{ source('restricted', 'ov_organisation_releases') }}

),

renamed as (

    select
        quarter,

        -- people
        people_band,
        level_recorded_people,
        clear_growth_people,
        promotion_ready_people,

        -- evidence and assessors
        evidence_entries,
        last_month_evidence_rate,
        sessions,
        claims_reviewed,
        claims_challenged,
        claims_changed,
        evidenced_change_rate,
        assessor_groups,
        calibration_drift

    from source

)

select * from renamed
