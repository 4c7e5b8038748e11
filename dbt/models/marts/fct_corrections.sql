select
    corrected_at,
    verdict,
    subject_key,
    deployment_key,
    incident_key,
    cause,
    corrected_by_role,
    why,
    is_in_force
from {{ ref('int_corrections') }}
