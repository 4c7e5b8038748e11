{# Delivery of one service, or of one team, in one day, week, month or quarter: the one definition behind all delivery
   tables. Counts are numerators and denominators, rates divide them at the end, medians come from event grain. A team
   has the events of the services that it owned on their day; events of no team are in no team's row. #}
{% macro delivery(period, by='service') %}

{%- set segments = ['commit_to_merge', 'merge_to_build', 'build_to_deploy'] -%}

with as_of as (

    select
        {{ local_time('as_of') }} as local_as_of,
        {{ day_of('as_of') }} as as_of_day
    from {{ ref('int_as_of') }}

),

starts as (

    select distinct
        {{ by }},
        {{ period_start(period, 'day') }} as {{ period }}
    from {{ ref('int_' ~ by ~ '_days') }}

),

periods as (

    select
        starts.{{ by }},
        starts.{{ period }},
        cast(
            least({{ period_end(period, 'starts.' ~ period) }} - interval 1 day, as_of.as_of_day) as date
        ) as last_day,
        {{ period_end(period, 'starts.' ~ period) }} <= as_of.as_of_day as is_complete,
        {{ hours_between('cast(' ~ period_end(period, 'starts.' ~ period) ~ ' as timestamp)', 'as_of.local_as_of') }}
        < {{ failure_window_hours() }} as is_provisional
    from starts
    cross join as_of

),

deployments as (

    select
        {{ by }},
        {{ period_start(period, 'deployed_on') }} as {{ period }},
        count(*) filter (where is_success) as deployments,
        count(*) filter (where is_success and is_counted) as frequency_deployments,
        count(distinct deployed_on) filter (where is_success and is_counted) as deployment_days,
        count(*) filter (where is_rollback) as rollbacks,
        count(*) filter (where is_redeploy) as redeploys,
        count(*) filter (where is_hotfix) as hotfixes,
        count(*) filter (where is_unplanned) as unplanned_deployments,
        count(*) filter (where is_failed_attempt) as failed_attempts,
        count(*) filter (where is_failed) as failed_deployments,
        count(recovery_hours) as recovered_deployments,
        {{ percentile(0.5, 'recovery_hours') }} as recovery_median_hours,
        count(*) filter (where changes > 0) as shipping_deployments,
        {{ percentile(0.5, 'nullif(changes, 0)') }} as changes_per_deployment_median,
        count(deploy_to_success_hours) as deploy_to_success_deployments,
        {{ percentile(0.5, 'deploy_to_success_hours') }} as deploy_to_success_median_hours
    from (
        select
            *,
            {% if var('frequency_counts_rollbacks_and_redeploys') -%}
            true as is_counted
            {%- else -%}
            not is_rollback and not is_redeploy as is_counted
            {%- endif %}
        from {{ ref('fct_deployments') }}
    ) as attempts
    group by all

),

changes as (

    select
        {{ by }},
        {{ period_start(period, 'deployed_on') }} as {{ period }},
        count(*) as changes,
        count(lead_time_hours) as lead_time_changes,
        count(lead_time_hours) filter (where start_basis <> 'squash_only') as covered_changes,
        {{ percentile(0.5, 'lead_time_hours') }} as lead_time_median_hours,
        {{ percentile(0.9, 'lead_time_hours') }} as lead_time_p90_hours,
        {%- for segment in segments %}
        count({{ segment }}_hours) as {{ segment }}_changes,
        {{ percentile(0.5, segment ~ '_hours') }} as {{ segment }}_median_hours,
        {{ exact_sum('case when is_fully_covered then ' ~ segment ~ '_hours end') }} as {{ segment }}_total_hours,
        {%- endfor %}
        count(*) filter (where is_fully_covered) as fully_covered_changes
    from (
        select
            *,
            commit_to_merge_hours + merge_to_build_hours + build_to_deploy_hours is not null as is_fully_covered
        from {{ ref('fct_changes') }}
    ) as shipped
    group by all

),

incidents as (

    select
        {{ by }},
        {{ period_start(period, 'started_on') }} as {{ period }},
        count(*) as incidents,
        count(deployment_key) as linked_incidents,
        count(alert_to_resolution_hours) as resolved_incidents,
        {{ ratio(exact_sum('alert_to_resolution_hours'), 'count(alert_to_resolution_hours)') }} as mttr_hours
    from {{ ref('fct_incidents') }}
    where not is_false_positive and not is_merged
    group by all

),

joined as (

    select
        periods.{{ period }},
        {% if by == 'service' -%}
        services.team,
        services.component_kind,
        {% endif -%}
        periods.{{ by }},
        periods.is_complete,
        periods.is_provisional,
        greatest({{ days_between('periods.' ~ period, 'periods.last_day') }} + 1, 0) as calendar_days,
        {%- for count in [
            'deployments', 'frequency_deployments', 'deployment_days', 'rollbacks', 'redeploys', 'hotfixes',
            'unplanned_deployments', 'failed_attempts', 'failed_deployments', 'recovered_deployments',
            'shipping_deployments', 'deploy_to_success_deployments'
        ] %}
        coalesce(deployments.{{ count }}, 0) as {{ count }},
        {%- endfor %}
        deployments.recovery_median_hours,
        deployments.changes_per_deployment_median,
        deployments.deploy_to_success_median_hours,
        coalesce(changes.changes, 0) as changes,
        coalesce(changes.lead_time_changes, 0) as lead_time_changes,
        coalesce(changes.covered_changes, 0) as covered_changes,
        coalesce(changes.fully_covered_changes, 0) as fully_covered_changes,
        changes.lead_time_median_hours,
        changes.lead_time_p90_hours,
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
        coalesce(incidents.incidents, 0) as incidents,
        coalesce(incidents.linked_incidents, 0) as linked_incidents,
        coalesce(incidents.resolved_incidents, 0) as resolved_incidents,
        incidents.mttr_hours
    from periods
    left join deployments
        on periods.{{ by }} = deployments.{{ by }} and periods.{{ period }} = deployments.{{ period }}
    left join changes
        on periods.{{ by }} = changes.{{ by }} and periods.{{ period }} = changes.{{ period }}
    left join incidents
        on periods.{{ by }} = incidents.{{ by }} and periods.{{ period }} = incidents.{{ period }}
    {%- if by == 'service' %}
    left join {{ ref('dim_services') }} as services
        on
            periods.service = services.service
            and periods.last_day >= services.valid_from
            and periods.last_day < services.valid_to
    {%- endif %}

)

select
    {{ period }},
    team,
    {% if by == 'service' -%}
    service,
    component_kind,
    {% endif -%}
    is_complete,
    is_provisional,
    cast(calendar_days as bigint) as calendar_days,

    deployments,
    frequency_deployments,
    {{ ratio('frequency_deployments', 'calendar_days') }} as deployments_per_day,
    deployment_days,
    rollbacks,
    redeploys,
    hotfixes,
    unplanned_deployments,
    {{ ratio('unplanned_deployments', 'deployments') }} as rework_rate,
    failed_attempts,

    changes,
    shipping_deployments,
    changes_per_deployment_median,
    lead_time_changes,
    lead_time_median_hours,
    lead_time_p90_hours,
    covered_changes,
    {{ ratio('covered_changes', 'changes') }} as lead_time_coverage_rate,
    {%- for segment in segments %}
    {{ segment }}_changes,
    {{ segment }}_median_hours,
    {%- endfor %}
    deploy_to_success_deployments,
    deploy_to_success_median_hours,
    fully_covered_changes,
    {%- for segment in segments %}
    {{ segment }}_total_hours,
    {%- endfor %}
    case
        {%- for segment in segments %}
        when slowest_total_hours = {{ segment }}_total_hours then '{{ segment }}'
        {%- endfor %}
    end as slowest_segment,
    {{ ratio('slowest_total_hours', '(' ~ segments | join('_total_hours + ') ~ '_total_hours)') }}
    as slowest_segment_share,

    failed_deployments,
    {{ ratio('failed_deployments', 'deployments') }} as change_failure_rate,
    {{ wilson_low('failed_deployments', 'deployments') }} as change_failure_rate_low,
    {{ wilson_high('failed_deployments', 'deployments') }} as change_failure_rate_high,
    recovered_deployments,
    recovery_median_hours,

    incidents,
    linked_incidents,
    resolved_incidents,
    mttr_hours
from joined

{%- endmacro %}
