{%- set keys = delivery_keys() -%}
{%- set segments = ['commit_to_merge', 'merge_to_build', 'build_to_deploy'] -%}

{{ touched_rows('int_touched_periods', keys) }}

with changes as (

    select * from ({{ changes_with_lead_time() }}) as shipped

),

each_change as (
    {{ in_each_period('changes', 'deployed_on') }}
),

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
