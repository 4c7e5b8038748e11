{%- set event_times = {
    'rum_events': 'occurred_at',
    'requests': 'occurred_at',
    'jobs': 'enqueued_at',
    'process_samples': 'occurred_at',
    'synthetic_checks': 'occurred_at'
} -%}
{%- for table in event_times -%}
    {%- do ref('stg_' ~ table) -%}
{%- endfor -%}

{%- if is_update() -%}
{%- for table, at in event_times.items() %}
select distinct
    '{{ table }}' as event_table,
    service,
    {{ day_of(at) }} as day
from {{ new_rows(source('raw', table)) }} as loaded
union
{%- endfor %}
select distinct
    replaced.table_name as event_table,
    replaced.service,
    {{ day_of('replaced.from_time') }} as day
from raw.replaced_events as replaced
where not exists (select 1 from meta.seen_batches as seen where seen.batch_id = replaced.batch_id)
{%- else -%}
select
    cast(null as {{ dbt.type_string() }}) as event_table,
    cast(null as {{ dbt.type_string() }}) as service,
    cast(null as date) as day
where false
{%- endif %}
