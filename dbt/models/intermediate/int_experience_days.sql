{{ touched_rows('int_restated_session_days', {'service': 'service', 'started_on': 'day'}) }}

with sessions as (

    select known.*
    from {{ ref('int_sessions') }} as known
    where {{ is_touched('known') }}

)

select
    service,
    started_on,
    count(*) as measured_sessions,
    count(is_bounce) as judged,
    cast(sum(weight) as bigint) as weight,
    cast(sum(weight * page_views) as bigint) as page_views_weight,
    cast(coalesce(sum(weight) filter (where is_bounce is not null), 0) as bigint) as judged_weight,
    cast(coalesce(sum(weight) filter (where is_bounce), 0) as bigint) as bounced_weight,
    cast(coalesce(sum(weight) filter (where is_error_free), 0) as bigint) as error_free_weight,
    cast(sum(weight * lcp_page_views) as bigint) as lcp_weight,
    cast(sum(weight * good_lcp_page_views) as bigint) as good_lcp_weight,
    cast(sum(weight * poor_lcp_page_views) as bigint) as poor_lcp_weight
from sessions
group by service, started_on
