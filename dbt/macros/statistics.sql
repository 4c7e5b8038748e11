{# A rate; NULL, never 0 or infinity, where there is nothing to divide by. #}
{% macro ratio(numerator, denominator) -%}
    cast({{ numerator }} as double) / nullif({{ denominator }}, 0)
{%- endmacro %}


{# A sum of hours that does not depend on the order of its rows, as one of floating-point numbers does: added up in
   millionths of an hour. #}
{% macro exact_sum(hours) -%}
    cast(sum(cast({{ hours }} as decimal(18, 6))) as double)
{%- endmacro %}


{# The same for numbers of any size, in 10^-15. #}
{% macro exact_total(value) -%}
    cast(sum(cast({{ value }} as decimal(38, 15))) as double)
{%- endmacro %}


{% macro percentile(share, value) -%}
    percentile_cont({{ share }}) within group (order by {{ value }})
{%- endmacro %}


{# End of the Wilson 95 % score interval of hits out of n, within 0 and 1; NULL at n = 0. Rounded, since at no hits and
   at nothing but hits it is 0 and 1 only up to the error of floating-point numbers. The quantile is that of the normal
   distribution, unless the variance is an estimate of few degrees of freedom. #}
{% macro wilson_low(hits, n, squared_quantile=none) -%}
    {{ wilson_bound(hits, n, '-', squared_quantile or z_squared()) }}
{%- endmacro %}

{% macro wilson_high(hits, n, squared_quantile=none) -%}
    {{ wilson_bound(hits, n, '+', squared_quantile or z_squared()) }}
{%- endmacro %}

{% macro wilson_bound(hits, n, sign, squared_quantile) -%}
    round(
        (
            {{ hits }} + {{ squared_quantile }} / 2
            {{ sign }} sqrt({{ squared_quantile }} * {{ ratio(hits ~ ' * (' ~ n ~ ' - ' ~ hits ~ ')', n) }}
            + {{ squared_quantile }} * {{ squared_quantile }} / 4)
        ) / ({{ n }} + {{ squared_quantile }}),
        9
    )
{%- endmacro %}


{# Of the normal distribution, two-sided 95 %. #}
{% macro z_squared() %}3.841458820694124{% endmacro %}
