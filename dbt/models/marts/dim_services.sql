with services as (

    select
        service,
        team,
        component_kind,
        repository,
        valid_from,
        -- Where two ownerships overlap, the later one takes over.
        least(valid_to, lead(valid_from) over (partition by service order by valid_from)) as valid_to
    from {{ ref('stg_services') }}

)

select
    services.service,
    services.team,
    services.component_kind,
    services.repository,
    services.valid_from,
    services.valid_to,
    coalesce(
        {{ day_of('as_of.as_of') }} >= services.valid_from and {{ day_of('as_of.as_of') }} < services.valid_to, false
    ) as is_current
from services
cross join {{ ref('int_as_of') }} as as_of
