"""Delivery data that cannot be right, through a whole run: refused or reported with its key, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from running import copy_of, land, run

DEPLOYMENT = {"service": "web", "environment": "production", "status": "success", "source": "git"}
CORRECTIONS = (
    "corrected_at,corrected_by_role,why,verdict,deployment_key\n"
    "2024-05-02 09:00:00,release manager,the page was blank,deployment_failed,git/nowhere\n"
)


def deployment(name: str, hour: int, **fields) -> dict:
    return DEPLOYMENT | {"deployment_id": name, "finished_at": f"2024-05-01T{hour:02}:00:00Z", "version": name} | fields


class Refused(NamedTuple):
    """A run that the gate refused: what it said, the published files before it, and the installation."""

    config: Path
    output: str
    before: dict[Path, bytes]


def published_files(config: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (config.parent / "data/published").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def refused(shop, tmp_path_factory) -> Refused:
    """The small shop after one more run, on such data."""
    config = copy_of(shop, tmp_path_factory.mktemp("refused"))
    before = published_files(config)
    good = [deployment("first", 10), deployment("second", 12), deployment("stray", 11, service="nobody-knows-it")]
    again = deployment("first", 10)
    land(config.parent, "deployments", "bad.ndjson", [*good, again, deployment("on-the-moon", 13, environment="moon")])
    incident = {"source": "pager", "service": "web", "started_at": "2024-05-01T12:30:00Z"}
    land(
        config.parent,
        "incidents",
        "bad.ndjson",
        [
            incident | {"incident_id": "fine", "resolved_at": "2024-05-01T13:00:00Z"},
            incident | {"incident_id": "backwards", "resolved_at": "2024-05-01T12:00:00Z"},
        ],
    )
    (config.parent / "seeds/corrections.csv").write_text(CORRECTIONS, encoding="utf-8")
    code, output = run(config)
    assert code == 3, output
    return Refused(config, output, before)


def warehouse(config: Path, query: str) -> list[tuple]:
    with duckdb.connect(config.parent / "data/warehouse.duckdb", read_only=True) as connection:
        return connection.sql(query).fetchall()


def test_the_publication_is_as_it_was(refused):
    assert len(refused.before) > 10
    assert published_files(refused.config) == refused.before


def test_an_incident_that_ends_before_it_starts_and_an_unknown_environment_are_quarantined_with_their_keys(refused):
    rows = warehouse(
        refused.config,
        "select table_name, reason, fields from raw.quarantine where origin like '%/bad.ndjson' order by table_name",
    )
    told = [(table, reason, json.loads(fields)) for table, reason, fields in rows]
    assert [(table, reason) for table, reason, _ in told] == [
        ("deployments", "environment: not one of production, staging, testing, development, other"),
        ("incidents", "resolved_at is before started_at"),
    ]
    assert told[0][2]["deployment_id"] == "on-the-moon"
    assert told[1][2]["incident_id"] == "backwards"


def test_nothing_is_lost(refused):
    counts = warehouse(
        refused.config,
        "select table_name, rows_read, rows_loaded, rows_duplicate, rows_quarantined "
        "from raw.batches where origin like '%/bad.ndjson' order by 1",
    )
    assert counts == [("deployments", 5, 3, 1, 1), ("incidents", 2, 1, 0, 1)]
    keys = warehouse(refused.config, "select deployment_key from marts.fct_deployments where source = 'git' order by 1")
    assert keys == [("git/first",), ("git/second",), ("git/stray",)]
    incidents = "select incident_id, deployment_key from marts.fct_incidents where incident_key like 'pager/%'"
    assert warehouse(refused.config, incidents) == [("fine", "git/second")]


def test_a_deployment_of_an_unknown_service_is_refused_by_the_gate_with_its_key(refused):
    assert (
        told(refused.output, "every_service_is_in_the_reference_data")
        == "service=nobody-knows-it, deployment_key=git/stray"
    )


def test_a_correction_of_an_unknown_deployment_is_refused_by_the_gate_with_its_key(refused):
    assert "subject_key=git/nowhere" in told(refused.output, "a_correction_names_what_is_on_record")


def told(output: str, expectation: str) -> str:
    """The failing row that the gate shows for an expectation."""
    line = next(line for line in output.splitlines() if f": {expectation}: " in line)
    return line.split("for example ")[1]
