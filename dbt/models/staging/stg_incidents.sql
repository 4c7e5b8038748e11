with source as (

    select * from {{ source('raw', 'incidents') }}

),

renamed as (

    select
        -- keys
        source || '/' || incident_id as incident_key,
        source,
        incident_id,
        service,
        alert_key,

        -- cause, as the source states it
        deployment_id,
        version,
        commit_sha,

        -- kind
        severity,
        coalesce(is_false_positive, false) as is_false_positive,
        coalesce(is_third_party, false) as is_third_party,
        is_change_related,

        -- times
        started_at,
        mitigated_at,
        resolved_at

    from source

)

select * from renamed
