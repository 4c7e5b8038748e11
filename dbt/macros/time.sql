{# Time arithmetic, in the calendar that the vars choose. Engines differ in most of it, so it is all here. #}

{% macro hours_between(earlier, later) %}{{ adapter.dispatch('hours_between')(earlier, later) }}{% endmacro %}

{% macro default__hours_between(earlier, later) -%}
    (date_diff('microsecond', {{ earlier }}, {{ later }}) / 3600000000.0)
{%- endmacro %}

{% macro spark__hours_between(earlier, later) -%}
    ((unix_micros({{ later }}) - unix_micros({{ earlier }})) / 3600000000.0)
{%- endmacro %}


{# The start of the slot of so many minutes, counted from midnight UTC, that a time lies in. #}
{% macro time_slot(at, minutes) %}{{ adapter.dispatch('time_slot')(at, minutes) }}{% endmacro %}

{% macro default__time_slot(at, minutes) -%}
    time_bucket(to_minutes({{ minutes }}), {{ at }}, timestamp '2000-01-01')
{%- endmacro %}

{% macro spark__time_slot(at, minutes) -%}
    timestamp_seconds(unix_seconds({{ at }}) - unix_seconds({{ at }}) % (60 * {{ minutes }}))
{%- endmacro %}


{# The number of the slot of so many minutes, counted from 1970-01-01 00:00 UTC, and the start of one. #}
{% macro slot_number(at, minutes) -%}
    cast({{ whole_quotient(epoch_microseconds(at), minutes * 60000000) }} as integer)
{%- endmacro %}

{% macro slot_start(number, minutes) %}{{ adapter.dispatch('slot_start')(number, minutes) }}{% endmacro %}

{% macro default__slot_start(number, minutes) -%}
    make_timestamp(cast({{ number }} as bigint) * {{ minutes }} * 60000000)
{%- endmacro %}

{% macro spark__slot_start(number, minutes) -%}
    timestamp_seconds(cast({{ number }} as bigint) * {{ minutes }} * 60)
{%- endmacro %}


{# Of whole numbers that are not negative. #}
{% macro whole_quotient(number, divisor) %}{{ adapter.dispatch('whole_quotient')(number, divisor) }}{% endmacro %}

{% macro default__whole_quotient(number, divisor) -%}
    ({{ number }} // {{ divisor }})
{%- endmacro %}

{% macro spark__whole_quotient(number, divisor) -%}
    ({{ number }} div {{ divisor }})
{%- endmacro %}


{# Whole numbers beyond a bigint. #}
{% macro type_of_whole_numbers() %}{{ adapter.dispatch('type_of_whole_numbers')() }}{% endmacro %}

{% macro default__type_of_whole_numbers() %}hugeint{% endmacro %}

{% macro spark__type_of_whole_numbers() %}decimal(38, 0){% endmacro %}


{% macro epoch_microseconds(at) %}{{ adapter.dispatch('epoch_microseconds')(at) }}{% endmacro %}

{% macro default__epoch_microseconds(at) -%}
    epoch_us({{ at }})
{%- endmacro %}

{% macro spark__epoch_microseconds(at) -%}
    unix_micros({{ at }})
{%- endmacro %}


{# Exact for whole minutes, which sixty times the hours are not. #}
{% macro minutes_between(earlier, later) %}{{ adapter.dispatch('minutes_between')(earlier, later) }}{% endmacro %}

{% macro default__minutes_between(earlier, later) -%}
    (date_diff('microsecond', {{ earlier }}, {{ later }}) / 60000000.0)
{%- endmacro %}

{% macro spark__minutes_between(earlier, later) -%}
    ((unix_micros({{ later }}) - unix_micros({{ earlier }})) / 60000000.0)
{%- endmacro %}


{# A UTC time on the clock of a time zone, and back. #}
{% macro zoned_time(at, zone) %}{{ adapter.dispatch('zoned_time')(at, zone) }}{% endmacro %}

{% macro default__zoned_time(at, zone) -%}
    timezone({{ zone }}, timezone('UTC', {{ at }}))
{%- endmacro %}

{% macro spark__zoned_time(at, zone) -%}
    from_utc_timestamp({{ at }}, {{ zone }})
{%- endmacro %}


{% macro utc_time(local, zone) %}{{ adapter.dispatch('utc_time')(local, zone) }}{% endmacro %}

{% macro default__utc_time(local, zone) -%}
    timezone('UTC', timezone({{ zone }}, {{ local }}))
{%- endmacro %}

{% macro spark__utc_time(local, zone) -%}
    to_utc_timestamp({{ local }}, {{ zone }})
{%- endmacro %}


{# Hours from one time to a later one; NULL where they are in the wrong order, since a negative span is no duration. #}
{% macro span_hours(earlier, later) -%}
    case when {{ earlier }} <= {{ later }} then {{ hours_between(earlier, later) }} end
{%- endmacro %}


{% macro days_between(earlier, later) %}{{ adapter.dispatch('days_between')(earlier, later) }}{% endmacro %}

{% macro default__days_between(earlier, later) -%}
    date_diff('day', {{ earlier }}, {{ later }})
{%- endmacro %}

{% macro spark__days_between(earlier, later) -%}
    datediff({{ later }}, {{ earlier }})
{%- endmacro %}


{# In a select list: one row for each day from the first to the last. #}
{% macro each_day(first_day, last_day) %}{{ adapter.dispatch('each_day')(first_day, last_day) }}{% endmacro %}

{% macro default__each_day(first_day, last_day) -%}
    unnest(generate_series({{ first_day }}, {{ last_day }}, interval 1 day))
{%- endmacro %}

{% macro spark__each_day(first_day, last_day) -%}
    explode(sequence({{ first_day }}, {{ last_day }}, interval 1 day))
{%- endmacro %}


{# Whole hours since 1970-01-01 00:00 UTC. #}
{% macro hour_number(at) %}{{ adapter.dispatch('hour_number')(at) }}{% endmacro %}

{% macro default__hour_number(at) -%}
    date_diff('hour', timestamp '1970-01-01 00:00:00', {{ at }})
{%- endmacro %}

{% macro spark__hour_number(at) -%}
    cast(floor(unix_micros({{ at }}) / 3600000000) as bigint)
{%- endmacro %}


{# A UTC time on the clock of the calendar's time zone. #}
{% macro local_time(at) -%}
    {%- if var('calendar_time_zone') == 'UTC' -%}
        {{ at }}
    {%- else -%}
        {{ adapter.dispatch('local_time')(at) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__local_time(at) -%}
    timezone('{{ var("calendar_time_zone") }}', timezone('UTC', {{ at }}))
{%- endmacro %}

{% macro spark__local_time(at) -%}
    from_utc_timestamp({{ at }}, '{{ var("calendar_time_zone") }}')
{%- endmacro %}


{# A UTC time on the clock of the time zone that a column names. #}
{% macro local_time_in(at, time_zone) %}{{ adapter.dispatch('local_time_in')(at, time_zone) }}{% endmacro %}

{% macro default__local_time_in(at, time_zone) -%}
    timezone({{ time_zone }}, timezone('UTC', {{ at }}))
{%- endmacro %}

{% macro spark__local_time_in(at, time_zone) -%}
    from_utc_timestamp({{ at }}, {{ time_zone }})
{%- endmacro %}


{# Minutes from midnight to a time of day written as 09:00. #}
{% macro minute_of_day(clock) -%}
    (60 * cast(substr({{ clock }}, 1, 2) as integer) + cast(substr({{ clock }}, 4, 2) as integer))
{%- endmacro %}


{% macro day_of(at) -%}
    cast({{ local_time(at) }} as date)
{%- endmacro %}


{# First day of the day, week, month or quarter that a day lies in. #}
{% macro period_start(period, day) -%}
    {%- if period == 'week' and var('week_start') == 'sunday' -%}
        cast(date_trunc('week', {{ day }} + interval 1 day) - interval 1 day as date)
    {%- else -%}
        cast(date_trunc('{{ period }}', {{ day }}) as date)
    {%- endif -%}
{%- endmacro %}


{# First day after the period that starts on a day. #}
{% macro period_end(period, first_day) -%}
    {%- set length = {'day': '1 day', 'week': '7 day', 'month': '1 month', 'quarter': '3 month'}[period] -%}
    cast({{ first_day }} + interval {{ length }} as date)
{%- endmacro %}


{# How long after a deployment something may still speak against it. #}
{% macro failure_window_hours() -%}
    {{ [var('incident_link_window_hours') or 0, 24 * var('hotfix_blame_window_days')] | max }}
{%- endmacro %}
