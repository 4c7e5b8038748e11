-- A file is churned by a change that ships after another deployment did so not long before; changes that ship together
-- are one piece of work.
with files as (

    select
        changes.service,
        changes.source,
        changes.commit_sha,
        max(changes.deployed_at) over (
            partition by changes.service, paths.path
            order by changes.deployed_at
            range between interval {{ var('churn_days') }} day preceding and interval 1 microsecond preceding
        ) as shipped_before_at
    from {{ ref('fct_changes') }} as changes
    inner join {{ ref('stg_change_paths') }} as paths
        on changes.source = paths.source and changes.commit_sha = paths.commit_sha
    where not changes.is_bulk_import

),

known as (

    select
        service,
        source,
        commit_sha,
        count(shipped_before_at) > 0 as is_churn
    from files
    group by service, source, commit_sha

)

select
    changes.team,
    changes.deployed_on,
    count(*) as changes,
    count(known.is_churn) as changes_with_files,
    count(*) filter (where known.is_churn) as churned_changes
from {{ ref('fct_changes') }} as changes
left join known
    on
        changes.service = known.service
        and changes.source = known.source
        and changes.commit_sha = known.commit_sha
where not changes.is_bulk_import and changes.team is not null
group by changes.team, changes.deployed_on
