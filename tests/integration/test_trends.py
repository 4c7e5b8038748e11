"""Trend verdicts (macro `trends`) against numbers worked out by hand, a slow reference, and pure noise."""

from __future__ import annotations

from datetime import date
from math import exp, log, sqrt
from statistics import fmean, variance

import duckdb
import numpy as np
import polars as pl
import pytest
from dbt_models import dbt
from scipy.stats import t as student

BASELINE, MARGIN, MARGIN_OF_RATES = 12, 0.1, 0.01
Z_SQUARED = 1.959963984540054**2

# Metric → (kind, numerator, n, whether higher is better).
METRICS = {
    "deployments_per_day": ("frequency", "frequency_deployments", "calendar_days", True),
    "lead_time_median_hours": ("duration", None, "lead_time_changes", False),
    "change_failure_rate": ("rate", "failed_deployments", "deployments", False),
    "recovery_median_hours": ("duration", None, "recovered_deployments", False),
    "mttr_hours": ("duration", None, "resolved_incidents", False),
    "good_lcp_rate": ("rate", "good_lcp_page_views", "lcp_page_views", True),
}
FIGURES = [*METRICS, *{name for _, numerator, n, _ in METRICS.values() for name in (numerator, n) if name}]


@pytest.fixture(scope="module")
def sql(tmp_path_factory) -> str:
    """The query that the macro makes of a table named figures."""
    file = tmp_path_factory.mktemp("trends") / "warehouse.duckdb"
    (compiled,) = dbt(file, "compile", "--inline", "{{ trends('figures', 'month', 'service') }}")
    return compiled.node.compiled_code


def month(number: int) -> date:
    return date(2000 + number // 12, number % 12 + 1, 1)


def verdicts(sql: str, figures: pl.DataFrame) -> pl.DataFrame:
    """What the macro says of months that have some of FIGURES; the others are NULL."""
    figures = figures.with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in FIGURES if name not in figures.columns
    )
    if "is_complete" not in figures.columns:
        figures = figures.with_columns(is_complete=True)
    with duckdb.connect() as connection:
        connection.register("figures", figures.to_arrow())
        return connection.sql(f"from ({sql}) order by service, metric, month").pl()


def of_one(sql: str, metric: str, months: list[dict]) -> list[dict]:
    rows = [{"service": "web", "month": month(n), "calendar_days": 30, **row} for n, row in enumerate(months)]
    return verdicts(sql, pl.DataFrame(rows, infer_schema_length=None)).filter(metric=metric).to_dicts()


def lead_times(*hours: float | None) -> list[dict]:
    return [{"lead_time_median_hours": value, "lead_time_changes": 10 if value else 0} for value in hours]


def test_lead_time_is_judged_on_logarithms_with_limits_worked_out_by_hand(sql):
    # Baseline 10, 40, 10, 40 hours: mean of logarithms log(20), s = log(2) × sqrt(4/3), t(0.975, 3) = 3.182446.
    *_, last = of_one(sql, "lead_time_median_hours", lead_times(99, 10, 40, 10, 40, 300, 400))
    reach = 3.182446 * log(2) * sqrt(4 / 3) * sqrt(1 + 1 / 4)
    assert reach == pytest.approx(2.847809)
    assert last["baseline_mean"] == pytest.approx(20)
    assert last["upper_limit"] == pytest.approx(20 * exp(reach))
    assert last["lower_limit"] == pytest.approx(20 / exp(reach))
    assert last["baseline_periods"] == 4
    # 20 × exp(2.847809) = 345.
    assert last["verdict"] == "inconclusive"
    *_, last = of_one(sql, "lead_time_median_hours", lead_times(99, 10, 40, 10, 40, 350, 400))
    assert last["verdict"] == "worsening"
    *_, last = of_one(sql, "lead_time_median_hours", lead_times(99, 10, 40, 10, 40, 1.1, 1.1))
    assert last["verdict"] == "improving"


def test_a_rate_has_the_noise_of_its_own_cases_where_that_is_larger(sql):
    def rates(*cases: tuple[int, int]) -> list[dict]:
        return [
            {"failed_deployments": failed, "deployments": n, "change_failure_rate": failed / n if n else None}
            for failed, n in cases
        ]

    baseline = [(9, 9), *[(10, 100)] * 12]
    *_, last = of_one(sql, "change_failure_rate", rates(*baseline, (3, 10), (3, 10)))
    share = (120 + Z_SQUARED / 2) / (1200 + Z_SQUARED)
    reach = 2.200985 * sqrt(share * (1 - share) / 10 * (1 + 1 / 12))
    assert last["baseline_mean"] == pytest.approx(0.1)
    assert last["upper_limit"] == pytest.approx(0.1 + reach)
    assert (last["lower_limit"], last["verdict"]) == (0, "inconclusive")
    *_, last = of_one(sql, "change_failure_rate", rates(*baseline, (30, 100), (30, 100)))
    assert last["verdict"] == "worsening"
    *_, last = of_one(sql, "change_failure_rate", rates(*baseline, (1000, 10000), (1001, 10000)))
    assert last["verdict"] == "steady"
    # One month alone, or none: no verdict on two.
    *_, last = of_one(sql, "change_failure_rate", rates(*baseline, (10, 100), (30, 100)))
    assert last["verdict"] == "inconclusive"
    *_, last = of_one(sql, "change_failure_rate", rates(*baseline, (0, 0), (30, 100)))
    assert last["verdict"] == "inconclusive"


def test_a_frequency_of_zero_has_a_verdict_and_the_noise_of_its_own_count(sql):
    def frequencies(*counts: int) -> list[dict]:
        return [{"frequency_deployments": count, "deployments_per_day": count / 30} for count in counts]

    # 1 a day, to the power of two thirds; its least variance 4/9 × the cube root of the frequency / 30 days;
    # t(0.975, 11) = 2.200985.
    baseline = [0, *[30] * 12]
    *_, last = of_one(sql, "deployments_per_day", frequencies(*baseline, 45, 45))
    least = 4 / 9 * ((360 + Z_SQUARED / 2) / 360) ** (1 / 3) / 30
    reach = 2.200985 * sqrt(least * (1 + 1 / 12))
    assert last["upper_limit"] == pytest.approx((1 + reach) ** 1.5)
    assert last["lower_limit"] == pytest.approx((1 - reach) ** 1.5)
    assert last["verdict"] == "improving"
    *_, last = of_one(sql, "deployments_per_day", frequencies(*baseline, 0, 0))
    assert last["verdict"] == "worsening"
    *_, last = of_one(sql, "deployments_per_day", frequencies(0, *[0] * 12, 0, 0))
    assert (last["verdict"], last["lower_limit"]) == ("inconclusive", 0)


def test_before_four_months_of_baseline_and_in_an_open_month_there_is_no_judgement(sql):
    months = of_one(sql, "lead_time_median_hours", lead_times(5, 10, 10, None, 10, 10, 10, 10))
    assert [row["verdict"] for row in months] == ["baselining"] * 7 + ["steady"]
    assert all(row["upper_limit"] is None for row in months[:-1])
    open_month = [{**row, "is_complete": n < 7} for n, row in enumerate(lead_times(*[10] * 8))]
    assert of_one(sql, "lead_time_median_hours", open_month)[-1]["verdict"] is None
    weeks = [{**row, "calendar_days": 7} for row in lead_times(5, 10, 10, 10, 10, 10, 10)]
    assert of_one(sql, "lead_time_median_hours", weeks)[-1]["verdict"] == "steady"
    weeks = [{**row, "calendar_days": 6} for row in lead_times(5, 10, 10, 10, 10, 10, 10)]
    assert of_one(sql, "lead_time_median_hours", weeks)[-1]["verdict"] == "baselining"


def random_organisation(services: int, months: int, seed: int) -> pl.DataFrame:
    """Months of services that drift, jump and fall silent."""
    random = np.random.default_rng(seed)
    rows = []
    for service in range(services):
        level = np.exp(random.normal(0, 1, 4))
        for number in range(months):
            if random.random() < 0.08:
                level *= np.exp(random.normal(0, 1, 4))
            days = int(random.choice([28, 30, 31]))
            deployments = int(random.poisson(20 * level[0]))
            failed = int(random.binomial(deployments, min(0.1 * level[1], 1)))
            views = int(random.poisson(300 * random.integers(0, 2)))
            good = int(random.binomial(views, 0.7))
            rows.append(
                {
                    "service": f"service-{service:03}",
                    "month": month(number),
                    "calendar_days": days,
                    "is_complete": number < months - 1,
                    "frequency_deployments": deployments,
                    "deployments_per_day": deployments / days,
                    "deployments": deployments,
                    "failed_deployments": failed,
                    "change_failure_rate": failed / deployments if deployments else None,
                    "lead_time_changes": deployments,
                    "lead_time_median_hours": float(24 * level[2] * np.exp(random.normal(0, 0.3)))
                    if deployments
                    else None,
                    "recovered_deployments": failed,
                    "recovery_median_hours": float(random.choice([0, level[3]])) if failed else None,
                    "lcp_page_views": float(views),
                    "good_lcp_page_views": float(good),
                    "good_lcp_rate": good / views if views else None,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def reference(months: list[dict], metric: str) -> list[str | None]:
    """Verdicts of one service and metric, from the definition in docs/metrics.md, one month at a time."""
    kind, numerator, n, is_higher_better = METRICS[metric]

    def scaled(row: dict) -> float | None:
        value = row.get(metric)
        if value is None:
            return None
        return {"frequency": value ** (2 / 3), "duration": log(max(value, 1 / 60)), "rate": value}[kind]

    found = []
    for last, row in enumerate(months):
        if not row["is_complete"]:
            found.append(None)
            continue
        baseline = [each for each in months[max(last - 1 - BASELINE, 1) : max(last - 1, 1)] if scaled(each) is not None]
        if len(baseline) < 4 or sum(each["calendar_days"] for each in baseline) < 28:
            found.append("baselining")
            continue
        judged = [months[last - 1], row]
        if any(scaled(each) is None for each in judged):
            found.append("inconclusive")
            continue
        values = [scaled(each) for each in baseline]
        quantile = student.ppf(0.975, len(values) - 1)
        if kind == "rate":
            hits, cases = (sum(each[name] for each in baseline) for name in (numerator, n))
            centre = hits / cases
            share = (hits + Z_SQUARED / 2) / (cases + Z_SQUARED)
            least = [share * (1 - share) / each[n] for each in judged]
            margin = max(MARGIN * centre, MARGIN_OF_RATES)
        else:
            centre = fmean(values)
            least, margin = [0, 0], log(1 + MARGIN)
            if kind == "frequency":
                count, days = (sum(each[name] for each in baseline) for name in (numerator, n))
                usual = (count + Z_SQUARED / 2) / days
                least = [4 / 9 * usual ** (1 / 3) / each["calendar_days"] for each in judged]
                margin = centre * ((1 + MARGIN) ** (2 / 3) - 1)
        inverse = fmean(1 / each[n] for each in baseline)
        scales = [max(1 / each[n] / inverse, 1) for each in judged]
        noise = [max(variance(values) * scale, each) for scale, each in zip(scales, least, strict=True)]
        changes = [scaled(each) - centre for each in judged]
        reaches = [quantile * sqrt(each * (1 + 1 / len(values))) for each in noise]
        if abs(fmean(changes)) + quantile * sqrt(fmean(noise) * (1 / 2 + 1 / len(values))) <= margin:
            found.append("steady")
        elif all(change > reach for change, reach in zip(changes, reaches, strict=True)):
            found.append("improving" if is_higher_better else "worsening")
        elif all(change < -reach for change, reach in zip(changes, reaches, strict=True)):
            found.append("worsening" if is_higher_better else "improving")
        else:
            found.append("inconclusive")
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_verdicts_are_those_of_a_slow_reference(sql, seed):
    figures = random_organisation(services=40, months=40, seed=seed)
    found = verdicts(sql, figures.sample(fraction=1, shuffle=True, seed=seed))
    seen = set()
    for (service,), months in figures.group_by("service"):
        for metric in METRICS:
            expected = reference(months.sort("month").to_dicts(), metric)
            assert found.filter(service=service, metric=metric)["verdict"].to_list() == expected, (service, metric)
            seen.update(expected)
    assert seen == {"improving", "worsening", "steady", "inconclusive", "baselining", None}


def noise(services: int, months: int, seed: int) -> pl.DataFrame:
    """Months in which nothing changes: what differs is chance."""
    random = np.random.default_rng(seed)
    shape = services * months
    deployments = random.poisson(20, shape)
    failed = random.binomial(deployments, 0.15)
    recovery = [float(np.median(random.lognormal(0, 1, n))) if n else None for n in failed]
    return pl.DataFrame(
        {
            "service": np.repeat([f"service-{number:04}" for number in range(services)], months),
            "month": [month(number) for number in range(months)] * services,
            "calendar_days": 30,
            "frequency_deployments": deployments,
            "deployments_per_day": deployments / 30,
            "deployments": deployments,
            "failed_deployments": failed,
            "change_failure_rate": [f / n if n else None for f, n in zip(failed, deployments, strict=True)],
            "lead_time_changes": 40,
            "lead_time_median_hours": np.exp(random.normal(3, 0.4, shape)),
            "recovered_deployments": failed,
            "recovery_median_hours": recovery,
        }
    )


def false_verdicts(found: pl.DataFrame) -> dict[str, float]:
    """Metric → the share of its verdicts, beyond baselining, that see a change."""
    judged = found.filter(pl.col("verdict") != "baselining", pl.col("value").is_not_null())
    shares = judged.group_by("metric").agg(pl.col("verdict").is_in(["improving", "worsening"]).mean())
    return dict(shares.iter_rows())


def test_chance_alone_seldom_gives_a_verdict(sql):
    # Twelve months of baseline, then with the fewest, four.
    full = false_verdicts(verdicts(sql, noise(2000, 15, seed=1)).filter(pl.col("month") == month(14)))
    fewest = false_verdicts(verdicts(sql, noise(2000, 7, seed=2)).filter(pl.col("month") == month(6)))
    assert set(full) == set(fewest) == set(METRICS) - {"mttr_hours", "good_lcp_rate"}
    assert max(full.values()) <= 0.01, full
    assert max(fewest.values()) <= 0.015, fewest


def test_the_table_of_quantiles_is_that_of_students_t(sql):
    table = sql[sql.index("case baseline_periods - 1") :].split("end")[0]
    quantiles = [line.split()[1::2] for line in table.splitlines() if "then" in line]
    assert [int(degrees) for degrees, _ in quantiles] == list(range(3, 52))
    for degrees, quantile in quantiles:
        assert float(quantile) == pytest.approx(student.ppf(0.975, int(degrees)), abs=1e-6)
