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


{# Which way a figure went, in a word. #}
{% macro went(shift) -%}
    case when {{ has_risen(shift) }} then 'rose' when {{ has_fallen(shift) }} then 'fell'
        when {{ shift }} is not null then 'stayed' else 'unknown' end
{%- endmacro %}


{# Shifts of what is told of people in a word alone. #}
{% macro silence_shift() -%}
    {{ share_shift('silent_reviews', 'reviews', 'silent_reviews_before', 'reviews_before') }}
{%- endmacro %}
{% macro participation_shift() -%}
    {{ share_shift('people_present', 'people_invited', 'people_present_before', 'people_invited_before') }}
{%- endmacro %}
{# A team without a page in one of two quarters had none; one without any is not known to be paged. #}
{% macro interruptions_shift() -%}
    case
        when coalesce(out_of_hours_interruptions, out_of_hours_interruptions_before) is not null
            then {{ count_shift(
                'coalesce(out_of_hours_interruptions, 0)', 'recorded_days',
                'coalesce(out_of_hours_interruptions_before, 0)', 'recorded_days_before'
            ) }}
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
    'select * from {{ table }} where team = ''' || replace(compared.team, '''', '''''')
    || ''' and {{ day }} >= date ''' || cast(compared.quarter as varchar)
    || ''' and {{ day }} < date ''' || cast({{ period_end('quarter', 'compared.quarter') }} as varchar) || ''''
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
            'condition': has_risen(silence_shift()),
            'evidence': "'share of silent approvals ' || " ~ went(silence_shift())
        },
        {
            'kind': 'safety', 'name': 'retrospective_participation',
            'claim': 'Fewer of those invited take part in retrospectives than in the quarter before.',
            'condition': has_fallen(participation_shift()),
            'evidence': "'share of those invited who take part ' || " ~ went(participation_shift())
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


{# Questions of the survey, each with the data that should move with its answers: whether it is known, and moved for the
   better or the worse. Over the columns of the CTE `compared`, and of `measured`, the verdicts of a layer of KPIs. #}
{% macro audit_perceptions() -%}
    {%- set perceptions = [
        {
            'question': 'psychological_safety',
            'stayed': 'neither silent reviews nor participation in retrospectives moved',
            'is_known': 'coalesce(' ~ silence_shift() ~ ', ' ~ participation_shift() ~ ') is not null',
            'has_improved': 'coalesce(' ~ has_fallen(silence_shift()) ~ ', false) or coalesce('
                ~ has_risen(participation_shift()) ~ ', false)',
            'has_worsened': 'coalesce(' ~ has_risen(silence_shift()) ~ ', false) or coalesce('
                ~ has_fallen(participation_shift()) ~ ', false)',
            'evidence': "'share of silent approvals ' || " ~ went(silence_shift())
                ~ " || '; share of those invited who take part ' || " ~ went(participation_shift()),
            'query': 'cast(null as varchar)'
        },
        {
            'question': 'sustainable_workload',
            'stayed': 'interruptions out of business hours did not move',
            'is_known': interruptions_shift() ~ ' is not null',
            'has_improved': has_fallen(interruptions_shift()),
            'has_worsened': has_risen(interruptions_shift()),
            'evidence': "'interruptions out of business hours ' || " ~ went(interruptions_shift()),
            'query': query_of_quarter('marts.oncall_weekly', 'week')
        }
    ] -%}
    {%- for question, layer in [('perceived_speed', 'delivery_speed'), ('perceived_reliability', 'reliability')] -%}
        {%- do perceptions.append({
            'question': question,
            'layer': layer,
            'stayed': 'no KPI of ' ~ (layer | replace('_', ' ')) ~ ' moved',
            'is_known': 'measured.judged_kpis > 0',
            'has_improved': 'measured.improving_kpis > 0',
            'has_worsened': 'measured.worsening_kpis > 0',
            'evidence': "coalesce(measured.verdicts, 'no KPI')",
            'query': "'select * from marts.scorecard_quarterly where team = ''' || replace(compared.team, '''', '''''')"
                ~ " || ''' and layer = ''" ~ layer ~ "'' and quarter = date ''' || cast(compared.quarter as varchar)"
                ~ " || ''''"
        }) -%}
    {%- endfor -%}
    {{ return(perceptions) }}
{%- endmacro %}
