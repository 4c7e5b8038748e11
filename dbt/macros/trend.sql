{# Trend verdicts. A metric of one service or team is judged against its own past: the two latest periods against the
   var trend_baseline_periods before them, on the scale on which its noise is even. docs/metrics.md, “Trends”, says why. #}

{# What has a verdict. A frequency is a count over days, a rate a count over n, a duration a median or mean over n; the
   pair is what must not suffer while the metric improves. #}
{% macro trend_metrics() %}
    {{ return([
        {
            'metric': 'deployments_per_day', 'name': 'deployment_frequency', 'kind': 'frequency',
            'numerator': 'frequency_deployments', 'n': 'calendar_days', 'better': 'higher',
            'pair': 'change_failure_rate'
        },
        {
            'metric': 'lead_time_median_hours', 'name': 'lead_time', 'kind': 'duration',
            'n': 'lead_time_changes', 'better': 'lower', 'pair': 'good_lcp_rate'
        },
        {
            'metric': 'change_failure_rate', 'name': 'change_failure_rate', 'kind': 'rate',
            'numerator': 'failed_deployments', 'n': 'deployments', 'better': 'lower',
            'pair': 'deployments_per_day'
        },
        {
            'metric': 'recovery_median_hours', 'name': 'recovery', 'kind': 'duration',
            'n': 'recovered_deployments', 'better': 'lower'
        },
        {
            'metric': 'mttr_hours', 'name': 'mttr', 'kind': 'duration',
            'n': 'resolved_incidents', 'better': 'lower'
        },
        {
            'metric': 'good_lcp_rate', 'name': 'good_lcp', 'kind': 'rate',
            'numerator': 'good_lcp_page_views', 'n': 'lcp_page_views', 'better': 'higher',
            'pair': 'lead_time_median_hours'
        }
    ]) }}
{% endmacro %}


{# Student's t at 97.5 % for 3 to 51 degrees of freedom: two-sided 95 %. #}
{% macro t_quantile(degrees_of_freedom) -%}
    {%- set quantiles = [
        3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139, 2.200985, 2.178813,
        2.160369, 2.144787, 2.131450, 2.119905, 2.109816, 2.100922, 2.093024, 2.085963, 2.079614, 2.073873,
        2.068658, 2.063899, 2.059539, 2.055529, 2.051831, 2.048407, 2.045230, 2.042272, 2.039513, 2.036933,
        2.034515, 2.032245, 2.030108, 2.028094, 2.026192, 2.024394, 2.022691, 2.021075, 2.019541, 2.018082,
        2.016692, 2.015368, 2.014103, 2.012896, 2.011741, 2.010635, 2.009575, 2.008559, 2.007584
    ] -%}
    case {{ degrees_of_freedom }}
        {%- for quantile in quantiles %}
        when {{ loop.index + 2 }} then {{ quantile }}
        {%- endfor %}
    end
{%- endmacro %}


{# Variance of the mean of k points of a first-order autoregressive series, as a share of that of one point. #}
{% macro variance_of_mean(k, autocorrelation) -%}
    {{ return(
        (
            (1 + autocorrelation) / (1 - autocorrelation)
            - 2 * autocorrelation * (1 - autocorrelation ** k) / (k * (1 - autocorrelation) ** 2)
        ) / k
    ) }}
{%- endmacro %}


{# Covariance of the mean of k points of such a series and the point so many steps after the last of them. #}
{% macro covariance_with_mean(k, steps, autocorrelation) -%}
    {{ return(autocorrelation ** steps * (1 - autocorrelation ** k) / (k * (1 - autocorrelation))) }}
{%- endmacro %}


{# By how much the variance of a baseline of k points is multiplied to get that of the difference of its mean and the
   mean of the points so many steps after it. Points that follow one another vary less among themselves, their mean
   varies more, and the later points resemble it. #}
{% macro prediction_factor(baseline_periods, steps, autocorrelation) -%}
    case {{ baseline_periods }}
        {%- for k in range(4, 53) %}
        {%- set of_mean = variance_of_mean(k, autocorrelation) %}
        {%- set later = variance_of_mean(steps | length, autocorrelation) %}
        {%- set shared = namespace(total=0) %}
        {%- for step in steps %}
        {%- set shared.total = shared.total + covariance_with_mean(k, step, autocorrelation) %}
        {%- endfor %}
        when {{ k }} then {{ (later + of_mean - 2 * shared.total / (steps | length)) / (k / (k - 1) * (1 - of_mean)) }}
        {%- endfor %}
    end
{%- endmacro %}


{# One row for each row of a relation with the counts and durations of int_delivery, and metric, with its verdict on the
   line of its owner (by, a list of columns) up to its period. #}
{% macro trends(relation, period, by) %}

with points as (

    {% for each in trend_metrics() -%}
    select
        {{ by }},
        {{ period }},
        is_complete,
        calendar_days,
        '{{ each.metric }}' as metric,
        '{{ each.kind }}' as kind,
        {{ each.better == 'higher' }} as is_higher_better,
        {{ ratio(each.numerator, each.n) if each.numerator else each.metric }} as value,
        cast({{ each.numerator or 'null' }} as double) as numerator,
        cast({{ each.n }} as double) as n,
        {{ var('trend_practical_margin') }} as practical_margin
    from {{ relation }}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

{{ judgement(period, by ~ ', metric') }}

{%- endmacro %}


{# What follows the CTE `points`: a row for each, with the verdict on its line (by) up to it. A point has is_complete,
   calendar_days, kind (frequency, rate or duration), is_higher_better, value, numerator, n (exposure of a frequency,
   cases of a rate, sample of a duration in hours) and practical_margin, a share of the baseline. #}
{% macro judgement(period, by, autocorrelation=0) %}

{%- set periods = var('trend_baseline_periods') -%}
{%- if periods < 4 or periods > 52 -%}
    {{ exceptions.raise_compiler_error('var trend_baseline_periods is ' ~ periods ~ '; it may be 4 to 52') }}
{%- endif -%}
{%- if autocorrelation < 0 or autocorrelation >= 0.9 -%}
    {{ exceptions.raise_compiler_error('autocorrelation ' ~ autocorrelation ~ '; it may be 0 to below 0.9') }}
{%- endif -%}

scaled_points as (

    select
        *,
        case kind
            when 'frequency' then power(value, 2 / 3.0)
            -- greatest() passes over a value that is not known.
            when 'duration' then case when value is not null then ln(greatest(value, 1 / 60.0)) end
            else value
        end as scaled
    from points

),

-- The record begins somewhere in the first period, which therefore is no baseline.
in_sequence as (

    select
        *,
        lag(scaled) over line as scaled_before,
        lag(n) over line as n_before,
        case when row_number() over line > 1 then scaled end as baseline_scaled,
        case when row_number() over line > 1 then numerator end as baseline_numerator,
        case when row_number() over line > 1 then n end as baseline_n
    from scaled_points
    window line as (partition by {{ by }} order by {{ period }})

),

baselines as (

    select
        *,
        count(baseline_scaled) over baseline as baseline_periods,
        sum(case when baseline_scaled is not null then calendar_days end) over baseline as baseline_days,
        avg(baseline_scaled) over baseline as mean_scaled,
        var_samp(baseline_scaled) over baseline as variance,
        sum(baseline_numerator) over baseline as numerator_total,
        sum(baseline_n) over baseline as n_total,
        avg(case when baseline_scaled is not null then 1.0 / nullif(baseline_n, 0) end) over baseline as mean_inverse_n
    from in_sequence
    window baseline as (
        partition by {{ by }}
        order by {{ period }}
        rows between {{ periods + 1 }} preceding and 2 preceding
    )

),

-- A rate's centre is that of all its cases; what the least variance follows from is moved off 0 and 1 as Agresti and
-- Coull do, since no failure among 20 does not prove that there are none.
centred as (

    select
        *,
        case when kind = 'rate' then {{ ratio('numerator_total', 'n_total') }} else mean_scaled end as centre,
        (numerator_total + {{ z_squared() }} / 2)
        / (n_total + case when kind = 'rate' then {{ z_squared() }} else 0 end) as share
    from baselines

),

spread as (

    select
        *,
        {{ t_quantile('baseline_periods - 1') }} as t,
        {{ prediction_factor('baseline_periods', [1], autocorrelation) }} as of_one_before,
        {{ prediction_factor('baseline_periods', [2], autocorrelation) }} as of_one_now,
        {{ prediction_factor('baseline_periods', [1, 2], autocorrelation) }} as of_both,
        -- A period of fewer cases than the baseline's varies more, by as much.
        {%- for suffix, when in [('', 'now'), ('_before', 'before')] %}
        greatest(
            variance,
            variance / nullif(n{{ suffix }} * mean_inverse_n, 0),
            case kind
                when 'rate' then share * (1 - share) / nullif(n{{ suffix }}, 0)
                when 'frequency' then 4 / 9.0 * power(share, 1 / 3.0) / nullif(n{{ suffix }}, 0)
                else 0
            end
        ) as variance_{{ when }},
        {%- endfor %}
        case kind
            when 'frequency' then centre * (power(1 + practical_margin, 2 / 3.0) - 1)
            when 'duration' then ln(1 + practical_margin)
            else greatest(practical_margin * centre, {{ var('trend_practical_margin_of_rates') }})
        end as margin
    from centred

),

limits as (

    select
        *,
        centre - t * sqrt(variance_now * of_one_now) as low,
        centre + t * sqrt(variance_now * of_one_now) as high,
        centre - t * sqrt(variance_before * of_one_before) as low_before,
        centre + t * sqrt(variance_before * of_one_before) as high_before,
        abs((scaled + scaled_before) / 2 - centre)
        + t * sqrt((variance_now + variance_before) / 2 * of_both) as largest_change
    from spread

)

select
    {{ by }},
    {{ period }},
    value,
    numerator,
    n,
    baseline_periods,
    {% for end in ['centre', 'low', 'high'] -%}
    case
        when not is_complete or baseline_periods < 4 or baseline_days < 28 then null
        when kind = 'frequency' then round(power(greatest({{ end }}, 0), 1.5), 9)
        when kind = 'duration' then round(exp({{ end }}), 9)
        else round(least(greatest({{ end }}, 0), 1), 9)
    end as {{ {'centre': 'baseline_mean', 'low': 'lower_limit', 'high': 'upper_limit'}[end] }},
    {% endfor -%}
    case
        when not is_complete then null
        when baseline_periods < 4 or baseline_days < 28 then 'baselining'
        when scaled is null or scaled_before is null then 'inconclusive'
        when largest_change <= margin then 'steady'
        when scaled > high and scaled_before > high_before
            then case when is_higher_better then 'improving' else 'worsening' end
        when scaled < low and scaled_before < low_before
            then case when is_higher_better then 'worsening' else 'improving' end
        else 'inconclusive'
    end as verdict
from limits

{%- endmacro %}
