{# Path rules: globs of services.csv against the files that changes touch. #}

{# In a select list: one row for each word of a text; the text between two spaces in a row is a word of no letters. #}
{% macro each_word(text) %}{{ adapter.dispatch('each_word')(text) }}{% endmacro %}

{% macro default__each_word(text) -%}
    unnest(string_split({{ text }}, ' '))
{%- endmacro %}

{% macro spark__each_word(text) -%}
    explode(split({{ text }}, ' '))
{%- endmacro %}


{# The regular expression of a glob: `*` is anything within a folder, `**` any folders, also none; the rest stands for
   itself, between \Q and \E, since names such as [slug] and (group) are common. #}
{% macro glob_pattern(glob) -%}
    {%- set pattern = namespace(sql=glob) -%}
    {#- In this order, and without a star in what is put in. -#}
    {%- for stars, expression in [('**/', '(.{0,}/){0,1}'), ('**', '.{0,}'), ('*', '[^/]{0,}')] -%}
        {%- set pattern.sql -%}
            replace({{ pattern.sql }}, '{{ stars }}', chr(92) || 'E{{ expression }}' || chr(92) || 'Q')
        {%- endset -%}
    {%- endfor -%}
    '^' || chr(92) || 'Q' || {{ pattern.sql }} || chr(92) || 'E$'
{%- endmacro %}


{% macro matches_pattern(text, pattern) %}{{ adapter.dispatch('matches_pattern')(text, pattern) }}{% endmacro %}

{% macro default__matches_pattern(text, pattern) -%}
    regexp_matches({{ text }}, {{ pattern }})
{%- endmacro %}

{% macro spark__matches_pattern(text, pattern) -%}
    {{ text }} rlike {{ pattern }}
{%- endmacro %}
