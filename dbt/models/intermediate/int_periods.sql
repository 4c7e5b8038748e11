with as_of as (

    select
        {{ local_time('as_of') }} as local_as_of,
        {{ day_of('as_of') }} as as_of_day
    from {{ ref('int_as_of') }}

),

days as (

    {% for owner in ['service', 'team'] -%}
    select
        '{{ owner }}' as owner_kind,
        {{ owner }} as owner_name,
        day
    from {{ ref('int_' ~ owner ~ '_days') }}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

periods as (

    {% for owner, period in delivery_groupings() -%}
    select distinct
        owner_kind,
        owner_name,
        '{{ period }}' as period,
        {{ period_start(period, 'day') }} as first_day,
        {{ period_end(period, period_start(period, 'day')) }} as next_first_day
    from days
    where owner_kind = '{{ owner }}'
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
)

select
    periods.owner_kind,
    periods.owner_name,
    periods.period,
    periods.first_day,
    cast(least(periods.next_first_day - interval 1 day, as_of.as_of_day) as date) as last_day,
    periods.next_first_day <= as_of.as_of_day as is_complete,
    {{ hours_between('cast(periods.next_first_day as timestamp)', 'as_of.local_as_of') }}
    < {{ failure_window_hours() }} as is_provisional
from periods
cross join as_of
