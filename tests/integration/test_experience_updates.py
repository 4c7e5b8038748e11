"""Updates of what browsers report: after every batch the tables are those of a build of everything at once."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import duckdb
import pytest
from test_updates import Installation

from dagster_project.quality.fingerprint import fingerprint

# Clocks change within the forty days after it.
START = datetime(2025, 3, 5, 22)
TABLES = tuple(
    f"intermediate.int_{name}"
    for name in (
        "superseded_reports",
        "session_activity",
        "interaction_starts",
        "sessions",
        "web_vital_bins",
        "experience_days",
        "journey_events",
        "journey_steps",
        "journey_days",
        "request_duration_bins",
    )
)
JOURNEY = """
    insert into reference.journeys (journey, service, position, step, step_kind, route, action, api_service)
    values
        ('buy', 'web', 1, 'cart', 'page_view', '/cart', null, null),
        ('buy', 'web', 2, 'pay', 'action', null, 'journey_step', null),
        ('buy', 'web', 3, 'write', 'api_write', '/pay', null, 'payments'),
        ('look', 'web', 1, 'home', 'page_view', '/', null, null),
        ('look', 'web', 2, 'cart', 'page_view', '/cart', null, null)
"""


def contents(file) -> dict[str, str]:
    with duckdb.connect(file, read_only=True) as connection:
        return {table: fingerprint(connection, table).checksum for table in TABLES}


def random_events(randomness: random.Random, share: float, latest_day: int) -> list[dict]:
    """Events of a few session ids, some of them active around midnight, with pauses near the one that ends a session;
    with `share` of the ids, each on a place that may be another next time."""
    events = []
    for key in range(150):
        if randomness.random() > share:
            continue
        session = randomness.randrange(8)
        at = START + timedelta(
            days=randomness.choice([latest_day, latest_day, randomness.randrange(latest_day + 1)]),
            minutes=randomness.choice([0, 29, 30, 31, 60, 119, 120, 121, 140]),
        )
        kind = randomness.choice(["page_view", "vital", "vital", "interaction", "error", "journey_step"])
        events.append(
            {
                "event_id": str(key),
                "service": ["web", "api"][session % 2],
                "session_id": f"s{session}",
                "occurred_at": at,
                "event_type": kind if session != 1 else randomness.choice(["page_view", "vital"]),
                "device_class": randomness.choice(["mobile"] * 8 + ["bot", None]),
                "is_synthetic": randomness.choice([None] * 9 + [True]),
                "route": randomness.choice(["/", "/cart", None]),
                "release": randomness.choice(["1", "2", None]),
                "metric_name": randomness.choice(["LCP", "INP"]),
                "metric_id": randomness.choice([None, "a", "b", "c"]),
                "metric_value": float(randomness.choice([0, 0, 100, 2500, 2504, 4000, 4001])),
                "is_success": randomness.choice([True, False, None]),
                "sample_rate": randomness.choice([None, 0.5, 1 / 3]),
                "trace_id": randomness.choice([None, "t", "u"]),
            }
        )
    return events


def random_requests(randomness: random.Random, share: float, latest_day: int) -> list[dict]:
    return [
        {
            "request_id": f"r{key}",
            "service": "payments",
            "occurred_at": START
            + timedelta(days=randomness.randrange(latest_day + 1), minutes=randomness.randrange(150)),
            "route": "/pay",
            "method": randomness.choice(["POST", "GET"]),
            "status": randomness.choice([201, 503]),
            "duration_ms": randomness.choice([None, 0.0, 120.0, 250.4]),
            "session_id": randomness.choice([None, "s0", "s2"]),
            "trace_id": randomness.choice([None, "t", "u"]),
        }
        for key in range(30)
        if randomness.random() < share
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "time_zone"), [(0, "UTC"), (1, "Europe/Berlin"), (2, "America/Los_Angeles")])
def test_after_every_batch_the_tables_are_those_of_a_build_of_everything_at_once(tmp_path, seed, time_zone):
    randomness = random.Random(seed)
    installation = Installation(tmp_path, calendar_time_zone=time_zone)
    with duckdb.connect(installation.file) as connection:
        connection.execute(JOURNEY)
    installation.load(
        {"rum_events": random_events(randomness, 0.7, 3), "requests": random_requests(randomness, 0.7, 3)}
    )
    assert not installation.build()
    for share, latest_day in ((0.1, 4), (0.02, 20), (0.01, 40)):
        batch = {
            "rum_events": random_events(randomness, share, latest_day),
            "requests": random_requests(randomness, share, latest_day),
        }
        installation.load({name: rows for name, rows in batch.items() if rows})
        assert installation.build()
        updated = contents(installation.file)
        full = installation.marts_in_full()
        assert contents(tmp_path / "full" / installation.file.name) == updated
        assert installation.marts() == full
