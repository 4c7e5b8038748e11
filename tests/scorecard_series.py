"""Simulated scorecards: counts, rates and durations that vary more than by chance and resemble the month before."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
from dbt_models import Models, frame, insert, memory
from scipy.stats import betabinom, nbinom, norm

from dagster_project.contracts import KPIS

OVERDISPERSION, AUTOCORRELATION = 3, 0.3
# KPI → (kind, mean, exposure, cases or sample of a month).
SERIES = {
    "deployments_40": ("frequency", 40, 30),
    "deployments_20": ("frequency", 20, 30),
    "tickets_60": ("frequency", 60, 90),
    "failures_of_50": ("rate", 0.15, 50),
    "failures_of_30": ("rate", 0.2, 30),
    "flaky_of_200": ("rate", 0.05, 200),
    "good_of_5000": ("rate", 0.7, 5000),
    "hours_of_40": ("duration", 3, 40),
    "hours_of_10": ("duration", 1, 10),
    "hours_of_5": ("duration", 0, 5),
}


def month(number: int) -> date:
    return date(2000 + number // 12, number % 12 + 1, 1)


def correlated(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Quantiles of which each row is a stationary first-order autoregressive series."""
    noise = random.normal(size=shape)
    for step in range(1, shape[1]):
        noise[:, step] = AUTOCORRELATION * noise[:, step - 1] + (1 - AUTOCORRELATION**2) ** 0.5 * noise[:, step]
    return noise


def series(kind: str, mean: float, n: int, noise: np.ndarray, shift: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Values and numerators; the last two months are moved by `shift` standard deviations of one month."""
    moved = np.zeros(noise.shape[1])
    moved[-2:] = shift
    if kind == "duration":
        return np.exp(mean + 0.4 * (noise + moved)), None
    chance = norm.cdf(noise)
    if kind == "frequency":
        possible = nbinom.cdf(np.arange(20 * mean), mean / (OVERDISPERSION - 1), 1 / OVERDISPERSION)
        counts = np.searchsorted(possible, chance)
        deviation = (OVERDISPERSION * mean) ** 0.5
        hits = np.maximum(np.round(counts + moved * deviation), 0)
    else:
        # A beta-binomial of n cases has the variance n p (1 - p) (1 + (n - 1) / (a + b + 1)).
        weight = (n - 1) / (OVERDISPERSION - 1) - 1
        counts = np.searchsorted(betabinom.cdf(np.arange(n), n, mean * weight, (1 - mean) * weight), chance)
        deviation = (OVERDISPERSION * n * mean * (1 - mean)) ** 0.5
        hits = np.clip(np.round(counts + moved * deviation), 0, n)
    return hits / n, hits


def simulated(scorecards: int, months: int, seed: int, shift: float = 0) -> pl.DataFrame:
    """Rows of int_monthly_measures: one scorecard a team."""
    random = np.random.default_rng(seed)
    frames = []
    for measure, (kind, mean, n) in SERIES.items():
        values, hits = series(kind, mean, n, correlated((scorecards, months), random), shift)
        frames.append(
            pl.DataFrame(
                {
                    "month": [month(number) for number in range(months)] * scorecards,
                    "team": np.repeat([f"team-{number:04}" for number in range(scorecards)], months),
                    "measure": measure,
                    "kind": kind,
                    "value": values.ravel(),
                    "numerator": None if hits is None else hits.ravel(),
                    "n": float(n),
                },
                schema_overrides={"numerator": pl.Float64},
            )
        )
    return pl.concat(frames).with_columns(
        is_complete=True,
        is_provisional=False,
        calendar_days=30,
        denominator=pl.when(pl.col("kind") != "duration").then("n"),
        coverage_rate=pl.lit(None, pl.Float64),
    )


def kpi(name: str, **given) -> dict:
    """A row of kpis.csv."""
    return {
        "kpi": name,
        "layer": "reliability",
        "measure": name,
        "unit": "any",
        "direction": "lower",
        "owner_role": "tester",
        "decisions": "examine",
        "is_actionable": True,
        "is_gameable_alone": False,
        "practical_margin": 0.1,
    } | given


def scorecards(models: Models, measures: pl.DataFrame, kpis: list[dict]) -> pl.DataFrame:
    """scorecard_monthly of these measures."""
    with memory() as connection:
        insert(connection, KPIS, frame(KPIS, kpis))
        connection.execute("create schema intermediate")
        connection.register("given", measures.to_arrow())
        connection.execute("create table intermediate.int_monthly_measures as from given")
        models.run(connection, "stg_kpis", "scorecard_monthly")
        return connection.sql("from marts.scorecard_monthly order by team, kpi, month").pl()
