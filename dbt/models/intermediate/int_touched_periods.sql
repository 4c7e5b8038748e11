with days as (

    select
        restated.service,
        services.team,
        restated.deployed_on as day
    from {{ ref('int_restated_days') }} as restated
    left join {{ ref('dim_services') }} as services
        on
            restated.service = services.service
            and restated.deployed_on >= services.valid_from
            and restated.deployed_on < services.valid_to

)

{{ periods_of('days') }}
