{%- do ref('int_touched_event_days') -%}
{%- do ref('int_user_events') -%}
{%- do ref('int_as_of') -%}
{%- do ref('stg_slos') -%}
{%- do ref('stg_jobs') -%}

{%- if is_update() -%}
{#- A day of the calendar's time zone reaches into those of UTC around it. -#}
{%- set around = 0 if var('calendar_time_zone') == 'UTC' else 1 -%}
{%- set late_days = [1, var('late_beacon_days')] | max -%}
with touched as (

    select
        events.event_table,
        cast({{ each_day(
            'min(events.day) - interval ' ~ around ~ ' day', 'max(events.day) + interval ' ~ around ~ ' day'
        ) }} as date) as counted_on
    from {{ ref('int_touched_event_days') }} as events
    group by events.event_table, events.day

),

new_events as (

    select distinct
        source,
        service,
        session_id,
        metric_name,
        metric_id
    from {{ new_rows(source('raw', 'rum_events')) }} as loaded

),

browser_days as (

    select
        min(counted_on) as first_day,
        max(counted_on) as last_day
    from touched
    where event_table = 'rum_events'

),

-- A session counts when it began, a measurement when it was last reported: maybe on another day than what is new.
related_days as (

    select distinct
        case when events.event_type = 'vital' then 'web_vitals' else 'sessions' end as event_source,
        cast(events.occurred_at as date) as counted_on
    from {{ ref('int_user_events') }} as events
    cross join browser_days
    inner join new_events
        on
            events.source = new_events.source
            and events.service = new_events.service
            and events.session_id = new_events.session_id
            and (
                events.event_type <> 'vital'
                or (
                    events.metric_name = new_events.metric_name
                    and events.metric_id = new_events.metric_id
                )
            )
    where
        events.occurred_at >= browser_days.first_day - interval {{ late_days }} day
        and events.occurred_at < browser_days.last_day + interval {{ late_days + 1 }} day
    union
    select
        event_sources.event_source,
        cast({{ each_day(
            "cast(replaced.from_time as date) - interval " ~ late_days ~ " day",
            "cast(replaced.from_time as date) + interval " ~ late_days ~ " day"
        ) }} as date) as counted_on
    from raw.replaced_events as replaced
    cross join (
        select 'sessions' as event_source
        union all
        select 'web_vitals' as event_source
    ) as event_sources
    where
        replaced.table_name = 'rum_events'
        and not exists (select 1 from meta.seen_batches as seen where seen.batch_id = replaced.batch_id)

),

-- A job counts when it ends or is late, and a process is compared with its first sample: all days since may differ.
first_days as (

    select
        event_table as event_source,
        min(counted_on) as first_day
    from touched
    where event_table in ('jobs', 'process_samples')
    group by event_table
    union all
    select
        'jobs' as event_source,
        cast(seen.as_of as date) as first_day
    from meta.seen_as_of as seen
    inner join {{ ref('int_as_of') }} as as_of on seen.as_of is distinct from as_of.as_of

),

last_days as (

    select greatest(max(cast(as_of.as_of as date)), max(jobs.last_day)) as last_day
    from {{ ref('int_as_of') }} as as_of
    cross join (
        select cast(max(coalesce(finished_at, enqueued_at)) as date) as last_day from {{ ref('stg_jobs') }}
    ) as jobs

),

source_days as (

    select
        event_sources.event_source,
        touched.counted_on
    from touched
    inner join (
        {%- for event_source, table in {
            'requests': 'requests', 'rum_events': 'rum_events', 'web_vitals': 'rum_events', 'sessions': 'rum_events',
            'synthetic_checks': 'synthetic_checks'
        }.items() %}
        select
            '{{ event_source }}' as event_source,
            '{{ table }}' as event_table
        {{- ' union all' if not loop.last }}
        {%- endfor %}
    ) as event_sources on touched.event_table = event_sources.event_table
    union
    select
        event_source,
        counted_on
    from related_days
    union
    select
        first_days.event_source,
        cast({{ each_day('first_days.first_day', 'last_days.last_day') }} as date) as counted_on
    from first_days
    cross join last_days

)

select
    slos.definition,
    source_days.counted_on
from {{ ref('stg_slos') }} as slos
inner join source_days on slos.total_source = source_days.event_source
union
select
    slos.definition,
    source_days.counted_on
from {{ ref('stg_slos') }} as slos
inner join source_days on slos.numerator_source = source_days.event_source
{%- else -%}
select
    cast(null as {{ dbt.type_string() }}) as definition,
    cast(null as date) as counted_on
where false
{%- endif %}
