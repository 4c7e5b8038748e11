"""Builds that update the tables of the last one: the same marts as a build of everything at once, after every batch."""

from __future__ import annotations

import random
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from dbt_models import dbt, in_order, memory, models

from dagster_project.contracts import TABLES
from dagster_project.definition_version import with_version
from dagster_project.load import load
from dagster_project.quality.fingerprint import fingerprint
from dagster_project.settings import Settings
from dagster_project.warehouse import Warehouse, transaction

# Few enough changes for random histories to have bulk imports, few enough periods for them to have verdicts, and the
# choice of what a rollback blames that asks for more of the sequence.
VARIABLES = {
    "bulk_import_minimum_changes": 5,
    "bulk_import_median_multiple": 2,
    "trend_baseline_periods": 4,
    "rollback_blames": "first_after_restored",
}
START = datetime(2025, 1, 20)


class Installation:
    """A build file that is updated, beside which the same raw tables are built in full."""

    def __init__(self, folder: Path, **variables: object) -> None:
        self.folder = folder
        self.variables = with_version(VARIABLES | variables)
        self.settings = Settings(config_file=folder / "plumbline.yaml", data_dir=folder, sources=())
        self.file = self.settings.warehouse_file
        self.own([("web", "front"), ("api", "back")])

    def own(self, services: list[tuple[str, str]]) -> None:
        with Warehouse(self.settings).connect() as connection:
            own(connection, services)

    def load(self, rows: dict[str, list[dict]], mirror: bool = False) -> None:
        with Warehouse(self.settings).connect() as connection:
            load_all(connection, rows, mirror)

    def build(self) -> bool:
        """Build once more; returns whether that updated what was there."""
        dbt(self.file, "build", "--exclude-resource-type", "unit_test", **self.variables)
        return self.is_update()

    def is_update(self) -> bool:
        with duckdb.connect(self.file, read_only=True) as connection:
            ((is_success, is_update),) = connection.sql("select is_success, is_update from meta.build").fetchall()
        assert is_success
        return is_update

    def marts(self) -> dict[str, str]:
        return contents(self.file)

    def marts_in_full(self) -> dict[str, str]:
        file = self.folder / "full" / self.file.name
        file.parent.mkdir(exist_ok=True)
        shutil.copyfile(self.file, file)
        dbt(file, "run", "--full-refresh", **self.variables)
        return contents(file)


def own(connection: duckdb.DuckDBPyConnection, services: list[tuple[str, str]]) -> None:
    frames = {
        "services": pl.DataFrame(services, ["service", "team"], orient="row").with_columns(
            component_kind=pl.lit("frontend"), repository=pl.lit("shop")
        ),
        "teams": pl.DataFrame({"team": ["front", "back"], "time_zone": ["UTC", "UTC"]}),
    }
    for name, frame in frames.items():
        connection.register("frame", frame.to_arrow())
        connection.execute(f"delete from reference.{name}")
        connection.execute(f"insert into reference.{name} by name from frame")


def correct(connection: duckdb.DuckDBPyConnection, randomness: random.Random) -> None:
    """Corrections in place of those before, whose order in time is that of the rows."""
    connection.execute("delete from reference.corrections")
    for number in range(randomness.randrange(4)):
        verdict = randomness.choice(["deployment_failed", "deployment_not_failed", "incident_linked"])
        connection.execute(
            "insert into reference.corrections (corrected_at, corrected_by_role, why, verdict, deployment_key, "
            "incident_key) values (?, 'lead', 'a review', ?, ?, ?)",
            [
                START + timedelta(days=number),
                verdict,
                f"git/d{randomness.randrange(16)}",
                f"git/i{randomness.randrange(6)}" if verdict == "incident_linked" else None,
            ],
        )


def load_all(connection: duckdb.DuckDBPyConnection, rows: dict[str, list[dict]], mirror: bool = False) -> None:
    with transaction(connection):
        for name, records in rows.items():
            frame = pl.DataFrame(records, infer_schema_length=None)
            batch = load(connection, TABLES[name], frame, source="git", origin="test", mirror=mirror)
            assert batch.quarantined == 0, connection.sql("select reason from raw.quarantine").fetchall()


def contents(file: Path) -> dict[str, str]:
    with duckdb.connect(file, read_only=True) as connection:
        tables = connection.sql("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()
        return {name: fingerprint(connection, f"marts.{name}").checksum for (name,) in tables}


def random_rows(randomness: random.Random, share: float) -> dict[str, list[dict]]:
    """Rows of a small history without any order; `share` of its keys, each with values that may be others next time."""

    def at(hours: float = 60 * 24) -> datetime:
        return START + timedelta(hours=randomness.randrange(int(hours)))

    def maybe(value):
        return randomness.choice([value, value, None])

    def keys(number: int) -> list[int]:
        return [key for key in range(number) if randomness.random() < share]

    def deployment_id() -> str:
        return f"d{randomness.randrange(16)}"

    commits = [f"c{number}" for number in range(60)]
    rows: dict[str, list[dict]] = {
        "deployments": [
            {
                "deployment_id": f"d{key}",
                "service": randomness.choice(["web", "api"]),
                "environment": randomness.choice(["production"] * 9 + ["staging"]),
                "status": (status := randomness.choice(["success"] * 9 + ["failure", "in_progress"])),
                "finished_at": None if status == "in_progress" else at(),
                "commit_sha": maybe(randomness.choice(commits)),
                "version": maybe(f"v{randomness.randrange(5)}"),
                "commit_relation": randomness.choice(["new", "same", "ancestor", "returned", None, None]),
                "is_rollback": randomness.choice([None, None, None, True]),
                "is_hotfix": randomness.choice([None, None, True]),
                "repairs_deployment_id": randomness.choice([None, None, deployment_id()]),
            }
            for key in keys(16)
        ],
        "deployment_statuses": [
            {
                "deployment_id": f"d{key % 16}",
                "status": randomness.choice(["pending", "success", "failure", "cancelled", "inactive"]),
                "occurred_at": at(),
            }
            for key in keys(12)
        ],
        "synthetic_checks": [
            {
                "check_run_id": key,
                "service": randomness.choice(["web", "api"]),
                "occurred_at": at(),
                "is_success": randomness.random() < 0.8,
            }
            for key in keys(300)
        ],
        "deployment_changes": [
            {"deployment_id": f"d{randomness.choice([key % 16, *range(16), 3, 3, 3])}", "commit_sha": commits[key % 60]}
            for key in keys(90)
        ],
        "changes": [],
        "pull_requests": [],
        "builds": [],
        "incidents": [
            {
                "incident_id": f"i{key}",
                "service": randomness.choice(["web", "api"]),
                "started_at": (started_at := at()),
                "resolved_at": maybe(started_at + timedelta(hours=5)),
                "deployment_id": randomness.choice([None, deployment_id()]),
            }
            for key in keys(6)
        ],
    }
    for key in keys(60):
        merged_at = at()
        rows["changes"].append(
            {
                "commit_sha": commits[key],
                "repository": "shop",
                "authored_at": merged_at - timedelta(hours=randomness.randrange(-3, 60)),
                "committed_at": merged_at,
                "merged_at": maybe(merged_at),
                "merge_commit_sha": randomness.choice([commits[key], *commits[::7]]),
                "mainline_position": maybe(1 + key),
                "is_merge": key % 9 == 0,
                "pull_request_number": maybe(1 + randomness.randrange(9)),
                "reverts_commit_sha": randomness.choice([None, None, *commits[:2]]),
                "lines_added": maybe(key),
                "lines_deleted": 1,
            }
        )
    for key in keys(9):
        created_at = at()
        merged_at = maybe(created_at + timedelta(hours=randomness.randrange(90)))
        rows["pull_requests"].append(
            {
                "repository": "shop",
                "pull_request_number": key + 1,
                "created_at": created_at,
                "merged_at": merged_at,
                "merge_commit_sha": maybe(randomness.choice(commits)),
                "merge_method": maybe(randomness.choice(["squash", "merge", "rebase"])),
                "first_commit_at": maybe(created_at - timedelta(hours=5)),
                "first_review_at": maybe(created_at + timedelta(hours=1)),
                "author_key": f"person {randomness.randrange(9)}",
            }
        )
    rows["pull_request_events"] = [
        {
            "repository": "shop",
            "pull_request_number": 1 + key % 9,
            "event_id": f"e{key}",
            "event_type": randomness.choice(["committed", "ready", "approved"]),
            "occurred_at": at(),
            "actor_key": f"person {randomness.randrange(9)}",
        }
        for key in keys(12)
    ]
    for key in keys(40):
        started_at = at()
        rows["builds"].append(
            {
                "build_id": f"b{key}",
                "repository": "shop",
                "service": randomness.choice([None, None, "web"]),
                "commit_sha": randomness.choice(commits),
                "status": randomness.choice(["success", "success", "failure"]),
                "started_at": started_at,
                "finished_at": started_at + timedelta(hours=randomness.randrange(9)),
            }
        )
    return {name: records for name, records in rows.items() if records}


@pytest.mark.slow
def test_after_every_batch_the_marts_are_those_of_a_build_of_everything_at_once(tmp_path):
    randomness = random.Random(0)
    installation = Installation(tmp_path)
    installation.load(random_rows(randomness, 0.7))
    assert not installation.build()
    for share in (0.3, 0.05, 0.02):
        installation.load(random_rows(randomness, share))
        assert installation.build()
        assert installation.marts() == installation.marts_in_full()


class Updates:
    """What dbt runs in a build that updates, as SQL: in memory it takes a fraction of a second."""

    def __init__(self, folder: Path) -> None:
        installation = Installation(folder)
        installation.load({"deployments": [deployment(1, 0), deployment(2, 1)]})
        assert not installation.build()
        results = dbt(installation.file, "build", "--exclude-resource-type", "unit_test", **installation.variables)
        assert installation.is_update()
        # In the order in which they ran, so that each reads what others left.
        results = sorted(results, key=lambda result: max((part.completed_at for part in result.timing), default=START))
        self.models = [result.node for result in results if result.node.resource_type == "model"]
        (self.remember,) = (
            result.node.compiled_code for result in results if result.node.unique_id.endswith("on-run-end-0")
        )

    def build(self, connection: duckdb.DuckDBPyConnection) -> None:
        for node in self.models:
            name, query = f"{node.schema}.{node.alias}", node.compiled_code
            if node.config.materialized != "incremental":
                query = in_order(query, list(node.columns), node.config.contract.enforced)
                connection.execute(f"create or replace {node.config.materialized} {name} as {query}")
                continue
            keys, touched = node.config.meta["touched_keys"], node.config.meta["touched"]
            connection.execute(f"create or replace temp table made as {query}")
            connection.execute(
                f"delete from {name} where ({', '.join(keys)}) in "
                f"(select {', '.join(keys.values())} from intermediate.{touched})"
            )
            connection.execute(f"insert into {name} by name from made")
        self.seen(connection)

    def seen(self, connection: duckdb.DuckDBPyConnection) -> None:
        for statement in self.remember.split(";"):
            if "meta.seen_" in statement:
                connection.execute(statement)


def every_table(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Checksums of the marts, and of the tables between that are updated."""
    query = """
        select schema_name || '.' || table_name from duckdb_tables()
        where schema_name in ('marts', 'intermediate') and not regexp_matches(table_name, 'touched|restated')
    """
    return {name: fingerprint(connection, name).checksum for (name,) in connection.sql(query).fetchall()}


@pytest.fixture(scope="module")
def updates(tmp_path_factory) -> Updates:
    return Updates(tmp_path_factory.mktemp("updates"))


def histories_agree(updates: Updates, seed: int) -> None:
    randomness = random.Random(seed)
    in_full = models(**VARIABLES)
    with memory() as updated, memory() as full:
        for connection in (updated, full):
            connection.execute("create schema meta")
            own(connection, [("web", "front"), ("api", "back")])
        for share in (0.7, 0.3, 0.05, 0.02, 0.1):
            rows = random_rows(randomness, share)
            corrected = randomness.random()
            for connection in (updated, full):
                load_all(connection, rows)
                correct(connection, random.Random(corrected))
            in_full.build(full)
            if share == 0.7:
                in_full.build(updated)
                updates.seen(updated)
            else:
                updates.build(updated)
            assert every_table(updated) == every_table(full)


@pytest.mark.parametrize("seed", range(2))
def test_an_update_makes_of_a_history_what_a_build_of_everything_at_once_makes_of_it(updates, seed):
    histories_agree(updates, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 60))
def test_updates_of_many_histories_make_of_them_what_builds_of_everything_at_once_do(updates, seed):
    histories_agree(updates, seed)


def shipped(installation: Installation) -> list[tuple]:
    with duckdb.connect(installation.file, read_only=True) as connection:
        query = "select service, commit_sha, cast(deployed_on as varchar) from marts.fct_changes order by all"
        return connection.sql(query).fetchall()


def deployment(number: int, day: int, service: str = "web") -> dict:
    return {
        "deployment_id": f"d{number}",
        "service": service,
        "environment": "production",
        "status": "success",
        "finished_at": START + timedelta(days=day),
    }


def change(number: int) -> dict:
    return {"commit_sha": f"c{number}", "authored_at": START, "is_merge": False}


def holds(deployment: int, commit: int) -> dict:
    return {"deployment_id": f"d{deployment}", "commit_sha": f"c{commit}"}


def test_a_moved_row_leaves_its_old_day_and_a_build_of_nothing_new_changes_nothing(tmp_path):
    installation = Installation(tmp_path)
    installation.load(
        {
            "deployments": [deployment(1, 0), deployment(2, 1), deployment(3, 2)],
            "deployment_changes": [holds(1, 1), holds(2, 2), holds(2, 3), holds(3, 3)],
            "changes": [change(1), change(2), change(3)],
        }
    )
    assert not installation.build()
    first = installation.marts()
    assert installation.build()
    assert installation.marts() == first
    assert shipped(installation) == [("web", "c2", "2025-01-21"), ("web", "c3", "2025-01-21")]

    installation.load({"deployments": [deployment(2, 9), deployment(1, 10)]})
    assert installation.build()
    assert shipped(installation) == [("web", "c1", "2025-01-30"), ("web", "c2", "2025-01-29")]
    assert installation.marts() == installation.marts_in_full()


def test_a_build_starts_afresh_where_rows_were_removed_or_a_service_has_another_owner(tmp_path):
    installation = Installation(tmp_path)
    installation.load({"deployments": [deployment(1, 0), deployment(2, 1)]})
    installation.load({"deployment_changes": [holds(2, 1), holds(2, 2)], "changes": [change(1), change(2)]})
    installation.build()
    installation.load({"deployment_changes": [holds(2, 2)]}, mirror=True)
    assert not installation.build()
    assert shipped(installation) == [("web", "c2", "2025-01-21")]
    installation.own([("web", "back")])
    assert not installation.build()
    with duckdb.connect(installation.file, read_only=True) as connection:
        assert connection.sql("select distinct team from marts.fct_changes").fetchall() == [("back",)]
