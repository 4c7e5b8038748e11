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
{% macro near_restated_days(column, before=0, after=0, touched='int_restated_session_days') -%}
    {%- if not is_incremental() -%}
        true
    {%- else -%}
        {%- set found = run_query('select min(day), max(day) from ' ~ as_it_stands(touched)).rows[0] -%}
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
