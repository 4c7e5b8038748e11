{%- set burn_windows = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'] -%}

with burn_pairs as (

    {{ slo_burn_pairs() }}
),

now as (

    select max(evaluated_at) as now_at from {{ ref('int_slo_windows') }}

),

current_slos as (

    select daily.*
    from {{ ref('slo_attainment_daily') }} as daily
    inner join now on daily.evaluated_at = now.now_at

),

pairs_of_slos as (

    select
        current_slos.definition,
        current_slos.objective,
        burn_pairs.verdict,
        long_rates.bad_events,
        long_rates.burn_rate > {{ slo_burn_factor('current_slos.window_hours') }}
        and short_rates.burn_rate > {{ slo_burn_factor('current_slos.window_hours') }} as is_burning
    from current_slos
    cross join burn_pairs
    inner join {{ ref('int_slo_burn_rates') }} as long_rates
        on
            current_slos.definition = long_rates.definition
            and current_slos.objective = long_rates.objective
            and burn_pairs.long_window = long_rates.burn_window
    inner join {{ ref('int_slo_burn_rates') }} as short_rates
        on
            current_slos.definition = short_rates.definition
            and current_slos.objective = short_rates.objective
            and burn_pairs.short_window = short_rates.burn_window

),

verdicts as (

    select
        definition,
        objective,
        bool_or(
            is_burning and verdict = 'page' and bad_events >= {{ var('slo_page_minimum_bad_events') }}
        ) as is_page,
        bool_or(is_burning and verdict = 'ticket') as is_ticket
    from pairs_of_slos
    group by definition, objective

),

burn_rates as (

    select
        definition,
        {%- for burn_window in burn_windows %}
        max(burn_rate) filter (where burn_window = '{{ burn_window }}') as burn_rate_{{ burn_window }},
        {%- endfor %}
        objective
    from {{ ref('int_slo_burn_rates') }}
    group by definition, objective

),

judged as (

    select
        current_slos.*,
        case
            when current_slos.state in ('data_error', 'no_data') then 'none'
            when verdicts.is_page then 'page'
            when verdicts.is_ticket then 'ticket'
            else 'none'
        end as verdict
    from current_slos
    left join verdicts
        on current_slos.definition = verdicts.definition and current_slos.objective = verdicts.objective

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
    {%- for burn_window in burn_windows %}
    burn_rates.burn_rate_{{ burn_window }},
    {%- endfor %}
    case
        when judged.state in ('data_error', 'no_data', 'insufficient_data', 'exhausted') then judged.state
        when judged.verdict <> 'none' then 'burning'
        else 'healthy'
    end as state,
    judged.verdict,
    case
        when judged.budget_remaining_rate <= 0 then 0
        else judged.budget_remaining_rate * judged.window_hours / nullif(burn_rates.burn_rate_6h, 0)
    end as hours_to_exhaustion,
    slos.user_path,
    slos.why_this_threshold,
    slos.how_measured,
    slos.when_budget_burns as action_to_take,
    slos.reviewed_on
from judged
inner join {{ ref('stg_slos') }} as slos on judged.definition = slos.definition
left join burn_rates on judged.definition = burn_rates.definition and judged.objective = burn_rates.objective
