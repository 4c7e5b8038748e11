with reverts as (

    select
        service,
        deployment_key,
        deployed_at,
        reverts_commit_sha
    from {{ ref('int_changes') }}
    where reverts_commit_sha is not null

),

-- Few of all that was shipped, found by one key: a third of the time of a join by both.
undone as (

    select * from {{ ref('int_shipped_commits') }}
    where commit_sha in (select reverts.reverts_commit_sha from reverts)

),

reverted as (

    select distinct reverts.deployment_key
    from reverts
    inner join undone
        on
            reverts.service = undone.service
            and reverts.reverts_commit_sha = undone.commit_sha
            and (
                reverts.deployed_at > undone.deployed_at
                or (reverts.deployed_at = undone.deployed_at and reverts.deployment_key > undone.deployment_key)
            )

),

sizes as (

    select
        service,
        deployment_key,
        count(*) as changes,
        sum(lines_changed) as lines_changed
    from {{ ref('int_changes') }}
    group by service, deployment_key

),

usual_sizes as (

    select
        service,
        {{ percentile(0.5, 'changes') }} as median_changes
    from sizes
    group by service

)

select
    sizes.deployment_key,
    sizes.changes,
    sizes.lines_changed,
    sizes.changes >= {{ var('bulk_import_minimum_changes') }}
    and sizes.changes >= {{ var('bulk_import_median_multiple') }} * usual_sizes.median_changes as is_bulk_import,
    reverted.deployment_key is not null as is_remediation
from sizes
inner join usual_sizes on sizes.service = usual_sizes.service
left join reverted on sizes.deployment_key = reverted.deployment_key
