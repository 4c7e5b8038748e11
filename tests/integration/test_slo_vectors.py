"""Budgets worked out by hand: counts of five minutes go in, attainment, budgets, burn rates and states come out."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from dbt_models import memory, models
from slo_documents import condition, define, definitions_of, document, ratio

# Clocks change in Berlin on 29 March.
AS_OF = datetime(2026, 3, 31, 12)
ROLLING = {"duration": "30d", "isRolling": True}
MARCH = {"duration": "1M", "calendar": {"startTime": "2026-01-01 00:00:00", "timeZone": "Europe/Berlin"}}
GOOD = {datetime(2026, 3, 11): (99999, 100000)}
SERIES = [(10, 10), (5, 10), (9, 10), (1, 2)]


def ago(**time: float) -> datetime:
    return AS_OF - timedelta(**time)


def hourly(series: list[tuple[int, int]]) -> dict[datetime, tuple[int, int]]:
    """One hour after another from the day before on."""
    return {datetime(2026, 3, 30) + hour * timedelta(hours=1): counted for hour, counted in enumerate(series)}


# name → target, method and the like, window, and good and total by when.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[datetime, tuple[int, int]]]] = {
    "missed": ({"target": 0.95}, ROLLING, {ago(days=3): (111, 118)}),
    "silent": ({"target": 0.95}, ROLLING, {}),
    "far-off": ({"targetPercent": 90}, ROLLING, {ago(days=3): (33, 90)}),
    "contradictory": ({"target": 0.95}, ROLLING, {ago(days=3): (119, 118), ago(days=2): (50, 100)}),
    "rare": ({"target": 0.95}, ROLLING, {ago(days=3): (1, 19)}),
    "at-ten": ({"target": 0.99}, ROLLING, {ago(minutes=5): (90, 100)}),
    "at-the-factor": ({"target": 0.99}, ROLLING, {ago(minutes=5): (856, 1000), ago(hours=3): (4000, 4000)} | GOOD),
    "above-it": ({"target": 0.99}, ROLLING, {ago(minutes=5): (855, 1000), ago(hours=3): (4000, 4000)} | GOOD),
    "few-bad": ({"target": 0.99}, ROLLING, {ago(minutes=5): (16, 20), ago(days=20): (99999, 100000)}),
    "over-soon": ({"target": 0.99}, ROLLING, {ago(minutes=40): (500, 1000), ago(days=20): (999999, 1000000)}),
    "slow": ({"target": 0.99}, ROLLING, {ago(hours=5): (900, 1000), ago(days=20): (999999, 1000000)}),
    "slices": ({"target": 0.5, "timeSliceTarget": 0.9, "timeSliceWindow": "1h"}, ROLLING, hourly(SERIES)),
    "ratios": ({"target": 0.5, "timeSliceWindow": "1h"}, ROLLING, hourly(SERIES)),
    "events": ({"target": 0.5}, ROLLING, hourly(SERIES)),
    "unfinished": (
        {"target": 0.5, "timeSliceTarget": 0.9, "timeSliceWindow": "1d"},
        ROLLING,
        {ago(days=1): (9, 10), ago(hours=1): (0, 100)},
    ),
    # The last hour of February in Berlin and the first of March, in UTC.
    "month": ({"target": 0.9}, MARCH, {datetime(2026, 2, 28, 22, 55): (0, 50), datetime(2026, 2, 28, 23): (95, 100)}),
}


def definition(name: str, objective: dict[str, Any], window: dict[str, Any]) -> dict[str, Any]:
    method = "Timeslices" if "timeSliceTarget" in objective else "Occurrences"
    method = "RatioTimeslices" if "timeSliceWindow" in objective and method == "Occurrences" else method
    where = [condition("service", "eq", "api")]
    indicator = ratio({"source": "requests", "where": where}, good={"where": where})
    return document(name, indicator, [objective], window=window, method=method)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    documents = [definition(name, objective, window) for name, (objective, window, _) in CASES.items()]
    definitions = definitions_of(tmp_path_factory.mktemp("slos"), documents)
    counts = [
        {"definition": name, "counted_on": at.date(), "slot_starts_at": at, "good": good, "total": total}
        for name, (_, _, counted) in CASES.items()
        for at, (good, total) in counted.items()
    ]
    compiled = models(as_of=str(AS_OF))
    with memory() as connection:
        define(connection, definitions)
        for node in compiled.nodes:
            connection.execute(f"create schema if not exists {node.schema}")
            kind = "view" if node.config.materialized == "view" else "table"
            connection.execute(f"create or replace {kind} {node.schema}.{node.name} as {node.compiled_code}")
            if node.name == "int_slo_counts":
                connection.register("counts", pl.DataFrame(counts).to_arrow())
                connection.execute(
                    "insert into intermediate.int_slo_counts by name "
                    "select counts.* exclude (definition), definition_number "
                    "from counts inner join staging.stg_slos using (definition)"
                )
        yield {
            "status": {row["slo"]: row for row in connection.sql("from marts.slo_status").pl().to_dicts()},
            "days": {
                (row["slo"], row["day"]): row
                for row in connection.sql("from marts.slo_attainment_daily").pl().to_dicts()
            },
        }


def figures(row: dict[str, Any], *names: str) -> list[Any]:
    return [round(row[name], 6) if isinstance(row[name], float) else row[name] for name in names]


@pytest.mark.parametrize(
    ("slo", "attainment", "consumed", "state"),
    [
        ("missed", 0.940678, 1.186441, "exhausted"),
        ("silent", None, None, "no_data"),
        ("far-off", 0.366667, 6.333333, "exhausted"),
        ("rare", 0.052632, 18.947368, "insufficient_data"),
        # Of 5.5 slices: two were at least 90 % good; their ratios are 1, 0.5, 0.9, 0.5; of 32 events 25 were good.
        ("slices", 0.5, 1.0, "exhausted"),
        ("ratios", 0.725, 0.55, "healthy"),
        ("events", 0.78125, 0.4375, "healthy"),
    ],
)
def test_attainment_and_budget(judged, slo, attainment, consumed, state):
    row = judged["status"][slo]
    names = ("attainment_rate", "budget_consumed_rate", "state")
    assert figures(row, *names) == [attainment, consumed, state]


def test_more_good_events_than_events_are_an_error_even_if_the_sum_is_not(judged):
    row = judged["status"]["contradictory"]
    assert figures(row, "window_good", "window_total", "state", "verdict") == [169, 218, "data_error", "none"]


def test_no_data_has_no_figures(judged):
    names = (
        "attainment_rate",
        "budget_remaining_rate",
        "burn_rate_1h",
        "burn_rate_3d",
        "hours_to_exhaustion",
        "verdict",
    )
    assert figures(judged["status"]["silent"], *names) == [None, None, None, None, None, "none"]
    assert judged["status"]["silent"]["coverage_rate"] == 0


def test_a_burn_rate_is_the_bad_share_over_the_allowed_one(judged):
    assert figures(judged["status"]["at-ten"], "burn_rate_5m", "burn_rate_3d") == [10.0, 10.0]


@pytest.mark.parametrize(
    ("slo", "burn_rate_1h", "verdict", "state"),
    [
        # 2 % of 30 days in one hour is 14.4 times as fast as allowed; not above it is no page.
        ("at-the-factor", 14.4, "ticket", "burning"),
        ("above-it", 14.5, "page", "burning"),
        # Four bad events are too few to wake somebody.
        ("few-bad", 20.0, "ticket", "burning"),
        # Half an hour ago it was bad, and is no longer: both stretches must burn.
        ("over-soon", 50.0, "ticket", "burning"),
        # 10 times as fast in 3 d and 6 h is more than 1, but not in the last 2 h.
        ("slow", None, "ticket", "burning"),
    ],
)
def test_verdicts_need_both_stretches_and_enough_bad_events(judged, slo, burn_rate_1h, verdict, state):
    assert figures(judged["status"][slo], "burn_rate_1h", "verdict", "state") == [burn_rate_1h, verdict, state]


def test_time_to_exhaustion_is_what_is_left_at_the_speed_of_six_hours(judged):
    slow = judged["status"]["slow"]
    assert slow["burn_rate_6h"] == 10
    assert slow["hours_to_exhaustion"] == pytest.approx(slow["budget_remaining_rate"] * 720 / 10)
    assert judged["status"]["missed"]["hours_to_exhaustion"] == 0
    assert judged["status"]["ratios"]["burn_rate_6h"] is None
    assert judged["status"]["ratios"]["hours_to_exhaustion"] is None


def test_a_slice_is_judged_once_it_is_over(judged):
    assert figures(judged["status"]["unfinished"], "attainment_rate", "window_total") == [1.0, 10]


def test_a_month_in_which_clocks_change_begins_and_ends_at_local_midnight(judged):
    row = judged["status"]["month"]
    assert row["window_starts_at"] == datetime(2026, 2, 28, 23)
    assert judged["days"]["month", date(2026, 3, 31)]["window_hours"] == 743
    # It starts in the middle of the series: what came before counts for February.
    assert figures(row, "window_good", "window_total") == [95, 100]
    february = judged["days"]["month", date(2026, 2, 28)]
    assert figures(february, "window_total", "window_hours", "is_complete") == [50, 672.0, True]
    assert february["evaluated_at"] == datetime(2026, 2, 28, 23)
    long_day = judged["days"]["month", date(2026, 3, 29)]
    assert long_day["evaluated_at"] == datetime(2026, 3, 29, 22)


def test_a_day_without_events_keeps_its_row(judged):
    row = judged["days"]["missed", date(2026, 3, 30)]
    names = ("total", "day_attainment_rate", "window_total", "state")
    assert figures(row, *names) == [0, None, 118, "exhausted"]
