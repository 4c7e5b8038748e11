with source as (

    select * from {{ source('reference', 'corrections') }}

),

renamed as (

    select
        -- keys
        deployment_key,
        incident_key,

        -- what holds
        verdict,
        coalesce(cause, 'incident') as cause,

        -- audit
        corrected_at,
        corrected_by_role,
        why

    from source

)

select * from renamed
