with activity as (

    select
        service,
        deployed_on as active_on
    from {{ ref('int_deployments') }}
    union all
    select
        service,
        started_on as active_on
    from {{ ref('int_incidents') }}

),

spans as (

    select
        service,
        min(active_on) as first_day,
        max(active_on) as last_day
    from activity
    where active_on is not null
    group by service

)

select
    service,
    cast({{ each_day('first_day', 'last_day') }} as date) as day
from spans
