{#- Where there are none, they are none; of the others, unknown. #}
{%- set counts = ['delivery.deployments', 'delivery.incidents', 'pull_requests.pull_requests', 'defects.defects'] -%}
{#- What may only be told of groups of at least so many. #}
{%- set smallest = var('ov_min_group_size') -%}
{%- set figures = [
    'delivery.failed_deployments', 'delivery.lines_per_deployment',
    'pull_requests.lines_per_pull_request', 'pull_requests.total_lines', 'records.logged_incidents',
    'records.late_records', 'errors.error_sessions', 'errors.sessions', 'errors.failed_requests', 'errors.requests',
    'budgets.burning_days', 'budgets.slo_days', 'reviews.reviews', 'reviews.silent_reviews',
    'retrospectives.people_invited', 'retrospectives.people_present', 'pages.out_of_hours_interruptions'
] -%}
{%- set sources = [
    'delivery', 'pull_requests', 'records', 'defects', 'errors', 'budgets', 'reviews', 'retrospectives', 'pages', 'work'
] -%}

with quarters as (

    select distinct first_day as quarter
    from {{ ref('int_periods') }}
    where owner_kind = 'team' and period = 'quarter' and is_complete

),

first_days as (

    select
        team,
        min(day) as first_day
    from {{ ref('int_team_days') }}
    group by team

),

team_quarters as (

    select
        quarters.quarter,
        teams.team,
        -- The record of a team may begin within a quarter, or after it.
        nullif(greatest({{ days_between(
            'greatest(quarters.quarter, first_days.first_day)', period_end('quarter', 'quarters.quarter')
        ) }}, 0), 0) as recorded_days
    from quarters
    cross join {{ ref('dim_teams') }} as teams
    left join first_days on teams.team = first_days.team

),

delivery as (

    select
        quarter,
        team,
        deployments,
        failed_deployments,
        lines_changed_per_deployment_median as lines_per_deployment,
        incidents
    from {{ ref('int_team_delivery_quarterly') }}

),

pull_requests as (

    select
        {{ period_start('quarter', 'merged_on') }} as quarter,
        team,
        count(*) as pull_requests,
        {{ percentile(0.5, 'lines_changed') }} as lines_per_pull_request,
        sum(lines_changed) as total_lines
    from {{ ref('fct_pull_requests') }}
    where status = 'merged'
    group by all

),

logs as (

    select
        incident_key,
        min(occurred_at) as begins_at
    from {{ ref('stg_incident_events') }}
    group by incident_key

),

records as (

    select
        {{ period_start('quarter', 'incidents.started_on') }} as quarter,
        incidents.team,
        count(*) as logged_incidents,
        count(*) filter (where {{ hours_between('incidents.started_at', 'logs.begins_at') }} > 24) as late_records
    from {{ ref('fct_incidents') }} as incidents
    inner join logs on incidents.incident_key = logs.incident_key
    where not coalesce(incidents.is_false_positive, false) and not incidents.is_merged
    group by all

),

defects as (

    select
        {{ period_start('quarter', 'defects.found_on') }} as quarter,
        services.team,
        count(*) as defects
    from {{ ref('stg_escaped_defects') }} as defects
    {{ join_owner('defects', 'defects.found_on') }}
    group by all

),

errors as (

    select
        {{ period_start('quarter', 'counts.day') }} as quarter,
        services.team,
        sum(counts.bad_cases) filter (where counts.indicator = 'error_sessions') as error_sessions,
        sum(counts.cases) filter (where counts.indicator = 'error_sessions') as sessions,
        sum(counts.bad_cases) filter (where counts.indicator = 'failed_requests') as failed_requests,
        sum(counts.cases) filter (where counts.indicator = 'failed_requests') as requests
    from {{ ref('int_indicator_counts') }} as counts
    {{ join_owner('counts', 'counts.day') }}
    where counts.indicator in ('error_sessions', 'failed_requests')
    group by all

),

budgets as (

    select
        {{ period_start('quarter', 'day') }} as quarter,
        team,
        count(*) filter (where day_burn_rate > 1) as burning_days,
        count(day_burn_rate) as slo_days
    from {{ ref('slo_attainment_daily') }}
    group by all

),

-- The reviews of a team's pull requests; where fewer than the minimum review, they are not counted.
team_reviews as (

    select
        {{ period_start('quarter', day_of('activity.submitted_at')) }} as quarter,
        pull_requests.team,
        activity.reviewer_key as worker,
        activity.verdict = 'approved' and activity.comments = 0 as is_silent
    from {{ source('restricted', 'review_activity') }} as activity
    inner join {{ ref('fct_pull_requests') }} as pull_requests
        on
            activity.source = pull_requests.source
            and activity.repository = pull_requests.repository
            and activity.pull_request_number = pull_requests.pull_request_number

),

reviews as (

    select
        quarter,
        team,
        count(*) as reviews,
        count(*) filter (where is_silent) as silent_reviews
    from team_reviews
    group by quarter, team
    having count(distinct worker) >= {{ smallest }}

),

retrospectives as (

    select
        {{ period_start('quarter', day_of('held_at')) }} as quarter,
        team,
        sum(people_invited) as people_invited,
        sum(people_present) as people_present
    from {{ source('raw', 'retrospectives') }}
    group by all
    having min(people_invited) >= {{ smallest }}

),

pages as (

    select
        {{ period_start('quarter', 'paged_on') }} as quarter,
        team,
        count(*) filter (where is_interruption and hours_class <> 'business') as out_of_hours_interruptions
    from {{ ref('int_oncall_pages') }}
    group by all

),

workers as (

    select
        quarter,
        team,
        worker,
        count(*) as items
    from (
        select
            quarter,
            team,
            worker
        from team_reviews
        union all
        select
            {{ period_start('quarter', 'pull_requests.merged_on') }} as quarter,
            pull_requests.team,
            given.author_key as worker
        from {{ ref('fct_pull_requests') }} as pull_requests
        inner join {{ ref('stg_pull_requests') }} as given
            on
                pull_requests.source = given.source
                and pull_requests.repository = given.repository
                and pull_requests.pull_request_number = given.pull_request_number
        where pull_requests.status = 'merged'
    ) as each_item
    where worker is not null
    group by quarter, team, worker

),

-- As many people with equal shares would leave the same mark, as a share of those who took part.
work as (

    select
        quarter,
        team,
        sum(items) * sum(items) / sum(items * items) / count(*) as evenness
    from workers
    group by quarter, team
    having count(*) >= {{ smallest }}

),

figures as (

    select
        team_quarters.quarter,
        team_quarters.team,
        team_quarters.recorded_days,
        {%- for figure in figures %}
        {{ figure }},
        {%- endfor %}
        {%- for count in counts %}
        coalesce({{ count }}, 0) as {{ count.split('.')[1] }},
        {%- endfor %}
        work.evenness
    from team_quarters
    {% for source in sources -%}
    left join {{ source }}
        on team_quarters.team = {{ source }}.team and team_quarters.quarter = {{ source }}.quarter
    {% endfor %}

),

compared as (

    select
        *,
        {%- for figure in figures + counts %}
        lag({{ figure.split('.')[1] }}) over line as {{ figure.split('.')[1] }}_before,
        {%- endfor %}
        lag(recorded_days) over line as recorded_days_before
    from figures
    window line as (partition by team order by quarter)

),

checked_teams as (

    {% for check in audit_checks() -%}
    select
        compared.quarter,
        compared.team,
        '{{ check.kind }}' as audit_kind,
        '{{ check.name }}' as check_name,
        {{ finding(check.condition) }} as finding,
        '{{ check.claim }}' as claim,
        {{ check.evidence }} as evidence,
        {{ check.query or 'cast(null as varchar)' }} as evidence_query
    from compared
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

each_answer as (

    select
        {{ period_start('quarter', day_of('answered_at')) }} as quarter,
        {{ period_start('month', day_of('answered_at')) }} as answered_month,
        team,
        question,
        answer,
        count(*) over (
            partition by team, question, {{ period_start('month', day_of('answered_at')) }}
        ) as answers_of_month
    from {{ source('restricted', 'survey_responses') }}

),

answers as (

    select
        quarter,
        team,
        question,
        count(*) as answers,
        count(*) filter (where answer >= 4) as positive_answers,
        avg(answer) as mean,
        var_samp(answer) as variance,
        count(distinct answered_month) as months,
        -- One asked every month answers thrice, and much alike: that is no three people.
        min(answers_of_month) as people_who_answer
    from each_answer
    group by quarter, team, question

),

moved_answers as (

    select
        answers.quarter,
        answers.team,
        answers.question,
        {{ movement('answers', 'earlier') }} as movement
    from answers
    inner join answers as earlier
        on
            answers.team = earlier.team
            and answers.question = earlier.question
            and answers.quarter = {{ period_end('quarter', 'earlier.quarter') }}
    -- Of fewer answers, who knows two people's could tell others from the movement.
    where
        least(answers.months, earlier.months) = 3
        and least(answers.people_who_answer, earlier.people_who_answer) >= {{ smallest }}

),

kpi_verdicts as (

    select
        quarter,
        team,
        layer,
        count(*) filter (where verdict <> 'baselining') as judged_kpis,
        count(*) filter (where verdict in ('improving', 'trade')) as improving_kpis,
        count(*) filter (where verdict = 'worsening') as worsening_kpis,
        string_agg(kpi || ' ' || verdict, ', ' order by kpi) as verdicts
    from {{ ref('scorecard_quarterly') }}
    group by quarter, team, layer

),

perceptions as (

    {% for perception in audit_perceptions() -%}
    select
        compared.quarter,
        compared.team,
        '{{ perception.question }}' as check_name,
        -- Also that answers stayed is not told where there is nothing to hold them against.
        case when moved.movement is not null and {{ perception.is_known }} then {{ finding(
            "moved.movement <> 'stayed' and not case moved.movement when 'rose' then " ~ perception.has_improved
            ~ ' else ' ~ perception.has_worsened ~ ' end'
        ) }} else 'not_judged' end as finding,
        'Answers to {{ perception.question | replace('_', ' ') }} moved, and {{ perception.stayed }} with them.'
            as claim,
        'answers ' || coalesce(moved.movement, 'unknown') || '; ' || {{ perception.evidence }} as evidence,
        {{ perception.query }} as evidence_query
    from compared
    left join moved_answers as moved
        on
            compared.quarter = moved.quarter
            and compared.team = moved.team
            and moved.question = '{{ perception.question }}'
    left join kpi_verdicts as measured
        on
            compared.quarter = measured.quarter
            and compared.team = measured.team
            and measured.layer = '{{ perception.layer }}'
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

-- Only where two people cannot have given all answers that were not positive: nobody's answer follows from it.
all_answers as (

    select
        quarter,
        sum(answers) as answers,
        sum(positive_answers) as positive_answers
    from answers
    group by quarter

),

uniform_answers as (

    select
        quarters.quarter,
        'uniform_answers' as check_name,
        case
            when totals.answers >= 400 and earlier.answers >= 400
                then {{ finding(
                    '10 * totals.positive_answers >= 9 * totals.answers and ' ~ has_risen(share_shift(
                        'totals.positive_answers', 'totals.answers', 'earlier.positive_answers', 'earlier.answers'
                    ))
                ) }}
            else 'not_judged'
        end as finding,
        'Nine of ten answers are positive, which in the quarter before they were not.' as claim,
        case when totals.answers >= 400 then 'enough' else 'too few' end || ' answers' as evidence,
        cast(null as varchar) as evidence_query
    from quarters
    left join all_answers as totals on quarters.quarter = totals.quarter
    left join all_answers as earlier on quarters.quarter = {{ period_end('quarter', 'earlier.quarter') }}

),

over_reported as (

    select
        scorecard.quarter,
        scorecard.team,
        'over_reported_improvement' as check_name,
        scorecard.kpi,
        {{ finding(
            "nullif(scorecard.verdict, 'baselining') = 'trade'"
            ~ " and nullif(scorecard.pair_verdict, 'baselining') is not null"
        ) }} as finding,
        'The KPI improves while its pair worsens.' as claim,
        'verdict ' || scorecard.verdict || '; pair ' || scorecard.pair || ' '
        || coalesce(scorecard.pair_verdict, 'unknown') as evidence,
        'select * from marts.scorecard_monthly where team = ''' || replace(scorecard.team, '''', '''''')
        || ''' and kpi in (''' || scorecard.kpi || ''', ''' || scorecard.pair || ''')' as evidence_query
    from {{ ref('scorecard_quarterly') }} as scorecard
    inner join quarters on scorecard.quarter = quarters.quarter
    where scorecard.pair is not null

),

kpis_of_quarters as (

    select
        quarters.quarter,
        kpis.kpi,
        kpis.decisions,
        min(kpis.valid_from) over (partition by kpis.kpi) as valid_from
    from quarters
    inner join {{ ref('stg_kpis') }} as kpis
        on
            {{ period_end('quarter', 'quarters.quarter') }} > kpis.valid_from
            and {{ period_end('quarter', 'quarters.quarter') }} <= kpis.valid_to
            and kpis.is_active

),

-- Decisions of this quarter and the one before.
uses as (

    select
        kpis.quarter,
        kpis.kpi,
        kpis.decisions,
        kpis.valid_from,
        count(log.decision) as decisions_of_two_quarters,
        count(log.decision) filter (where log.decided_on >= kpis.quarter) as decisions_of_quarter
    from kpis_of_quarters as kpis
    left join {{ ref('fct_decisions') }} as log
        on
            kpis.kpi = log.kpi
            and log.decided_on >= kpis.quarter - interval 3 month
            and log.decided_on < {{ period_end('quarter', 'kpis.quarter') }}
    group by all

),

-- Also of a KPI that ended within the quarter, or is not taken up.
decisions_outside_map as (

    select
        log.quarter,
        log.kpi,
        count(*) as decisions
    from {{ ref('fct_decisions') }} as log
    inner join quarters on log.quarter = quarters.quarter
    where not log.is_in_map
    group by log.quarter, log.kpi

),

used_kpis as (

    select
        quarter,
        'unused_kpi' as check_name,
        kpi,
        case
            when valid_from > quarter - interval 3 month or quarter = min(quarter) over () then 'not_judged'
            when decisions_of_two_quarters = 0 then 'found'
            else 'not_found'
        end as finding,
        'The KPI has informed no decision in two quarters: drop it.' as claim,
        'decisions in the quarter ' || cast(decisions_of_quarter as varchar)
        || '; in two quarters ' || cast(decisions_of_two_quarters as varchar)
        || '; may inform ' || decisions as evidence,
        'select * from marts.fct_decisions where kpi = ''' || kpi || '''' as evidence_query
    from uses
    union all
    select
        coalesce(uses.quarter, outside.quarter) as quarter,
        'decision_outside_map' as check_name,
        coalesce(uses.kpi, outside.kpi) as kpi,
        case when outside.decisions > 0 then 'found' else 'not_found' end as finding,
        'The KPI has informed a decision that it may not inform.' as claim,
        'decisions outside the map ' || cast(coalesce(outside.decisions, 0) as varchar)
        || '; may inform ' || coalesce(uses.decisions, 'nothing at the end of the quarter') as evidence,
        'select * from marts.fct_decisions where kpi = ''' || coalesce(uses.kpi, outside.kpi) || '''' as evidence_query
    from uses
    full outer join decisions_outside_map as outside on uses.quarter = outside.quarter and uses.kpi = outside.kpi
    union all
    select
        quarter,
        'too_many_kpis' as check_name,
        'all' as kpi,
        case when count(*) > {{ most_kpis() }} then 'found' else 'not_found' end as finding,
        'The scorecard has more than {{ most_kpis() }} KPIs, more than anybody acts on.' as claim,
        'KPIs ' || cast(count(*) as varchar) as evidence,
        'select * from marts.decision_map' as evidence_query
    from kpis_of_quarters
    group by quarter

),

-- What is told of what people do or say is told once, after the quarter is closed: where it has been published, as it
-- was then.
published_checks as (

    select
        quarter,
        team,
        audit_kind,
        check_name,
        finding,
        claim,
        evidence,
        evidence_query
    from {{ source('restricted', 'audit_releases') }}

),

team_checks as (

    {% for part, team, kind in [
        ('checked_teams', 'team', 'audit_kind'),
        ('perceptions', 'team', "'perception'"),
        ('uniform_answers', "'all'", "'safety'")
    ] -%}
    select
        quarter,
        {{ team }} as team,
        {{ kind }} as audit_kind,
        check_name,
        finding,
        claim,
        evidence,
        evidence_query
    from {{ part }}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

closed_quarters as (

    select distinct quarter
    from {{ source('reference', 'ov_quarters') }}

),

-- Of people nothing is told before the quarter is closed; and of what is not judged no word: it would be another one
-- when one more answer comes.
guarded_checks as (

    select
        team_checks.*,
        case
            when
                team_checks.audit_kind not in ('safety', 'perception')
                or team_checks.check_name = 'reporting_drops'
                then null
            when closed.quarter is null then 'the quarter is not closed'
            when team_checks.finding = 'not_judged' then 'not judged'
        end as untold_because
    from team_checks
    left join closed_quarters as closed on team_checks.quarter = closed.quarter

),

checks as (

    select * from published_checks
    union all
    select
        guarded_checks.quarter,
        guarded_checks.team,
        guarded_checks.audit_kind,
        guarded_checks.check_name,
        case when guarded_checks.untold_because is null then guarded_checks.finding else 'not_judged' end as finding,
        guarded_checks.claim,
        coalesce(guarded_checks.untold_because, guarded_checks.evidence) as evidence,
        guarded_checks.evidence_query
    from guarded_checks
    left join published_checks
        on
            guarded_checks.quarter = published_checks.quarter
            and guarded_checks.team = published_checks.team
            and guarded_checks.check_name = published_checks.check_name
    where published_checks.quarter is null

),

-- How many verdicts of the quarter before the next quarter bore out.
predictions as (

    select
        later.quarter,
        later.team,
        count(*) as predictions,
        count(*) filter (
            where (later.value > earlier.baseline_mean) = (earlier.value > earlier.baseline_mean)
        ) as held_predictions
    from {{ ref('scorecard_quarterly') }} as later
    inner join {{ ref('scorecard_quarterly') }} as earlier
        on
            later.team = earlier.team
            and later.kpi = earlier.kpi
            and later.quarter = {{ period_end('quarter', 'earlier.quarter') }}
    where earlier.verdict in ('improving', 'worsening', 'trade') and later.value is not null
    group by later.quarter, later.team

),

asked_teams as (

    select
        'question' as audit_kind,
        'all' as team
    union all
    select distinct
        'pilot' as audit_kind,
        team
    from {{ source('reference', 'audit_answers') }}
    where team is not null

),

asked as (

    {% for question in audit_questions() -%}
    select
        quarters.quarter,
        teams.team,
        '{{ question.kind }}' as audit_kind,
        '{{ question.name }}' as check_name,
        '{{ question.claim }}' as claim
    from quarters
    inner join asked_teams as teams on teams.audit_kind = '{{ question.kind }}'
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

answered as (

    select
        asked.quarter,
        asked.team,
        asked.audit_kind,
        asked.check_name,
        coalesce(given.answer, 'unanswered') as finding,
        asked.claim,
        coalesce(given.answered_by_role || ': ' || given.why, 'Nobody has answered.')
        || case
            when asked.check_name = 'reviews_more_actionable'
                then ' Data: ' || coalesce(silence.evidence, 'unknown') || '.'
            when asked.check_name = 'metrics_predictive'
                then
                    ' Data: of ' || cast(coalesce(predictions.predictions, 0) as varchar)
                    || ' verdicts of the quarter before ' || cast(coalesce(predictions.held_predictions, 0) as varchar)
                    || ' held.'
            else ''
        end as evidence,
        cast(null as varchar) as evidence_query
    from asked
    left join {{ source('reference', 'audit_answers') }} as given
        on
            asked.quarter = given.quarter
            and asked.check_name = given.question
            and asked.team = coalesce(given.team, 'all')
    left join checks as silence
        on asked.quarter = silence.quarter and asked.team = silence.team and silence.check_name = 'silent_reviews'
    left join predictions on asked.quarter = predictions.quarter and asked.team = predictions.team

)

{% for part, team, kind, kpi in [
    ('checks', 'team', 'audit_kind', "'all'"),
    ('over_reported', 'team', "'gaming'", 'kpi'),
    ('used_kpis', "'all'", "'use'", 'kpi'),
    ('answered', 'team', 'audit_kind', "'all'")
] -%}
select
    quarter,
    {{ team }} as team,
    {{ kind }} as audit_kind,
    check_name,
    {{ kpi }} as kpi,
    finding,
    claim,
    evidence,
    evidence_query
from {{ part }}
{% if not loop.last -%}
union all
{% endif -%}
{% endfor %}
