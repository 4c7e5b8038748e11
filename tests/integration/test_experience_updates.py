"""Updates of what browsers report: after every batch the tables are those of a build of everything at once."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import duckdb
import pytest
from test_updates import Installation

from dagster_project.quality.fingerprint import fingerprint

START = datetime(2025, 1, 20, 22)
TABLES = (
    "intermediate.int_superseded_reports",
    "intermediate.int_session_activity",
    "intermediate.int_sessions",
)


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
            }
        )
    return events


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_after_every_batch_the_tables_are_those_of_a_build_of_everything_at_once(tmp_path, seed):
    randomness = random.Random(seed)
    installation = Installation(tmp_path)
    installation.load({"rum_events": random_events(randomness, 0.7, 3)})
    assert not installation.build()
    for share, latest_day in ((0.2, 4), (0.02, 4), (0.05, 9), (0.01, 9)):
        installation.load({"rum_events": random_events(randomness, share, latest_day)})
        assert installation.build()
        updated = contents(installation.file)
        full = installation.marts_in_full()
        assert contents(tmp_path / "full.duckdb") == updated
        assert installation.marts() == full
