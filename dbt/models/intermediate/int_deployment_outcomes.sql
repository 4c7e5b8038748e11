-- A success stands, whatever is reported later; without one, the first other end.
select
    deployment_key,
    case
        when bool_or(status = 'success') then 'success'
        when min_by(status, occurred_at) = 'cancelled' then 'cancelled'
        else 'failure'
    end as status,
    coalesce(min(occurred_at) filter (where status = 'success'), min(occurred_at)) as finished_at
from {{ ref('stg_deployment_statuses') }}
where status in ('success', 'failure', 'error', 'cancelled')
group by deployment_key
