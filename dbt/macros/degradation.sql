{# The test of degraded deployments, used twice: a first look finds the time in which an indicator stayed bad, a second
   one judges against baselines without that time. docs/metrics.md, “Degraded deployments”, says what each step is for. #}

{# One row for each deployment and indicator with cases in its window or its baseline: both arms, effect, interval, p and
   power. `left_out` is a relation of baseline days (deployment_key, indicator, days_before) that do not count; with it
   only the deployments that have such days are looked at. #}
{% macro indicator_effects(left_out=none) %}
{%- set days = var('degradation_baseline_days') -%}
{%- if days % 7 or days < 14 or days > 49 -%}
    {{ exceptions.raise_compiler_error(
        'var degradation_baseline_days is ' ~ days ~ '; it may be 14, 21, 28, 35, 42 or 49'
    ) }}
{%- endif -%}
with kept as (

    select windows.*
    from {{ ref('int_indicator_windows') }} as windows
    {%- if left_out %}
    left join {{ left_out }} as left_out
        on
            windows.deployment_key = left_out.deployment_key
            and windows.indicator = left_out.indicator
            and windows.days_before = left_out.days_before
    where
        left_out.deployment_key is null
        and windows.deployment_key in (select others.deployment_key from {{ left_out }} as others)
    {%- else %}
    where {{ is_touched('windows') }}
    {%- endif %}

),

-- The same hours of the same weekday, by stratum.
strata as (

    select
        deployment_key,
        indicator,
        {%- for column in ['cases', 'bad_cases', 'weight', 'bad_weight', 'squared_weight'] %}
        cast(sum(case when days_before = 0 then {{ column }} else 0 end) as double) as {{ column }},
        cast(sum(case when days_before > 0 then {{ column }} else 0 end) as double) as baseline_{{ column }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from kept
    where days_before % 7 = 0
    group by deployment_key, indicator, device_class, entry_route

),

-- Cases of strata without a baseline have nothing to be compared with.
comparable as (

    select
        deployment_key,
        indicator,
        sum(cases) as cases,
        sum(bad_cases) as bad_cases,
        sum(baseline_cases) as baseline_cases,
        sum(baseline_bad_cases) as baseline_bad_cases,
        coalesce(sum(cases) filter (where baseline_weight > 0), 0) as comparable_cases,
        sum(weight) filter (where baseline_weight > 0) as weight,
        sum(bad_weight) filter (where baseline_weight > 0) as bad_weight,
        sum(squared_weight) filter (where baseline_weight > 0) as squared_weight
    from strata
    group by deployment_key, indicator

),

-- The baseline as it would be with the strata in the shares that they have in the window.
standardised as (

    select
        strata.deployment_key,
        strata.indicator,
        {{ exact_total(
            'strata.weight / comparable.weight * strata.baseline_bad_weight / strata.baseline_weight'
        ) }} as baseline_bad_share,
        {{ exact_total(
            '(strata.weight / comparable.weight) * (strata.weight / comparable.weight)'
            ' * 1000000 * strata.baseline_squared_weight / (strata.baseline_weight * strata.baseline_weight)'
        ) }} as inverse_of_n
    from strata
    inner join comparable
        on strata.deployment_key = comparable.deployment_key and strata.indicator = comparable.indicator
    where strata.baseline_weight > 0 and comparable.weight > 0
    group by strata.deployment_key, strata.indicator

),

days as (

    select
        deployment_key,
        indicator,
        days_before,
        sum(weight) as weight,
        sum(bad_weight) as bad_weight,
        {{ ratio('sum(bad_weight)', 'sum(weight)') }} as share,
        {{ ratio('cast(sum(weight) as double) * sum(weight)', 'sum(squared_weight)') }} / 1000000 as n,
        sum(telemetry_cases) as telemetry_cases
    from kept
    where days_before > 0
    group by deployment_key, indicator, days_before

),

weekdays as (

    select
        deployment_key,
        indicator,
        days_before % 7 as days_off,
        count(*) as days,
        sum(weight) as weight,
        sum(bad_weight) as bad_weight,
        {{ exact_total('n') }} as n,
        {{ exact_total('n * n') }} as n_squared,
        {{ exact_total('n * share') }} as bad_n,
        {{ exact_total('n * share * share') }} as bad_n_squared,
        sum(telemetry_cases) as telemetry_cases,
        {{ exact_total('sqrt(telemetry_cases)') }} as telemetry_roots
    from days
    group by deployment_key, indicator, days_before % 7

),

-- Days against others of their weekday.
spread as (

    select
        deployment_key,
        indicator,
        coalesce(sum(days) filter (where days_off = 0), 0) as baseline_days,
        sum(days) - count(*) as degrees_of_freedom,
        {{ ratio('sum(bad_weight)', 'sum(weight)') }} as usual_share,
        {{ exact_total('bad_n_squared - bad_n * bad_n / n') }} as squares,
        {{ exact_total('n - n_squared / n') }} as n_between,
        sum(case when days_off = 0 then telemetry_cases * 1.0 / days end) as expected_telemetry_cases,
        sum(case when days_off = 0 then telemetry_roots / days end) as expected_telemetry_root,
        -- The square root of a count varies by 1/4 whatever the count, if by chance alone.
        greatest(
            {{ ratio(exact_total('telemetry_cases - telemetry_roots * telemetry_roots / days'), 'sum(days) - count(*)') }},
            0.25
        ) as telemetry_variance
    from weekdays
    group by deployment_key, indicator

),

-- In whole hours, whatever the release.
telemetry as (

    select
        deployment_key,
        indicator,
        sum(telemetry_cases) as telemetry_cases
    from kept
    where days_before = 0
    group by deployment_key, indicator

),

arms as (

    select
        comparable.deployment_key,
        comparable.indicator,
        indicators.least_rise,
        comparable.cases,
        comparable.bad_cases,
        comparable.comparable_cases,
        comparable.baseline_cases,
        comparable.baseline_bad_cases,
        coalesce(spread.baseline_days, 0) as baseline_days,
        spread.degrees_of_freedom,
        coalesce(telemetry.telemetry_cases, 0) as telemetry_cases,
        spread.expected_telemetry_cases,
        (spread.expected_telemetry_root - sqrt(coalesce(telemetry.telemetry_cases, 0)))
        / sqrt(spread.telemetry_variance * (1 + 1.0 / spread.baseline_days)) as telemetry_t,
        {{ ratio('comparable.bad_weight', 'comparable.weight') }} as bad_share,
        standardised.baseline_bad_share,
        -- Cases of unequal weight count for fewer (Kish).
        {{ ratio('comparable.weight * comparable.weight', 'comparable.squared_weight') }} / 1000000 as n,
        1 / nullif(standardised.inverse_of_n, 0) as baseline_n,
        -- What days differ by beyond chance.
        coalesce(greatest({{ ratio(
            'spread.squares - spread.degrees_of_freedom * spread.usual_share * (1 - spread.usual_share)',
            'spread.n_between'
        ) }}, 0), 0) as variance_between_days,
        -- Enough days to have a spread of their own.
        coalesce(spread.baseline_days >= 2 and spread.degrees_of_freedom >= 5, false) as has_baseline,
        coalesce(
            comparable.comparable_cases > 0 and spread.baseline_days >= 2 and spread.degrees_of_freedom >= 5, false
        ) as is_comparable
    from comparable
    inner join {{ ref('int_deployment_windows') }} as deployments
        on comparable.deployment_key = deployments.deployment_key
    inner join {{ ref('int_indicators') }} as indicators
        on deployments.service = indicators.service and comparable.indicator = indicators.indicator
    left join standardised
        on
            comparable.deployment_key = standardised.deployment_key
            and comparable.indicator = standardised.indicator
    left join spread
        on comparable.deployment_key = spread.deployment_key and comparable.indicator = spread.indicator
    left join telemetry
        on comparable.deployment_key = telemetry.deployment_key and comparable.indicator = telemetry.indicator

),

-- Both arms under the hypothesis that nothing changed.
pooled as (

    select
        *,
        count(*) filter (where is_comparable) over (partition by deployment_key) as indicators_tried,
        bad_share - baseline_bad_share as rise,
        (n * bad_share + baseline_n * baseline_bad_share) / (n + baseline_n) as pooled_share,
        least(
            1, baseline_bad_share + greatest({{ var('degradation_rise_to_find') }} * baseline_bad_share, least_rise)
        ) as share_to_find
    from arms

),

-- Each arm is worth as many independent cases as its variance says, which so is never below the binomial one.
effective as (

    select
        *,
        case
            when pooled_share * (1 - pooled_share) > 0
                then 1 / (1 / n + variance_between_days / (pooled_share * (1 - pooled_share)))
            else n
        end as effective_n,
        case
            when pooled_share * (1 - pooled_share) > 0
                then
                    1 / (
                        1 / baseline_n
                        + variance_between_days / baseline_days / (pooled_share * (1 - pooled_share))
                    )
            else baseline_n
        end as baseline_effective_n,
        (n * share_to_find + baseline_n * baseline_bad_share) / (n + baseline_n) as pooled_share_to_find,
        {{ t_quantile('degrees_of_freedom') }} as t_quantile
    from pooled

),

tested as (

    select
        *,
        case
            when pooled_share * (1 - pooled_share) > 0
                then
                    rise
                    / sqrt(pooled_share * (1 - pooled_share) * (1 / effective_n + 1 / baseline_effective_n))
        end as t,
        effective_n * bad_share as hits,
        effective_n * bad_share + baseline_effective_n * baseline_bad_share as all_hits,
        effective_n / (effective_n + baseline_effective_n) as expected_share_of_hits,
        {{ wilson_low('effective_n * bad_share', 'effective_n', 't_quantile * t_quantile') }} as low,
        {{ wilson_high('effective_n * bad_share', 'effective_n', 't_quantile * t_quantile') }} as high,
        {{ wilson_low(
            'baseline_effective_n * baseline_bad_share', 'baseline_effective_n', 't_quantile * t_quantile'
        ) }} as baseline_low,
        {{ wilson_high(
            'baseline_effective_n * baseline_bad_share', 'baseline_effective_n', 't_quantile * t_quantile'
        ) }} as baseline_high,
        sqrt(
            pooled_share_to_find * (1 - pooled_share_to_find) * (1 / n + 1 / baseline_n)
            + variance_between_days * (1 + 1.0 / baseline_days)
        ) as error_if_unchanged,
        sqrt(
            share_to_find * (1 - share_to_find) / n
            + baseline_bad_share * (1 - baseline_bad_share) / baseline_n
            + variance_between_days * (1 + 1.0 / baseline_days)
        ) as error_if_risen,
        {{ normal_quantile(var('degradation_significance') ~ ' / indicators_tried') }} as critical_z
    from effective
    where is_comparable

),

scored as (

    select
        *,
        -- Few bad cases are skewed, which the normal distribution underrates: the exact test of the share of all bad
        -- cases that falls into the window has the last word.
        least(
            {{ student_t_as_z('t', 'degrees_of_freedom') }},
            case
                when pooled_share < 0.1 and rise > 0 and baseline_bad_share > 0 and hits > 0.5
                    then {{ binomial_as_z('hits', 'all_hits', 'expected_share_of_hits') }}
            end
        ) as z,
        ({{ z_as_student_t('critical_z', 'degrees_of_freedom') }} * error_if_unchanged - (share_to_find - baseline_bad_share))
        / nullif(error_if_risen, 0) as missing_z
    from tested

),

effects as (

    select
        *,
        case
            when rise <= 0 and t is null then 1
            when baseline_bad_share = 0
                then greatest({{ normal_upper_tail('z') }}, power(expected_share_of_hits, hits))
            else {{ normal_upper_tail('z') }}
        end as p_value,
        {{ normal_upper_tail('missing_z') }} as power,
        {{ ratio('bad_share', 'baseline_bad_share') }} as ratio,
        rise - sqrt(
            (bad_share - low) * (bad_share - low)
            + (baseline_high - baseline_bad_share) * (baseline_high - baseline_bad_share)
        ) as rise_low,
        rise + sqrt(
            (high - bad_share) * (high - bad_share)
            + (baseline_bad_share - baseline_low) * (baseline_bad_share - baseline_low)
        ) as rise_high,
        case
            when baseline_bad_share > 0 and bad_share > 0
                then
                    low * (2 * bad_share - low) / (
                        bad_share * baseline_bad_share
                        + sqrt(greatest(
                            bad_share * bad_share * baseline_bad_share * baseline_bad_share
                            - low * baseline_high * (2 * bad_share - low) * (2 * baseline_bad_share - baseline_high), 0
                        ))
                    )
            when baseline_bad_share > 0 then 0
        end as ratio_low,
        case
            when baseline_low > 0
                then
                    (
                        bad_share * baseline_bad_share
                        + sqrt(greatest(
                            bad_share * bad_share * baseline_bad_share * baseline_bad_share
                            - high * baseline_low * (2 * bad_share - high) * (2 * baseline_bad_share - baseline_low), 0
                        ))
                    ) / (baseline_low * (2 * baseline_bad_share - baseline_low))
        end as ratio_high
    from scored

),

missed as (

    select
        deployment_key,
        indicator,
        {{ student_t_as_z('telemetry_t', 'degrees_of_freedom') }} as telemetry_z,
        count(*) over (partition by deployment_key) as indicators_seen
    from arms
    where has_baseline

),

judged as (

    select
        arms.*,
        effects.rise,
        effects.rise_low,
        effects.rise_high,
        effects.ratio,
        effects.ratio_low,
        effects.ratio_high,
        effects.p_value,
        effects.power,
        count(*) filter (where arms.is_comparable) over (partition by arms.deployment_key) as indicators_tried,
        coalesce(effects.p_value * effects.indicators_tried < {{ var('degradation_significance') }}, false)
        as is_significant,
        coalesce(
            arms.telemetry_cases < {{ var('telemetry_lost_below') }} * arms.expected_telemetry_cases
            and {{ normal_upper_tail('missed.telemetry_z') }} * missed.indicators_seen
            < {{ var('degradation_significance') }},
            false
        ) as is_telemetry_lost
    from arms
    left join effects on arms.deployment_key = effects.deployment_key and arms.indicator = effects.indicator
    left join missed on arms.deployment_key = missed.deployment_key and arms.indicator = missed.indicator

)

select
    deployment_key,
    indicator,
    {%- for count in [
        'cases', 'bad_cases', 'comparable_cases', 'baseline_cases', 'baseline_bad_cases', 'baseline_days',
        'telemetry_cases', 'indicators_tried'
    ] %}
    cast({{ count }} as bigint) as {{ count }},
    {%- endfor %}
    round(expected_telemetry_cases, 9) as expected_telemetry_cases,
    {%- for figure in [
        'bad_share', 'baseline_bad_share', 'rise', 'rise_low', 'rise_high', 'ratio', 'ratio_low', 'ratio_high', 'p_value',
        'power'
    ] %}
    round({{ figure }}, {{ 6 if figure == 'power' else 12 if figure == 'p_value' else 9 }}) as {{ figure }},
    {%- endfor %}
    is_significant,
    is_telemetry_lost,
    coalesce(
        is_significant
        and not is_telemetry_lost
        and round(rise, 9) >= least_rise
        and (baseline_bad_share = 0 or round(ratio, 9) >= {{ 1 + var('degradation_relative_rise') }}),
        false
    ) as is_degraded
from judged

{%- endmacro %}


{# Effects with the deployment of each: its place among the others moves where theirs are the same. #}
{% macro placed_effects(effects) %}
select
    effects.*,
    deployments.service,
    deployments.production_sequence,
    deployments.replaced_deployment_key,
    deployments.blamed_deployment_key,
    deployments.finished_at,
    deployments.window_closed_at,
    deployments.is_complete
from {{ effects }} as effects
inner join {{ ref('int_deployment_windows') }} as deployments on effects.deployment_key = deployments.deployment_key
{% endmacro %}


{# One row for each spell in which an indicator of a service stayed degraded: from a deployment that is degraded, and worse
   than the one that it replaced, to the first after it that is not and either repairs it or is surely better. What nobody
   repairs in the length of a baseline has become the norm. While another indicator is in a spell, a rise that was there
   before, but not yet significant, begins none: only one that is surely above that of the replaced deployment does.
   `effects` is a relation as placed_effects makes it. #}
{% macro degradation_spells(effects) %}
with beginnings as (

    select
        current_effects.*,
        replaced.rise is null or current_effects.rise_low > replaced.rise as is_surely_new
    from {{ effects }} as current_effects
    left join {{ effects }} as replaced
        on
            current_effects.replaced_deployment_key = replaced.deployment_key
            and current_effects.indicator = replaced.indicator
    where current_effects.is_degraded and (replaced.rise is null or current_effects.rise > replaced.rise)

),

recoveries as (

    select
        beginnings.deployment_key,
        beginnings.indicator,
        min(later.finished_at) as recovered_at
    from beginnings
    inner join {{ effects }} as later
        on
            beginnings.service = later.service
            and beginnings.indicator = later.indicator
            and beginnings.production_sequence < later.production_sequence
    where
        not later.is_degraded
        and (later.blamed_deployment_key = beginnings.deployment_key or later.rise_high < beginnings.rise)
        and later.finished_at <= beginnings.finished_at + interval {{ var('degradation_baseline_days') }} day
    group by beginnings.deployment_key, beginnings.indicator

),

spans as (

    select
        beginnings.service,
        beginnings.indicator,
        beginnings.deployment_key,
        beginnings.production_sequence,
        beginnings.finished_at,
        beginnings.is_surely_new,
        recoveries.recovered_at,
        coalesce(
            recoveries.recovered_at,
            beginnings.finished_at + interval {{ var('degradation_baseline_days') }} day
        ) as ended_at
    from beginnings
    left join recoveries
        on
            beginnings.deployment_key = recoveries.deployment_key
            and beginnings.indicator = recoveries.indicator

),

-- Of all that is degraded in a service.
apart as (

    select *
    from spans
    where
        is_surely_new
        or not exists (
            select 1 from spans as others
            where
                others.service = spans.service
                and others.indicator <> spans.indicator
                and others.finished_at < spans.finished_at
                and others.ended_at > spans.finished_at
        )

),

reached as (

    select
        *,
        max(ended_at) over (
            partition by service, indicator
            order by production_sequence
            rows between unbounded preceding and 1 preceding
        ) as reached_until
    from apart

),

numbered as (

    select
        *,
        sum(case when reached_until is null or finished_at >= reached_until then 1 else 0 end) over (
            partition by service, indicator
            order by production_sequence
            rows between unbounded preceding and current row
        ) as spell
    from reached

)

select
    service,
    indicator,
    min_by(deployment_key, production_sequence) as deployment_key,
    min(production_sequence) as production_sequence,
    min(finished_at) as degraded_at,
    max(ended_at) as ended_at,
    case when max(ended_at) = max(recovered_at) then max(recovered_at) end as recovered_at
from numbered
group by service, indicator, spell

{%- endmacro %}
