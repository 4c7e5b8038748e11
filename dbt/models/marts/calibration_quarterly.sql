select
    quarter,
    sessions,
    claims_reviewed,
    claims_challenged,
    claims_changed,
    evidenced_change_rate,
    assessor_groups,
    calibration_drift,
    evidence_entries,
    last_month_evidence_rate
from {{ ref('stg_ov_organisation_releases') }}
