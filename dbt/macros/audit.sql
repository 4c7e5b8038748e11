{# The quarterly audit: what is looked for, and how a shift is told from chance. docs/metrics.md, “Audit”, says why. #}

{# By how many standard errors a count has risen against one before, on the scale on which its noise is even. #}
{% macro count_shift(count, days, count_before, days_before) -%}
    (
        2 * (sqrt({{ ratio(count, days) }}) - sqrt({{ ratio(count_before, days_before) }}))
        / sqrt({{ var('audit_overdispersion') }} * (1.0 / {{ days }} + 1.0 / {{ days_before }}))
    )
{%- endmacro %}


{# The same of a share. #}
{% macro share_shift(part, whole, part_before, whole_before) -%}
    (
        2 * (asin(sqrt({{ ratio(part, whole) }})) - asin(sqrt({{ ratio(part_before, whole_before) }})))
        / sqrt({{ var('audit_overdispersion') }} * (1.0 / nullif({{ whole }}, 0) + 1.0 / nullif({{ whole_before }}, 0)))
    )
{%- endmacro %}


{% macro has_risen(shift) %}({{ shift }} > {{ var('audit_shift') }}){% endmacro %}
{% macro has_fallen(shift) %}({{ shift }} < -{{ var('audit_shift') }}){% endmacro %}


{# Which way the mean of answers moved between two relations (mean, variance, people_who_answer): less than half a point
   is no movement, and no group is taken to be more of one mind than a variance of a quarter. #}
{% macro movement(answers, earlier) -%}
    case
        when
            abs({{ answers }}.mean - {{ earlier }}.mean) < 0.5
            or abs({{ answers }}.mean - {{ earlier }}.mean) <= {{ var('audit_shift') }} * sqrt(
                greatest({{ answers }}.variance, 0.25) / {{ answers }}.people_who_answer
                + greatest({{ earlier }}.variance, 0.25) / {{ earlier }}.people_who_answer
            )
            then 'stayed'
        when {{ answers }}.mean > {{ earlier }}.mean then 'rose'
        else 'fell'
    end
{%- endmacro %}


{# found, not_found, or not_judged where a figure is missing that would decide. #}
{% macro finding(condition) -%}
    case when {{ condition }} then 'found' when not ({{ condition }}) then 'not_found' else 'not_judged' end
{%- endmacro %}


{# Of a figure in this quarter and the one before: text for people. #}
{% macro before_and_now(name, value, value_before) -%}
    '{{ name }} ' || coalesce(cast(round({{ value_before }}, 3) as varchar), 'unknown')
    || ' to ' || coalesce(cast(round({{ value }}, 3) as varchar), 'unknown')
{%- endmacro %}


{# A query for the rows of a team's quarter. #}
{% macro query_of_quarter(table, day) -%}
    'select * from {{ table }} where team = ''' || replace(team, '''', '''''')
    || ''' and {{ day }} >= date ''' || cast(quarter as varchar)
    || ''' and {{ day }} < date ''' || cast({{ period_end('quarter', 'quarter') }} as varchar) || ''''
{%- endmacro %}


{# More KPIs than these are more than anybody acts on. #}
{% macro most_kpis() %}12{% endmacro %}


{# Questions of the audit, as audit_answers.csv names them. #}
{% macro audit_questions() -%}
    {{ return([
        {'kind': 'question', 'name': 'gamed', 'claim': 'Is a metric gamed?'},
        {'kind': 'question', 'name': 'motivates_right_behaviour', 'claim': 'Do they motivate the right behaviour?'},
        {'kind': 'question', 'name': 'measures_business_value', 'claim': 'Do they measure what the business values?'},
        {'kind': 'pilot', 'name': 'rubric_clearer', 'claim': 'Is the rubric clearer to the pilot team?'},
        {'kind': 'pilot', 'name': 'reviews_more_actionable', 'claim': 'Are its reviews more actionable?'},
        {'kind': 'pilot', 'name': 'metrics_predictive', 'claim': 'Did the metrics predict its outcomes?'}
    ]) }}
{%- endmacro %}


{# Checks of one team's quarter against the quarter before, over the columns of the CTE `compared`; `claim` is what is
   found if it is found. Rows about single people have no query. #}
{% macro audit_checks() -%}
    {%- set deployments = count_shift('deployments', 'recorded_days', 'deployments_before', 'recorded_days_before') -%}
    {%- set pull_requests = count_shift(
        'pull_requests', 'recorded_days', 'pull_requests_before', 'recorded_days_before') -%}
    {%- set incidents = count_shift('incidents', 'recorded_days', 'incidents_before', 'recorded_days_before') -%}
    {%- set reports = count_shift(
        '(incidents + defects)', 'recorded_days', '(incidents_before + defects_before)', 'recorded_days_before') -%}
    {%- set failures = share_shift(
        'failed_deployments', 'deployments', 'failed_deployments_before', 'deployments_before') -%}
    {%- set late = share_shift(
        'late_records', 'logged_incidents', 'late_records_before', 'logged_incidents_before') -%}
    {%- set silent = share_shift('silent_reviews', 'reviews', 'silent_reviews_before', 'reviews_before') -%}
    {%- set present = share_shift(
        'people_present', 'people_invited', 'people_present_before', 'people_invited_before') -%}
    {%- set errors = [
        ('sessions with an error', 'error_sessions', 'sessions'),
        ('failed requests', 'failed_requests', 'requests'),
        ('days of SLOs above their budget', 'burning_days', 'slo_days')
    ] -%}
    {#- greatest() passes over what is not known. #}
    {%- set errors_rise -%}
        (
            greatest(
                {%- for _, part, whole in errors %}
                {{ share_shift(part, whole, part ~ '_before', whole ~ '_before') }}{{ ',' if not loop.last }}
                {%- endfor %}
            ) > {{ var('audit_shift') }}
        )
    {%- endset -%}
    {%- set errors_evidence -%}
        {%- for name, part, whole in errors -%}
        || '; ' || {{ before_and_now(
            'share of ' ~ name, ratio(part, whole), ratio(part ~ '_before', whole ~ '_before')
        ) }}
        {%- endfor -%}
    {%- endset -%}
    {{ return([
        {
            'kind': 'gaming', 'name': 'more_smaller_failing_deployments',
            'claim': 'Deployments are more frequent and smaller, and fail more often than in the quarter before.',
            'condition': has_risen(deployments) ~ ' and ' ~ has_risen(failures)
                ~ ' and lines_per_deployment <= 2 / 3.0 * lines_per_deployment_before',
            'evidence': before_and_now('deployments', 'deployments', 'deployments_before') ~ " || '; ' || "
                ~ before_and_now('median lines of a deployment', 'lines_per_deployment', 'lines_per_deployment_before')
                ~ " || '; ' || " ~ before_and_now('failed', 'failed_deployments', 'failed_deployments_before'),
            'query': query_of_quarter('marts.fct_deployments', 'deployed_on')
        },
        {
            'kind': 'gaming', 'name': 'changes_split',
            'claim': 'Pull requests are more and smaller than in the quarter before, and bring no more lines together.',
            'condition': has_risen(pull_requests)
                ~ ' and lines_per_pull_request <= 2 / 3.0 * lines_per_pull_request_before'
                ~ ' and total_lines <= 1.1 * total_lines_before',
            'evidence': before_and_now('merged', 'pull_requests', 'pull_requests_before') ~ " || '; ' || "
                ~ before_and_now('median lines', 'lines_per_pull_request', 'lines_per_pull_request_before')
                ~ " || '; ' || " ~ before_and_now('lines', 'total_lines', 'total_lines_before'),
            'query': query_of_quarter('marts.fct_pull_requests', 'merged_on')
        },
        {
            'kind': 'gaming', 'name': 'incidents_recorded_late',
            'claim': 'More incidents than in the quarter before enter the record over a day after they began.',
            'condition': has_risen(late),
            'evidence': before_and_now('incidents', 'logged_incidents', 'logged_incidents_before') ~ " || '; ' || "
                ~ before_and_now('recorded late', 'late_records', 'late_records_before'),
            'query': query_of_quarter('marts.fct_incidents', 'started_on')
        },
        {
            'kind': 'gaming', 'name': 'fewer_incidents_more_errors',
            'claim': 'Fewer incidents are recorded than in the quarter before, while errors rise.',
            'condition': has_fallen(incidents) ~ ' and ' ~ errors_rise,
            'evidence': before_and_now('incidents', 'incidents', 'incidents_before') ~ errors_evidence,
            'query': query_of_quarter('marts.fct_incidents', 'started_on')
        },
        {
            'kind': 'safety', 'name': 'reporting_drops',
            'claim': 'People report fewer incidents and defects than in the quarter before, while errors rise.',
            'condition': has_fallen(reports) ~ ' and ' ~ errors_rise,
            'evidence': before_and_now(
                'reports', '(incidents + defects)', '(incidents_before + defects_before)') ~ errors_evidence,
            'query': query_of_quarter('marts.fct_incidents', 'started_on')
        },
        {
            'kind': 'safety', 'name': 'silent_reviews',
            'claim': 'Reviews approve without a word more often than in the quarter before.',
            'condition': has_risen(silent),
            'evidence': before_and_now('reviews', 'reviews', 'reviews_before') ~ " || '; ' || "
                ~ before_and_now('silent approvals', 'silent_reviews', 'silent_reviews_before')
        },
        {
            'kind': 'safety', 'name': 'retrospective_participation',
            'claim': 'Fewer of those invited take part in retrospectives than in the quarter before.',
            'condition': has_fallen(present),
            'evidence': before_and_now('invited', 'people_invited', 'people_invited_before') ~ " || '; ' || "
                ~ before_and_now('present', 'people_present', 'people_present_before')
        },
        {
            'kind': 'safety', 'name': 'uneven_workload',
            'claim': 'Merged pull requests and reviews are the work of fewer than half of those who take part.',
            'condition': 'evenness < 0.5',
            'evidence': "'spread of the work: ' || case when evenness < 0.5 then 'concentrated' "
                ~ "when evenness < 0.75 then 'uneven' when evenness is not null then 'even' else 'unknown' end"
        }
    ]) }}
{%- endmacro %}
