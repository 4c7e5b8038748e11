{# One row into several, in a select list. #}

{# In a select list: one row for each whole number from the first to the last; none if the last is smaller. #}
{% macro each_number(first, last) %}{{ adapter.dispatch('each_number')(first, last) }}{% endmacro %}

{% macro default__each_number(first, last) -%}
    unnest(generate_series({{ first }}, {{ last }}))
{%- endmacro %}

{# A sequence of Spark would count down. #}
{% macro spark__each_number(first, last) -%}
    explode(filter(sequence({{ first }}, greatest({{ first }}, {{ last }})), number -> number <= {{ last }}))
{%- endmacro %}


{# One row for each part of a text that a character separates. #}
{% macro each_part(text, separator) %}{{ adapter.dispatch('each_part')(text, separator) }}{% endmacro %}

{% macro default__each_part(text, separator) -%}
    unnest(string_split({{ text }}, '{{ separator }}'))
{%- endmacro %}

{% macro spark__each_part(text, separator) -%}
    explode(split({{ text }}, '{{ separator }}'))
{%- endmacro %}
