{%- set dimensions = ['route', 'component', 'step', 'device_class', 'country'] -%}

with totals as (

    select
        deployment_key,
        indicator,
        sum(case when is_after then weight else 0 end) as weight,
        sum(case when is_after then bad_weight else 0 end) as bad_weight,
        sum(case when is_after then 0 else weight end) as baseline_weight,
        sum(case when is_after then 0 else bad_weight end) as baseline_bad_weight
    from {{ ref('int_degraded_cases') }}
    group by deployment_key, indicator

),

flags as (

    select
        *,
        {{ each_part('feature_flags', ';') }} as flag
    from {{ ref('int_degraded_cases') }}
    where feature_flags is not null

),

tagged as (

    {% for dimension in dimensions -%}
    select
        deployment_key,
        indicator,
        '{{ dimension }}' as dimension,
        coalesce({{ dimension }}, '(none)') as dimension_value,
        is_after,
        weight,
        bad_weight
    from {{ ref('int_degraded_cases') }}
    union all
    {% endfor -%}
    select
        deployment_key,
        indicator,
        'feature_flag ' || {{ dbt.split_part('flag', "'='", 1) }} as dimension,
        {{ dbt.split_part('flag', "'='", 2) }} as dimension_value,
        is_after,
        weight,
        bad_weight
    from flags

),

valued as (

    select
        deployment_key,
        indicator,
        dimension,
        dimension_value,
        sum(case when is_after then weight else 0 end) as weight,
        sum(case when is_after then bad_weight else 0 end) as bad_weight,
        sum(case when is_after then 0 else weight end) as baseline_weight,
        sum(case when is_after then 0 else bad_weight end) as baseline_bad_weight
    from tagged
    group by deployment_key, indicator, dimension, dimension_value
    -- What no case says anything about is no dimension of it.
    qualify max(case when dimension_value <> '(none)' then 1 else 0 end) over (
        partition by deployment_key, indicator, dimension
    ) = 1

),

-- A case without a flag is one without the flag.
completed as (

    select * from valued
    union all
    select
        valued.deployment_key,
        valued.indicator,
        valued.dimension,
        '(none)' as dimension_value,
        totals.weight - sum(valued.weight) as weight,
        totals.bad_weight - sum(valued.bad_weight) as bad_weight,
        totals.baseline_weight - sum(valued.baseline_weight) as baseline_weight,
        totals.baseline_bad_weight - sum(valued.baseline_bad_weight) as baseline_bad_weight
    from valued
    inner join totals on valued.deployment_key = totals.deployment_key and valued.indicator = totals.indicator
    where valued.dimension like 'feature_flag %'
    group by
        valued.deployment_key, valued.indicator, valued.dimension, totals.weight, totals.bad_weight,
        totals.baseline_weight, totals.baseline_bad_weight
    having totals.weight - sum(valued.weight) + totals.baseline_weight - sum(valued.baseline_weight) > 0

),

shares as (

    select
        completed.*,
        {{ ratio('completed.weight', 'totals.weight') }} as mix,
        {{ ratio('completed.baseline_weight', 'totals.baseline_weight') }} as baseline_mix,
        {{ ratio('totals.bad_weight', 'totals.weight') }} as all_share,
        {{ ratio('totals.baseline_bad_weight', 'totals.baseline_weight') }} as baseline_all_share,
        -- A value that one arm has not is taken to be there as it is in the other.
        coalesce(
            {{ ratio('completed.bad_weight', 'completed.weight') }},
            {{ ratio('completed.baseline_bad_weight', 'completed.baseline_weight') }}
        ) as bad_share,
        coalesce(
            {{ ratio('completed.baseline_bad_weight', 'completed.baseline_weight') }},
            {{ ratio('completed.bad_weight', 'completed.weight') }}
        ) as baseline_bad_share
    from completed
    inner join totals
        on completed.deployment_key = totals.deployment_key and completed.indicator = totals.indicator

),

-- By how much a value is worse than the mean, so that more of what is better is a gain. Not where the value tells how
-- it ended: more that ended there is worse, and fewer good ends are no cause.
compared as (

    select
        *,
        (bad_share + baseline_bad_share) / 2
        - case
            when dimension = 'step' or (dimension = 'component' and indicator = 'error_sessions') then 0
            else (all_share + baseline_all_share) / 2
        end as worse_by
    from shares

),

-- Kitagawa's decomposition.
effects as (

    select
        *,
        (mix + baseline_mix) / 2 * (bad_share - baseline_bad_share) as rate_effect,
        mix * worse_by - baseline_mix * worse_by as mix_effect
    from compared

)

select
    effects.deployment_key,
    effects.indicator,
    effects.dimension,
    effects.dimension_value,
    degradations.service,
    degradations.team,
    degradations.deployed_on,
    cast(effects.weight / 1000000.0 as double) as cases,
    cast(effects.baseline_weight / 1000000.0 as double) as baseline_cases,
    round(effects.mix, 9) as cases_rate,
    round(effects.baseline_mix, 9) as baseline_cases_rate,
    round({{ ratio('effects.bad_weight', 'effects.weight') }}, 9) as bad_rate,
    round({{ ratio('effects.baseline_bad_weight', 'effects.baseline_weight') }}, 9) as baseline_bad_rate,
    round(effects.rate_effect, 9) as rate_effect,
    round(effects.mix_effect, 9) as mix_effect,
    round(effects.rate_effect + effects.mix_effect, 9) as contribution,
    round(effects.all_share - effects.baseline_all_share, 9) as change_rate,
    row_number() over (
        partition by effects.deployment_key, effects.indicator, effects.dimension
        order by round(effects.rate_effect + effects.mix_effect, 9) desc, effects.dimension_value
    ) as contribution_rank
from effects
inner join {{ ref('fct_degradations') }} as degradations
    on effects.deployment_key = degradations.deployment_key and effects.indicator = degradations.indicator
