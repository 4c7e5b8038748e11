{%- set keys = delivery_keys() -%}
{%- set segments = ['commit_to_merge', 'merge_to_build', 'build_to_deploy'] -%}
{%- set intervals = ['alert_to_acknowledge', 'alert_to_mitigation', 'mitigation_to_resolution'] -%}
{%- set deployment_counts = [
    'deployments', 'frequency_deployments', 'deployment_days', 'rollbacks', 'redeploys', 'hotfixes',
    'unplanned_deployments', 'failed_attempts', 'failed_deployments', 'evidenced_failed_deployments',
    'recovered_deployments', 'shipping_deployments', 'lines_changed_deployments', 'verified_deployments'
] -%}
{%- set incident_counts = ['incidents', 'linked_incidents', 'resolved_incidents'] -%}
{%- set build_counts = ['builds', 'successful_builds', 'built_commits', 'flaky_builds'] -%}
{%- set is_frequent = var('frequency_counts_rollbacks_and_redeploys') and 'true' or
    'not is_rollback and not is_redeploy' -%}

{{ touched_rows('int_touched_delivery', keys) }}

with periods as (

    select * from {{ ref('int_periods') }}
    where {{ is_touched() }}

),

each_deployment as (
    {{ in_each_period(ref('fct_deployments'), 'deployed_on') }}
),

deployments as (

    select
        {{ keys | join(', ') }},
        count(*) filter (where is_success) as deployments,
        count(*) filter (where is_success and {{ is_frequent }}) as frequency_deployments,
        count(distinct deployed_on) filter (where is_success and {{ is_frequent }}) as deployment_days,
        count(*) filter (where is_rollback) as rollbacks,
        count(*) filter (where is_redeploy) as redeploys,
        count(*) filter (where is_hotfix) as hotfixes,
        count(*) filter (where is_unplanned) as unplanned_deployments,
        count(*) filter (where is_failed_attempt) as failed_attempts,
        count(*) filter (where is_failed) as failed_deployments,
        count(*) filter (where is_failed and verdict_attribution <> 'inferred') as evidenced_failed_deployments,
        count(recovery_hours) as recovered_deployments,
        {{ distribution('recovery', 'recovery_hours') }},
        count(*) filter (where changes > 0) as shipping_deployments,
        {{ percentile(0.5, 'nullif(changes, 0)') }} as changes_per_deployment_median,
        count(lines_changed) as lines_changed_deployments,
        {{ percentile(0.5, 'lines_changed') }} as lines_changed_per_deployment_median,
        count(deploy_to_success_hours) as verified_deployments,
        {{ percentile(0.5, 'deploy_to_success_hours') }} as deploy_to_success_median_hours
    from each_deployment
    group by {{ keys | join(', ') }}

),

each_incident as (
    {{ in_each_period(ref('fct_incidents'), 'started_on') }}
),

incidents as (

    select
        {{ keys | join(', ') }},
        count(*) as incidents,
        count(deployment_key) as linked_incidents,
        {%- for interval in intervals %}
        count({{ interval }}_hours) as {{ interval }}_incidents,
        {{ distribution(interval, interval ~ '_hours') }},
        {%- endfor %}
        count(alert_to_resolution_hours) as resolved_incidents,
        {{ distribution('mttr', 'alert_to_resolution_hours') }}
    from each_incident
    where not is_false_positive and not is_merged
    group by {{ keys | join(', ') }}

),

each_build as (

    select
        {{ keys | join(', ') }},
        build_minutes,
        is_first_success,
        is_flaky
    from ({{ in_each_period(ref('int_builds'), 'built_on', owner='service') }}) as of_services
    union all
    -- One repository may be built for several services of a team.
    select
        {{ keys | join(', ') }},
        build_minutes,
        is_first_success,
        is_flaky
    from (
        select distinct
            {{ keys | join(', ') }},
            build_key,
            build_minutes,
            is_first_success,
            is_flaky
        from ({{ in_each_period(ref('int_builds'), 'built_on', owner='team') }}) as of_services_of_teams
    ) as of_teams

),

builds as (

    select
        {{ keys | join(', ') }},
        count(*) as builds,
        count(build_minutes) as successful_builds,
        {{ percentile(0.5, 'build_minutes') }} as build_median_minutes,
        {{ percentile(0.9, 'build_minutes') }} as build_p90_minutes,
        count(*) filter (where is_first_success) as built_commits,
        count(*) filter (where is_first_success and is_flaky) as flaky_builds
    from each_build
    group by {{ keys | join(', ') }}

),

each_page_view as (
    {{ in_each_period(ref('web_vitals_daily'), 'day') }}
),

experience as (

    select
        {{ keys | join(', ') }},
        {{ exact_sum('page_views') }} as lcp_page_views,
        {{ exact_sum('good_page_views') }} as good_lcp_page_views
    from each_page_view
    where metric_name = 'LCP' and route = 'all' and release = 'all' and device_class = 'all'
    group by {{ keys | join(', ') }}

)

select
    periods.owner_kind,
    periods.owner_name,
    periods.period,
    periods.first_day,
    periods.last_day,
    periods.is_complete,
    periods.is_provisional,
    greatest({{ days_between('periods.first_day', 'periods.last_day') }} + 1, 0) as calendar_days,
    {%- for count in deployment_counts %}
    coalesce(deployments.{{ count }}, 0) as {{ count }},
    {%- endfor %}
    deployments.recovery_median_hours,
    deployments.recovery_p90_hours,
    deployments.recovery_mean_hours,
    deployments.changes_per_deployment_median,
    deployments.lines_changed_per_deployment_median,
    deployments.deploy_to_success_median_hours,
    coalesce(changes.changes, 0) as changes,
    coalesce(changes.lead_time_changes, 0) as lead_time_changes,
    coalesce(changes.covered_changes, 0) as covered_changes,
    coalesce(changes.fully_covered_changes, 0) as fully_covered_changes,
    changes.lead_time_median_hours,
    changes.lead_time_p90_hours,
    changes.lead_time_mean_hours,
    {%- for segment in segments %}
    coalesce(changes.{{ segment }}_changes, 0) as {{ segment }}_changes,
    changes.{{ segment }}_median_hours,
    changes.{{ segment }}_total_hours,
    {%- endfor %}
    greatest(
        {%- for segment in segments %}
        changes.{{ segment }}_total_hours{{ ',' if not loop.last }}
        {%- endfor %}
    ) as slowest_total_hours,
    {%- for count in incident_counts %}
    coalesce(incidents.{{ count }}, 0) as {{ count }},
    {%- endfor %}
    {%- for interval in intervals %}
    coalesce(incidents.{{ interval }}_incidents, 0) as {{ interval }}_incidents,
    incidents.{{ interval }}_median_hours,
    incidents.{{ interval }}_p90_hours,
    incidents.{{ interval }}_mean_hours,
    {%- endfor %}
    incidents.mttr_mean_hours as mttr_hours,
    incidents.mttr_median_hours,
    incidents.mttr_p90_hours,
    {%- for count in build_counts %}
    coalesce(builds.{{ count }}, 0) as {{ count }},
    {%- endfor %}
    builds.build_median_minutes,
    builds.build_p90_minutes,
    coalesce(experience.lcp_page_views, 0) as lcp_page_views,
    coalesce(experience.good_lcp_page_views, 0) as good_lcp_page_views
from periods
left join deployments
    on
        periods.owner_kind = deployments.owner_kind
        and periods.owner_name = deployments.owner_name
        and periods.period = deployments.period
        and periods.first_day = deployments.first_day
left join incidents
    on
        periods.owner_kind = incidents.owner_kind
        and periods.owner_name = incidents.owner_name
        and periods.period = incidents.period
        and periods.first_day = incidents.first_day
left join builds
    on
        periods.owner_kind = builds.owner_kind
        and periods.owner_name = builds.owner_name
        and periods.period = builds.period
        and periods.first_day = builds.first_day
left join experience
    on
        periods.owner_kind = experience.owner_kind
        and periods.owner_name = experience.owner_name
        and periods.period = experience.period
        and periods.first_day = experience.first_day
left join {{ ref('int_lead_times') }} as changes
    on
        periods.owner_kind = changes.owner_kind
        and periods.owner_name = changes.owner_name
        and periods.period = changes.period
        and periods.first_day = changes.first_day
