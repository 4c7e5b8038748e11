{%- do ref('int_periods') -%}
{%- do ref('int_touched_periods') -%}
{%- for model in counted_events() -%}{%- do ref(model) -%}{%- endfor -%}

{%- if is_update() -%}
with days as (

    select distinct
        service,
        team,
        day
    from {{ changed_since_last_build('event_days') }} as differing

)

{{ periods_of('days') }}
union
select {{ delivery_keys() | join(', ') }}
from {{ ref('int_touched_periods') }}
union
select {{ delivery_keys() | join(', ') }}
from {{ differences(
    delivery_keys() + ['last_day', 'is_complete', 'is_provisional'], ref('int_periods'), as_it_stands('int_delivery')
) }} as differing
{%- else -%}
{{ no_rows({'owner_kind': 'string', 'owner_name': 'string', 'period': 'string', 'first_day': 'date'}) }}
{%- endif %}
