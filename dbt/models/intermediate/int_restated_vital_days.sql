{%- do ref('int_restated_activity_days') -%}
{%- do ref('int_web_vital_bins') -%}
{%- do ref('int_as_of') -%}

{%- if is_update() -%}
select
    service,
    day
from {{ ref('int_restated_activity_days') }}
union
-- What was provisional depends on now.
select
    bins.service,
    bins.day
from {{ ref('int_web_vital_bins') }} as bins
cross join meta.seen_as_of as seen
inner join {{ ref('int_as_of') }} as as_of on seen.as_of is distinct from as_of.as_of
where
    bins.day > {{ day_of('least(seen.as_of, as_of.as_of)') }} - interval {{ provisional_days() }} day
    and bins.day <= {{ day_of('greatest(seen.as_of, as_of.as_of)') }} - interval {{ provisional_days() }} day
{%- else -%}
{{ no_rows({'service': 'string', 'day': 'date'}) }}
{%- endif %}
