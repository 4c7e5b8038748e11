{{ touched_rows('int_touched_deployments', ['deployment_key']) }}

{#- Without a known relation between commits, a commit is a version like any other name of one. -#}
{%- set deployed_version = 'coalesce(commit_sha, version, deployment_key)' %}

with ended as (

    select
        deployments.deployment_key,
        deployments.source,
        deployments.deployment_id,
        deployments.service,
        deployments.commit_sha,
        deployments.version,
        deployments.trigger,
        deployments.commit_relation,
        deployments.is_marked_rollback,
        deployments.is_hotfix,
        deployments.repairs_deployment_key,
        deployments.started_at,
        coalesce(outcomes.status, deployments.status) as status,
        coalesce(outcomes.finished_at, deployments.finished_at) as finished_at
    from {{ ref('stg_deployments') }} as deployments
    left join {{ ref('int_deployment_outcomes') }} as outcomes
        on deployments.deployment_key = outcomes.deployment_key
    where deployments.environment = 'production' and {{ is_touched('deployments') }}

),

attempts as (

    select
        *,
        {{ deployed_version }} as deployed_version,
        {{ day_of('coalesce(finished_at, started_at)') }} as deployed_on,
        status = 'success' as is_success,
        status in ('failure', 'cancelled') as is_failed_attempt
    from ended

),

-- What an update leaves as it stands: all that ended before what is made anew.
settled as (

    {% if is_incremental() -%}
    select
        deployment_key,
        service,
        {{ deployed_version }} as deployed_version,
        finished_at,
        production_sequence,
        is_rollback,
        is_hotfix
    from {{ this }}
    where is_success and not {{ is_touched() }}
    {%- else -%}
    {{ no_rows({
        'deployment_key': 'string',
        'service': 'string',
        'deployed_version': 'string',
        'finished_at': 'timestamp',
        'production_sequence': 'bigint',
        'is_rollback': 'boolean',
        'is_hotfix': 'boolean'
    }) }}
    {%- endif %}

),

latest_settled as (

    select
        service,
        max(production_sequence) as production_sequence,
        max_by(deployment_key, production_sequence) as deployment_key,
        max_by(deployed_version, production_sequence) as deployed_version,
        max(case when not is_rollback and not is_hotfix then production_sequence end) as planned_sequence
    from settled
    group by service

),

-- Only a success has a place in the sequence.
in_sequence as (

    select
        attempts.*,
        latest_settled.planned_sequence as settled_planned_sequence,
        case
            when attempts.is_success
                then coalesce(latest_settled.production_sequence, 0) + row_number() over service_line
        end as production_sequence,
        case
            when attempts.is_success
                then coalesce(lag(attempts.deployment_key) over service_line, latest_settled.deployment_key)
        end as replaced_deployment_key,
        case
            when attempts.is_success
                then coalesce(lag(attempts.deployed_version) over service_line, latest_settled.deployed_version)
        end as replaced_version
    from attempts
    left join latest_settled on attempts.service = latest_settled.service
    window service_line as (
        partition by attempts.service, attempts.is_success
        order by attempts.finished_at, attempts.deployment_key
    )

),

first_runs as (

    select
        service,
        deployed_version,
        min(production_sequence) as production_sequence
    from (
        select
            service,
            deployed_version,
            production_sequence
        from in_sequence
        union all
        select
            service,
            deployed_version,
            production_sequence
        from settled
    ) as runs
    group by service, deployed_version

),

compared as (

    select
        in_sequence.*,
        case
            when in_sequence.replaced_deployment_key is null then 'new'
            when in_sequence.commit_relation is not null then in_sequence.commit_relation
            when in_sequence.deployed_version = in_sequence.replaced_version then 'same'
            when in_sequence.production_sequence > first_runs.production_sequence then 'earlier'
            else 'new'
        end as relation
    from in_sequence
    left join first_runs
        on
            in_sequence.service = first_runs.service
            and in_sequence.deployed_version = first_runs.deployed_version

),

classified as (

    select
        *,
        is_success and production_sequence = 1 as is_first_on_record,
        is_success and relation = 'same' as is_redeploy,
        is_success and (
            relation in ('ancestor', 'earlier') or (is_marked_rollback and relation <> 'same')
        ) as is_rollback
    from compared

),

successes as (

    select
        deployment_key,
        service,
        deployed_version,
        finished_at,
        production_sequence,
        is_rollback,
        is_hotfix
    from classified
    where is_success
    union all
    select * from settled

),

rollbacks as (

    {% if var('rollback_blames') == 'first_after_restored' -%}
    select
        rollbacks.deployment_key,
        rollbacks.service,
        -- least() passes over a version that never ran before.
        least(max(restored.production_sequence) + 1, rollbacks.production_sequence - 1) as undone_sequence
    from classified as rollbacks
    left join successes as restored
        on
            rollbacks.service = restored.service
            and rollbacks.deployed_version = restored.deployed_version
            and rollbacks.production_sequence > restored.production_sequence
    where rollbacks.is_rollback
    group by rollbacks.deployment_key, rollbacks.service, rollbacks.production_sequence
    {%- else -%}
    select
        deployment_key,
        service,
        production_sequence - 1 as undone_sequence
    from classified
    where is_rollback
    {%- endif %}

),

-- The deployment that brought in what ran: where that was restored by a rollback, an earlier one of the same version.
undone as (

    select
        rollbacks.deployment_key,
        max(brought_in.production_sequence) as production_sequence
    from rollbacks
    inner join successes as replaced
        on
            rollbacks.service = replaced.service
            and rollbacks.undone_sequence = replaced.production_sequence
    inner join successes as brought_in
        on
            replaced.service = brought_in.service
            and replaced.deployed_version = brought_in.deployed_version
            and replaced.production_sequence >= brought_in.production_sequence
    where not brought_in.is_rollback
    group by rollbacks.deployment_key

),

planned as (

    select
        deployment_key,
        is_hotfix and not is_rollback as is_blaming,
        coalesce(
            max(case when not is_rollback and not is_hotfix then production_sequence end) over (
                partition by service
                order by production_sequence
                rows between unbounded preceding and 1 preceding
            ),
            settled_planned_sequence
        ) as latest_sequence
    from classified
    where is_success

),

blaming as (

    select
        classified.*,
        coalesce(undone.production_sequence, planned.latest_sequence) as blamed_sequence
    from classified
    left join undone on classified.deployment_key = undone.deployment_key
    left join planned on classified.deployment_key = planned.deployment_key and planned.is_blaming

)

select
    blaming.deployment_key,
    blaming.source,
    blaming.deployment_id,
    blaming.service,
    blaming.status,
    blaming.started_at,
    blaming.finished_at,
    blaming.deployed_on,
    blaming.commit_sha,
    blaming.version,
    blaming.trigger,
    blaming.is_success,
    blaming.is_failed_attempt,
    blaming.production_sequence,
    blaming.replaced_deployment_key,
    blaming.is_first_on_record,
    blaming.is_redeploy,
    blaming.is_rollback,
    blaming.is_success and blaming.relation = 'returned' and not blaming.is_rollback as is_return_to_earlier,
    blaming.is_success and blaming.is_hotfix as is_hotfix,
    blaming.is_success and named.deployment_key is not null as is_repair,
    case
        when blaming.is_rollback then blamed.deployment_key
        when blaming.is_success and blaming.is_hotfix and named.deployment_key is not null then named.deployment_key
        when
            {{ hours_between('blamed.finished_at', 'blaming.finished_at') }}
            <= 24 * {{ var('hotfix_blame_window_days') }}
            then blamed.deployment_key
    end as blamed_deployment_key,
    case
        when blaming.is_rollback then blaming.is_marked_rollback
        else blaming.is_hotfix and named.deployment_key is not null
    end as is_blame_explicit
from blaming
left join successes as blamed
    on
        blaming.service = blamed.service
        and blaming.blamed_sequence = blamed.production_sequence
-- What a hotfix or another repair names itself.
left join successes as named
    on
        blaming.repairs_deployment_key = named.deployment_key
        and blaming.service = named.service
        and blaming.production_sequence > named.production_sequence
