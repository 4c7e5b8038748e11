{{ touched_rows('int_restated_indicator_days', ['service', 'day']) }}

select
    cases.indicator,
    cases.service,
    cases.day,
    {{ hour_number('cases.occurred_at') }} as hour_number,
    cases.device_class,
    cases.route as entry_route,
    cases.release,
    cast(sum(cases.cases) as bigint) as cases,
    cast(sum(cases.bad_cases) as bigint) as bad_cases,
    cast(sum(cases.cases * cases.weight) as bigint) as weight,
    cast(sum(cases.bad_cases * cases.weight) as bigint) as bad_weight,
    cast(sum(cases.cases * cast(round(cases.weight / 1000000.0 * cases.weight) as bigint)) as bigint) as squared_weight
from {{ ref('int_indicator_cases') }} as cases
inner join {{ ref('int_indicators') }} as indicators
    on cases.service = indicators.service and cases.indicator = indicators.indicator
where
    cases.cases > 0
    and {{ near_restated_days('cases.day') }}
    and {{ is_touched('cases') }}
group by all
