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


{# One row for each period, service or team, and metric of a delivery table, with its verdict. #}
{% macro trends(relation, period, by) %}

{%- set periods = var('trend_baseline_periods') -%}
{%- if periods < 4 or periods > 52 -%}
    {{ exceptions.raise_compiler_error('var trend_baseline_periods is ' ~ periods ~ '; it may be 4 to 52') }}
{%- endif -%}
{%- set margin = var('trend_practical_margin') -%}

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
        {{ each.metric }} as value,
        cast({{ each.numerator or 'null' }} as double) as numerator,
        cast({{ each.n }} as double) as n,
        {% if each.kind == 'frequency' -%}
        sqrt({{ each.metric }}) as scaled,
        0.25 / nullif(calendar_days, 0) as least_variance
        {%- elif each.kind == 'duration' -%}
        -- greatest() passes over a value that is not known.
        case when {{ each.metric }} is not null then ln(greatest({{ each.metric }}, 1 / 60.0)) end as scaled,
        0 as least_variance
        {%- else -%}
        {{ each.metric }} as scaled,
        null as least_variance
        {%- endif %}
    from {{ relation }}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

-- The record begins somewhere in the first period, which therefore is no baseline.
in_sequence as (

    select
        *,
        lag(scaled) over line as scaled_before,
        lag(n) over line as n_before,
        lag(least_variance) over line as least_variance_before,
        case when row_number() over line > 1 then scaled end as baseline_scaled,
        case when row_number() over line > 1 then numerator end as baseline_numerator,
        case when row_number() over line > 1 then n end as baseline_n
    from points
    window line as (partition by {{ by }}, metric order by {{ period }})

),

baselines as (

    select
        *,
        count(baseline_scaled) over baseline as baseline_periods,
        sum(case when baseline_scaled is not null then calendar_days end) over baseline as baseline_days,
        avg(baseline_scaled) over baseline as mean_scaled,
        var_samp(baseline_scaled) over baseline as variance,
        sum(baseline_numerator) over baseline as numerator_total,
        sum(baseline_n) over baseline as n_total
    from in_sequence
    window baseline as (
        partition by {{ by }}, metric
        order by {{ period }}
        rows between {{ periods + 1 }} preceding and 2 preceding
    )

),

-- A rate's centre is that of all its cases; its share for the least variance is moved off 0 and 1 as Agresti and Coull
-- do, since no failure among 20 does not prove that there are none.
centred as (

    select
        *,
        case when kind = 'rate' then {{ ratio('numerator_total', 'n_total') }} else mean_scaled end as centre,
        (numerator_total + {{ z_squared() }} / 2) / (n_total + {{ z_squared() }}) as share
    from baselines

),

spread as (

    select
        *,
        {{ t_quantile('baseline_periods - 1') }} as t,
        1.0 / nullif(baseline_periods, 0) as of_baseline,
        greatest(
            variance, case when kind = 'rate' then share * (1 - share) / nullif(n, 0) else least_variance end
        ) as variance_now,
        greatest(
            variance,
            case when kind = 'rate' then share * (1 - share) / nullif(n_before, 0) else least_variance_before end
        ) as variance_before,
        case kind
            when 'frequency' then centre * {{ (1 + margin) ** 0.5 - 1 }}
            when 'duration' then ln({{ 1 + margin }})
            else greatest({{ margin }} * centre, {{ var('trend_practical_margin_of_rates') }})
        end as margin
    from centred

),

limits as (

    select
        *,
        centre - t * sqrt(variance_now * (1 + of_baseline)) as low,
        centre + t * sqrt(variance_now * (1 + of_baseline)) as high,
        centre - t * sqrt(variance_before * (1 + of_baseline)) as low_before,
        centre + t * sqrt(variance_before * (1 + of_baseline)) as high_before,
        abs((scaled + scaled_before) / 2 - centre)
        + t * sqrt((variance_now + variance_before) / 2 * (0.5 + of_baseline)) as largest_change
    from spread

)

select
    {{ by }},
    {{ period }},
    metric,
    value,
    numerator,
    n,
    baseline_periods,
    {% for end in ['centre', 'low', 'high'] -%}
    case
        when not is_complete or baseline_periods < 4 or baseline_days < 28 then null
        when kind = 'frequency' then round(greatest({{ end }}, 0) * greatest({{ end }}, 0), 9)
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
