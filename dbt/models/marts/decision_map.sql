select
    kpi,
    {{ each_part('decisions', ' ') }} as decision_kind,
    valid_from,
    valid_to,
    owner_role,
    is_actionable,
    is_gameable_alone
from {{ ref('stg_kpis') }}
