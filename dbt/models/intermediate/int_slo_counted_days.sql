{{ touched_rows('int_slo_touched_days', ['definition_number', 'counted_on']) }}

select
    definition_number,
    counted_on,
    min(slot_starts_at) as first_counted_at
from {{ ref('int_slo_counts') }}
where {{ is_touched('int_slo_counts') }}
group by definition_number, counted_on
