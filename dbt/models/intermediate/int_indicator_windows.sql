{{ touched_rows('int_restated_windows', ['deployment_key']) }}

with hours as (

    select
        deployment_key,
        service,
        hour_number,
        hour_number between first_whole_hour and last_whole_hour as is_whole,
        hour_number >= first_whole_hour as is_after
    from (
        select
            windows.*,
            {{ each_number('windows.first_hour', 'windows.last_hour') }} as hour_number
        from {{ ref('int_deployment_windows') }} as windows
        where {{ is_touched('windows') }}
    ) as each_hour

),

known as (

    select distinct
        service,
        release
    from {{ ref('int_release_matches') }}

),

-- Who still runs an older release belongs to no window; where releases are unknown, the time decides, and the hour in
-- which the deployment ended belongs to neither.
afterwards as (

    select
        hours.deployment_key,
        hours.is_whole,
        counts.indicator,
        counts.device_class,
        counts.entry_route,
        counts.cases,
        counts.bad_cases,
        counts.weight,
        counts.bad_weight,
        counts.squared_weight,
        matches.deployment_key is not null or (known.release is null and hours.is_after) as is_of_deployment
    from hours
    inner join {{ ref('int_indicator_counts') }} as counts
        on hours.service = counts.service and hours.hour_number = counts.hour_number
    left join {{ ref('int_release_matches') }} as matches
        on
            counts.service = matches.service
            and counts.release = matches.release
            and hours.deployment_key = matches.deployment_key
    left join known on counts.service = known.service and counts.release = known.release

),

baseline_days as (

    select {{ each_number(1, var('degradation_baseline_days')) }} as days_before

),

-- Strata are compared with those of the same weekday; the other days only tell how much days differ.
baseline as (

    select
        hours.deployment_key,
        baseline_days.days_before,
        hours.is_whole,
        counts.indicator,
        counts.cases,
        counts.bad_cases,
        counts.weight,
        counts.bad_weight,
        counts.squared_weight,
        case when baseline_days.days_before % 7 = 0 then counts.device_class end as device_class,
        case when baseline_days.days_before % 7 = 0 then counts.entry_route end as entry_route
    from hours
    cross join baseline_days
    inner join {{ ref('int_indicator_counts') }} as counts
        on
            hours.service = counts.service
            and hours.hour_number - 24 * baseline_days.days_before = counts.hour_number

)

select
    deployment_key,
    indicator,
    0 as days_before,
    device_class,
    entry_route,
    {%- for count in ['cases', 'bad_cases', 'weight', 'bad_weight', 'squared_weight'] %}
    cast(coalesce(sum({{ count }}) filter (where is_of_deployment), 0) as bigint) as {{ count }},
    {%- endfor %}
    cast(coalesce(sum(cases) filter (where is_whole), 0) as bigint) as telemetry_cases
from afterwards
group by deployment_key, indicator, device_class, entry_route
union all
select
    deployment_key,
    indicator,
    days_before,
    device_class,
    entry_route,
    {%- for count in ['cases', 'bad_cases', 'weight', 'bad_weight', 'squared_weight'] %}
    cast(sum({{ count }}) as bigint) as {{ count }},
    {%- endfor %}
    cast(coalesce(sum(cases) filter (where is_whole), 0) as bigint) as telemetry_cases
from baseline
group by deployment_key, indicator, days_before, device_class, entry_route
