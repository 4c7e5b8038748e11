{# Delivery of one service, or of one team, in one day, week, month or quarter: the one definition behind all delivery
   tables. Counts are numerators and denominators, rates divide them at the end, medians come from event grain. A team
   has the events of the services that it owned on their day; events of no team are in no team's row. #}
{% macro delivery(period, by='service') %}

{%- set segments = ['commit_to_merge', 'merge_to_build', 'build_to_deploy'] -%}
{%- set intervals = ['alert_to_acknowledge', 'alert_to_mitigation', 'mitigation_to_resolution'] -%}
{%- set deployment_counts = [
    'deployments', 'frequency_deployments', 'deployment_days', 'rollbacks', 'redeploys', 'hotfixes',
    'unplanned_deployments', 'failed_attempts', 'failed_deployments', 'evidenced_failed_deployments',
    'recovered_deployments', 'shipping_deployments', 'lines_changed_deployments', 'verified_deployments'
] -%}
{%- set incident_counts = ['incidents', 'linked_incidents', 'resolved_incidents'] -%}
{%- set statistic = var('reported_duration_statistic') -%}
{%- set reported_frequency = {
    'deployments': 'frequency_deployments', 'deployment_days': 'deployment_days'
}[var('reported_frequency_unit')] -%}
{%- set reported_denominator = {
    'deployments': 'deployments',
    'frequency_deployments': 'frequency_deployments',
    'attempts': '(deployments + failed_attempts)'
}[var('reported_failure_denominator')] -%}
{%- set banded = {
    'deployment_frequency': 'deployments_per_day',
    'lead_time': 'lead_time_median_hours',
    'change_failure_rate': 'change_failure_rate',
    'recovery': 'recovery_median_hours'
} -%}
{%- set build_counts = ['builds', 'successful_builds', 'built_commits', 'flaky_builds'] -%}

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
        count(*) filter (where is_failed and verdict_attribution <> 'inferred') as evidenced_failed_deployments,
        count(recovery_hours) as recovered_deployments,
        {{ distribution('recovery', 'recovery_hours') }},
        count(*) filter (where changes > 0) as shipping_deployments,
        {{ percentile(0.5, 'nullif(changes, 0)') }} as changes_per_deployment_median,
        count(lines_changed) as lines_changed_deployments,
        {{ percentile(0.5, 'lines_changed') }} as lines_changed_per_deployment_median,
        count(deploy_to_success_hours) as verified_deployments,
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
        *,
        owner_name as {{ by }},
        first_day as {{ period }}
    from {{ ref('int_lead_times') }}
    where owner_kind = '{{ by }}' and period = '{{ period }}'

),

incidents as (

    select
        {{ by }},
        {{ period_start(period, 'started_on') }} as {{ period }},
        count(*) as incidents,
        count(deployment_key) as linked_incidents,
        {%- for interval in intervals %}
        count({{ interval }}_hours) as {{ interval }}_incidents,
        {{ distribution(interval, interval ~ '_hours') }},
        {%- endfor %}
        count(alert_to_resolution_hours) as resolved_incidents,
        {{ distribution('mttr', 'alert_to_resolution_hours') }}
    from {{ ref('fct_incidents') }}
    where not is_false_positive and not is_merged
    group by all

),

builds as (

    select
        {{ by }},
        {{ period_start(period, 'built_on') }} as {{ period }},
        count(*) as builds,
        count(build_minutes) as successful_builds,
        {{ percentile(0.5, 'build_minutes') }} as build_median_minutes,
        {{ percentile(0.9, 'build_minutes') }} as build_p90_minutes,
        count(*) filter (where is_first_success) as built_commits,
        count(*) filter (where is_first_success and is_flaky) as flaky_builds
    {%- if by == 'team' %}
    -- One repository may be built for several services of a team.
    from (
        select distinct team, built_on, build_key, build_minutes, is_first_success, is_flaky
        from {{ ref('int_builds') }}
    ) as built
    {%- else %}
    from {{ ref('int_builds') }}
    {%- endif %}
    group by all

),

experience as (

    select
        {{ by }},
        {{ period_start(period, 'day') }} as {{ period }},
        {{ exact_sum('page_views') }} as lcp_page_views,
        {{ exact_sum('good_page_views') }} as good_lcp_page_views
    from {{ ref('web_vitals_daily') }}
    where metric_name = 'LCP' and route = 'all' and release = 'all' and device_class = 'all'
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
        on periods.{{ by }} = deployments.{{ by }} and periods.{{ period }} = deployments.{{ period }}
    left join changes
        on periods.{{ by }} = changes.{{ by }} and periods.{{ period }} = changes.{{ period }}
    left join incidents
        on periods.{{ by }} = incidents.{{ by }} and periods.{{ period }} = incidents.{{ period }}
    left join builds
        on periods.{{ by }} = builds.{{ by }} and periods.{{ period }} = builds.{{ period }}
    left join experience
        on periods.{{ by }} = experience.{{ by }} and periods.{{ period }} = experience.{{ period }}
    {%- if by == 'service' %}
    left join {{ ref('dim_services') }} as services
        on
            periods.service = services.service
            and periods.last_day >= services.valid_from
            and periods.last_day < services.valid_to
    {%- endif %}

),

{%- set is_judged = period != 'day' -%}
{%- set is_banded = period in ('month', 'quarter') %}
figures as (

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
        {{ rate('rework_rate', 'unplanned_deployments', 'deployments') }},
        failed_attempts,

        changes,
        shipping_deployments,
        changes_per_deployment_median,
        lines_changed_deployments,
        lines_changed_per_deployment_median,
        lead_time_changes,
        lead_time_median_hours,
        lead_time_p90_hours,
        lead_time_mean_hours,
        covered_changes,
        {{ ratio('covered_changes', 'changes') }} as lead_time_coverage_rate,
        {%- for segment in segments %}
        {{ segment }}_changes,
        {{ segment }}_median_hours,
        {%- endfor %}
        verified_deployments,
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
        {{ rate('change_failure_rate', 'failed_deployments', 'deployments') }},
        evidenced_failed_deployments,
        {{ rate('evidenced_change_failure_rate', 'evidenced_failed_deployments', 'deployments') }},
        recovered_deployments,
        recovery_median_hours,
        recovery_p90_hours,
        recovery_mean_hours,

        incidents,
        linked_incidents,
        {{ rate('linked_incident_rate', 'linked_incidents', 'incidents') }},
        {%- for interval in intervals %}
        {{ interval }}_incidents,
        {{ interval }}_median_hours,
        {{ interval }}_p90_hours,
        {{ interval }}_mean_hours,
        {%- endfor %}
        resolved_incidents,
        mttr_hours,
        mttr_median_hours,
        mttr_p90_hours,

        builds,
        successful_builds,
        build_median_minutes,
        build_p90_minutes,
        built_commits,
        flaky_builds,
        {{ rate('flaky_build_rate', 'flaky_builds', 'built_commits') }},

        lcp_page_views,
        good_lcp_page_views,
        {{ ratio('good_lcp_page_views', 'lcp_page_views') }} as good_lcp_rate,

        '{{ var("profile") }}' as reported_profile,
        {{ ratio(reported_frequency, 'calendar_days') }} as reported_deployments_per_day,
        lead_time_{{ statistic }}_hours as reported_lead_time_hours,
        {{ ratio(var('reported_failure_numerator'), reported_denominator) }} as reported_change_failure_rate,
        recovery_{{ statistic }}_hours as reported_recovery_hours
    from joined

)
{%- if is_judged %},

trends as (

    {{ trends('figures', period, by) }}

),

verdicts as (

    select
        {{ by }},
        {{ period }},
        {%- for each in trend_metrics() %}
        max(case when metric = '{{ each.metric }}' then verdict end) as {{ each.name }}_trend{{ ',' if not loop.last }}
        {%- endfor %}
    from trends
    group by all

)
{%- endif %}
{%- if is_banded %},

bands as (

    select
        figures.{{ by }},
        figures.{{ period }},
        {%- for name, value in banded.items() %}
        {{ dora_band(name, 'figures.' ~ value) }} as {{ name }}_dora_band{{ ',' if not loop.last }}
        {%- endfor %}
    from figures
    left join {{ ref('dora_bands') }} as dora on dora.report_year = {{ var('dora_report_year') }}
    group by all

)
{%- endif %}

select
    figures.*
    {%- if is_judged %},
    {%- for each in trend_metrics() %}
    verdicts.{{ each.name }}_trend{{ ',' if not loop.last }}
    {%- endfor %}
    {%- endif %}
    {%- if is_banded %},
    cast({{ var('dora_report_year') }} as bigint) as dora_report_year,
    {%- for name in banded %}
    bands.{{ name }}_dora_band{{ ',' if not loop.last }}
    {%- endfor %}
    {%- endif %}
from figures
{%- if is_judged %}
left join verdicts on figures.{{ by }} = verdicts.{{ by }} and figures.{{ period }} = verdicts.{{ period }}
{%- endif %}
{%- if is_banded %}
left join bands on figures.{{ by }} = bands.{{ by }} and figures.{{ period }} = bands.{{ period }}
{%- endif %}

{%- endmacro %}


{# Median, p90 and mean of a duration in hours. #}
{% macro distribution(name, hours) -%}
    {{ percentile(0.5, hours) }} as {{ name }}_median_hours,
        {{ percentile(0.9, hours) }} as {{ name }}_p90_hours,
        {{ ratio(exact_sum(hours), 'count(' ~ hours ~ ')') }} as {{ name }}_mean_hours
{%- endmacro %}


{# A rate with its Wilson 95 % interval. #}
{% macro rate(name, hits, n) -%}
    {{ ratio(hits, n) }} as {{ name }},
    {{ wilson_low(hits, n) }} as {{ name }}_low,
    {{ wilson_high(hits, n) }} as {{ name }}_high
{%- endmacro %}


{# The bands that a value fits into, best first; NULL if none. #}
{% macro dora_band(name, value) -%}
    nullif(concat_ws(
        ' or ',
        {%- for band in ['elite', 'high', 'medium', 'low'] %}
        max(case
            when
                dora.metric = '{{ name if name != "recovery" else "recovery_time" }}'
                and dora.band = '{{ band }}'
                and {{ value }} >= coalesce(dora.lowest, {{ value }})
                and not coalesce({{ value }} >= dora.highest, false)
                then dora.band
        end){{ ',' if not loop.last }}
        {%- endfor %}
    ), '')
{%- endmacro %}


{# Owners and periods of the delivery tables. #}
{% macro delivery_groupings() -%}
    {{ return([
        ('service', 'day'), ('service', 'week'), ('service', 'month'), ('service', 'quarter'),
        ('team', 'month'), ('team', 'quarter')
    ]) }}
{%- endmacro %}
