{%- do ref('int_slo_touched_days') -%}
{%- do ref('int_slo_windows') -%}

{%- if is_update() -%}
select distinct
    windows.definition,
    windows.day
from {{ ref('int_slo_windows') }} as windows
inner join {{ ref('int_slo_touched_days') }} as touched
    on
        windows.definition_number = touched.definition_number
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
union
-- Days that the last build knew and that are none any more: before the first count, or after now.
(
    select
        definition,
        day
    from {{ as_it_stands('int_slo_window_sums') }}
    except
    select
        definition,
        day
    from {{ ref('int_slo_windows') }}
)
{%- else -%}
{{ no_rows({'definition': 'string', 'day': 'date'}) }}
{%- endif %}
