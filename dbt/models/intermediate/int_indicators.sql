with services as (

    select distinct service from {{ ref('stg_services') }}

)

-- A service's own row wins over that of all services.
select
    services.service,
    indicators.indicator,
    indicators.least_rise,
    indicators.objective_ms
from services
inner join {{ ref('stg_degradation_indicators') }} as indicators
    on services.service = coalesce(indicators.service, services.service)
qualify row_number() over (
    partition by services.service, indicators.indicator
    order by case when indicators.service is null then 1 else 0 end
) = 1
