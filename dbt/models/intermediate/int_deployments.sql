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
    where deployments.environment = 'production'

),

attempts as (

    select
        *,
        -- Without a known relation between commits, a commit is a version like any other name of one.
        coalesce(commit_sha, version, deployment_key) as deployed_version,
        {{ day_of('coalesce(finished_at, started_at)') }} as deployed_on,
        status = 'success' as is_success,
        status in ('failure', 'cancelled') as is_failed_attempt
    from ended

),

in_sequence as (

    select
        deployment_key,
        row_number() over service_line as production_sequence,
        lag(deployment_key) over service_line as replaced_deployment_key,
        lag(deployed_version) over service_line as replaced_version,
        row_number() over (
            partition by service, deployed_version order by finished_at, deployment_key
        ) > 1 as is_version_seen_before
    from attempts
    where is_success
    window service_line as (partition by service order by finished_at, deployment_key)

),

compared as (

    select
        attempts.*,
        in_sequence.production_sequence,
        in_sequence.replaced_deployment_key,
        case
            when in_sequence.replaced_deployment_key is null then 'new'
            when attempts.commit_relation is not null then attempts.commit_relation
            when attempts.deployed_version = in_sequence.replaced_version then 'same'
            when in_sequence.is_version_seen_before then 'earlier'
            else 'new'
        end as relation
    from attempts
    left join in_sequence on attempts.deployment_key = in_sequence.deployment_key

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

sequenced as (

    select
        *,
        -- The deployment that brought in what runs: for a rollback, the earlier one of the version that it restored.
        max(case when is_success and not is_rollback then production_sequence end) over (
            partition by service, deployed_version
            order by production_sequence
            rows between unbounded preceding and current row
        ) as brought_in_by_sequence,
        lag(production_sequence) over (
            partition by service, deployed_version order by production_sequence
        ) as last_run_by_sequence,
        max(case when is_success and not is_rollback and not is_hotfix then production_sequence end) over (
            partition by service, is_success
            order by production_sequence
            rows between unbounded preceding and 1 preceding
        ) as latest_planned_sequence
    from classified

),

blaming as (

    select
        sequenced.*,
        case
            when sequenced.is_rollback then undone.brought_in_by_sequence
            when sequenced.is_success and sequenced.is_hotfix then sequenced.latest_planned_sequence
        end as blamed_sequence
    from sequenced
    left join sequenced as undone
        on
            sequenced.service = undone.service
            {% if var('rollback_blames') == 'first_after_restored' -%}
            -- least() passes over a version that never ran before.
            and undone.production_sequence
            = least(sequenced.last_run_by_sequence + 1, sequenced.production_sequence - 1)
            {%- else -%}
            and undone.production_sequence = sequenced.production_sequence - 1
            {%- endif %}

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
left join blaming as blamed
    on
        blaming.service = blamed.service
        and blaming.blamed_sequence = blamed.production_sequence
-- What a hotfix or another repair names itself.
left join blaming as named
    on
        blaming.repairs_deployment_key = named.deployment_key
        and blaming.service = named.service
        and blaming.production_sequence > named.production_sequence
