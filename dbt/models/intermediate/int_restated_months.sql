{%- do ref('int_restated_activity_days') -%}
{%- do ref('int_web_vital_bins') -%}
{%- do ref('int_as_of') -%}

{%- if is_update() -%}
select
    service,
    {{ period_start('month', 'day') }} as month
from {{ ref('int_restated_activity_days') }}
union
-- A month without new events may be complete, or no longer provisional.
select
    bins.service,
    {{ period_start('month', 'bins.day') }} as month
from {{ ref('int_web_vital_bins') }} as bins
cross join meta.seen_as_of as seen
cross join {{ ref('int_as_of') }} as as_of
where
    seen.as_of is distinct from as_of.as_of
    and {{ period_start('month', 'bins.day') }} >= {{ period_start(
        'month', day_of('least(seen.as_of, as_of.as_of)') ~ ' - interval ' ~ provisional_days() ~ ' day'
    ) }}
{%- else -%}
{{ no_rows({'service': 'string', 'month': 'date'}) }}
{%- endif %}
