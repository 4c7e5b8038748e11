{%- set keys = delivery_keys() -%}
{%- set segments = ['commit_to_merge', 'merge_to_build', 'build_to_deploy'] -%}

{{ touched_rows('int_touched_periods', keys) }}

{%- if var('lead_time_unit') == 'pull_request' %}
-- A pull request ships with the last of its commits, and starts with the first of them.
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

),

changes as (

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

),
each_change as (
    {{ in_each_period('changes', 'deployed_on') }}
),
{%- else %}
with each_change as (
    {{ in_each_period(ref('fct_changes'), 'deployed_on') }}
),
{%- endif %}

covered as (

    select
        *,
        commit_to_merge_hours + merge_to_build_hours + build_to_deploy_hours is not null as is_fully_covered
    from each_change

)

select
    {{ keys | join(',
    ') }},
    count(*) as changes,
    count(lead_time_hours) as lead_time_changes,
    count(lead_time_hours) filter (where start_basis <> 'squash_only') as covered_changes,
    {{ percentile(0.5, 'lead_time_hours') }} as lead_time_median_hours,
    {{ percentile(0.9, 'lead_time_hours') }} as lead_time_p90_hours,
    {{ ratio(exact_sum('lead_time_hours'), 'count(lead_time_hours)') }} as lead_time_mean_hours,
    {%- for segment in segments %}
    count({{ segment }}_hours) as {{ segment }}_changes,
    {{ percentile(0.5, segment ~ '_hours') }} as {{ segment }}_median_hours,
    {{ exact_sum('case when is_fully_covered then ' ~ segment ~ '_hours end') }} as {{ segment }}_total_hours,
    {%- endfor %}
    count(*) filter (where is_fully_covered) as fully_covered_changes
from covered
group by {{ keys | join(', ') }}
