select
    team,
    parent,
    time_zone
from {{ ref('stg_teams') }}
