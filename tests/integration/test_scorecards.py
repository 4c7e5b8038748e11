"""Scorecards: what chance alone gives, what a real change gives, and each rule worked out by hand."""

from __future__ import annotations

import json
from datetime import date

import duckdb
import numpy as np
import polars as pl
import pytest
from dbt_models import dbt, models
from scorecard_series import SERIES, kpi, month, scorecards, simulated

from dagster_project.contracts import MEASURES

CHANGED = pl.col("verdict").is_in(["improving", "worsening", "trade"])
SCORECARDS = 2000


def last_month(months: int, shift: float = 0) -> pl.DataFrame:
    """Scorecards of ten KPIs in the last of so many months: the first is no baseline, the last two are judged."""
    measures = simulated(SCORECARDS, months, seed=months, shift=shift)
    # Without a practical margin nothing is steady that is not proven to be: the statistics stand alone.
    found = scorecards(models(), measures, [kpi(name, practical_margin=0) for name in SERIES])
    return found.filter(month=month(months - 1))


def changed(found: pl.DataFrame) -> dict[str, float]:
    return dict(found.group_by("kpi").agg(CHANGED.mean()).iter_rows())


@pytest.mark.parametrize("baseline", [4, 8, 12])
def test_chance_alone_seldom_gives_a_verdict(baseline):
    found = last_month(baseline + 3)
    shares = changed(found)
    assert set(shares) == set(SERIES)
    assert max(shares.values()) <= 0.05, shares
    assert found.group_by("team").agg(CHANGED.any())["verdict"].mean() <= 0.15
    # No more than every row says to expect.
    assert sum(shares.values()) <= found["expected_false_verdicts"].unique().item() == pytest.approx(0.1)


@pytest.mark.parametrize(("baseline", "least"), [(4, 0.2), (6, 0.35), (8, 0.45), (12, 0.45)])
def test_a_shift_of_three_standard_deviations_is_found_within_two_months_whichever_way(baseline, least):
    more, less = (changed(last_month(baseline + 3, shift=shift)) for shift in (3, -3))
    for name, (kind, mean, n) in SERIES.items():
        # A rate near 0 has no room for a fall of three standard deviations.
        has_room = kind != "rate" or mean > 3 * (3 * mean * (1 - mean) / n) ** 0.5
        assert more[name] >= least, (name, more[name])
        assert less[name] >= least or not has_room, (name, less[name])


def constant(measure: str, *values: float | None, days: int = 30) -> pl.DataFrame:
    """Months of one team with these rates of 10,000 cases."""
    return pl.DataFrame(
        [
            {
                "month": month(number),
                "team": "shop",
                "measure": measure,
                "kind": "rate",
                "value": value,
                "numerator": None if value is None else value * 10_000,
                "denominator": 10_000.0,
                "n": 10_000.0,
                "coverage_rate": None,
                "is_complete": True,
                "is_provisional": False,
                "calendar_days": days,
            }
            for number, value in enumerate(values)
        ],
        schema_overrides={"value": pl.Float64, "numerator": pl.Float64, "coverage_rate": pl.Float64},
        infer_schema_length=None,
    )


def of_last(measures: pl.DataFrame, *kpis: dict) -> dict[str, dict]:
    found = scorecards(models(), measures, list(kpis))
    return {row["kpi"]: row for row in found.filter(month=found["month"].max()).iter_rows(named=True)}


STEADY, FALLING, RISING = [0.2] * 8, [0.2] * 6 + [0.1] * 2, [0.2] * 6 + [0.3] * 2


def test_an_improvement_beside_a_worse_pair_is_a_trade():
    both = pl.concat([constant("errors", *FALLING), constant("bounces", *RISING), constant("views", *STEADY)])
    found = of_last(both, kpi("errors", pair="bounces"), kpi("bounces", pair="errors"), kpi("views", pair="bounces"))
    assert {name: row["verdict"] for name, row in found.items()} == {
        "errors": "trade",
        "bounces": "worsening",
        "views": "steady",
    }
    assert (found["errors"]["pair_verdict"], found["errors"]["pair_value"]) == ("worsening", pytest.approx(0.3))
    assert found["bounces"]["pair_verdict"] == "improving"
    assert of_last(both, kpi("errors", pair="views"), kpi("views"))["errors"]["verdict"] == "improving"


def test_a_pair_need_not_be_a_kpi_itself():
    both = pl.concat([constant("errors", *FALLING), constant("bounces", *RISING)])
    found = of_last(both, kpi("errors", pair="bounces"), kpi("bounces", is_active=False))
    assert set(found) == {"errors"}
    assert (found["errors"]["verdict"], found["errors"]["pair_verdict"]) == ("trade", "worsening")
    assert found["errors"]["pair_value"] == pytest.approx(0.3)
    assert found["errors"]["judged_kpis"] == 1


def test_what_is_better_is_for_the_kpi_to_say():
    assert of_last(constant("errors", *FALLING), kpi("errors", direction="higher"))["errors"]["verdict"] == "worsening"


@pytest.mark.parametrize(("months", "verdict"), [(6, "baselining"), (7, "steady")])
def test_before_four_months_of_baseline_there_is_no_verdict(months, verdict):
    row = of_last(constant("errors", *[0.2] * months), kpi("errors", target=0.1))["errors"]
    assert row["verdict"] == verdict
    assert (row["next_milestone"] is None) == (row["baseline_mean"] is None) == (verdict == "baselining")


@pytest.mark.parametrize(
    ("direction", "target", "milestone"),
    [
        ("lower", 0.1, 0.15),
        ("lower", 0.19, 0.19),
        ("lower", 0.201, 0.201),
        ("lower", 0.3, 0.3),
        ("higher", 0.6, 0.4),
        ("higher", 0.1, 0.1),
        ("higher", None, None),
    ],
)
def test_a_milestone_is_half_of_the_way_or_the_target(direction, target, milestone):
    row = of_last(constant("errors", *STEADY), kpi("errors", direction=direction, target=target))["errors"]
    assert row["next_milestone"] == (milestone if milestone is None else pytest.approx(milestone))


def test_a_target_within_the_noise_is_the_milestone():
    noisy = constant("errors", 0.2, 0.1, 0.3, 0.1, 0.3, 0.1, 0.2, 0.2)
    row = of_last(noisy, kpi("errors", target=0.12))["errors"]
    assert row["lower_limit"] < 0.12
    assert row["next_milestone"] == 0.12


def test_a_new_target_rewrites_no_history():
    definitions = [
        kpi("errors", target=0.15, valid_to=date(2000, 7, 1)),
        kpi("errors", target=0.05, valid_from=date(2000, 7, 1)),
    ]
    found = scorecards(models(), constant("errors", *STEADY), definitions)
    assert found["target"].to_list() == [0.15] * 6 + [0.05] * 2
    assert found["definition_version"].n_unique() == 2
    # The baseline is that of the measure, also from before the definition.
    assert found["verdict"].to_list() == ["baselining"] * 6 + ["steady"] * 2
    unchanged = scorecards(models(), constant("errors", *STEADY), definitions[:1])
    assert unchanged["definition_version"].unique().to_list() == found["definition_version"][:1].to_list()


def test_a_month_of_fewer_cases_than_the_baseline_has_more_noise():
    noisy = [0.2, 0.18, 0.22, 0.18, 0.22, 0.18, 0.22]
    measures = constant("errors", *noisy, 0.35, 0.35)
    full = of_last(measures, kpi("errors"))["errors"]
    last = pl.col("month") >= month(len(noisy))
    few = of_last(measures.with_columns(n=pl.when(last).then(1000.0).otherwise("n")), kpi("errors"))["errors"]
    assert (full["verdict"], few["verdict"]) == ("worsening", "inconclusive")
    assert few["upper_limit"] - 0.2 == pytest.approx(10**0.5 * (full["upper_limit"] - 0.2))


def test_contracts_list_the_measures_that_the_models_offer(tmp_path):
    (compiled,) = dbt(tmp_path / "warehouse.duckdb", "compile", "--inline", "{{ offered_measures() | tojson }}")
    assert tuple(each["measure"] for each in json.loads(compiled.node.compiled_code)) == MEASURES


@pytest.mark.parametrize("autocorrelation", [0, 0.3, 0.6])
@pytest.mark.parametrize("steps", [[1], [2], [1, 2]])
def test_limits_are_as_wide_as_the_covariances_of_the_series_demand(tmp_path, autocorrelation, steps):
    factor = f"{{{{ prediction_factor('k', {steps}, {autocorrelation}) }}}}"
    (compiled,) = dbt(tmp_path / "warehouse.duckdb", "compile", "--inline", factor)
    with duckdb.connect() as connection:
        query = f"select k, {compiled.node.compiled_code} from range(4, 53) as numbers (k)"
        found = connection.sql(query).fetchall()
    for k, factor in found:
        points = np.arange(k + max(steps))
        covariances = autocorrelation ** np.abs(np.subtract.outer(points, points))
        of_baseline = covariances[:k, :k]
        expected_variance = (np.trace(of_baseline) - k * of_baseline.mean()) / (k - 1)
        difference = np.where(points < k, -1 / k, np.where(np.isin(points - k + 1, steps), 1 / len(steps), 0))
        assert float(factor) == pytest.approx(difference @ covariances @ difference / expected_variance), k
