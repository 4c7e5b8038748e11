{{ config(severity='warn') }}
-- A service that services.csv does not name keeps its facts, without a team.
select distinct facts.service
from (
    select service from {{ ref('fct_deployments') }}
    union all
    select service from {{ ref('fct_incidents') }}
    union all
    select service from {{ ref('web_vitals_daily') }}
) as facts
left join {{ ref('dim_services') }} as services on facts.service = services.service
where services.service is null
