with source as (

    select * from {{ source('restricted', 'ov_releases') }}

),

renamed as (

    select
        -- keys
        quarter,
        team,
        dimension,

        -- what the guard decided
        status,
        value_quarter,
        mean_low,
        mean_high,
        people_band,
        assessed_share_band,
        refused_scores,
        recent_evidence_band

    from source

)

select * from renamed
