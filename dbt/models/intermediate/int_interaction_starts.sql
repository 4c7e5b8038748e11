{%- set seen = 'meta.seen_interaction_starts' -%}
{%- set restated -%} select service, day from {{ ref('int_restated_activity_days') }} {%- endset %}

with days as (

    {% if is_update() -%}
    select
        source,
        service,
        day
    from {{ ref('int_session_activity') }}
    where interactions > 0 and (service, day) in ({{ restated }})
    union all
    -- Other days are as they were: so that one is still the first, unless it is of those made anew.
    select
        source,
        service,
        first_interacted_on as day
    from {{ seen }}
    where (service, first_interacted_on) not in ({{ restated }})
    union all
    select
        source,
        service,
        day
    from {{ ref('int_session_activity') }}
    where
        interactions > 0
        and service in (select service from {{ seen }} where (service, first_interacted_on) in ({{ restated }}))
    {%- else -%}
    select
        source,
        service,
        day
    from {{ ref('int_session_activity') }}
    where interactions > 0
    {%- endif %}

)

select
    source,
    service,
    min(day) as first_interacted_on
from days
group by source, service
