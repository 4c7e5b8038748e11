{# Delivery of one service, or of one team, in one day, week, month or quarter: the one definition behind all delivery
   tables. Counts are numerators and denominators, rates divide them at the end, medians come from event grain. A team
   has the events of the services that it owned on their day; events of no team are in no team's row. #}
{% macro delivery(period, by='service') %}

{%- set segments = ['commit_to_merge', 'merge_to_build', 'build_to_deploy'] -%}
{%- set intervals = ['alert_to_acknowledge', 'alert_to_mitigation', 'mitigation_to_resolution'] -%}
{%- set statistic = var('reported_duration_statistic') -%}
{%- set reported_frequency = {
    'deployments': 'frequency_deployments', 'deployment_days': 'deployment_days'
}[var('reported_frequency_unit')] -%}
{%- set reported_denominator = {
    'deployments': 'deployments',
    'frequency_deployments': 'frequency_deployments',
    'attempts': '(deployments + failed_attempts)'
}[var('reported_failure_denominator')] -%}
{%- set is_judged = period != 'day' -%}
{%- set is_banded = period in ('month', 'quarter') -%}
{%- set banded = {
    'deployment_frequency': 'deployments_per_day',
    'lead_time': 'lead_time_median_hours',
    'change_failure_rate': 'change_failure_rate',
    'recovery': 'recovery_median_hours'
} -%}

with periods as (

    select
        *,
        owner_name as {{ by }},
        first_day as {{ period }}
    from {{ ref('int_delivery') }}
    where owner_kind = '{{ by }}' and period = '{{ period }}'

),

owned as (

    select
        periods.*
        {%- if by == 'service' %},
        services.team,
        services.component_kind
        {%- endif %}
    from periods
    {%- if by == 'service' %}
    left join {{ ref('dim_services') }} as services
        on
            periods.service = services.service
            and periods.last_day >= services.valid_from
            and periods.last_day < services.valid_to
    {%- endif %}
    where {{ is_touched('periods') }}

),

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
    from owned

)
{%- if is_judged %},

verdicts as (

    select
        owner_name as {{ by }},
        first_day as {{ period }},
        {%- for each in trend_metrics() %}
        max(case when metric = '{{ each.metric }}' then verdict end) as {{ each.name }}_trend{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_delivery_trends') }}
    where owner_kind = '{{ by }}' and period = '{{ period }}'
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


{# Every change shipped, in an update those of touched periods, with what of its lead time counts: that of each commit; or
   that of its pull request, which ships with the last of its commits and starts with the first of them. #}
{% macro changes_with_lead_time() -%}
    {%- if var('lead_time_unit') == 'pull_request' %}
    with pull_requests as (

        select
            *,
            min(started_at) over (
                partition by service, source, repository, pull_request_number
            ) as first_started_at,
            max(commit_to_merge_hours) over (
                partition by service, source, repository, pull_request_number
            ) as longest_commit_to_merge_hours
        from {{ ref('fct_changes') }}
        where pull_request_number is not null
        qualify row_number() over (
            partition by service, source, repository, pull_request_number order by deployed_at desc, commit_sha
        ) = 1

    )

    select
        service,
        team,
        deployed_on,
        start_basis,
        case when not is_bulk_import then {{ span_hours('first_started_at', 'deployed_at') }} end as lead_time_hours,
        longest_commit_to_merge_hours as commit_to_merge_hours,
        merge_to_build_hours,
        build_to_deploy_hours
    from pull_requests
    union all
    select
        service,
        team,
        deployed_on,
        start_basis,
        null as lead_time_hours,
        null as commit_to_merge_hours,
        null as merge_to_build_hours,
        null as build_to_deploy_hours
    from {{ ref('fct_changes') }}
    where pull_request_number is null
    {%- else %}
    select
        service,
        team,
        deployed_on,
        start_basis,
        lead_time_hours,
        commit_to_merge_hours,
        merge_to_build_hours,
        build_to_deploy_hours
    from {{ ref('fct_changes') }}
    where {{ is_in_touched_period('deployed_on') }}
    {%- endif %}
{%- endmacro %}


{# Deployments that a correction in force calls not failed. #}
{% macro acquittals(corrections) -%}
    select deployment_key
    from {{ corrections }}
    where is_in_force and verdict = 'deployment_not_failed'
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


{# Key of a model whose rows are those of delivery tables. #}
{% macro delivery_keys() -%}
    {{ return(['owner_kind', 'owner_name', 'period', 'first_day']) }}
{%- endmacro %}


{# Keys of the periods that the days of services and teams lie in. #}
{% macro periods_of(days) -%}
    {%- for owner, period in delivery_groupings() -%}
    select
        '{{ owner }}' as owner_kind,
        {{ owner }} as owner_name,
        '{{ period }}' as period,
        {{ period_start(period, 'day') }} as first_day
    from {{ days }}
    {{ 'union\n' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# The events of a relation, each once for every period, of its service and of its team or of one of them, that it
   counts in; in an update only for those that are made anew, found by their days, since the events are stored by day. #}
{% macro in_each_period(relation, day, owner=none) -%}
    {%- set groupings = [] -%}
    {%- for kind, period in delivery_groupings() if owner in (none, kind) -%}
        {%- do groupings.append((kind, period)) -%}
    {%- endfor -%}
    {%- if is_incremental() -%}
    {%- for kind in groupings | map(attribute=0) | unique %}
    select
        '{{ kind }}' as owner_kind,
        events.{{ kind }} as owner_name,
        touched.period,
        touched.first_day,
        events.*
    from {{ relation }} as events
    inner join (
        {%- for each_kind, period in groupings if each_kind == kind %}
        select
            owner_name,
            period,
            first_day,
            cast({{ each_day('first_day', period_end(period, 'first_day') ~ ' - interval 1 day') }} as date) as day
        from {{ as_it_stands(config.get('meta').touched) }}
        where owner_kind = '{{ kind }}' and period = '{{ period }}'
        {{ 'union all' if not loop.last }}
        {%- endfor %}
    ) as touched
        on events.{{ kind }} = touched.owner_name and events.{{ day }} = touched.day
    {{ 'union all' if not loop.last }}
    {%- endfor %}
    {%- else -%}
    {%- for kind, period in groupings %}
    select
        '{{ kind }}' as owner_kind,
        events.{{ kind }} as owner_name,
        '{{ period }}' as period,
        {{ period_start(period, 'events.' ~ day) }} as first_day,
        events.*
    from {{ relation }} as events
    where events.{{ kind }} is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
    {%- endif %}
{%- endmacro %}


{# In an update, the condition that a day lies in a period that is made anew: all that the update has to read. #}
{% macro is_in_touched_period(day) -%}
    {%- if is_incremental() -%}
    {{ day }} in (
        {%- for period in delivery_groupings() | map(attribute=1) | unique %}
        select cast({{ each_day('first_day', period_end(period, 'first_day') ~ ' - interval 1 day') }} as date)
        from {{ as_it_stands(config.get('meta').touched) }}
        where period = '{{ period }}'
        {{ 'union all' if not loop.last }}
        {%- endfor %}
    )
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}
