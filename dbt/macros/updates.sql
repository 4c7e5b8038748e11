{# Builds that bring tables up to date instead of making them anew. Such a build finds what can differ from the tables
   as they stand: rows of batches that the last successful build had not seen, and rows of its small models that are not
   as it left them (schema meta, seen_…). The models touched_… and restated_… follow that down to commits, deployments,
   days, periods, trends, pull requests, sessions and windows of SLOs; incremental models delete the touched rows, old
   and new, and insert them again. #}

{# Whether this build may do so: the last one was a success with the same models, macros and variables (plumbline gives
   the var definition_version, their checksum), nothing was removed from raw since, and the services, journeys and SLOs
   of the reference data are the same. The lead time of a pull request is that of all its changes, on whatever days they
   shipped, so that it has no updates. #}
{% macro continues_last_build() %}
    {% if
        target.type != 'duckdb' or flags.FULL_REFRESH or not var('definition_version')
        or var('lead_time_unit') == 'pull_request'
    %}
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
        {%- for name, rows in watched_rows().items() %}
        create or replace table meta.seen_{{ name }} as select {{ rows.columns | join(', ') }} from {{ rows.relation }};
        {%- endfor %}
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

{# What an update compares with the last build: of small models all that models which are updated take from them. A
   deployment's place in the sequence may move without effect. #}
{% macro watched_rows() %}
    {{ return({
        'deployments': {
            'columns': [
                'deployment_key', 'source', 'deployment_id', 'service', 'deployed_on', 'finished_at', 'commit_sha',
                'is_first_on_record'
            ],
            'relation': '(select * from ' ~ as_it_stands('int_deployments') ~ ' where is_success) as deployments'
        },
        'deployment_contents': {
            'columns': ['deployment_key', 'changes', 'lines_changed', 'is_bulk_import', 'is_remediation'],
            'relation': as_it_stands('int_deployment_contents')
        },
        'deployment_failures': {
            'columns': [
                'deployment_key', 'cause', 'attribution', 'is_counted', 'failed_at', 'recovery_started_at',
                'recovered_at'
            ],
            'relation': as_it_stands('fct_deployment_failures')
        },
        'incident_links': {
            'columns': ['incident_key', 'deployment_key'],
            'relation': as_it_stands('int_incident_links')
        },
        'acquittals': {
            'columns': ['deployment_key'],
            'relation': '(' ~ acquittals(as_it_stands('int_corrections')) ~ ') as acquittals'
        },
        'interaction_starts': {
            'columns': ['source', 'service', 'first_interacted_on'],
            'relation': as_it_stands('int_interaction_starts')
        },
        'observable_successes': {
            'columns': ['deployment_key', 'observable_success_at'],
            'relation': as_it_stands('int_observable_successes')
        },
        'review_groups': {
            'columns': ['source', 'repository', 'created_quarter', 'is_large'],
            'relation': as_it_stands('int_review_groups')
        },
        'deployment_windows': {
            'columns': [
                'deployment_key', 'service', 'first_hour', 'first_whole_hour', 'last_whole_hour', 'last_hour'
            ],
            'relation': as_it_stands('int_deployment_windows')
        },
        'release_matches': {
            'columns': ['service', 'release', 'deployment_key'],
            'relation': as_it_stands('int_release_matches')
        },
        'degraded_arms': {
            'columns': ['deployment_key', 'indicator', 'days_before', 'first_whole_hour', 'from_hour', 'to_hour'],
            'relation': as_it_stands('int_degraded_arms')
        },
        'event_days': {
            'columns': ['model', 'service', 'team', 'day', 'checksum'],
            'relation': '(' ~ event_days() ~ ') as event_days'
        }
    }) }}
{% endmacro %}

{% macro changed_since_last_build(name) -%}
    {%- set rows = watched_rows()[name] -%}
    {{ differences(rows.columns, rows.relation, 'meta.seen_' ~ name) }}
{%- endmacro %}

{# What delivery tables count besides changes. #}
{% macro counted_events() %}
    {{ return({
        'fct_deployments': 'deployed_on',
        'fct_incidents': 'started_on',
        'int_builds': 'built_on',
        'web_vitals_daily': 'day'
    }) }}
{% endmacro %}

{# A checksum of each day's events, in any order: to keep the events for comparison would cost as much as to count them. #}
{% macro event_days() -%}
    {%- for model, day in counted_events().items() -%}
    select '{{ model }}' as model, service, team, {{ day }} as day, sum(hash(events)) as checksum
    from {{ as_it_stands(model) }} as events
    group by service, team, {{ day }}
    {{ 'union all ' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# Rows with these columns that only one of two relations has; neither has a row twice. #}
{% macro differences(columns, one, other) -%}
    (
        select {{ columns | join(', ') }}
        from (
            select {{ columns | join(', ') }} from {{ one }}
            union all
            select {{ columns | join(', ') }} from {{ other }}
        ) as both_sides
        group by {{ columns | join(', ') }}
        having count(*) = 1
    )
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


{# Rows of a raw table from batches that the last successful build had not seen. The few new ones are named, not the
   seen ones ruled out, so that DuckDB skips stored rows by their least and greatest batch: a fifth of the time. #}
{% macro new_rows(raw_table) -%}
    (
        select * from {{ raw_table }} as loaded
        where
            loaded.batch_id in (
                select batches.batch_id
                from raw.batches as batches
                where
                    batches.table_name = '{{ raw_table.identifier }}'
                    and not exists (select 1 from meta.seen_batches as seen where seen.batch_id = batches.batch_id)
            )
    )
{%- endmacro %}


{# Where events lay that rows of those batches replaced. #}
{% macro newly_replaced(table) -%}
    (
        select replaced.* from raw.replaced_events as replaced
        where
            replaced.table_name = '{{ table }}'
            and not exists (select 1 from meta.seen_batches as seen where seen.batch_id = replaced.batch_id)
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

{# The condition that such a model looks at a row: in an update only at the touched ones, by all their keys or by some. #}
{% macro is_touched(rows=none, keys=none) -%}
    {%- if config.get('materialized') == 'incremental' and is_incremental() -%}
        {{ is_among_touched(rows, keys) }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{# Not a correlated subquery, which DuckDB would run over all rows before the join that finds few of them. #}
{% macro is_among_touched(rows, keys=none) -%}
    {%- set touched_keys = config.get('meta').touched_keys -%}
    {%- set keys = keys or touched_keys.keys() | list -%}
    (
        {%- for key in keys %}{{ rows ~ '.' if rows }}{{ key }}{{ ', ' if not loop.last }}{% endfor -%}
    ) in (
        select {% for key in keys %}{{ touched_keys[key] }}{{ ', ' if not loop.last }}{% endfor %}
        from {{ as_it_stands(config.get('meta').touched) }}
    )
{%- endmacro %}

{# The incremental strategy `touched`: what the model of touched keys (meta.touched) names goes, old and new, and what
   this build made of it comes. #}
{% macro get_incremental_touched_sql(arguments) %}
    {% set columns = arguments.dest_columns | map(attribute='quoted') | join(', ') %}
    delete from {{ arguments.target_relation }} as stored
    where {{ is_among_touched('stored') }};
    insert into {{ arguments.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arguments.temp_relation }}
{% endmacro %}

{# Where a build is no update, nothing is touched. columns: name → type. #}
{% macro no_rows(columns) -%}
    select
        {%- for name, type in columns.items() %}
        cast(null as {{ dbt.type_string() if type == 'string' else type }}) as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    where false
{%- endmacro %}
