"""Delivery data that cannot be right, through a whole run: refused or reported with its key, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from running import LANDING, installation, land, run

DEPLOYMENT = {"service": "web", "environment": "production", "status": "success", "source": "git"}
CORRECTIONS = (
    "corrected_at,corrected_by_role,why,verdict,deployment_key\n"
    "2024-03-02 09:00:00,release manager,the page was blank,deployment_failed,git/nowhere\n"
)


def deployment(name: str, hour: int, **fields) -> dict:
    return DEPLOYMENT | {"deployment_id": name, "finished_at": f"2024-03-01T{hour:02}:00:00Z", "version": name} | fields


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> tuple[Path, str]:
    """An installation with such data after one run, and what the run said."""
    folder = tmp_path_factory.mktemp("shop")
    config = installation(folder, LANDING)
    good = [deployment("first", 10), deployment("second", 12), deployment("stray", 11, service="nobody-knows-it")]
    again = deployment("first", 10)
    land(folder, "deployments", "a.ndjson", [*good, again, deployment("on-the-moon", 13, environment="moon")])
    incident = {"source": "pager", "service": "web", "started_at": "2024-03-01T12:30:00Z"}
    land(
        folder,
        "incidents",
        "a.ndjson",
        [
            incident | {"incident_id": "fine", "resolved_at": "2024-03-01T13:00:00Z"},
            incident | {"incident_id": "backwards", "resolved_at": "2024-03-01T12:00:00Z"},
        ],
    )
    (folder / "seeds/corrections.csv").write_text(CORRECTIONS, encoding="utf-8")
    code, output = run(config)
    assert code == 3, output
    return config, output


def warehouse(config: Path, query: str) -> list[tuple]:
    with duckdb.connect(config.parent / "data/warehouse.duckdb", read_only=True) as connection:
        return connection.sql(query).fetchall()


def test_an_incident_that_ends_before_it_starts_and_an_unknown_environment_are_quarantined_with_their_keys(shop):
    config, _ = shop
    refused = warehouse(config, "select table_name, reason, fields from raw.quarantine order by table_name")
    told = [(table, reason, json.loads(fields)) for table, reason, fields in refused]
    assert [(table, reason) for table, reason, _ in told] == [
        ("deployments", "environment: not one of production, staging, testing, development, other"),
        ("incidents", "resolved_at is before started_at"),
    ]
    assert told[0][2]["deployment_id"] == "on-the-moon"
    assert told[1][2]["incident_id"] == "backwards"


def test_nothing_is_lost(shop):
    config, _ = shop
    counts = warehouse(
        config,
        "select table_name, rows_read, rows_loaded, rows_duplicate, rows_quarantined from raw.batches order by 1",
    )
    assert counts == [("deployments", 5, 3, 1, 1), ("incidents", 2, 1, 0, 1)]
    assert warehouse(config, "select deployment_key from marts.fct_deployments order by 1") == [
        ("git/first",),
        ("git/second",),
        ("git/stray",),
    ]
    assert warehouse(config, "select incident_id, deployment_key from marts.fct_incidents") == [("fine", "git/second")]


def test_a_deployment_of_an_unknown_service_is_refused_by_the_gate_with_its_key(shop):
    _, output = shop
    assert told(output, "every_service_is_in_the_reference_data") == "service=nobody-knows-it, deployment_key=git/stray"


def test_a_correction_of_an_unknown_deployment_is_refused_by_the_gate_with_its_key(shop):
    _, output = shop
    assert "subject_key=git/nowhere" in told(output, "a_correction_names_what_is_on_record")


def told(output: str, expectation: str) -> str:
    """The failing row that the gate shows for an expectation."""
    line = next(line for line in output.splitlines() if f": {expectation}: " in line)
    return line.split("for example ")[1]
