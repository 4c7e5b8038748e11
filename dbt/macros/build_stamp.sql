{# Name each build, so that the gate and the publication can tell it from any other, and say whether it can bring the
   tables of the one before up to date. A build that was cut short, had a failure, or left out a model or a test is no
   success, since its tables may come from several builds. #}

{# Before the first node: whatever ends this build early, it will not pass for the one before. #}
{% macro begin_build() %}
    {% if execute and flags.WHICH in ('build', 'run', 'test') %}
        {% do adapter.create_schema(api.Relation.create(database=target.database, schema='meta')) %}
        {% set is_update = continues_last_build() %}
        {% if is_update %}
            {{ checkpoint_once() }}
        {% endif %}
        create or replace table meta.build as
        select
            cast('{{ invocation_id }}' as varchar) as build_id,
            cast(null as timestamp) as as_of,
            false as is_success,
            cast({{ "'" ~ var('definition_version') ~ "'" if var('definition_version') else 'null' }} as varchar)
            as definition_version,
            {{ is_update }} as is_update
    {% endif %}
{% endmacro %}

{# An update writes little to many tables. Each would be a checkpoint, which writes the last row group of a table anew:
   half of what an update costs. With these limits it has one, when the build file is closed; without trying FSST on
   every text it takes two thirds of the time, for 1 % of the file. #}
{% macro checkpoint_once() %}
    set global checkpoint_threshold = '1GB';
    set global auto_checkpoint_skip_wal_threshold = 1000000000;
    set global disabled_compression_methods = 'fsst';
{% endmacro %}

{# After the last node. #}
{% macro end_build(results, as_of) %}
    {% if execute and flags.WHICH == 'build' %}
        {% set passed = results | selectattr('status', 'in', ['success', 'pass', 'warn'])
            | map(attribute='node') | map(attribute='unique_id') | list %}
        {% set nodes = graph.nodes.values() | selectattr('resource_type', 'in', ['model', 'test'])
            | map(attribute='unique_id') | list %}
        {% if nodes | reject('in', passed) | list | length == 0 %}
            {{ remember_what_was_seen() }}
            update meta.build set is_success = true, as_of = (select max(as_of) from {{ as_of }})
        {% endif %}
    {% endif %}
{% endmacro %}
