"""Updates of what judges deployments: after every batch the tables are those of a build of everything at once."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import numpy as np
import pytest
from test_updates import Installation

from dagster_project.quality.fingerprint import fingerprint

START = datetime(2025, 1, 20)
TABLES = [
    f"intermediate.int_{name}"
    for name in ("indicator_counts", "indicator_windows", "indicator_effects", "degradations", "degraded_cases")
]
INDICATORS = """
    insert into reference.degradation_indicators (indicator, least_rise)
    values ('error_sessions', 0.01), ('failed_requests', 0.001)
"""


def contents(file) -> dict[str, str]:
    with duckdb.connect(file, read_only=True) as connection:
        return {table: fingerprint(connection, table).checksum for table in TABLES}


def degraded(file) -> set[str]:
    with duckdb.connect(file, read_only=True) as connection:
        query = "select distinct deployment_key from marts.degradation_contributions"
        return {key.removeprefix("git/") for (key,) in connection.sql(query).fetchall()}


def deployment(name: str, service: str, day: float) -> dict:
    return {"deployment_id": name, "service": service, "environment": "production", "status": "success"} | {
        "finished_at": START + timedelta(days=day),
        "version": name,
    }


def requests(random: np.random.Generator, days: range, failing: float, release: str | None) -> list[dict]:
    return [
        {
            "request_id": f"{day}-{number}",
            "service": "api",
            "occurred_at": START + timedelta(days=day, minutes=4 * number),
            "route": ["/a", "/b"][number % 2],
            "method": "GET",
            "status": 500 if random.random() < failing else 200,
            "release": release,
        }
        for day in days
        for number in range(360)
    ]


def sessions(random: np.random.Generator, days: range, failing: float, release: str | None) -> list[dict]:
    """A page view each, in some with an error; the ids come back every day, with other flags and components."""
    return [
        {
            "event_id": f"{day}-{number}-{event_type}",
            "service": "web",
            "session_id": f"{number}",
            "occurred_at": START + timedelta(days=day, minutes=7 * number),
            "event_type": event_type,
            "route": "/",
            "component": ["gallery", "cart"][day % 2],
            "device_class": "mobile",
            "feature_flags": ["new=on", "new=off"][(number + day) % 2],
            "release": release,
        }
        for day in days
        for number in range(200)
        for event_type in ("page_view", *["error"] * (random.random() < failing))
    ]


@pytest.mark.slow
def test_after_every_batch_deployments_are_judged_as_by_a_build_of_everything_at_once(tmp_path):
    random = np.random.default_rng(5)
    installation = Installation(tmp_path)
    with duckdb.connect(installation.file) as connection:
        connection.execute(INDICATORS)

    def updated() -> set[str]:
        assert installation.build()
        tables = contents(installation.file)
        full = installation.marts_in_full()
        assert contents(tmp_path / "full" / installation.file.name) == tables
        assert installation.marts() == full
        return degraded(installation.file)

    installation.load(
        {
            "deployments": [deployment("a1", "api", 0), deployment("w1", "web", 0), deployment("a2", "api", 30.5)],
            "requests": requests(random, range(30), 0.01, "a1") + requests(random, range(31, 33), 0.2, "a2"),
            "rum_events": sessions(random, range(31), 0.02, "w1"),
        }
    )
    assert not installation.build()
    assert degraded(installation.file) == {"a2"}

    # A bad front end, and a repair of the API which only a later batch tells of.
    installation.load(
        {
            "deployments": [deployment("w2", "web", 31)],
            "rum_events": sessions(random, range(31, 33), 0.3, "w2"),
            "requests": requests(random, range(33, 36), 0.01, "a3"),
        }
    )
    assert updated() == {"a2", "w2"}

    # That batch: of a release that so is known, a deployment that moves, late rows in baselines, another fault.
    installation.load(
        {
            "deployments": [deployment("a3", "api", 33), deployment("a0", "api", 5), deployment("w1", "web", 1.5)],
            "requests": requests(random, range(36, 38), 0.01, "a3") + requests(random, range(4, 6), 0.02, "a0"),
            "rum_events": sessions(random, range(17, 18), 0.05, None),
        }
    )
    assert updated() == {"a2", "w2"}

    # What was bad was not, after all; a deployment moves behind it.
    installation.load(
        {
            "deployments": [deployment("a3", "api", 34)],
            "requests": requests(random, range(31, 33), 0.01, "a2"),
        }
    )
    assert updated() == {"w2"}
