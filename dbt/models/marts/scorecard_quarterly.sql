with kpis_of_quarters as (

    select
        measures.quarter,
        measures.team,
        kpis.kpi,
        kpis.pair,
        kpis.definition_version,
        measures.is_complete,
        measures.is_provisional,
        measures.value,
        measures.numerator,
        measures.denominator,
        measures.n,
        measures.coverage_rate
    from {{ ref('int_quarterly_measures') }} as measures
    inner join {{ ref('stg_kpis') }} as kpis
        on
            measures.measure = kpis.measure
            and {{ period_end('quarter', 'measures.quarter') }} > kpis.valid_from
            and {{ period_end('quarter', 'measures.quarter') }} <= kpis.valid_to

),

-- A quarter ends with its last month, whose verdict is on the last two.
last_months as (

    select
        {{ period_start('quarter', 'month') }} as quarter,
        *
    from {{ ref('scorecard_monthly') }}
    where {{ period_start('quarter', 'month') }} <> {{ period_start('quarter', period_end('month', 'month')) }}

)

select
    own.quarter,
    own.team,
    kpis.layer,
    own.kpi,
    kpis.measure,
    kpis.unit,
    kpis.direction,
    kpis.owner_role,
    kpis.decisions,
    kpis.is_actionable,
    kpis.is_gameable_alone,
    own.definition_version,
    own.is_complete,
    own.is_provisional,
    own.value,
    own.numerator,
    own.denominator,
    own.n,
    own.coverage_rate,
    coalesce(last_months.baseline_periods, 0) as baseline_periods,
    last_months.baseline_mean,
    last_months.lower_limit,
    last_months.upper_limit,
    kpis.target,
    last_months.next_milestone,
    case when own.is_complete then coalesce(last_months.verdict, 'inconclusive') end as verdict,
    own.pair,
    pairs.value as pair_value,
    case when own.is_complete then last_months.pair_verdict end as pair_verdict,
    {{ judged_kpis('last_months.verdict', 'own.team, own.quarter') }} as judged_kpis,
    cast({{ judged_kpis('last_months.verdict', 'own.team, own.quarter') }} * {{ false_verdict_rate() }} as double)
        as expected_false_verdicts
from kpis_of_quarters as own
inner join {{ ref('stg_kpis') }} as kpis
    on own.kpi = kpis.kpi and own.definition_version = kpis.definition_version
left join last_months
    on own.quarter = last_months.quarter and own.team = last_months.team and own.kpi = last_months.kpi
left join kpis_of_quarters as pairs
    on own.quarter = pairs.quarter and own.team = pairs.team and own.pair = pairs.kpi
where kpis.is_active
