with corrections as (

    select
        *,
        case when verdict like 'deployment_%' then 'deployment' else 'incident' end as subject,
        case when verdict like 'deployment_%' then deployment_key else incident_key end as subject_key
    from {{ ref('stg_corrections') }}

)

select
    corrected_at,
    corrected_by_role,
    why,
    verdict,
    subject_key,
    deployment_key,
    incident_key,
    case when verdict = 'deployment_failed' then cause end as cause,
    row_number() over (
        partition by subject, subject_key order by corrected_at desc, verdict desc, deployment_key desc
    ) = 1 as is_in_force
from corrections
