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


{# Slots of a day of 23 hours, the shortest there is: who is active in so many of one day never paused for long. #}
{% macro slots_of_a_day() -%}
    {{ 23 * 60 // var('session_timeout_minutes') }}
{%- endmacro %}


{# How many days before and after its own an event may change what was made of others: a session reaches into the next
   day, and a measurement may be reported again for late_beacon_days. #}
{% macro days_changed_before() %}{{ return([1, var('late_beacon_days')] | max) }}{% endmacro %}


{# In an update, only rows of the days that are made anew and of so many days before and after them: as literals, by
   which an engine skips blocks of rows. A day more on either side is for the calendar's time zone. #}
{% macro near_restated_days(column, before=0, after=0, touched='int_restated_session_days', key='day') -%}
    {%- if not is_incremental() -%}
        true
    {%- else -%}
        {%- set found = run_query('select min(' ~ key ~ '), max(' ~ key ~ ') from ' ~ as_it_stands(touched)).rows[0] -%}
        {%- if found[0] is none -%}
            false
        {%- else -%}
            {{ column }} >= cast('{{ found[0] }}' as date) - interval {{ before + 1 }} day
            and {{ column }} < cast('{{ found[1] }}' as date) + interval {{ after + 2 }} day
        {%- endif -%}
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
   Zero has a bin of its own, below those of all numbers. #}
{% macro value_bin(value) -%}
    case
        when {{ value }} = 0 then {{ zero_bin() }}
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
   of all combinations and windows would be a hundred times as many rows: its wide bin, then its bin in that. #}
{% macro web_vitals(window, dimensions, touched, touched_key) %}

{%- set sums = ['measurements', 'weight', 'good_weight', 'poor_weight'] -%}
{%- set combinations = [[]] -%}
{%- for dimension in dimensions -%}
    {%- for combination in combinations | list -%}
        {%- do combinations.append(combination + [dimension]) -%}
    {%- endfor -%}
{%- endfor -%}
{%- set cell = ['service', 'metric_name'] + dimensions -%}
{%- set starts = {'day': 'day', 'rolling': 'day', 'month': period_start('month', 'day')} -%}
{%- set days_back = {'day': 0, 'rolling': 27, 'month': 31}[window] -%}

with bins as (

    select
        service,
        day,
        metric_name,
        {%- for dimension in dimensions %}
        {{ dimension }},
        {%- endfor %}
        bin,
        {{ wide_bin('bin') }} as wide,
        {%- for each in sums %}
        {{ each }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_web_vital_bins') }}
    where {{ near_restated_days('day', days_back, days_back, touched, touched_key) }}

),

-- Which days a window has.
windows as (

    {% if window == 'rolling' -%}
    select
        ends.service,
        ends.day as {{ touched_key }},
        days.day as member
    from (select distinct service, day from bins) as ends
    inner join (select distinct service, day from bins) as days
        on ends.service = days.service and days.day between ends.day - interval 27 day and ends.day
    where {{ is_touched('ends') }}
    {%- else -%}
    select
        service,
        {{ touched_key }},
        member
    from (select distinct service, {{ starts[window] }} as {{ touched_key }}, day as member from bins) as days
    where {{ is_touched('days') }}
    {%- endif %}

),

wide_bins as (

    select
        {{ cell | join(', ') }},
        day,
        wide,
        {%- for each in sums %}
        cast(sum({{ each }}) as bigint) as {{ each }}{{ ',' if not loop.last }}
        {%- endfor %}
    from bins
    group by {{ cell | join(', ') }}, day, wide

),

combined as (

    {% for combination in combinations -%}
    select
        service,
        metric_name,
        {%- for dimension in dimensions %}
        {{ dimension if dimension in combination else "'all'" }} as {{ dimension }},
        {%- endfor %}
        day,
        wide,
        {%- for each in sums %}
        cast(sum({{ each }}) as bigint) as {{ each }}{{ ',' if not loop.last }}
        {%- endfor %}
    from wide_bins
    group by service, metric_name, day, wide{% for dimension in combination %}, wide_bins.{{ dimension }}{% endfor %}
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

),

in_windows as (

    select
        {%- for key in cell %}
        combined.{{ key }},
        {%- endfor %}
        windows.{{ touched_key }},
        combined.wide,
        {%- for each in sums %}
        cast(sum(combined.{{ each }}) as bigint) as {{ each }}{{ ',' if not loop.last }}
        {%- endfor %}
    from combined
    inner join windows on combined.service = windows.service and combined.day = windows.member
    group by all

),

ranked as (

    select
        *,
        sum(weight) over (
            partition by {{ cell | join(', ') }}, {{ touched_key }} order by wide rows unbounded preceding
        ) as weight_up_to,
        sum(weight) over (partition by {{ cell | join(', ') }}, {{ touched_key }}) as weight_of_all
    from in_windows

),

totals as (

    select
        {{ cell | join(', ') }},
        {{ touched_key }},
        {%- for each in sums %}
        cast(sum({{ each }}) as bigint) as {{ each }},
        {%- endfor %}
        min(wide) filter (where 4 * weight_up_to >= 3 * weight_of_all) as wide,
        coalesce(max(weight_up_to) filter (where 4 * weight_up_to < 3 * weight_of_all), 0) as weight_below
    from ranked
    group by {{ cell | join(', ') }}, {{ touched_key }}

),

wanted as (

    select
        {%- for key in cell %}
        totals.{{ key }},
        {%- endfor %}
        totals.{{ touched_key }},
        totals.wide,
        windows.member
    from totals
    inner join windows on totals.service = windows.service and totals.{{ touched_key }} = windows.{{ touched_key }}

),

close_bins as (

    {% for combination in combinations -%}
    select
        {%- for key in cell %}
        wanted.{{ key }},
        {%- endfor %}
        wanted.{{ touched_key }},
        bins.bin,
        sum(bins.weight) as weight
    from bins
    inner join wanted
        on
            bins.service = wanted.service
            and bins.metric_name = wanted.metric_name
            and bins.wide = wanted.wide
            and bins.day = wanted.member
            {%- for dimension in combination %}
            and bins.{{ dimension }} = wanted.{{ dimension }}
            {%- endfor %}
    {%- if combination | length < dimensions | length %}
    where
        {%- for dimension in dimensions if dimension not in combination %}
        {{ 'and ' if not loop.first }}wanted.{{ dimension }} = 'all'
        {%- endfor %}
    {%- endif %}
    group by all
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

),

close_ranks as (

    select
        *,
        sum(weight) over (
            partition by {{ cell | join(', ') }}, {{ touched_key }} order by bin rows unbounded preceding
        ) as weight_up_to
    from close_bins

),

percentiles as (

    select
        {%- for key in cell %}
        totals.{{ key }},
        {%- endfor %}
        totals.{{ touched_key }},
        min(close_ranks.bin) as bin
    from totals
    inner join close_ranks
        on
            {%- for key in cell %}
            totals.{{ key }} = close_ranks.{{ key }} and
            {%- endfor %}
            totals.{{ touched_key }} = close_ranks.{{ touched_key }}
    where 4 * (totals.weight_below + close_ranks.weight_up_to) >= 3 * totals.weight
    group by all

),

owned as (

    select
        totals.*,
        percentiles.bin,
        as_of.as_of,
        {% if window == 'month' -%}
        {{ period_end('month', 'totals.month') }} as next_day,
        {%- else -%}
        cast(totals.day + interval 1 day as date) as next_day,
        {%- endif %}
        {{ local_time('as_of.as_of') }} as local_as_of
    from totals
    inner join percentiles
        on
            {%- for key in cell %}
            totals.{{ key }} = percentiles.{{ key }} and
            {%- endfor %}
            totals.{{ touched_key }} = percentiles.{{ touched_key }}
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
