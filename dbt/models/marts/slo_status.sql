{%- set pairs = slo_burn_windows() -%}
{%- set lengths = {} -%}
{%- for pair in pairs -%}
    {%- do lengths.update({pair.long: pair.long_minutes, pair.short: pair.short_minutes}) -%}
{%- endfor -%}

with latest as (

    select *
    from {{ ref('slo_attainment_daily') }}
    qualify row_number() over (partition by slo, objective order by day desc) = 1

),

now as (

    select {{ time_slot("as_of + interval 5 minute - interval 1 microsecond", 5) }} as now_at
    from {{ ref('int_as_of') }}
    where as_of is not null

),

current_slos as (

    select latest.*
    from latest
    inner join now on latest.evaluated_at = now.now_at

),

recent_days as (

    select distinct
        windows.definition,
        windows.day,
        windows.day_starts_at,
        windows.day_ends_at,
        windows.day_starts_at as units_start_at,
        windows.evaluated_at as units_end_at
    from {{ ref('int_slo_windows') }} as windows
    inner join current_slos
        on
            windows.definition = current_slos.definition
            and windows.day_ends_at > current_slos.evaluated_at - interval {{ lengths.values() | max }} minute

),

units as (

    {{ slo_units('recent_days') }}
),

recent as (

    select
        current_slos.slo,
        current_slos.objective,
        current_slos.target,
        {%- for name, minutes in lengths.items() %}
        {%- set within = 'units.unit_starts_at >= current_slos.evaluated_at - interval ' ~ minutes ~ ' minute' %}
        sum(units.total_units - units.good_units) filter (where {{ within }}) as bad_units_{{ name }},
        sum(units.total_units) filter (where {{ within }}) as total_units_{{ name }},
        sum(units.total - units.good) filter (where {{ within }}) as bad_{{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from current_slos
    left join units on current_slos.definition = units.definition and current_slos.objective = units.objective
    group by current_slos.slo, current_slos.objective, current_slos.target

),

burning as (

    select
        slo,
        objective,
        {%- for name in lengths %}
        {{ burn_rate('bad_units_' ~ name, 'total_units_' ~ name, 'target') }} as burn_rate_{{ name }},
        coalesce(bad_{{ name }}, 0) as bad_{{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from recent

),

judged as (

    select
        current_slos.*,
        {%- for name in lengths %}
        burning.burn_rate_{{ name }},
        {%- endfor %}
        burning.bad_1h as bad_events_1h,
        {%- for verdict in ['page', 'ticket'] %}
        coalesce(
            {%- for pair in pairs if pair.verdict == verdict %}
            (
                burning.burn_rate_{{ pair.long }} > {{ slo_burn_factor('current_slos.window_hours', pair) }}
                and burning.burn_rate_{{ pair.short }} > {{ slo_burn_factor('current_slos.window_hours', pair) }}
                {%- if verdict == 'page' %}
                and burning.bad_{{ pair.long }} >= {{ var('slo_page_minimum_bad_events') }}
                {%- endif %}
            ){{ ' or ' if not loop.last }}
            {%- endfor %}, false
        ) as is_{{ verdict }}{{ ',' if not loop.last }}
        {%- endfor %}
    from current_slos
    inner join burning on current_slos.slo = burning.slo and current_slos.objective = burning.objective

)

select
    judged.slo,
    judged.objective,
    judged.objective_name,
    slos.display_name,
    judged.service,
    judged.team as owner_team,
    judged.definition,
    judged.budgeting_method,
    judged.budget_unit,
    judged.window_duration,
    judged.window_starts_at,
    judged.evaluated_at,
    judged.target,
    judged.window_good,
    judged.window_total,
    judged.attainment_rate,
    judged.budget_total,
    judged.budget_consumed,
    judged.budget_remaining,
    judged.budget_consumed_rate,
    judged.budget_remaining_rate,
    judged.coverage_rate,
    {%- for name in lengths %}
    judged.burn_rate_{{ name }},
    {%- endfor %}
    case
        when judged.state in ('data_error', 'no_data', 'insufficient_data', 'exhausted') then judged.state
        when judged.is_page or judged.is_ticket then 'burning'
        else 'healthy'
    end as state,
    case
        when judged.state in ('data_error', 'no_data') then 'none'
        when judged.is_page then 'page'
        when judged.is_ticket then 'ticket'
        else 'none'
    end as verdict,
    case
        when judged.budget_remaining_rate <= 0 then 0
        else judged.budget_remaining_rate * judged.window_hours / nullif(judged.burn_rate_6h, 0)
    end as hours_to_exhaustion,
    slos.user_path,
    slos.why_this_threshold,
    slos.how_measured,
    slos.when_budget_burns as action_to_take,
    slos.reviewed_on
from judged
inner join {{ ref('stg_slos') }} as slos on judged.definition = slos.definition
