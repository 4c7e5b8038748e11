{#- An outlier lies so many deviations above the median of its like, the median absolute deviation times 1.4826 being
    that of normal noise and of a share never less than chance gives, and is at least so many times what is usual. Fewer
    than these are no like. -#}
{%- set deviations, normal, least_ratio, fewest_like = 3, 1.4826, 1.5, 5 -%}
{%- set built_on = day_of('finished_at') | replace("'", "''") -%}

with quarters as (

    select distinct first_day as quarter
    from {{ ref('int_periods') }}
    where owner_kind = 'team' and period = 'quarter' and is_complete

),

-- Whose a repository is on the last day of a quarter; of several teams, nobody's alone.
owners as (

    select
        quarters.quarter,
        services.repository,
        case when min(services.team) = max(services.team) then min(services.team) end as team
    from quarters
    inner join {{ ref('dim_services') }} as services
        on
            {{ period_end('quarter', 'quarters.quarter') }} > services.valid_from
            and {{ period_end('quarter', 'quarters.quarter') }} <= services.valid_to
    group by quarters.quarter, services.repository

),

builds as (

    select
        {{ period_start('quarter', day_of('finished_at')) }} as quarter,
        repository,
        workflow,
        count(*) as builds,
        count(*) filter (where status = 'failure') as failed_builds,
        count(distinct {{ period_start('week', day_of('finished_at')) }}) filter (where status = 'failure')
            as failed_weeks
    from {{ ref('stg_builds') }}
    where status in ('success', 'failure') and workflow is not null
    group by all

),

reviews as (

    select
        {{ period_start('quarter', 'merged_on') }} as quarter,
        repository,
        count(*) as pull_requests,
        {{ percentile(0.5, 'pickup_hours + review_hours') }} as median_hours
    from {{ ref('fct_pull_requests') }}
    where status = 'merged' and pickup_hours + review_hours is not null
    group by all

),

-- A module is a folder two levels deep.
module_changes as (

    select distinct
        {{ period_start('quarter', 'changes.deployed_on') }} as quarter,
        changes.repository,
        split_part(paths.path, '/', 1) || '/' || split_part(paths.path, '/', 2) as module_name,
        changes.commit_sha,
        changes.service,
        deployments.is_failed
    from {{ ref('fct_changes') }} as changes
    inner join {{ ref('stg_change_paths') }} as paths
        on changes.source = paths.source and changes.commit_sha = paths.commit_sha
    inner join {{ ref('fct_deployments') }} as deployments on changes.deployment_key = deployments.deployment_key
    where paths.path like '%/%/%' and changes.repository is not null

),

module_figures as (

    select
        quarter,
        repository,
        module_name,
        count(*) as changes,
        count(*) filter (where is_failed) as failed_changes
    from module_changes
    group by quarter, repository, module_name

),

-- Each on the scale on which its noise is even; what is too little to say anything of is left out.
figures as (

    select
        quarter,
        'recurring_build_failures' as note_kind,
        'all' as compared_with,
        repository,
        repository || ' ' || workflow as subject,
        {{ ratio('failed_builds', 'builds') }} as measured,
        asin(sqrt({{ ratio('failed_builds', 'builds') }})) as scaled_value,
        builds as n,
        -- Half of the weeks of a quarter.
        failed_weeks > 6 as is_enough,
        'select * from staging.stg_builds where repository = ''' || replace(repository, '''', '''''')
        || ''' and workflow = ''' || replace(workflow, '''', '''''')
        || ''' and status in (''success'', ''failure'') and {{ built_on }}' as evidence
    from builds
    where builds >= 50
    union all
    select
        quarter,
        'long_reviews' as note_kind,
        'all' as compared_with,
        repository,
        repository as subject,
        median_hours as measured,
        ln(greatest(median_hours, 1 / 60.0)) as scaled_value,
        pull_requests as n,
        -- A working day.
        median_hours >= 8 as is_enough,
        'select * from marts.fct_pull_requests where repository = ''' || replace(repository, '''', '''''')
        || ''' and pickup_hours + review_hours is not null and merged_on' as evidence
    from reviews
    where pull_requests >= 20
    union all
    select
        quarter,
        'module_at_risk' as note_kind,
        repository as compared_with,
        repository,
        repository || ' ' || module_name as subject,
        {{ ratio('failed_changes', 'changes') }} as measured,
        asin(sqrt({{ ratio('failed_changes', 'changes') }})) as scaled_value,
        changes as n,
        failed_changes >= 5 as is_enough,
        'select * from marts.fct_changes where repository = ''' || replace(repository, '''', '''''')
        || ''' and (source, commit_sha) in (select (source, commit_sha) from staging.stg_change_paths where '
        || 'starts_with(path, ''' || replace(module_name, '''', '''''') || '/'')) and deployed_on' as evidence
    from module_figures
    where changes >= 30

),

figure_groups as (

    select distinct
        quarter,
        note_kind,
        compared_with
    from figures

),

-- The like of a figure: those of its quarter and the three before.
medians as (

    select
        own.quarter,
        own.note_kind,
        own.compared_with,
        count(*) as figures,
        {{ percentile(0.5, 'peers.scaled_value') }} as scaled_value
    from figure_groups as own
    inner join figures as peers
        on
            own.note_kind = peers.note_kind
            and own.compared_with = peers.compared_with
            and own.quarter >= peers.quarter
            and own.quarter < peers.quarter + interval 12 month
    group by own.quarter, own.note_kind, own.compared_with

),

spreads as (

    select
        medians.quarter,
        medians.note_kind,
        medians.compared_with,
        {{ normal }} * {{ percentile(0.5, 'abs(peers.scaled_value - medians.scaled_value)') }} as deviation
    from medians
    inner join figures as peers
        on
            medians.note_kind = peers.note_kind
            and medians.compared_with = peers.compared_with
            and medians.quarter >= peers.quarter
            and medians.quarter < peers.quarter + interval 12 month
    group by medians.quarter, medians.note_kind, medians.compared_with

),

-- A share of n cases varies by chance as well, on this scale by 1 / (2 √n) whatever it is.
limits as (

    select
        figures.*,
        medians.figures,
        medians.scaled_value as scaled_usual,
        medians.scaled_value + {{ deviations }} * greatest(
            spreads.deviation,
            case when figures.note_kind = 'long_reviews' then 0 else 1 / (2 * sqrt(figures.n)) end
        ) as scaled_limit
    from figures
    inner join medians
        on
            figures.quarter = medians.quarter
            and figures.note_kind = medians.note_kind
            and figures.compared_with = medians.compared_with
    inner join spreads
        on
            figures.quarter = spreads.quarter
            and figures.note_kind = spreads.note_kind
            and figures.compared_with = spreads.compared_with

),

outliers as (

    select
        *,
        case
            when note_kind = 'long_reviews' then exp(scaled_usual)
            else sin(scaled_usual) * sin(scaled_usual)
        end as usual_value,
        case
            when note_kind = 'long_reviews' then exp(scaled_limit)
            else sin(least(scaled_limit, pi() / 2)) * sin(least(scaled_limit, pi() / 2))
        end as limit_value
    from limits
    where
        is_enough
        and figures >= {{ fewest_like }}
        and scaled_value > scaled_limit

)

select
    outliers.quarter,
    outliers.note_kind,
    outliers.subject,
    owners.team,
    case outliers.note_kind
        when 'recurring_build_failures'
            then
                cast(round(100 * outliers.measured, 1) as varchar) || ' % of ' || cast(outliers.n as varchar)
                || ' builds of ' || outliers.subject || ' failed, in more than half of the weeks; usual is '
                || cast(round(100 * outliers.usual_value, 1) as varchar) || ' %.'
        when 'long_reviews'
            then
                'Half of ' || cast(outliers.n as varchar) || ' pull requests of ' || outliers.subject
                || ' waited and were reviewed for more than ' || cast(round(outliers.measured, 1) as varchar)
                || ' hours; usual is ' || cast(round(outliers.usual_value, 1) as varchar) || '.'
        else
            cast(round(100 * outliers.measured, 1) as varchar) || ' % of ' || cast(outliers.n as varchar)
            || ' changes to ' || outliers.subject || ' went out with deployments that failed; usual there is '
            || cast(round(100 * outliers.usual_value, 1) as varchar) || ' %.'
    end as note,
    outliers.measured as observed_value,
    outliers.usual_value,
    outliers.limit_value,
    outliers.n,
    outliers.evidence || ' between date ''' || cast(outliers.quarter as varchar) || ''' and date '''
    || cast(cast({{ period_end('quarter', 'outliers.quarter') }} - interval 1 day as date) as varchar) || ''''
        as evidence_query
from outliers
inner join quarters on outliers.quarter = quarters.quarter
left join owners on outliers.quarter = owners.quarter and outliers.repository = owners.repository
where outliers.measured >= {{ least_ratio }} * outliers.usual_value
union all
select
    quarter,
    'concentrated_workload' as note_kind,
    team as subject,
    team,
    'Merged pull requests and reviews of ' || team || ' are spread as if by fewer than half of those who took part.'
        as note,
    cast(null as double) as observed_value,
    cast(null as double) as usual_value,
    cast(null as double) as limit_value,
    cast(null as bigint) as n,
    'select * from marts.metric_audit_quarterly where check_name = ''uneven_workload'' and team = '''
    || replace(team, '''', '''''') || ''' and quarter = date ''' || cast(quarter as varchar) || '''' as evidence_query
from {{ ref('metric_audit_quarterly') }}
where check_name = 'uneven_workload' and finding = 'found'
