{%- do ref('int_slo_touched_days') -%}
{%- do ref('int_slo_windows') -%}

{%- if is_update() -%}
select distinct
    windows.definition,
    windows.day
from {{ ref('int_slo_windows') }} as windows
inner join {{ ref('int_slo_touched_days') }} as touched
    on
        windows.definition = touched.definition
        and touched.counted_on < windows.day_ends_at
        and touched.counted_on + interval 1 day > windows.day_starts_at
union
-- Days that were not over at the last build, or are no longer.
select
    windows.definition,
    windows.day
from {{ ref('int_slo_windows') }} as windows
cross join meta.seen_as_of as seen
where
    windows.day_ends_at > seen.as_of
    or windows.evaluated_at < windows.day_ends_at
{%- else -%}
{{ no_rows({'definition': 'string', 'day': 'date'}) }}
{%- endif %}
