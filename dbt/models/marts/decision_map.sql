with each_kind as (

    select
        *,
        {{ each_part('decisions', ' ') }} as decision_kind
    from {{ ref('stg_kpis') }}

)

select
    kpi,
    decision_kind,
    valid_from,
    valid_to,
    owner_role,
    is_actionable,
    is_gameable_alone
from each_kind
-- Two spaces are one.
where decision_kind <> ''
