"""oncall_weekly on generated incidents, against a slow reference that walks through every page in Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from dbt_models import frame, load_rows, memory, models
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dagster_project.contracts import TABLES

# Weeks around the two days on which Berlin's clocks change, and New York's.
START = datetime(2025, 3, 3)
DAYS = 35
ROTATIONS = {
    "eu": {"team": "shop", "services": "api web", "time_zone": "Europe/Berlin", "shift_hours": 24, "handover": "10:30"},
    "us": {"team": "shop", "services": None, "time_zone": "America/New_York", "sleep_start": "00:30"},
    "tools": {"team": "tools", "services": None, "time_zone": "Asia/Kolkata"},
}
TEAMS = {"shop": "Europe/Berlin", "tools": "Asia/Kolkata"}
OWNERS = {"api": "shop", "web": "shop", "search": "shop", "dashboard": "tools"}
PAGING = ("triggered", "escalated", "reassigned", "reopened")

moments = st.integers(0, DAYS * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
events = st.lists(st.tuples(st.sampled_from((*PAGING, "acknowledged", "mitigated")), st.integers(0, 600)), max_size=5)
incidents = st.lists(
    st.tuples(st.sampled_from(sorted(OWNERS)), moments, st.none() | st.integers(1, 900), st.sampled_from("ab"), events),
    min_size=1,
    max_size=25,
)


def rotation_of(service: str) -> str:
    return "tools" if OWNERS[service] == "tools" else "eu" if service in ("api", "web") else "us"


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def minutes(clock: str) -> int:
    return 60 * int(clock[:2]) + int(clock[3:])


def hours_class(at: datetime, rotation: dict) -> str:
    local = at.replace(tzinfo=UTC).astimezone(ZoneInfo(rotation["time_zone"]))
    minute = 60 * local.hour + local.minute
    asleep, awake = minutes(rotation.get("sleep_start", "22:00")), minutes("07:00")
    sleeping = range(asleep, awake) if asleep < awake else {*range(asleep, 1440), *range(awake)}
    if local.weekday() < 5 and 540 <= minute < 1020:
        return "business"
    return "sleep" if minute in sleeping else "off"


def reference(given_incidents: list) -> dict[tuple[date, str], Counter]:
    weeks: dict[tuple[date, str], Counter] = defaultdict(Counter)
    pages, earlier = defaultdict(list), defaultdict(list)
    for number, (service, started_at, open_minutes, alert, log) in enumerate(given_incidents):
        rotation = rotation_of(service)
        resolved_at = started_at + timedelta(minutes=open_minutes) if open_minutes else None
        logged = [(kind, started_at + timedelta(minutes=later)) for kind, later in log]
        alert_at = min((at for kind, at in logged if kind == "triggered"), default=started_at)
        week = weeks[monday(alert_at.date()), rotation]
        week["incidents"] += 1
        if resolved_at:
            week["closed_incidents"] += 1
            if not any(kind in ("acknowledged", "mitigated") for kind, _ in logged):
                week["false_positives"] += 1
        pages[rotation] += [at for kind, at in logged if kind in PAGING] or [alert_at]
        earlier[service, alert].append((number, started_at, resolved_at, monday(alert_at.date()), rotation))
    for same in earlier.values():
        for number, started_at, _, week, rotation in same:
            if any(
                other != number and over and over <= started_at and started_at - over <= timedelta(days=30)
                for other, _, over, _, _ in same
            ):
                weeks[week, rotation]["recurrences"] += 1
    for rotation, times in pages.items():
        for before, at in pairwise([None, *sorted(times)]):
            week = weeks[monday(at.date()), rotation]
            week["pages"] += 1
            if before is None or at - before >= timedelta(minutes=15):
                week[hours_class(at, ROTATIONS[rotation])] += 1
    return weeks


@pytest.fixture(scope="module")
def oncall():
    return models(as_of="2025-06-01 00:00:00")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(incidents)
# Paged again on the Monday after the last day of any activity.
@example([("api", START, None, "a", []), ("api", START + timedelta(minutes=9573), None, "a", [("escalated", 507)])])
def test_a_week_is_what_a_walk_through_its_pages_finds(oncall, given_incidents):
    rows = {
        "services": [{"service": name, "team": team, "component_kind": "frontend"} for name, team in OWNERS.items()],
        "teams": [{"team": team, "time_zone": zone} for team, zone in TEAMS.items()],
        "rotations": [{"rotation": name, **columns} for name, columns in ROTATIONS.items()],
        "incidents": [
            {
                "incident_id": str(number),
                "service": service,
                "started_at": at,
                "resolved_at": at + timedelta(minutes=lasted) if lasted else None,
                "alert_key": alert,
            }
            for number, (service, at, lasted, alert, _) in enumerate(given_incidents)
        ],
        "incident_events": [
            {
                "event_id": f"{number}-{position}",
                "incident_id": str(number),
                "event_type": kind,
                "occurred_at": at + timedelta(minutes=later),
            }
            for number, (_, at, _, _, log) in enumerate(given_incidents)
            for position, (kind, later) in enumerate(log)
        ],
    }
    with memory() as connection:
        load_rows(connection, {name: frame(TABLES[name], each) for name, each in rows.items()})
        oncall.build(connection)
        found = connection.sql("""
            select
                week, rotation, incidents, closed_incidents, false_positives, recurrences, pages,
                business_interruptions as business, off_hours_interruptions as off, sleep_interruptions as sleep
            from marts.oncall_weekly
            where pages > 0 or incidents > 0
        """).pl()
    expected = reference(given_incidents)
    counts = found.columns[2:]
    assert {
        (row["week"], row["rotation"]): {name: row[name] for name in counts} for row in found.iter_rows(named=True)
    } == {key: {name: week[name] for name in counts} for key, week in expected.items()}
