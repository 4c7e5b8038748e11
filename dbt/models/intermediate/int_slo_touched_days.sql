{%- do ref('int_touched_event_days') -%}
{%- do ref('int_touched_activity') -%}
{%- do ref('int_as_of') -%}
{%- do ref('stg_slos') -%}
{%- do ref('stg_jobs') -%}

{%- if is_update() -%}
{#- A day of the calendar's time zone reaches into those of UTC around it. -#}
{%- set around = 0 if var('calendar_time_zone') == 'UTC' else 1 -%}
with touched as (

    select
        events.event_table,
        cast({{ each_day(
            'min(events.day) - interval ' ~ around ~ ' day', 'max(events.day) + interval ' ~ around ~ ' day'
        ) }} as date) as counted_on
    from {{ ref('int_touched_event_days') }} as events
    group by events.event_table, events.day

),

-- A session counts when it began, a measurement when it was last reported: maybe on another day than what is new, on
-- which its session was active, or on any around what was replaced.
related_days as (

    select distinct utc_day as counted_on
    from {{ ref('int_touched_activity') }}
    union
    select
        cast({{ each_day(
            "cast(from_time as date) - interval " ~ days_changed_before() ~ " day",
            "cast(from_time as date) + interval " ~ days_changed_before() ~ " day"
        ) }} as date) as counted_on
    from {{ newly_replaced('rum_events') }} as replaced

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
        cast(least(seen.as_of, as_of.as_of) as date) as first_day
    from meta.seen_as_of as seen
    inner join {{ ref('int_as_of') }} as as_of on seen.as_of is distinct from as_of.as_of

),

last_days as (

    select greatest(max(cast(greatest(seen.as_of, as_of.as_of) as date)), max(jobs.last_day)) as last_day
    from {{ ref('int_as_of') }} as as_of
    cross join meta.seen_as_of as seen
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
    {%- for event_source in ['sessions', 'web_vitals'] %}
    select
        '{{ event_source }}' as event_source,
        counted_on
    from related_days
    union
    {%- endfor %}
    select
        first_days.event_source,
        cast({{ each_day('first_days.first_day', 'last_days.last_day') }} as date) as counted_on
    from first_days
    cross join last_days

)

select
    slos.definition_number,
    source_days.counted_on
from {{ ref('stg_slos') }} as slos
inner join source_days on slos.total_source = source_days.event_source
union
select
    slos.definition_number,
    source_days.counted_on
from {{ ref('stg_slos') }} as slos
inner join source_days on slos.numerator_source = source_days.event_source
{%- else -%}
{{ no_rows({'definition_number': 'integer', 'counted_on': 'date'}) }}
{%- endif %}
