with as_of as (

    select {{ local_time('as_of') }} as local_as_of
    from {{ ref('int_as_of') }}

),

figures as (

    select
        *,
        {{ ratio('bounced_weight', 'judged_weight') }} as bounce_rate,
        {{ ratio('error_free_weight', 'weight') }} as error_free_session_rate
    from {{ ref('int_experience_days') }}

)

select
    figures.started_on as day,
    services.team,
    figures.service,
    as_of.local_as_of < figures.started_on + interval {{ provisional_days() }} day as is_provisional,
    figures.measured_sessions,
    figures.weight / 1000000.0 as sessions,
    figures.page_views_weight / 1000000.0 as page_views,
    figures.judged_weight / 1000000.0 as judged_sessions,
    figures.bounced_weight / 1000000.0 as bounced_sessions,
    figures.bounce_rate,
    {{ wilson_low('(figures.bounce_rate * figures.judged)', 'figures.judged') }} as bounce_rate_low,
    {{ wilson_high('(figures.bounce_rate * figures.judged)', 'figures.judged') }} as bounce_rate_high,
    figures.error_free_weight / 1000000.0 as error_free_sessions,
    figures.error_free_session_rate,
    {{ wilson_low('(figures.error_free_session_rate * figures.measured_sessions)', 'figures.measured_sessions') }}
        as error_free_session_rate_low,
    {{ wilson_high('(figures.error_free_session_rate * figures.measured_sessions)', 'figures.measured_sessions') }}
        as error_free_session_rate_high,
    figures.lcp_weight / 1000000.0 as lcp_page_views,
    figures.good_lcp_weight / 1000000.0 as good_lcp_page_views,
    figures.poor_lcp_weight / 1000000.0 as poor_lcp_page_views,
    {{ ratio('figures.good_lcp_weight', 'figures.lcp_weight') }} as good_lcp_rate
from figures
cross join as_of
left join {{ ref('dim_services') }} as services
    on
        figures.service = services.service
        and figures.started_on >= services.valid_from
        and figures.started_on < services.valid_to
