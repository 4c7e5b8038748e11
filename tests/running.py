"""An installation in a folder, and `plumbline` started on it as a user does: as a process.

Such a run takes 35 s of CPU, most of it imports and Dagster's events; the same layers in this process take 12.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from dbt_models import dbt

from dagster_project.guard.release import release_closed_quarters
from dagster_project.profiles import dbt_vars, minimum_group_size
from dagster_project.publication import publish
from dagster_project.quality.gate import run_gate
from dagster_project.quality.record import gate_summary
from dagster_project.reference import load_reference
from dagster_project.settings import EXPECTATIONS_DIR, Settings, load_settings
from dagster_project.warehouse import Warehouse

PLUMBLINE = Path(sys.executable).with_name("plumbline")
SERVICES = "service,team,component_kind,repository,valid_from,valid_to\n"
TEAMS = "team,parent,time_zone\n"


def start(config: Path, *arguments: str) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    return subprocess.Popen(
        [PLUMBLINE, "--config", config, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def run(config: Path, *arguments: str) -> tuple[int, str]:
    process = start(config, *(arguments or ("run",)))
    output, _ = process.communicate()
    return process.returncode, output


def refresh_here(config: Path) -> None:
    """Extract, build, gate and publish in this process, without Dagster."""
    settings = load_settings(config)
    build_here(settings)
    publish(settings, pass_gate_here(settings))


def build_here(settings: Settings) -> None:
    """The sources into raw and the models built from them."""
    # Here, since it imports Dagster, which takes two seconds.
    from dagster_project.assets.raw import EXTRACTORS

    with Warehouse(settings).connect() as connection:
        load_reference(connection, settings.reference_dir)
        for source in settings.distinct_sources:
            EXTRACTORS[source.kind](source, settings, connection)
        release_closed_quarters(connection, minimum_group_size(settings))
    dbt(settings.warehouse_file, "build", "--exclude-resource-type", "unit_test", **dbt_vars(settings))


def pass_gate_here(settings: Settings) -> list[str]:
    """The tables that passed it: all that have a suite."""
    tables = sorted(file.stem for file in EXPECTATIONS_DIR.glob("*.yaml"))
    record = run_gate(settings, tables)
    assert record.passed, gate_summary(record)
    return tables


def kill_at(config: Path, line_start: str, seconds: float) -> None:
    """Start a run and kill it, with all its children, so long after it prints a line that starts so."""
    process = start(config, "run")
    for line in process.stdout:
        if line.startswith(line_start):
            break
    else:
        pytest.fail(f"the run never said {line_start!r}")
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def checksums(config: Path) -> dict[str, str]:
    manifest = json.loads((config.parent / "data/published/manifest.json").read_text(encoding="utf-8"))
    return {name: table["checksum"] for name, table in manifest["tables"].items()}


def published(config: Path, query: str) -> list[tuple]:
    with duckdb.connect(config.parent / "data/published/marts.duckdb", read_only=True) as connection:
        return connection.sql(query).fetchall()


def installation(folder: Path, sources: str, services: str = "web,shop,frontend,web,,\n") -> Path:
    (folder / "seeds").mkdir(parents=True)
    (folder / "seeds/services.csv").write_text(SERVICES + services, encoding="utf-8")
    (folder / "seeds/teams.csv").write_text(TEAMS + "shop,,Europe/Berlin\n", encoding="utf-8")
    config = folder / "plumbline.yaml"
    config.write_text(f"data_dir: data\nsources:\n{sources}", encoding="utf-8")
    return config


LANDING = "  - kind: landing\n    location: landing\n    settle_seconds: 0\n"
PEOPLE = ("ada.lovelace@example.com", "grace.hopper@example.com", "linus-login")


def land(folder: Path, table: str, name: str, rows: list[dict]) -> None:
    target = folder / "landing" / table
    target.mkdir(parents=True, exist_ok=True)
    (target / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_history(folder: Path) -> None:
    """Two months of a small shop: 30 deployments of two commits each, an incident, page loads, and a bad row."""
    deployments, changes, shipped, vitals = [], [], [], []
    for n in range(30):
        month, day = 3 + n // 15, 1 + n % 15
        finished_at = f"2024-{month:02}-{day:02}T12:00:00Z"
        deployments.append(
            {"deployment_id": f"d{n}", "service": "web", "environment": "production", "status": "success"}
            | {"finished_at": finished_at, "commit_sha": f"{n:040x}", "version": f"v{n}", "commit_relation": "new"}
        )
        for part in ("a", "b"):
            sha = f"{part}{n:039x}"
            changes.append(
                {"commit_sha": sha, "authored_at": f"2024-{month:02}-{day:02}T08:00:00Z", "is_merge": False}
                | {"merged_at": f"2024-{month:02}-{day:02}T10:00:00Z", "author_key": PEOPLE[n % 2]}
            )
            shipped.append({"deployment_id": f"d{n}", "commit_sha": sha})
        vitals += [
            {"service": "web", "occurred_at": finished_at, "event_type": "vital", "session_id": f"s{n}-{i}"}
            | {"page_view_id": "p", "metric_name": "LCP", "metric_id": f"m{n}-{i}", "metric_value": 1000 + 100 * i}
            | {"route": "/", "device_class": "mobile"}
            for i in range(20)
        ]
    deployments.append(
        {"deployment_id": "bad", "service": "web", "environment": "moon", "status": PEOPLE[0]} | {"version": PEOPLE[2]}
    )
    land(folder, "deployments", "deployments.ndjson", deployments)
    land(folder, "changes", "changes.ndjson", changes)
    land(folder, "deployment_changes", "shipped.ndjson", shipped)
    land(folder, "rum_events", "vitals.ndjson", vitals)
    land(
        folder,
        "incidents",
        "incidents.ndjson",
        [
            {
                "incident_id": "i1",
                "service": "web",
                "started_at": "2024-03-05T13:00:00Z",
                "resolved_at": "2024-03-05T15:00:00Z",
            }
        ],
    )
    land(
        folder,
        "incident_events",
        "log.ndjson",
        [
            {"event_id": "e1", "incident_id": "i1", "event_type": "acknowledged", "occurred_at": "2024-03-05T13:05:00Z"}
            | {"responder_key": PEOPLE[2]}
        ],
    )


def copy_of(config: Path, folder: Path) -> Path:
    target = folder / "copy"
    shutil.copytree(config.parent, target)
    return target / config.name
