with log as (

    select * from {{ source('reference', 'decision_log') }}

)

select
    log.decided_on,
    {{ period_start('quarter', 'log.decided_on') }} as quarter,
    coalesce(log.team, 'all') as team,
    log.metric as kpi,
    log.decision_kind,
    log.decision,
    log.decided_by_role,
    log.link,
    mapped.kpi is not null as is_in_map
from log
left join {{ ref('decision_map') }} as mapped
    on
        log.metric = mapped.kpi
        and log.decision_kind = mapped.decision_kind
        and log.decided_on >= mapped.valid_from
        and log.decided_on < mapped.valid_to
