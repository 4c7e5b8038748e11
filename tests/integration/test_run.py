"""`plumbline run` as a user starts it: one process, exit codes, interruption, two at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

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


def kill_at(config: Path, line_start: str) -> None:
    """Start a run and kill it, with all its children, as soon as it prints a line that starts so."""
    process = start(config, "run")
    for line in process.stdout:
        if line.startswith(line_start):
            break
    else:
        pytest.fail(f"the run never said {line_start!r}")
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
    deployments.append({"deployment_id": "bad", "service": "web", "environment": "moon", "status": PEOPLE[0]})
    land(folder, "deployments", "deployments.ndjson", deployments)
    land(folder, "changes", "changes.ndjson", changes)
    land(folder, "deployment_changes", "shipped.ndjson", shipped)
    land(folder, "rum_events", "vitals.ndjson", vitals)
    land(
        folder,
        "incidents",
        "incidents.ndjson",
        [{"incident_id": "i1", "service": "web", "started_at": "2024-03-05T13:00:00Z", "resolved_at": "2024-03-05T15:00:00Z"}],
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


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """A small installation after one undisturbed run."""
    folder = tmp_path_factory.mktemp("shop")
    config = installation(folder, LANDING)
    write_history(folder)
    code, output = run(config)
    assert code == 0, output
    return config


def copy_of(config: Path, folder: Path) -> Path:
    target = folder / "copy"
    shutil.copytree(config.parent, target)
    return target / config.name


def test_a_run_publishes_what_its_sources_say(shop):
    assert published(
        shop,
        "select month::varchar, deployments, changes, failed_deployments, lead_time_median_hours "
        "from delivery_monthly order by month",
    ) == [("2024-03-01", 15, 28, 1, 4.0), ("2024-04-01", 15, 30, 0, 4.0)]
    assert published(shop, "select count(*), min(n), min(p75) from web_vitals_daily") == [(30, 20, 2400.0)]
    assert (shop.parent / "data/report/index.html").exists()


def test_the_bad_row_is_in_quarantine_and_every_row_is_accounted_for(shop):
    with duckdb.connect(shop.parent / "data/warehouse.duckdb", read_only=True) as connection:
        reasons = connection.sql("select reason from raw.quarantine").fetchall()
        counts = connection.sql(
            "select rows_read, rows_loaded, rows_duplicate, rows_quarantined from raw.batches where table_name = 'deployments'"
        ).fetchall()
    assert len(reasons) == 1
    assert "environment: not one of" in reasons[0][0]
    assert counts == [(31, 30, 0, 1)]


def test_no_person_stands_in_any_file_but_the_landing_files(shop):
    files = [path for path in (shop.parent / "data").rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        assert not [person for person in PEOPLE if person.encode() in content], path


def test_a_second_run_without_news_changes_no_published_table(shop, tmp_path):
    config = copy_of(shop, tmp_path)
    before = checksums(config)
    code, output = run(config)
    assert code == 0, output
    assert checksums(config) == before
    assert "nothing new" in output


def test_killed_at_every_stage_the_next_run_ends_in_the_same_marts(shop, tmp_path):
    config = installation(tmp_path / "killed", LANDING)
    write_history(config.parent)
    for stage in ("extract landing", "build models", "gate", "publish"):
        kill_at(config, stage)
    code, output = run(config)
    assert code == 0, output
    assert checksums(config) == checksums(shop)


def test_a_refused_gate_leaves_the_publication_as_it_was(shop, tmp_path):
    config = copy_of(shop, tmp_path)
    before = {path: path.read_bytes() for path in (config.parent / "data/published").rglob("*") if path.is_file()}
    # A deployment of a service that nobody owns up to breaks the suite of fct_deployments.
    land(
        config.parent,
        "deployments",
        "stray.ndjson",
        [
            {"deployment_id": "stray", "service": "unknown", "environment": "production", "status": "success"}
            | {"finished_at": "2024-04-02T12:00:00Z", "commit_sha": "f" * 40}
        ],
    )
    code, output = run(config)
    assert code == 3, output
    assert "fct_deployments" in output
    assert "stray" in output
    after = {path: path.read_bytes() for path in (config.parent / "data/published").rglob("*") if path.is_file()}
    assert after == before


def test_of_two_runs_at_once_the_second_ends_with_one_clear_line(shop, tmp_path):
    config = copy_of(shop, tmp_path)
    first = start(config, "run")
    assert any(line.startswith("extract") for line in first.stdout)
    code, output = run(config)
    assert code == 1
    assert f"process {first.pid}" in output
    assert len(output.strip().splitlines()) == 1
    first.communicate()
    assert first.returncode == 0
    assert checksums(config) == checksums(shop)


def test_a_wrong_configuration_ends_with_its_key(tmp_path):
    config = installation(tmp_path, "  - kind: gti\n")
    code, output = run(config)
    assert (code, output.count("\n")) == (2, 1)
    assert "sources[0].kind: 'gti' is not a source kind; allowed: git, landing, demo" in output


def test_a_source_that_is_not_there_ends_with_its_place(tmp_path):
    config = installation(tmp_path, "  - kind: landing\n    location: nowhere\n")
    code, output = run(config)
    assert code == 2, output
    assert str(tmp_path / "nowhere") in output.splitlines()[-1]


def test_the_storefront_history_reads_as_recorded(storefront, tmp_path):
    tags = r"production-{1,2}(?P<timestamp>\d{4}-\d{2}-\d{2}-{1,2}\d{2}-\d{2}(-\d{2})?)"
    config = installation(
        tmp_path,
        f"  - kind: git\n    repository: {storefront}\n    service: storefront-web\n"
        f"    deployments:\n      tags: '{tags}'\n      environment: production\n",
        "storefront-web,shop,frontend,storefront,,\n",
    )
    code, output = run(config)
    assert code == 0, output
    totals = "sum(deployments), sum(rollbacks), sum(redeploys), sum(changes)"
    for period in ("daily", "weekly", "monthly", "quarterly"):
        assert published(config, f"select {totals} from delivery_{period}") == [(1480, 24, 22, 16345)]
    assert published(config, "select count(*) from fct_changes where lead_time_hours < 0") == [(0,)]
    ((august, bulk),) = published(
        config,
        "select lead_time_median_hours, changes from delivery_monthly where month = date '2021-08-01'",
    )
    assert august < 24
    assert bulk > 4870
    assert published(
        config, "select sum(changes) from fct_deployments where is_bulk_import and finished_at between '2021-08-01' and '2021-09-01'"
    ) == [(4870,)]
