{%- set at = 'occurred_at' -%}
{%- set event_times = dict(rum_events=at, requests=at, jobs='enqueued_at', process_samples=at, synthetic_checks=at) -%}
{%- do ref('stg_rum_events') -%}
{%- do ref('stg_requests') -%}
{%- do ref('stg_jobs') -%}
{%- do ref('stg_process_samples') -%}
{%- do ref('stg_synthetic_checks') -%}

{%- if is_update() -%}
{%- for table, time in event_times.items() %}
select distinct
    '{{ table }}' as event_table,
    service,
    {{ day_of(time) }} as day
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
