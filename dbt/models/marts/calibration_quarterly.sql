with sessions as (

    select
        quarter,
        count(*) as sessions,
        cast(sum(claims_reviewed) as bigint) as claims_reviewed,
        cast(sum(claims_challenged) as bigint) as claims_challenged,
        cast(sum(claims_changed) as bigint) as claims_changed,
        sum(coalesce(changes_with_evidence, 0)) as changes_with_evidence
    from {{ ref('stg_calibration_sessions') }}
    group by quarter

)

select
    releases.quarter,
    coalesce(sessions.sessions, 0) as sessions,
    -- A change among few claims may be one person's.
    case when sessions.claims_reviewed >= 50 then sessions.claims_reviewed end as claims_reviewed,
    case when sessions.claims_reviewed >= 50 then sessions.claims_challenged end as claims_challenged,
    case when sessions.claims_reviewed >= 50 then sessions.claims_changed end as claims_changed,
    case
        when sessions.claims_reviewed >= 50
            then {{ ratio('sessions.changes_with_evidence', 'sessions.claims_changed') }}
    end as evidenced_change_rate,
    releases.assessor_groups,
    releases.calibration_drift,
    releases.evidence_entries,
    releases.last_month_evidence_rate
from {{ ref('stg_ov_organisation_releases') }} as releases
left join sessions on releases.quarter = sessions.quarter
