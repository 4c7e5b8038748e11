select
    quarter,
    people_band,
    level_recorded_people,
    clear_growth_people,
    promotion_ready_people
from {{ ref('stg_ov_organisation_releases') }}
