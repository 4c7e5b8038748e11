{# Scorecards: KPIs of a team against its own past. What a KPI is stands in kpis.csv; what it may be of stands here. #}

{# The measures on offer, each of a team and period. A frequency is its numerator over an exposure, a rate its numerator
   over cases, a duration a percentile or mean over a sample, in hours or milliseconds; a mean has a numerator. `known`
   of `all` is what the value covers; without them nobody knows what is missing. dagster_project/contracts.py lists the
   same names. #}
{% macro offered_measures() %}
    {{ return([
        {'measure': 'deployments_per_day', 'kind': 'frequency',
            'numerator': 'frequency_deployments', 'denominator': 'calendar_days'},
        {'measure': 'lead_time_median_hours', 'kind': 'duration', 'n': 'lead_time_changes',
            'known': 'covered_changes', 'all': 'changes'},
        {'measure': 'commit_to_merge_median_hours', 'kind': 'duration', 'n': 'commit_to_merge_changes',
            'known': 'commit_to_merge_changes', 'all': 'changes'},
        {'measure': 'merge_to_build_median_hours', 'kind': 'duration', 'n': 'merge_to_build_changes',
            'known': 'merge_to_build_changes', 'all': 'changes'},
        {'measure': 'build_to_deploy_median_hours', 'kind': 'duration', 'n': 'build_to_deploy_changes',
            'known': 'build_to_deploy_changes', 'all': 'changes'},
        {'measure': 'deploy_to_success_median_hours', 'kind': 'duration', 'n': 'verified_deployments',
            'known': 'verified_deployments', 'all': 'deployments'},
        {'measure': 'change_failure_rate', 'kind': 'rate',
            'numerator': 'failed_deployments', 'denominator': 'deployments',
            'known': 'linked_incidents', 'all': 'incidents'},
        {'measure': 'rework_rate', 'kind': 'rate',
            'numerator': 'unplanned_deployments', 'denominator': 'deployments'},
        {'measure': 'recovery_median_hours', 'kind': 'duration', 'n': 'recovered_deployments',
            'known': 'recovered_deployments', 'all': 'failed_deployments'},
        {'measure': 'mttr_hours', 'kind': 'duration', 'n': 'resolved_incidents',
            'numerator': 'mttr_total_hours', 'denominator': 'resolved_incidents',
            'known': 'resolved_incidents', 'all': 'incidents'},
        {'measure': 'flaky_build_rate', 'kind': 'rate',
            'numerator': 'flaky_builds', 'denominator': 'built_commits'},
        {'measure': 'file_churn_rate', 'kind': 'rate',
            'numerator': 'churned_changes', 'denominator': 'changes_with_files',
            'known': 'changes_with_files', 'all': 'churnable_changes'},
        {'measure': 'good_lcp_rate', 'kind': 'rate',
            'numerator': 'good_lcp_page_views', 'denominator': 'lcp_page_views',
            'known': 'lcp_days', 'all': 'calendar_days'},
        {'measure': 'lcp_p75_ms', 'kind': 'duration', 'n': 'lcp_measurements',
            'known': 'lcp_days', 'all': 'calendar_days'},
        {'measure': 'error_free_session_rate', 'kind': 'rate',
            'numerator': 'error_free_sessions', 'denominator': 'sessions',
            'known': 'session_days', 'all': 'calendar_days'},
        {'measure': 'bounce_rate', 'kind': 'rate',
            'numerator': 'bounced_sessions', 'denominator': 'judged_sessions',
            'known': 'judged_sessions', 'all': 'sessions'},
        {'measure': 'journey_completion_rate', 'kind': 'rate',
            'numerator': 'completed_journeys', 'denominator': 'begun_journeys',
            'known': 'journey_days', 'all': 'calendar_days'},
        {'measure': 'failed_request_rate', 'kind': 'rate',
            'numerator': 'failed_requests', 'denominator': 'failable_requests',
            'known': 'request_days', 'all': 'calendar_days'},
        {'measure': 'slow_request_rate', 'kind': 'rate',
            'numerator': 'slow_requests', 'denominator': 'timed_requests',
            'known': 'request_days', 'all': 'calendar_days'},
        {'measure': 'request_p95_ms', 'kind': 'duration', 'n': 'measured_requests',
            'known': 'measured_request_days', 'all': 'calendar_days'},
        {'measure': 'support_tickets_per_1000_active_users', 'kind': 'frequency',
            'numerator': 'support_tickets', 'denominator': 'thousand_user_days',
            'known': 'user_days_known', 'all': 'calendar_days'},
        {'measure': 'critical_path_coverage_rate', 'kind': 'rate',
            'numerator': 'lines_covered', 'denominator': 'lines_total'},
        {'measure': 'escaped_defects_per_deployment', 'kind': 'frequency',
            'numerator': 'escaped_defects', 'denominator': 'defect_deployments'},
        {'measure': 'incident_review_rate', 'kind': 'rate',
            'numerator': 'reviewed_incidents', 'denominator': 'reviewable_incidents'},
        {'measure': 'actions_on_time_rate', 'kind': 'rate',
            'numerator': 'actions_on_time', 'denominator': 'due_actions'},
        {'measure': 'predictability_rate', 'kind': 'rate',
            'numerator': 'items_on_time', 'denominator': 'planned_items'}
    ]) }}
{% endmacro %}


{# Events of a service's day, as those of the team that owned it then. #}
{% macro join_owner(relation, day) -%}
    inner join {{ ref('dim_services') }} as services
        on
            {{ relation }}.service = services.service
            and {{ day }} >= services.valid_from
            and {{ day }} < services.valid_to
{%- endmacro %}


{# Percentiles of bins of values: of each team, and of all together, in each period. A nearest rank, as in web_vitals. #}
{% macro percentile_of_bins(bins, name, percents, period) %}
    select
        team,
        {{ period }},
        cast({{ value_of_bin('bin') }} as double) as {{ name }}
    from (
        select
            team,
            {{ period }},
            min(bin) filter (where 100 * weight_up_to >= {{ percents }} * weight_of_all) as bin
        from (
            select
                *,
                sum(weight) over (partition by team, {{ period }} order by bin rows unbounded preceding) as weight_up_to,
                sum(weight) over (partition by team, {{ period }}) as weight_of_all
            from {{ bins }}
        ) as ranked
        group by team, {{ period }}
    ) as found
{%- endmacro %}


{# One row for each team, the organisation (all), period and measure on offer. #}
{% macro team_measures(period) %}

{%- set delivery = 'team_delivery_monthly' if period == 'month' else 'int_team_delivery_quarterly' -%}
{%- set sources = {
    'sessions': ['sessions', 'error_free_sessions', 'judged_sessions', 'bounced_sessions', 'session_days'],
    'journeys': ['begun_journeys', 'completed_journeys', 'journey_days'],
    'requests': ['failed_requests', 'failable_requests', 'slow_requests', 'timed_requests', 'request_days'],
    'churn': ['churnable_changes', 'changes_with_files', 'churned_changes'],
    'support': ['support_tickets'],
    'users': ['thousand_user_days', 'user_days_known'],
    'coverage': ['lines_covered', 'lines_total'],
    'defects': ['escaped_defects'],
    'reviews': ['reviewable_incidents', 'reviewed_incidents'],
    'actions': ['due_actions', 'actions_on_time'],
    'plans': ['planned_items', 'items_on_time']
} -%}
{#- Counts of the organisation are sums over its teams; of days there are as many as the team with most has. -#}
{%- set days = ['calendar_days', 'user_days_known', 'session_days', 'journey_days', 'request_days'] -%}
{#- Each with its percentile, in percent, and what its bins weigh. -#}
{%- set binned = {
    'lcp_p75_ms': {
        'percents': 75, 'bins': 'int_web_vital_bins', 'weight': 'weight', 'condition': "counted.metric_name = 'LCP'",
        'n': 'lcp_measurements', 'cases': 'measurements', 'days': 'lcp_days'
    },
    'request_p95_ms': {
        'percents': 95, 'bins': 'int_request_duration_bins', 'weight': 'requests', 'condition': 'true',
        'n': 'measured_requests', 'cases': 'requests', 'days': 'measured_request_days'
    }
} -%}
{%- set of_bins = [] -%}
{%- for name, each in binned.items() -%}{%- do of_bins.extend([name, each.n, each.days]) -%}{%- endfor -%}
{%- set counts, durations, of_deployments = [], [], ['recovery_median_hours', 'deploy_to_success_median_hours'] -%}
{%- for each in offered_measures() -%}
    {%- for role in ['numerator', 'denominator', 'n', 'known', 'all'] -%}
        {%- if each[role] and each[role] not in days + of_bins + counts -%}
            {%- do counts.append(each[role]) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if each.kind == 'duration' and each.measure not in of_bins -%}{%- do durations.append(each.measure) -%}{%- endif -%}
{%- endfor -%}

with sessions as (

    select
        team,
        {{ period_start(period, 'day') }} as {{ period }},
        {{ exact_sum('sessions') }} as sessions,
        {{ exact_sum('error_free_sessions') }} as error_free_sessions,
        {{ exact_sum('judged_sessions') }} as judged_sessions,
        {{ exact_sum('bounced_sessions') }} as bounced_sessions,
        count(distinct day) as session_days
    from {{ ref('experience_daily') }}
    group by all

),

-- Through all steps: begun at the first one, completed with the last.
journeys as (

    select
        team,
        {{ period_start(period, 'day') }} as {{ period }},
        coalesce({{ exact_sum('case when position = first_position then entered end') }}, 0) as begun_journeys,
        coalesce({{ exact_sum('case when position = last_position then completed end') }}, 0) as completed_journeys,
        count(distinct day) as journey_days
    from (
        select
            *,
            min(position) over (partition by journey) as first_position,
            max(position) over (partition by journey) as last_position
        from {{ ref('journey_daily') }}
    ) as steps
    group by all

),

churn as (

    select
        team,
        {{ period_start(period, 'deployed_on') }} as {{ period }},
        sum(changes) as churnable_changes,
        sum(changes_with_files) as changes_with_files,
        sum(churned_changes) as churned_changes
    from {{ ref('int_file_churn') }}
    group by all

),

requests as (

    select
        services.team,
        {{ period_start(period, 'counts.day') }} as {{ period }},
        sum(counts.bad_cases) filter (where counts.indicator = 'failed_requests') as failed_requests,
        sum(counts.cases) filter (where counts.indicator = 'failed_requests') as failable_requests,
        sum(counts.bad_cases) filter (where counts.indicator = 'slow_requests') as slow_requests,
        sum(counts.cases) filter (where counts.indicator = 'slow_requests') as timed_requests,
        count(distinct counts.day) as request_days
    from {{ ref('int_indicator_counts') }} as counts
    {{ join_owner('counts', 'counts.day') }}
    where counts.indicator in ('failed_requests', 'slow_requests')
    group by all

),

-- A ticket counts against the users of its day, where these are known.
user_days as (

    select
        active_users.service,
        services.team,
        active_users.day,
        sum(active_users.users) as users
    from {{ ref('stg_active_users') }} as active_users
    {{ join_owner('active_users', 'active_users.day') }}
    group by all

),

users as (

    select
        team,
        {{ period_start(period, 'day') }} as {{ period }},
        sum(users) / 1000.0 as thousand_user_days,
        count(distinct day) as user_days_known
    from user_days
    group by all

),

support as (

    select
        user_days.team,
        {{ period_start(period, 'user_days.day') }} as {{ period }},
        count(*) as support_tickets
    from {{ ref('stg_support_tickets') }} as tickets
    inner join user_days on tickets.service = user_days.service and tickets.opened_on = user_days.day
    group by all

),

-- The last measurement of each path in the period.
coverage as (

    select
        team,
        {{ period }},
        sum(lines_covered) as lines_covered,
        sum(lines_total) as lines_total
    from (
        select
            services.team,
            {{ period_start(period, 'measured.measured_on') }} as {{ period }},
            measured.lines_covered,
            measured.lines_total
        from {{ ref('stg_critical_path_coverage') }} as measured
        {{ join_owner('measured', 'measured.measured_on') }}
        qualify row_number() over (
            partition by services.team, measured.service, measured.critical_path, {{ period }}
            order by measured.measured_at desc, measured.source
        ) = 1
    ) as latest
    group by all

),

defects as (

    select
        services.team,
        {{ period_start(period, 'defects.found_on') }} as {{ period }},
        count(*) as escaped_defects
    from {{ ref('stg_escaped_defects') }} as defects
    {{ join_owner('defects', 'defects.found_on') }}
    group by all

),

-- Where nobody has ever recorded a defect, none recorded is no sign of quality.
first_defect as (

    select min({{ period }}) as first_{{ period }} from defects

),

reviews as (

    select
        team,
        {{ period_start(period, 'alerted_on') }} as {{ period }},
        count(*) as reviewable_incidents,
        count(reviewed_at) as reviewed_incidents
    from {{ ref('int_oncall_incidents') }}
    where not is_merged and is_closed and is_reviewable and not is_false_positive
    group by all

),

actions as (

    select
        incidents.team,
        {{ period_start(period, 'actions.due_on') }} as {{ period }},
        count(*) as due_actions,
        count(*) filter (where {{ day_of('actions.closed_at') }} <= actions.due_on) as actions_on_time
    from {{ ref('stg_post_incident_actions') }} as actions
    inner join {{ ref('int_oncall_incidents') }} as incidents on actions.incident_key = incidents.incident_key
    cross join {{ ref('int_as_of') }} as as_of
    where actions.due_on < {{ day_of('as_of.as_of') }}
    group by all

),

-- What was committed after the plan had begun was no plan.
plans as (

    select
        items.team,
        {{ period_start(period, 'items.due_on') }} as {{ period }},
        count(*) as planned_items,
        count(*) filter (where {{ day_of('items.completed_at') }} <= items.due_on) as items_on_time
    from {{ ref('stg_planned_items') }} as items
    cross join {{ ref('int_as_of') }} as as_of
    where
        items.due_on < {{ day_of('as_of.as_of') }}
        and {{ day_of('items.committed_at') }} <= items.starts_on
    group by all

),

team_figures as (

    select
        delivery.*,
        {%- for source, columns in sources.items() %}
        {%- for column in columns %}
        coalesce({{ source }}.{{ column }}, 0) as {{ column }},
        {%- endfor %}
        {%- endfor %}
        cast(coalesce(delivery.mttr_hours * delivery.resolved_incidents, 0) as decimal(38, 15)) as mttr_total_hours,
        case
            when delivery.{{ period }} >= first_defect.first_{{ period }} then delivery.deployments else 0
        end as defect_deployments
    from {{ ref(delivery) }} as delivery
    cross join first_defect
    {%- for source in sources %}
    left join {{ source }}
        on delivery.team = {{ source }}.team and delivery.{{ period }} = {{ source }}.{{ period }}
    {%- endfor %}

),

-- Medians do not add up over teams.
organisation_deployments as (

    select
        {{ period_start(period, 'deployed_on') }} as {{ period }},
        {%- for name in of_deployments %}
        {{ percentile(0.5, name | replace('_median', '')) }} as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('fct_deployments') }}
    where team is not null
    group by 1

),

organisation_figures as (

    select
        {{ period }},
        bool_and(is_complete) as is_complete,
        bool_or(is_provisional) as is_provisional,
        {%- for name in days %}
        max({{ name }}) as {{ name }},
        {%- endfor %}
        {%- for name in counts %}
        sum({{ name }}) as {{ name }},
        {%- endfor %}
        {{ ratio('sum(mttr_total_hours)', 'sum(resolved_incidents)') }} as mttr_hours
    from team_figures
    group by {{ period }}

),

figures as (

    select
        {{ period }},
        team,
        is_complete,
        is_provisional,
        {{ (days + counts + durations) | join(',
        ') }}
    from team_figures
    union all
    select
        organisation.{{ period }},
        'all' as team,
        organisation.is_complete,
        organisation.is_provisional,
        {%- for name in days + counts %}
        organisation.{{ name }},
        {%- endfor %}
        {%- for name in durations %}
        {{ 'deployments' if name in of_deployments else 'organisation' if name == 'mttr_hours' else 'changes' }}.{{ name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from organisation_figures as organisation
    left join {{ ref('int_organisation_lead_times') }} as changes
        on changes.period = '{{ period }}' and organisation.{{ period }} = changes.first_day
    left join organisation_deployments as deployments on organisation.{{ period }} = deployments.{{ period }}

),

-- Nor do percentiles, but their bins do.
{% for name, each in binned.items() -%}
each_{{ name }} as (

    select
        services.team,
        counted.day,
        {{ period_start(period, 'counted.day') }} as {{ period }},
        counted.bin,
        counted.{{ each.weight }} as weight,
        counted.{{ each.cases }} as cases
    from {{ ref(each.bins) }} as counted
    {{ join_owner('counted', 'counted.day') }}
    where {{ each.condition }}

),

of_owners_{{ name }} as (

    select * from each_{{ name }}
    union all
    select
        'all' as team,
        day,
        {{ period }},
        bin,
        weight,
        cases
    from each_{{ name }}

),

bins_{{ name }} as (

    select
        team,
        {{ period }},
        bin,
        sum(weight) as weight
    from of_owners_{{ name }}
    group by team, {{ period }}, bin

),

cases_{{ name }} as (

    select
        team,
        {{ period }},
        sum(cases) as {{ each.n }},
        count(distinct day) as {{ each.days }}
    from of_owners_{{ name }}
    group by team, {{ period }}

),

found_{{ name }} as (
    {{ percentile_of_bins('bins_' ~ name, name, each.percents, period) }}
),

{% endfor -%}
measured as (

    select
        figures.*,
        {%- for name, each in binned.items() %}
        found_{{ name }}.{{ name }},
        coalesce(cases_{{ name }}.{{ each.n }}, 0) as {{ each.n }},
        coalesce(cases_{{ name }}.{{ each.days }}, 0) as {{ each.days }}{{ ',' if not loop.last }}
        {%- endfor %}
    from figures
    {%- for name in binned %}
    left join cases_{{ name }}
        on figures.team = cases_{{ name }}.team and figures.{{ period }} = cases_{{ name }}.{{ period }}
    left join found_{{ name }}
        on figures.team = found_{{ name }}.team and figures.{{ period }} = found_{{ name }}.{{ period }}
    {%- endfor %}

)

{% for each in offered_measures() -%}
select
    {{ period }},
    team,
    '{{ each.measure }}' as measure,
    '{{ each.kind }}' as kind,
    is_complete,
    is_provisional,
    calendar_days,
    {% if each.kind == 'duration' -%}
    {{ each.measure }} as value,
    {% if each.numerator -%}
    case when {{ each.denominator }} > 0 then cast({{ each.numerator }} as double) end as numerator,
    cast({{ each.denominator }} as double) as denominator,
    {% else -%}
    cast(null as double) as numerator,
    cast(null as double) as denominator,
    {% endif -%}
    cast({{ each.n }} as double) as n,
    {% else -%}
    {{ ratio(each.numerator, each.denominator) }} as value,
    case when {{ each.denominator }} > 0 then cast({{ each.numerator }} as double) end as numerator,
    cast({{ each.denominator }} as double) as denominator,
    cast({{ each.denominator }} as double) as n,
    {% endif -%}
    {{ ratio(each.known, each.all) if each.known else 'cast(null as double)' }} as coverage_rate
from measured
{% if not loop.last -%}
union all
{% endif -%}
{% endfor %}

{%- endmacro %}


{# Share of KPIs that chance alone makes improving or worsening where nothing changes: what
   tests/integration/test_scorecards.py finds over all kinds and lengths of the baseline, rounded up. #}
{% macro false_verdict_rate() %}0.01{% endmacro %}


{# KPIs of one scorecard with a verdict that chance might have given. #}
{% macro judged_kpis(verdict, scorecard) -%}
    count(*) filter (where {{ verdict }} <> 'baselining') over (partition by {{ scorecard }})
{%- endmacro %}


{# Half of the way from the baseline to the target; the target itself once it is reached, within 10 % or within noise. #}
{% macro next_milestone(row) -%}
    case
        when {{ row }}.target is null or {{ row }}.baseline_mean is null then null
        when
            {{ row }}.direction = 'higher' and {{ row }}.baseline_mean >= {{ row }}.target
            or {{ row }}.direction = 'lower' and {{ row }}.baseline_mean <= {{ row }}.target
            or abs({{ row }}.target - {{ row }}.baseline_mean) < 0.1 * abs({{ row }}.target)
            or {{ row }}.target between {{ row }}.lower_limit and {{ row }}.upper_limit
            then {{ row }}.target
        else ({{ row }}.baseline_mean + {{ row }}.target) / 2
    end
{%- endmacro %}
