"""Which SLOs a monthly review finds to match reality no longer, from days and from what users did."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from dbt_models import frame, insert, memory, models

from dagster_project.contracts import ACTIVE_USERS, SLOS, SUPPORT_TICKETS

MARCH, AS_OF = date(2026, 3, 1), datetime(2026, 4, 10, 12)
BEFORE = date(2025, 12, 1)
REVIEWED = date(2026, 2, 1)
# name → service, state and budget left of each day of March, and what else is special.
CASES: dict[str, dict[str, Any]] = {
    "fine": {"service": "calm"},
    "easy": {"service": "calm", "left": 0.75},
    "nearly-easy": {"service": "calm", "left": [0.9] * 30 + [0.74]},
    "missed": {"service": "unknown", "state": "exhausted", "left": -0.2},
    "missed-but-once": {"service": "unknown", "state": ["exhausted"] * 30 + ["burning"], "left": -0.2},
    "missed-unminded": {"service": "calm", "state": "exhausted", "left": -0.2},
    "kept-but-tickets": {"service": "ticketed"},
    "missed-and-tickets": {"service": "ticketed", "state": "exhausted", "left": -0.2},
    "kept-but-bounces": {"service": "bounced"},
    "some-tickets": {"service": "by-chance"},
    "rare": {"service": "calm", "state": ["insufficient_data"] * 16 + ["healthy"] * 15},
    "less-rare": {"service": "calm", "state": ["no_data"] * 15 + ["healthy"] * 16},
    "one-failure-too-much": {"service": "calm", "budget": 0.99},
    "month-that-begins": {"service": "calm", "state": "insufficient_data", "a_day": 1.0},
    "rare-in-its-month": {"service": "calm", "state": "insufficient_data", "a_day": 0.6},
    "old": {"service": "calm", "reviewed_on": date(2025, 10, 1)},
    "just-not-old": {"service": "calm", "reviewed_on": date(2025, 10, 2)},
    "never-reviewed": {"service": "calm", "reviewed_on": None},
    "reviewed-since": {"service": "calm", "reviewed_on": date(2026, 4, 2)},
}
# service → tickets of a month before and of March, at 1000 users a day.
TICKETS = {"calm": (60, 60), "ticketed": (60, 120), "by-chance": (4, 8)}


def days_of(first: date, number: int) -> list[date]:
    return [first + timedelta(days=day) for day in range(number)]


def each_day(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] * 31


def daily(name: str, case: dict[str, Any]) -> list[dict[str, Any]]:
    states, left = each_day(case.get("state", "healthy")), each_day(case.get("left", 0.5))
    calendar = "a_day" in case
    return [
        {
            "day": day,
            "window_starts_at": MARCH if calendar else day - timedelta(days=27),
            "evaluated_at": day + timedelta(days=1),
            "window_hours": 24.0 * (31 if calendar else 28),
            "window_total": int(case["a_day"] * day.day) if calendar else 10 if state == "insufficient_data" else 2800,
            "slo": name,
            "objective": 1,
            "objective_name": "good",
            "service": case["service"],
            "team": "shop",
            "definition": name,
            "target": 0.99,
            "good": 95,
            "total": 100,
            "budget_total": case["a_day"] * day.day / 10 if calendar else case.get("budget", 28.0),
            "budget_remaining_rate": remaining,
            "state": state,
        }
        for day, state, remaining in zip(days_of(MARCH, 31), states, left, strict=True)
    ]


def tickets() -> list[dict[str, Any]]:
    months = [(BEFORE, 0), (date(2026, 1, 1), 0), (date(2026, 2, 1), 0), (MARCH, 1)]
    return [
        {
            "source": "desk",
            "ticket_id": f"{service}-{month}-{number}",
            "service": service,
            "opened_at": datetime(month.year, month.month, 1 + number % 28, 12),
        }
        for service, numbers in TICKETS.items()
        for month, place in months
        for number in range(numbers[place])
    ]


def sessions(service: str, bounced_in_march: int) -> list[dict[str, Any]]:
    """A hundred a day, of which 20 bounced before March."""
    return [
        {
            "service": service,
            "started_on": day,
            "judged": 100,
            "judged_weight": 100,
            "bounced_weight": bounced_in_march if day >= MARCH else 20,
        }
        for day in days_of(BEFORE, 121)
    ]


@pytest.fixture(scope="module")
def reviews():
    slos = [
        {"definition": name, "slo": name, "service": case["service"], "reviewed_on": case.get("reviewed_on", REVIEWED)}
        for name, case in CASES.items()
    ]
    users = [
        {"source": "app", "service": service, "day": day, "users": 1000}
        for service in TICKETS
        for day in days_of(BEFORE, 121)
    ]
    with memory() as connection:
        compiled = models(as_of=str(AS_OF))
        compiled.build(connection, "slo_review_monthly")
        for table, rows in (
            ("marts.slo_attainment_daily", [row for name, case in CASES.items() for row in daily(name, case)]),
            ("intermediate.int_experience_days", sessions("bounced", 26) + sessions("calm", 22)),
        ):
            connection.register("given", pl.DataFrame(rows).to_arrow())
            connection.execute(f"insert into {table} by name from given")
        for table, rows in ((SLOS, slos), (ACTIVE_USERS, users), (SUPPORT_TICKETS, tickets())):
            insert(connection, table, frame(table, rows))
        compiled.run(connection, "slo_review_monthly")
        yield {row["slo"]: row for row in connection.sql("from marts.slo_review_monthly").pl().to_dicts()}


@pytest.mark.parametrize(
    ("name", "finding"),
    {
        "fine": "matches",
        "easy": "never_at_risk",
        "nearly-easy": "matches",
        "missed": "always_missed",
        "missed-but-once": "matches",
        "missed-unminded": "against_users",
        "kept-but-tickets": "against_users",
        "missed-and-tickets": "always_missed",
        "kept-but-bounces": "against_users",
        "some-tickets": "matches",
        "rare": "low_traffic",
        "less-rare": "matches",
        "one-failure-too-much": "low_traffic",
        "month-that-begins": "matches",
        "rare-in-its-month": "low_traffic",
        "old": "stale",
        "just-not-old": "matches",
        "never-reviewed": "stale",
        "reviewed-since": "matches",
    }.items(),
)
def test_each_way_of_not_matching_reality_is_found(reviews, name, finding):
    assert reviews[name]["finding"] == finding


def test_what_is_not_known_is_no_finding(reviews):
    assert reviews["missed"]["are_users_worse_off"] is None
    assert reviews["missed"]["is_against_users"] is None
    assert reviews["reviewed-since"]["is_stale"] is None


def test_figures_of_a_review_are_those_of_its_month(reviews):
    row = reviews["kept-but-tickets"]
    assert (row["month"], row["is_complete"], row["held_days"], row["total"]) == (MARCH, True, 31, 3100)
    assert (row["support_tickets"], row["support_tickets_per_1000_active_users"]) == (120, pytest.approx(120 / 31))
    assert row["support_tickets_per_1000_active_users_before"] == pytest.approx(180 / 90)
    row = reviews["kept-but-bounces"]
    assert (row["judged_sessions"], row["bounce_rate"]) == (3100, pytest.approx(0.26))
    assert row["bounce_rate_before"] == pytest.approx(0.2)
