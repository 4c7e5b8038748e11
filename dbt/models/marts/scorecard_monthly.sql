-- Each definition, also one that is only a pair, is judged over all of its measure's past, also before it was valid.
with points as (

    select
        measures.*,
        kpis.kpi,
        kpis.definition_version,
        kpis.practical_margin,
        kpis.direction = 'higher' as is_higher_better
    from {{ ref('int_monthly_measures') }} as measures
    inner join {{ ref('stg_kpis') }} as kpis on measures.measure = kpis.measure

),

judged as (

    with {{ judgement('month', 'team, kpi, definition_version', var('scorecard_autocorrelation')) }}

),

kpis_of_months as (

    select
        judged.month,
        judged.team,
        kpis.layer,
        judged.kpi,
        kpis.measure,
        kpis.unit,
        kpis.direction,
        kpis.owner_role,
        kpis.pair,
        kpis.decisions,
        kpis.is_active,
        kpis.is_actionable,
        kpis.is_gameable_alone,
        judged.definition_version,
        points.is_complete,
        points.is_provisional,
        points.value,
        points.numerator,
        points.denominator,
        points.n,
        points.coverage_rate,
        judged.baseline_periods,
        judged.baseline_mean,
        judged.lower_limit,
        judged.upper_limit,
        kpis.target,
        judged.verdict
    from judged
    inner join points
        on
            judged.month = points.month
            and judged.team = points.team
            and judged.kpi = points.kpi
            and judged.definition_version = points.definition_version
    inner join {{ ref('stg_kpis') }} as kpis
        on
            judged.kpi = kpis.kpi
            and judged.definition_version = kpis.definition_version
            and {{ period_end('month', 'judged.month') }} > kpis.valid_from
            and {{ period_end('month', 'judged.month') }} <= kpis.valid_to

)

select
    own.month,
    own.team,
    own.layer,
    own.kpi,
    own.measure,
    own.unit,
    own.direction,
    own.owner_role,
    own.decisions,
    own.is_actionable,
    own.is_gameable_alone,
    own.definition_version,
    own.is_complete,
    own.is_provisional,
    own.value,
    own.numerator,
    own.denominator,
    own.n,
    own.coverage_rate,
    own.baseline_periods,
    own.baseline_mean,
    own.lower_limit,
    own.upper_limit,
    own.target,
    {{ next_milestone('own') }} as next_milestone,
    case
        when own.verdict = 'improving' and pairs.verdict = 'worsening' then 'trade' else own.verdict
    end as verdict,
    own.pair,
    pairs.value as pair_value,
    pairs.verdict as pair_verdict,
    {{ judged_kpis('own.verdict', 'own.team, own.month') }} as judged_kpis,
    cast({{ judged_kpis('own.verdict', 'own.team, own.month') }} * {{ false_verdict_rate() }} as double)
        as expected_false_verdicts
from kpis_of_months as own
left join kpis_of_months as pairs
    on own.month = pairs.month and own.team = pairs.team and own.pair = pairs.kpi
where own.is_active
