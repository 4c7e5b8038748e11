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
select distinct
    '{{ table }}' as event_table,
    service,
    {{ day_of('from_time') }} as day
from {{ newly_replaced(table) }} as replaced
{{- '\nunion' if not loop.last }}
{%- endfor %}
{%- else -%}
{{ no_rows({'event_table': 'string', 'service': 'string', 'day': 'date'}) }}
{%- endif %}
