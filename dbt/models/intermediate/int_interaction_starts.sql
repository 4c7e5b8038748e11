select
    source,
    service,
    min(day) as first_interacted_on
from {{ ref('int_session_activity') }}
where interactions > 0
group by source, service
