{{ touched_rows('int_restated_indicator_days', ['service', 'day']) }}

with requests as (

    select
        service,
        {{ day_of('occurred_at') }} as day,
        duration_ms
    from {{ ref('stg_requests') }}
    where
        not is_synthetic
        and duration_ms is not null
        and {{ near_restated_days('occurred_at') }}

)

select
    service,
    day,
    {{ value_bin('duration_ms') }} as bin,
    count(*) as requests
from requests
where {{ is_touched() }}
group by service, day, bin
