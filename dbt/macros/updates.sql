{# Builds that bring tables up to date instead of making them anew. Such a build finds what can differ from the tables
   as they stand: rows of batches that the last successful build had not seen, and rows of its small models that are not
   as it left them (schema meta, seen_…). The models touched_… follow that down to commits, days, periods and pull
   requests; incremental models delete the touched rows, old and new, and insert them again. #}

{# Whether this build may do so: the last one was a success with the same models, macros and variables (plumbline gives
   the var definition_version, their checksum), nothing was removed from raw since, and the services, journeys and SLOs
   of the reference data are the same. #}
{% macro continues_last_build() %}
    {% if target.type != 'duckdb' or flags.FULL_REFRESH or not var('definition_version') %}
        {{ return(false) }}
    {% endif %}
    {% if not table_exists('meta', 'seen_batches') %}
        {{ return(false) }}
    {% endif %}
    {% set query %}
        select
            exists (
                select 1 from meta.build where is_success and definition_version = '{{ var("definition_version") }}'
            )
            and not exists (
                select 1 from raw.batches
                where rows_removed > 0 and batch_id not in (select batch_id from meta.seen_batches)
            )
            {%- for table in watched_reference_tables() %}
            and not exists (select * from reference.{{ table }} except select * from meta.seen_{{ table }})
            and not exists (select * from meta.seen_{{ table }} except select * from reference.{{ table }})
            {%- endfor %}
    {% endset %}
    {{ return(run_query(query).rows[0][0]) }}
{% endmacro %}


{% macro watched_reference_tables() %}
    {{ return([
        'services', 'journeys', 'degradation_indicators', 'slos', 'slo_objectives', 'slo_conditions'
    ]) }}
{% endmacro %}


{# What the next build compares with. Without the loader's batches it cannot tell what is new, and starts afresh. #}
{% macro remember_what_was_seen() %}
    {% if var('definition_version') and table_exists('raw', 'batches') %}
        create or replace table meta.seen_batches as select batch_id from raw.batches;
        {% for table in watched_reference_tables() %}
            create or replace table meta.seen_{{ table }} as select * from reference.{{ table }};
        {% endfor %}
        create or replace table meta.seen_as_of as select as_of from {{ as_it_stands("int_as_of") }};
        create or replace table meta.seen_deployments as {{ watched_deployments() }};
        create or replace table meta.seen_bulk_imports as {{ watched_bulk_imports() }};
        create or replace table meta.seen_review_groups as {{ watched_review_groups() }};
        create or replace table meta.seen_deployment_windows as {{ watched_deployment_windows() }};
        create or replace table meta.seen_release_matches as {{ watched_release_matches() }};
        create or replace table meta.seen_degraded_arms as {{ watched_degraded_arms() }};
    {% endif %}
{% endmacro %}

{# Not adapter.get_relation, which would open a transaction around the hook that dbt then rolls back. #}
{% macro table_exists(schema, table) %}
    {% set query %}
        select count(*) from information_schema.tables
        where table_schema = '{{ schema }}' and table_name = '{{ table }}'
    {% endset %}
    {{ return(run_query(query).rows[0][0] > 0) }}
{% endmacro %}

{# All that changes and pull requests take from a deployment; its place in the sequence may move without effect. #}
{% macro watched_deployments() %}
    select deployment_key, service, deployed_on, finished_at, commit_sha, is_first_on_record
    from {{ as_it_stands('int_deployments') }}
    where is_success
{% endmacro %}

{% macro watched_bulk_imports() %}
    select deployment_key from {{ as_it_stands('int_deployment_contents') }} where is_bulk_import
{% endmacro %}

{% macro watched_review_groups() %}
    select * from {{ as_it_stands('int_review_groups') }}
{% endmacro %}

{# All that the counts of a window depend on. #}
{% macro watched_deployment_windows() %}
    select deployment_key, service, first_hour, first_whole_hour, last_whole_hour, last_hour
    from {{ as_it_stands('int_deployment_windows') }}
{% endmacro %}

{% macro watched_release_matches() %}
    select * from {{ as_it_stands('int_release_matches') }}
{% endmacro %}

{% macro watched_degraded_arms() %}
    select * from {{ as_it_stands('int_degraded_arms') }}
{% endmacro %}


{# Rows of one query that are not in the other, either way round. #}
{% macro differences(one, other) -%}
    ({{ one }} except {{ other }}) union all ({{ other }} except {{ one }})
{%- endmacro %}


{# The table of a model at this moment, without waiting for the model: where a model reads what the last build left. #}
{% macro as_it_stands(model) -%}
    {%- set node = graph.nodes['model.plumbline.' ~ model] -%}
    {{ api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) }}
{%- endmacro %}


{% macro is_update() %}
    {% if not execute or flags.WHICH not in ('build', 'run') %}
        {{ return(false) }}
    {% endif %}
    {{ return(run_query('select is_update from meta.build').rows[0][0]) }}
{% endmacro %}

{# In place of dbt's own, which asks only for the flag. #}
{% macro should_full_refresh() %}
    {{ return(not is_update()) }}
{% endmacro %}


{# Rows of a raw table from batches that the last successful build had not seen. #}
{% macro new_rows(raw_table) -%}
    (
        select * from {{ raw_table }} as loaded
        where not exists (select 1 from meta.seen_batches as seen where seen.batch_id = loaded.batch_id)
    )
{%- endmacro %}


{# Pull requests of which the record or an event is new. #}
{% macro new_pull_requests(pull_requests, events) -%}
    (
        select
            source,
            repository,
            pull_request_number
        from {{ new_rows(pull_requests) }} as pull_requests
        union
        select
            source,
            repository,
            pull_request_number
        from {{ new_rows(events) }} as events
    )
{%- endmacro %}


{# An incremental model with these keys, whose rows a model of touched keys tells to make anew: a list or, where the two
   name them differently, a mapping from its own names to those of touched. Named as a dependency only where dbt reads
   the project, since unit tests need not give what only an update reads. #}
{% macro touched_rows(touched, keys) -%}
    {%- if not execute -%}
        {%- do ref(touched) -%}
    {%- endif -%}
    {%- set touched_keys = keys if keys is mapping else dict(zip(keys, keys)) -%}
    {{ config(
        materialized='incremental', incremental_strategy='touched', on_schema_change='fail',
        unique_key=touched_keys.keys() | list, meta={'touched': touched, 'touched_keys': touched_keys}
    ) }}
{%- endmacro %}

{# The condition that such a model looks at a row: in an update only at the touched ones. #}
{% macro is_touched(rows) -%}
    {%- if is_incremental() -%}
        {{ exists_in_touched(rows) }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{% macro exists_in_touched(rows) -%}
    exists (
        select 1 from {{ as_it_stands(config.get('meta').touched) }} as touched
        where
            {% for key, touched_key in config.get('meta').touched_keys.items() -%}
            touched.{{ touched_key }} = {{ rows }}.{{ key }}{{ ' and ' if not loop.last }}
            {%- endfor %}
    )
{%- endmacro %}

{# The incremental strategy `touched`: what the model of touched keys (meta.touched) names goes, old and new, and what
   this build made of it comes. #}
{% macro get_incremental_touched_sql(arguments) %}
    {% set columns = arguments.dest_columns | map(attribute='quoted') | join(', ') %}
    delete from {{ arguments.target_relation }} as stored
    where {{ exists_in_touched('stored') }};
    insert into {{ arguments.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arguments.temp_relation }}
{% endmacro %}
