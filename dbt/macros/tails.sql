{# Tails of distributions as closed expressions, since the engines have no such functions. All arguments are names of
   columns. docs/decisions.md gives the reason; tests/unit/test_tails.py holds them against exact sums and integrals. #}

{# P(Z >= z) of the normal distribution, with a relative error below 1.2e-7 (Chebyshev fit of the complementary error
   function). #}
{% macro normal_upper_tail(z) -%}
    {%- set coefficients = [
        -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223,
        0.17087277
    ] -%}
    {%- set t = '(1 / (1 + abs(' ~ z ~ ') / 2.8284271247461903))' -%}
    {%- set tail -%}
    {{ t }} / 2 * exp(-{{ z }} * {{ z }} / 2 + {{ coefficients | join(' + ' ~ t ~ ' * (') }}{{ ')' * 9 }})
    {%- endset -%}
    case when {{ z }} < 0 then 1 - {{ tail }} else {{ tail }} end
{%- endmacro %}


{# The z with the same tail as Student's t (Hill's algorithm 395): from 5 degrees of freedom on, within 0.1 % of every
   tail above 1e-6. #}
{% macro student_t_as_z(t, degrees_of_freedom) -%}
    {%- set y -%}
    (({{ degrees_of_freedom }} - 0.5) * ln(1 + {{ t }} * {{ t }} / {{ degrees_of_freedom }}))
    {%- endset -%}
    {%- set b = '(48 * (' ~ degrees_of_freedom ~ ' - 0.5) * (' ~ degrees_of_freedom ~ ' - 0.5))' -%}
    sign({{ t }}) * sqrt({{ y }}) * (
        1 + (
            3 + {{ y }}
            + (((-0.4 * {{ y }} - 3.3) * {{ y }} - 24) * {{ y }} - 85.5)
            / (0.8 * {{ y }} * {{ y }} + 100 + {{ b }})
        ) / {{ b }}
    )
{%- endmacro %}


{# The z with the same tail as P(Y >= hits) of the binomial distribution (Peizer and Pratt), for more than half a hit:
   within 10 % of every tail above 1e-6 from one expected hit on; below, it says too much, never too little. The number of
   cases need not be whole. #}
{% macro binomial_as_z(hits, cases, share) -%}
    {%- set missed = '(' ~ cases ~ ' - ' ~ hits ~ ')' -%}
    {%- set other = '(1 - ' ~ share ~ ')' -%}
    (
        {{ hits }} - 1 / 3.0 - ({{ cases }} + 1 / 3.0) * {{ share }}
        + 0.02 * (
            {{ other }} / {{ hits }} - {{ share }} / ({{ missed }} + 1) + ({{ other }} - 0.5) / ({{ cases }} + 1)
        )
    ) * sqrt(
        (
            1
            + {{ other }} * {{ peizer_pratt_term('((' ~ hits ~ ' - 0.5) / (' ~ cases ~ ' * ' ~ share ~ '))') }}
            + {{ share }} * {{ peizer_pratt_term('((' ~ missed ~ ' + 0.5) / (' ~ cases ~ ' * ' ~ other ~ '))') }}
        ) / (({{ cases }} + 1 / 6.0) * {{ share }} * {{ other }})
    )
{%- endmacro %}

{# (1 - x² + 2 x ln x) / (1 - x)², near its gap at 1 by its series. #}
{% macro peizer_pratt_term(x) -%}
    case
        when abs({{ x }} - 1) < 0.001 then (1 - {{ x }}) / 3 + ({{ x }} - 1) * ({{ x }} - 1) / 6
        else (1 - {{ x }} * {{ x }} + 2 * {{ x }} * ln({{ x }})) / ((1 - {{ x }}) * (1 - {{ x }}))
    end
{%- endmacro %}


{# The z of an upper tail below one half, within 0.0005 (Abramowitz and Stegun 26.2.23). #}
{% macro normal_quantile(tail) -%}
    {%- set t = 'sqrt(-2 * ln(' ~ tail ~ '))' -%}
    {{ t }} - (2.515517 + 0.802853 * {{ t }} + 0.010328 * {{ t }} * {{ t }})
    / (1 + 1.432788 * {{ t }} + 0.189269 * {{ t }} * {{ t }} + 0.001308 * {{ t }} * {{ t }} * {{ t }})
{%- endmacro %}


{# The t with the same tail as z (Cornish and Fisher): at 1e-4 within 2 % from 7 degrees of freedom on. #}
{% macro z_as_student_t(z, degrees_of_freedom) -%}
    {%- set z2 = '(' ~ z ~ ' * ' ~ z ~ ')' -%}
    {{ z }} * (
        1
        + ({{ z2 }} + 1) / (4 * {{ degrees_of_freedom }})
        + ((5 * {{ z2 }} + 16) * {{ z2 }} + 3) / (96 * {{ degrees_of_freedom }} * {{ degrees_of_freedom }})
        + (((3 * {{ z2 }} + 19) * {{ z2 }} + 17) * {{ z2 }} - 15)
        / (384 * {{ degrees_of_freedom }} * {{ degrees_of_freedom }} * {{ degrees_of_freedom }})
    )
{%- endmacro %}
