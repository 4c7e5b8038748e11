{# Name each build, so that the gate and the publication can tell it from any other. A build that was cut short, had a
   failure, or left out a model or a test is no success, since its tables may come from several builds. #}

{# Before the first node: whatever ends this build early, it will not pass for the one before. #}
{% macro begin_build() %}
    {% if execute and flags.WHICH in ('build', 'run', 'test') %}
        {% do adapter.create_schema(api.Relation.create(database=target.database, schema='meta')) %}
        create or replace table meta.build as
        select
            cast('{{ invocation_id }}' as varchar) as build_id,
            cast(null as timestamp) as as_of,
            false as is_success
    {% endif %}
{% endmacro %}

{# After the last node. #}
{% macro end_build(results, as_of) %}
    {% if execute and flags.WHICH == 'build' %}
        {% set passed = results | selectattr('status', 'in', ['success', 'pass', 'warn'])
            | map(attribute='node') | map(attribute='unique_id') | list %}
        {% set nodes = graph.nodes.values() | selectattr('resource_type', 'in', ['model', 'test'])
            | map(attribute='unique_id') | list %}
        {% if nodes | reject('in', passed) | list | length == 0 %}
            update meta.build set is_success = true, as_of = (select max(as_of) from {{ as_of }})
        {% endif %}
    {% endif %}
{% endmacro %}
