select
    report_year,
    metric,
    band,
    lowest,
    highest,
    stated,
    caveat
from {{ ref('stg_dora_bands') }}
