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


{# The number that a mapping from literals has for a text; `other`, less than all of them, where it has none. DuckDB asks
   once for each text of a block that it keeps by a dictionary, however many rows have it, as long as it asks functions
   that cannot fail: no case, no coalesce, no product. #}
{% macro number_of(numbers, text, other) %}{{ adapter.dispatch('number_of')(numbers, text, other) }}{% endmacro %}

{% macro default__number_of(numbers, text, other) -%}
    greatest(
        map_extract_value(
            map {
                {%- for literal, number in numbers.items() %}{{ literal }}: {{ number }}{{ ', ' if not loop.last }}{% endfor -%}
            }, {{ text }}
        ), {{ other }}
    )
{%- endmacro %}

{% macro spark__number_of(numbers, text, other) -%}
    coalesce(
        try_element_at(
            map(
                {%- for literal, number in numbers.items() %}{{ literal }}, {{ number }}{{ ', ' if not loop.last }}{% endfor -%}
            ), {{ text }}
        ), {{ other }}
    )
{%- endmacro %}


{# In place of a value: ends the build with these words. #}
{% macro failure(words) %}{{ adapter.dispatch('failure')(words) }}{% endmacro %}

{% macro default__failure(words) %}error('{{ words }}'){% endmacro %}

{% macro spark__failure(words) %}raise_error('{{ words }}'){% endmacro %}


{# Whether a text is among literals; NULL is not. #}
{% macro is_one_of(literals, text) %}{{ adapter.dispatch('is_one_of')(literals, text) }}{% endmacro %}

{% macro default__is_one_of(literals, text) -%}
    list_contains([{{ literals | join(', ') }}], {{ text }})
{%- endmacro %}

{% macro spark__is_one_of(literals, text) -%}
    array_contains(array({{ literals | join(', ') }}), {{ text }})
{%- endmacro %}


{# One row for each value of a list. #}
{% macro each_of(list) %}{{ adapter.dispatch('each_of')(list) }}{% endmacro %}

{% macro default__each_of(list) -%}
    unnest({{ list }})
{%- endmacro %}

{% macro spark__each_of(list) -%}
    explode({{ list }})
{%- endmacro %}


{# A list of the whole numbers from 0 on, so many. #}
{% macro whole_numbers_below(number) %}{{ adapter.dispatch('whole_numbers_below')(number) }}{% endmacro %}

{% macro default__whole_numbers_below(number) -%}
    range({{ number }})
{%- endmacro %}

{% macro spark__whole_numbers_below(number) -%}
    sequence(0, {{ number }} - 1)
{%- endmacro %}


{# What keeps an engine from moving what follows into the joins around it; Spark has no word for it. #}
{% macro materialized() %}{{ adapter.dispatch('materialized')() }}{% endmacro %}

{% macro default__materialized() %}materialized{% endmacro %}

{% macro spark__materialized() %}{% endmacro %}
