{# Names this build, so that the gate and the publication can tell it from any other. Written even when a node failed,
   since a partly rebuilt warehouse is a build of its own that must not pass for the previous one. #}
{% macro stamp_build(results, as_of) %}
    {% if execute and results and flags.WHICH in ('build', 'run', 'seed', 'snapshot', 'test') %}
        {% set failed = results | selectattr('status', 'in', ['error', 'fail', 'skipped', 'runtime error']) | list %}
        {% do adapter.create_schema(api.Relation.create(database=target.database, schema='meta')) %}
        create or replace table meta.build as
        select
            cast('{{ invocation_id }}' as varchar) as build_id,
            (select max(as_of) from {{ as_of }}) as as_of,
            {{ 'false' if failed else 'true' }} as is_success
    {% endif %}
{% endmacro %}
