{%- set judged_states = "('healthy', 'burning', 'exhausted')" -%}
{#- As for a degraded deployment: a rise beyond chance, one-sided p below 0.001. -#}
{%- set surely = 3.09 -%}
{%- set whole_window = ratio('window_hours', hours_between('window_starts_at', 'evaluated_at')) -%}

with as_of as (

    select {{ local_time('as_of') }} as local_as_of
    from {{ ref('int_as_of') }}

),

-- What a window has seen at its day, as if it had gone on like that to its end: a calendar window begins with nothing.
days as (

    select
        *,
        window_total * {{ whole_window }} as expected_total,
        budget_total * {{ whole_window }} as expected_budget
    from {{ ref('slo_attainment_daily') }}

),

months as (

    select
        {{ period_start('month', 'day') }} as month,
        slo,
        objective,
        max(day) as last_day,
        count(*) as held_days,
        count(*) filter (where state in {{ judged_states }}) as judged_days,
        count(*) filter (where state = 'burning') as burning_days,
        count(*) filter (where state = 'exhausted') as exhausted_days,
        count(*) filter (
            where
            state in ('no_data', 'data_error')
            or (state = 'insufficient_data' and expected_total < {{ var('slo_minimum_events') }})
            or expected_budget < 1
        ) as low_traffic_days,
        cast(sum(good) as bigint) as good,
        cast(sum(total) as bigint) as total,
        min(budget_remaining_rate) filter (where state in {{ judged_states }}) as lowest_budget_remaining_rate
    from days
    group by month, slo, objective

),

user_days as (

    select
        service,
        day,
        sum(users) as active_users
    from {{ ref('stg_active_users') }}
    group by service, day

),

-- A ticket counts against the users of its day, where these are known.
signals as (

    select
        user_days.service,
        user_days.day,
        user_days.active_users,
        count(tickets.ticket_key) as tickets,
        0 as judged_sessions,
        0 as judged_weight,
        0 as bounced_weight
    from user_days
    left join {{ ref('stg_support_tickets') }} as tickets
        on user_days.service = tickets.service and user_days.day = tickets.opened_on
    group by user_days.service, user_days.day, user_days.active_users
    union all
    select
        service,
        started_on as day,
        0 as active_users,
        0 as tickets,
        judged as judged_sessions,
        judged_weight,
        bounced_weight
    from {{ ref('int_experience_days') }}

),

signals_monthly as (

    select
        service,
        {{ period_start('month', 'day') }} as month,
        sum(active_users) / 1000.0 as thousand_user_days,
        sum(tickets) as tickets,
        sum(judged_sessions) as judged_sessions,
        sum(judged_weight) as judged_weight,
        sum(bounced_weight) as bounced_weight
    from signals
    group by service, month

),

compared as (

    select
        latest.service,
        latest.month,
        max(latest.tickets) as tickets,
        max(latest.thousand_user_days) as thousand_user_days,
        max(latest.judged_sessions) as judged_sessions,
        {{ ratio('max(latest.tickets)', 'max(latest.thousand_user_days)') }} as ticket_rate,
        {{ ratio('sum(earlier.tickets)', 'sum(earlier.thousand_user_days)') }} as ticket_rate_before,
        sum(earlier.thousand_user_days) as thousand_user_days_before,
        {{ ratio('max(latest.bounced_weight)', 'max(latest.judged_weight)') }} as bounce_rate,
        {{ ratio('sum(earlier.bounced_weight)', 'sum(earlier.judged_weight)') }} as bounce_rate_before,
        sum(earlier.judged_sessions) as judged_sessions_before
    from signals_monthly as latest
    left join signals_monthly as earlier
        on
            latest.service = earlier.service
            and latest.month > earlier.month
            and latest.month <= earlier.month + interval {{ var('slo_review_baseline_months') }} month
    group by latest.service, latest.month

),

judged_signals as (

    select
        *,
        ticket_rate >= (1 + {{ var('degradation_relative_rise') }}) * ticket_rate_before
        and ticket_rate - ticket_rate_before > {{ surely }} * sqrt(
            {{ ratio('ticket_rate', 'thousand_user_days') }}
            + {{ ratio('ticket_rate_before', 'thousand_user_days_before') }}
        ) as has_more_tickets,
        bounce_rate >= (1 + {{ var('degradation_relative_rise') }}) * bounce_rate_before
        and bounce_rate - bounce_rate_before > {{ surely }} * sqrt(
            {{ ratio('bounce_rate * (1 - bounce_rate)', 'judged_sessions') }}
            + {{ ratio('bounce_rate_before * (1 - bounce_rate_before)', 'judged_sessions_before') }}
        ) as has_more_bounces
    from compared

),

reviewed as (

    select
        months.*,
        daily.objective_name,
        daily.service,
        daily.team,
        daily.definition,
        daily.target,
        slos.reviewed_on,
        signals.tickets,
        signals.ticket_rate,
        signals.ticket_rate_before,
        signals.judged_sessions,
        signals.bounce_rate,
        signals.bounce_rate_before,
        coalesce(signals.has_more_tickets, signals.has_more_bounces) is not null as knows_users,
        coalesce(signals.has_more_tickets, false) or coalesce(signals.has_more_bounces, false)
            as are_users_worse_off,
        {{ period_end('month', 'months.month') }} <= as_of.local_as_of as is_complete
    from months
    cross join as_of
    inner join {{ ref('slo_attainment_daily') }} as daily
        on months.slo = daily.slo and months.objective = daily.objective and months.last_day = daily.day
    inner join {{ ref('stg_slos') }} as slos on daily.definition = slos.definition
    left join judged_signals as signals on daily.service = signals.service and months.month = signals.month

),

found as (

    select
        *,
        judged_days > 0 and exhausted_days = judged_days as is_always_missed,
        judged_days > 0 and lowest_budget_remaining_rate >= {{ var('slo_review_safe_budget_rate') }}
            as is_never_at_risk,
        2 * low_traffic_days >= held_days as is_low_traffic,
        case
            when judged_days > 0 and knows_users
                then
                    (are_users_worse_off and burning_days + exhausted_days = 0)
                    or (not are_users_worse_off and exhausted_days = judged_days)
        end as is_against_users,
        case
            when reviewed_on is null then true
            when reviewed_on <= last_day
                then {{ days_between('reviewed_on', 'last_day') }} > {{ var('slo_review_days') }}
        end as is_stale
    from reviewed

)

select
    month,
    slo,
    cast(objective as integer) as objective,
    objective_name,
    service,
    team,
    definition,
    target,
    is_complete,
    held_days,
    judged_days,
    burning_days,
    exhausted_days,
    low_traffic_days,
    good,
    total,
    lowest_budget_remaining_rate,
    cast(tickets as bigint) as support_tickets,
    ticket_rate as support_tickets_per_1000_active_users,
    ticket_rate_before as support_tickets_per_1000_active_users_before,
    cast(judged_sessions as bigint) as judged_sessions,
    bounce_rate,
    bounce_rate_before,
    case when knows_users then are_users_worse_off end as are_users_worse_off,
    reviewed_on,
    is_always_missed,
    is_never_at_risk,
    is_low_traffic,
    is_against_users,
    is_stale,
    case
        when is_low_traffic then 'low_traffic'
        when is_against_users then 'against_users'
        when is_always_missed then 'always_missed'
        when is_never_at_risk then 'never_at_risk'
        when is_stale then 'stale'
        else 'matches'
    end as finding
from found
