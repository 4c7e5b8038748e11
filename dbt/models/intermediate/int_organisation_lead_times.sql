{%- set hours = ['lead_time_hours', 'commit_to_merge_hours', 'merge_to_build_hours', 'build_to_deploy_hours'] -%}

{{ touched_rows('int_touched_periods', ['period', 'first_day']) }}

with changes as (

    select * from ({{ changes_with_lead_time() }}) as shipped
    where team is not null

),

each_change as (

    {% for period in ['month', 'quarter'] -%}
    select
        '{{ period }}' as period,
        {{ period_start(period, 'deployed_on') }} as first_day,
        {{ hours | join(',
        ') }}
    from changes
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
)

select
    period,
    first_day,
    {%- for name in hours %}
    {{ percentile(0.5, name) }} as {{ name | replace('_hours', '_median_hours') }},
    {%- endfor %}
    count(*) as changes
from each_change
where {{ is_touched() }}
group by period, first_day
