{# What browsers report, put together: slots of activity, sessions, bins of values. #}

{# In a where clause: an event that says that the user did something. A reported INP is one, and so is an action that
   was completed. #}
{% macro is_interaction(events) -%}
    (
        {{ events }}.event_type = 'interaction'
        or ({{ events }}.event_type = 'vital' and {{ events }}.metric_name = 'INP')
        or ({{ events }}.event_type in ('journey_step', 'payment') and {{ events }}.is_success)
    )
{%- endmacro %}


{# The number of a stretch of time as long as the pause that ends a session: no such pause fits between the events of
   one slot, so that they all belong to one session. #}
{% macro activity_slot(at) -%}
    cast(floor({{ epoch_microseconds(at) }} / {{ 60000000 * var('session_timeout_minutes') }}) as bigint)
{%- endmacro %}


{# Source, service and session id as one number, by which a million sessions are joined with their events in two thirds of
   the time. It is a hash of 64 bits, as the id is. #}
{% macro session_key(rows) %}{{ adapter.dispatch('session_key')(rows) }}{% endmacro %}

{# Of texts that repeat DuckDB hashes each once, but not together with another column; shifted, since a source and a
   service of the same name would undo each other. #}
{% macro default__session_key(rows) -%}
    xor(xor(hash({{ rows }}.source), hash({{ rows }}.service) >> 1), {{ rows }}.session_id)
{%- endmacro %}

{% macro spark__session_key(rows) -%}
    xxhash64({{ rows }}.source, {{ rows }}.service, {{ rows }}.session_id)
{%- endmacro %}


{# Slots of a day of 23 hours, the shortest there is: without so many in a day there was a pause in it. #}
{% macro slots_of_a_day() -%}
    {{ 23 * 60 // var('session_timeout_minutes') }}
{%- endmacro %}


{# How many days before its own an event may change what was made of others: a measurement may be reported again for
   late_beacon_days, and the session of the one that it supersedes may have begun on the day before that. #}
{% macro days_changed_before() %}{{ return(var('late_beacon_days') + 1) }}{% endmacro %}

{# Days from the beginning of one until no beacon of it can come any more: its own, and those that a beacon may be late. #}
{% macro provisional_days() %}{{ return(var('late_beacon_days') + 1) }}{% endmacro %}


{# In an update, only rows of the days that are made anew and of so many days before and after them. The column is such a
   day itself or, if its name ends in _at, a time in UTC: in a calendar of another time zone a day may begin 14 hours
   before that of UTC and end 12 hours after it. #}
{% macro near_restated_days(column, before=0, after=0, key='day') -%}
    {%- if not is_incremental() -%}
        true
    {%- else -%}
        {%- set is_shifted = column.endswith('_at') and var('calendar_time_zone') != 'UTC' -%}
        {{ near_days(
            column, key, as_it_stands(config.get('meta').touched), before, after,
            14 if is_shifted else 0, 12 if is_shifted else 0
        ) }}
    {%- endif -%}
{%- endmacro %}

{# Within the days of some rows, and so many days and hours around them: as literals, by which an engine skips blocks of
   rows. #}
{% macro near_days(column, key, rows, before, after, hours_before=0, hours_after=0) -%}
    {%- set found = run_query('select min(' ~ key ~ '), max(' ~ key ~ ') from ' ~ rows).rows[0] -%}
    {%- if found[0] is none -%}
        false
    {%- else -%}
        {{ column }} >= cast('{{ found[0] }}' as date) - interval {{ 24 * before + hours_before }} hour
        and {{ column }} < cast('{{ found[1] }}' as date) + interval {{ 24 * (after + 1) + hours_after }} hour
    {%- endif -%}
{%- endmacro %}


{# Several columns as one value, compared in their order. #}
{% macro record(columns) %}{{ adapter.dispatch('record')(columns) }}{% endmacro %}

{% macro default__record(columns) -%}
    struct_pack(
        {%- for column in columns %}{{ column }} := {{ column }}{{ ', ' if not loop.last }}{% endfor -%}
    )
{%- endmacro %}

{% macro spark__record(columns) -%}
    struct({{ columns | join(', ') }})
{%- endmacro %}


{# The bin of a histogram that a value lies in: its three leading digits and its power of ten as one whole number, 900 a
   power, so that bins sort as values do, differ from any value in them by at most 0.5 %, and merge by adding up.
   Zero, and what is below a billionth, where powers of ten run out of digits, has a bin of its own below all others. #}
{% macro value_bin(value) -%}
    case
        when {{ value }} < 1e-9 then {{ zero_bin() }}
        else cast(
            900 * floor(log10({{ value }}))
            + round({{ value }} / pow(10, floor(log10({{ value }})) - 2)) - 100 as integer
        )
    end
{%- endmacro %}

{% macro value_of_bin(bin) -%}
    {%- set digits -%} ({{ bin }} - 900 * floor({{ bin }} / 900.0) + 100) {%- endset -%}
    {%- set power -%} (floor({{ bin }} / 900.0) - 2) {%- endset -%}
    case
        when {{ bin }} = {{ zero_bin() }} then 0
        -- Powers of ten below one are no exact numbers.
        when {{ power }} < 0 then {{ digits }} / pow(10, -{{ power }})
        else {{ digits }} * pow(10, {{ power }})
    end
{%- endmacro %}

{% macro zero_bin() %}-360000{% endmacro %}

{# Thirty bins together, in which a percentile is looked for first. #}
{% macro wide_bin(bin) -%}
    cast(floor({{ bin }} / 30.0) as integer)
{%- endmacro %}


{# Web vitals of one front end in one window, a day, the 28 days up to a day (rolling), or a month: for each combination
   of these dimensions one row, and one for all of them where it says so; the one definition behind all these tables.
   The 75th percentile, the least value at which the weights reach three quarters, is found in two steps, since all bins
   of all combinations and windows would be a hundred times as many rows: its wide bin, then its bin in that. All of it
   is grouped and joined by numbers in place of names, at a third of the cost: a cell is one value of each dimension, a
   part a cell or what one sums up, a span the days that always count together: one day where windows overlap. #}
{% macro web_vitals(window, dimensions, touched_key) %}

{%- set sums = ['measurements', 'weight', 'good_weight', 'poor_weight'] -%}
{%- set combinations = [[]] -%}
{%- for dimension in dimensions -%}
    {%- for combination in combinations | list -%}
        {%- do combinations.append(combination + [dimension]) -%}
    {%- endfor -%}
{%- endfor -%}
{%- set names = ['service', 'metric_name'] + dimensions -%}
{%- set start = period_start('month', 'day') if window == 'month' else 'day' -%}
{%- set days_back = {'day': 0, 'rolling': 27, 'month': 31}[window] -%}

with bins as (

    select
        *,
        {{ start }} as window_day
    from {{ ref('int_web_vital_bins') }}
    where {{ near_restated_days('day', days_back, days_back, touched_key) }}

),

cells as (

    select
        *,
        row_number() over (order by {{ names | join(', ') }}) as cell
    from (select distinct {{ names | join(', ') }} from bins) as known

),

cells_of_names as (

    {% for combination in combinations -%}
    select
        cell,
        service,
        metric_name,
        {%- for dimension in dimensions %}
        {{ dimension if dimension in combination else "'all'" }} as {{ dimension }}{{ ',' if not loop.last }}
        {%- endfor %}
    from cells
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

),

cells_of_parts as (

    select
        *,
        dense_rank() over (order by {{ names | join(', ') }}) as part
    from cells_of_names

),

windows as (

    select
        service,
        {{ touched_key }},
        row_number() over (order by service, {{ touched_key }}) as window_number
    from (select distinct service, window_day as {{ touched_key }} from bins) as ends
    where {{ is_touched('ends') }}

),

spans as (

    {% if window == 'rolling' -%}
    select
        service,
        day,
        row_number() over (order by service, day) as span
    from (select distinct service, day from bins) as days
    {%- else -%}
    select
        days.service,
        days.day,
        windows.window_number as span
    from (select distinct service, day, window_day from bins) as days
    inner join windows on days.service = windows.service and days.window_day = windows.{{ touched_key }}
    {%- endif %}

),

windows_of_spans as (

    {% if window == 'rolling' -%}
    select
        windows.window_number,
        spans.span
    from windows
    inner join spans
        on windows.service = spans.service and spans.day between windows.day - interval 27 day and windows.day
    {%- else -%}
    select
        window_number,
        window_number as span
    from windows
    {%- endif %}

),

numbered as (

    select
        cells.cell,
        spans.span,
        bins.bin,
        {{ wide_bin('bins.bin') }} as wide,
        {%- for each in sums %}
        bins.{{ each }}{{ ',' if not loop.last }}
        {%- endfor %}
    from bins
    inner join spans on bins.service = spans.service and bins.day = spans.day
    inner join cells
        on
            {%- for name in names %}
            bins.{{ name }} = cells.{{ name }}{{ ' and' if not loop.last }}
            {%- endfor %}

),

wide_bins as (

    select
        cell,
        span,
        wide,
        {%- for each in sums %}
        cast(sum({{ each }}) as bigint) as {{ each }}{{ ',' if not loop.last }}
        {%- endfor %}
    from numbered
    group by cell, span, wide

),

wide_bins_of_parts as (

    select
        cells_of_parts.part,
        wide_bins.span,
        wide_bins.wide,
        {%- for each in sums %}
        cast(sum(wide_bins.{{ each }}) as bigint) as {{ each }}{{ ',' if not loop.last }}
        {%- endfor %}
    from wide_bins
    inner join cells_of_parts on wide_bins.cell = cells_of_parts.cell
    group by cells_of_parts.part, wide_bins.span, wide_bins.wide

),

in_windows as (

    {% if window == 'rolling' -%}
    select
        wide_bins_of_parts.part,
        windows_of_spans.window_number,
        wide_bins_of_parts.wide,
        {%- for each in sums %}
        cast(sum(wide_bins_of_parts.{{ each }}) as bigint) as {{ each }}{{ ',' if not loop.last }}
        {%- endfor %}
    from wide_bins_of_parts
    inner join windows_of_spans on wide_bins_of_parts.span = windows_of_spans.span
    group by wide_bins_of_parts.part, windows_of_spans.window_number, wide_bins_of_parts.wide
    {%- else -%}
    select
        *,
        span as window_number
    from wide_bins_of_parts
    {%- endif %}

),

ranked as (

    select
        *,
        sum(weight) over (
            partition by part, window_number order by wide rows unbounded preceding
        ) as weight_up_to,
        sum(weight) over (partition by part, window_number) as weight_of_all
    from in_windows

),

totals as (

    select
        part,
        window_number,
        {%- for each in sums %}
        cast(sum({{ each }}) as bigint) as {{ each }},
        {%- endfor %}
        min(wide) filter (where 4 * weight_up_to >= 3 * weight_of_all) as wide,
        coalesce(max(weight_up_to) filter (where 4 * weight_up_to < 3 * weight_of_all), 0) as weight_below
    from ranked
    group by part, window_number

),

-- Made before it is joined: DuckDB would else join every window of a part with each of its bins, and then look for
-- the spans.
wanted_in_windows as {{ materialized() }} (

    select
        totals.part,
        totals.window_number,
        windows_of_spans.span,
        totals.wide,
        totals.weight as weight_of_all,
        totals.weight_below
    from totals
    inner join windows_of_spans on totals.window_number = windows_of_spans.window_number

),

wanted as (

    select distinct
        part,
        span,
        wide
    from wanted_in_windows

),

close_bins as (

    select
        wanted.part,
        wanted.span,
        wanted.wide,
        numbered.bin,
        cast(sum(numbered.weight) as bigint) as weight
    from numbered
    inner join cells_of_parts on numbered.cell = cells_of_parts.cell
    inner join wanted
        on
            cells_of_parts.part = wanted.part
            and numbered.span = wanted.span
            and numbered.wide = wanted.wide
    group by wanted.part, wanted.span, wanted.wide, numbered.bin

),

close_bins_in_windows as (

    select
        wanted_in_windows.part,
        wanted_in_windows.window_number,
        close_bins.bin,
        min(wanted_in_windows.weight_of_all) as weight_of_all,
        min(wanted_in_windows.weight_below) as weight_below,
        cast(sum(close_bins.weight) as bigint) as weight
    from close_bins
    inner join wanted_in_windows
        on
            close_bins.part = wanted_in_windows.part
            and close_bins.span = wanted_in_windows.span
            and close_bins.wide = wanted_in_windows.wide
    group by wanted_in_windows.part, wanted_in_windows.window_number, close_bins.bin

),

close_ranks as (

    select
        *,
        weight_below + sum(weight) over (
            partition by part, window_number order by bin rows unbounded preceding
        ) as weight_up_to
    from close_bins_in_windows

),

percentiles as (

    select
        part,
        window_number,
        min(bin) as bin
    from close_ranks
    where 4 * weight_up_to >= 3 * weight_of_all
    group by part, window_number

),

named_parts as (

    select distinct
        part,
        {{ names | join(', ') }}
    from cells_of_parts

),

owned as (

    select
        {%- for name in names %}
        named_parts.{{ name }},
        {%- endfor %}
        windows.{{ touched_key }},
        {%- for each in sums %}
        totals.{{ each }},
        {%- endfor %}
        percentiles.bin,
        as_of.as_of,
        {% if window == 'month' -%}
        {{ period_end('month', 'windows.month') }} as next_day,
        {%- else -%}
        cast(windows.day + interval 1 day as date) as next_day,
        {%- endif %}
        {{ local_time('as_of.as_of') }} as local_as_of
    from totals
    inner join percentiles
        on totals.part = percentiles.part and totals.window_number = percentiles.window_number
    inner join named_parts on totals.part = named_parts.part
    inner join windows on totals.window_number = windows.window_number
    cross join {{ ref('int_as_of') }} as as_of

)

select
    owned.{{ touched_key }},
    services.team,
    owned.service,
    {%- for dimension in dimensions %}
    owned.{{ dimension }},
    {%- endfor %}
    owned.metric_name,
    {%- if window == 'month' %}
    cast(owned.next_day as timestamp) <= owned.local_as_of as is_complete,
    {%- endif %}
    owned.local_as_of < owned.next_day + interval {{ var('late_beacon_days') }} day as is_provisional,
    owned.measurements,
    owned.weight / 1000000.0 as page_views,
    owned.good_weight / 1000000.0 as good_page_views,
    (owned.weight - owned.good_weight - owned.poor_weight) / 1000000.0 as needs_improvement_page_views,
    owned.poor_weight / 1000000.0 as poor_page_views,
    {{ ratio('owned.good_weight', 'owned.weight') }} as good_rate,
    {{ ratio('owned.poor_weight', 'owned.weight') }} as poor_rate,
    cast({{ value_of_bin('owned.bin') }} as double) as p75_value,
    -- The percentile is good if and only if three quarters are: by weights of exact values, where its bin is rounded.
    case
        when 4 * owned.good_weight >= 3 * owned.weight then 'good'
        when 4 * (owned.weight - owned.poor_weight) >= 3 * owned.weight then 'needs_improvement'
        else 'poor'
    end as rating
from owned
left join {{ ref('dim_services') }} as services
    on
        owned.service = services.service
        and least(owned.next_day - interval 1 day, {{ day_of('owned.as_of') }}) >= services.valid_from
        and least(owned.next_day - interval 1 day, {{ day_of('owned.as_of') }}) < services.valid_to

{%- endmacro %}


{% macro field(record, name) %}{{ adapter.dispatch('field')(record, name) }}{% endmacro %}

{% macro default__field(record, name) -%}
    struct_extract({{ record }}, '{{ name }}')
{%- endmacro %}

{% macro spark__field(record, name) -%}
    {{ record }}.{{ name }}
{%- endmacro %}


{# The longest journey that there may be: its steps follow one another in as many joins. #}
{% macro longest_journey() %}{{ return(12) }}{% endmacro %}


{# The least value at which the weights of all rows of these columns that are not above it reach a share of them all:
   weighted nearest rank, given as a fraction such as (3, 4). #}
{% macro weight_up_to(weight, columns, value) -%}
    sum({{ weight }}) over (
        partition by {{ columns | join(', ') }} order by {{ value }} range unbounded preceding
    )
{%- endmacro %}


{# One session, journey and step that it reached: a chain of as many joins as the longest journey has steps. #}
{% macro journey_steps() %}

{%- set tolerance = 'interval ' ~ var('journey_clock_tolerance_seconds') ~ ' second' -%}
{%- set session = ['journey', 'source', 'service', 'session_id', 'started_at'] -%}
{%- set steps = range(1, longest_journey() + 1) -%}

with events as (

    select known.*
    from {{ ref('int_journey_events') }} as known
    where {{ is_touched('known') }}

),

-- Each step at the first event that shows it at or after the step before; the first at its first.
{% for position in steps -%}
step_{{ position }} as (

    select
        {%- for key in session %}
        events.{{ key }},
        {%- endfor %}
        events.started_on,
        events.weight,
        events.position,
        {%- if position == 1 %}
        min(events.occurred_at) as reached_at,
        {%- else %}
        min(greatest(events.occurred_at, before.reached_at)) as reached_at,
        {%- endif %}
        max(case when events.is_other_clock then 1 else 0 end) as is_other_clock
    from events
    {%- if position > 1 %}
    inner join step_{{ position - 1 }} as before
        on
            {%- for key in session %}
            events.{{ key }} = before.{{ key }} and
            {%- endfor %}
            (
                events.occurred_at >= before.reached_at
                or (
                    (events.is_other_clock or before.is_other_clock = 1)
                    and events.occurred_at >= before.reached_at - {{ tolerance }}
                )
            )
    {%- endif %}
    where events.position = {{ position }}
    group by all

),

{% endfor -%}
reached as (

    {% for position in steps -%}
    select * from step_{{ position }}
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

),

in_order as (

    select
        *,
        lead(reached_at) over (partition by {{ session | join(', ') }} order by position) as left_at
    from reached

),

-- What happened at a step: its own attempts, failed or not, and uncaught errors until it was left.
attempts as (

    select
        {%- for key in session %}
        in_order.{{ key }},
        {%- endfor %}
        in_order.position,
        max(case when events.position > 0 and events.is_success then 1 else 0 end) as is_successful,
        max(case when events.is_success then 0 else 1 end) as has_error
    from in_order
    inner join events
        on
            {%- for key in session %}
            in_order.{{ key }} = events.{{ key }}{{ ' and' if not loop.last }}
            {%- endfor %}
    where
        (events.position = 0 or events.position = in_order.position)
        and (
            events.occurred_at >= in_order.reached_at
            or (
                (events.is_other_clock or in_order.is_other_clock = 1)
                and events.occurred_at >= in_order.reached_at - {{ tolerance }}
            )
        )
        and (in_order.left_at is null or events.occurred_at <= in_order.left_at)
    group by all

),

judged as (

    select
        in_order.*,
        coalesce(attempts.is_successful, 0) as is_successful,
        coalesce(attempts.has_error, 0) as has_error
    from in_order
    left join attempts
        on
            {%- for key in session %}
            in_order.{{ key }} = attempts.{{ key }} and
            {%- endfor %}
            in_order.position = attempts.position

)

select
    {%- for key in session %}
    judged.{{ key }},
    {%- endfor %}
    judged.started_on,
    judged.weight,
    judged.position,
    judged.reached_at,
    judged.left_at,
    case
        when judged.position = lengths.steps then judged.is_successful = 1
        else judged.left_at is not null
    end as is_completed,
    judged.has_error = 1 as has_error,
    round({{ hours_between('judged.reached_at', 'judged.left_at') }} * 3600, 3) as step_seconds
from judged
inner join (select journey, max(position) as steps from {{ ref('stg_journeys') }} group by journey) as lengths
    on judged.journey = lengths.journey

{%- endmacro %}
