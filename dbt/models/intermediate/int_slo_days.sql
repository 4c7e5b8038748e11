{{ touched_rows('int_slo_restated_days', ['definition', 'day']) }}

with days as (

    select
        definition,
        definition_number,
        day,
        day_starts_at,
        day_ends_at,
        day_starts_at as units_start_at,
        evaluated_at as units_end_at
    from {{ ref('int_slo_windows') }}
    where {{ is_touched('int_slo_windows') }}

),

units as (

    {{ slo_units('days') }}
)

select
    definition,
    objective,
    day,
    {{ slo_sums() }}
from units
group by definition, objective, day
