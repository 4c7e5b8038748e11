with as_of as (

    select {{ local_time('as_of') }} as local_as_of
    from {{ ref('int_as_of') }}

),

days as (

    select * from {{ ref('int_experience_days') }}

)

select
    days.started_on as day,
    services.team,
    days.service,
    as_of.local_as_of < days.started_on + interval {{ var('late_beacon_days') + 1 }} day as is_provisional,
    days.measured_sessions,
    days.weight / 1000000.0 as sessions,
    days.page_views_weight / 1000000.0 as page_views,
    days.judged_weight / 1000000.0 as judged_sessions,
    days.bounced_weight / 1000000.0 as bounced_sessions,
    {{ ratio('days.bounced_weight', 'days.judged_weight') }} as bounce_rate,
    {{ wilson_low(ratio('days.bounced_weight * days.judged', 'days.judged_weight'), 'days.judged') }}
    as bounce_rate_low,
    {{ wilson_high(ratio('days.bounced_weight * days.judged', 'days.judged_weight'), 'days.judged') }}
    as bounce_rate_high,
    days.error_free_weight / 1000000.0 as error_free_sessions,
    {{ ratio('days.error_free_weight', 'days.weight') }} as error_free_session_rate,
    {{ wilson_low(ratio('days.error_free_weight * days.measured_sessions', 'days.weight'), 'days.measured_sessions') }}
    as error_free_session_rate_low,
    {{ wilson_high(ratio('days.error_free_weight * days.measured_sessions', 'days.weight'), 'days.measured_sessions') }}
    as error_free_session_rate_high,
    days.lcp_weight / 1000000.0 as lcp_page_views,
    days.good_lcp_weight / 1000000.0 as good_lcp_page_views,
    days.poor_lcp_weight / 1000000.0 as poor_lcp_page_views,
    {{ ratio('days.good_lcp_weight', 'days.lcp_weight') }} as good_lcp_rate
from days
cross join as_of
left join {{ ref('dim_services') }} as services
    on
        days.service = services.service
        and days.started_on >= services.valid_from
        and days.started_on < services.valid_to
