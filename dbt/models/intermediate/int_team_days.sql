with activity as (

    select
        team,
        deployed_on as active_on
    from {{ ref('fct_deployments') }}
    union all
    select
        team,
        started_on as active_on
    from {{ ref('fct_incidents') }}

),

spans as (

    select
        team,
        min(active_on) as first_day,
        max(active_on) as last_day
    from activity
    where team is not null and active_on is not null
    group by team

)

select
    team,
    cast({{ each_day('first_day', 'last_day') }} as date) as day
from spans
