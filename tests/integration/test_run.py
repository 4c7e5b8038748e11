"""`plumbline run`: what it publishes, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl
import pytest
from dagster import DagsterInstance
from running import PEOPLE, checksums, copy_of, installation, published, run, start

from dagster_project.assets.transform import MANIFEST
from dagster_project.contracts import DEPLOYMENTS, RAW_TABLES
from dagster_project.definitions import defs
from dagster_project.load import forget_sources, load
from dagster_project.settings import load_settings
from dagster_project.warehouse import Warehouse, transaction


def test_a_run_publishes_what_its_sources_say(shop):
    assert published(
        shop,
        "select month::varchar, deployments, changes, failed_deployments, lead_time_median_hours "
        "from delivery_monthly order by month",
    ) == [("2024-03-01", 15, 28, 1, 4.0), ("2024-04-01", 15, 30, 0, 4.0)]
    assert published(
        shop,
        "select count(*), min(measurements), min(p75_value) from web_vitals_daily "
        "where route = 'all' and release = 'all' and device_class = 'all'",
    ) == [(30, 20, 2400.0)]
    assert (shop.parent / "data/report/index.html").exists()


def test_published_columns_are_those_that_are_documented_each_with_its_decisions(shop):
    nodes = json.loads(MANIFEST.read_text(encoding="utf-8"))["nodes"].values()
    documented = {
        (node["name"], name): (column["description"], column["config"]["meta"].get("decisions", of_table))
        for node in nodes
        if node["resource_type"] == "model" and node["schema"] == "marts"
        for of_table in [node["config"]["meta"].get("decisions")]
        for name, column in node["columns"].items()
    }
    columns = "select table_name, column_name from duckdb_columns() where database_name = current_database()"
    assert set(published(shop, columns)) == set(documented)
    assert [place for place, (text, decisions) in documented.items() if not (text and decisions)] == []
    for table in {table for table, _ in documented}:
        copy = duckdb.sql(f"describe from '{shop.parent}/data/published/parquet/{table}.parquet'").fetchall()
        assert {(table, column) for column, *_ in copy} == {place for place in documented if place[0] == table}


def test_the_bad_row_is_in_quarantine_and_every_row_is_accounted_for(shop):
    with duckdb.connect(shop.parent / "data/warehouse.duckdb", read_only=True) as connection:
        reasons = connection.sql("select reason from raw.quarantine").fetchall()
        counts = connection.sql(
            "select rows_read, rows_loaded, rows_duplicate, rows_quarantined "
            "from raw.batches where table_name = 'deployments'"
        ).fetchall()
    assert len(reasons) == 1
    assert "environment: not one of" in reasons[0][0]
    assert counts == [(31, 30, 0, 1)]


def test_no_person_stands_in_any_file_but_the_landing_files(shop):
    folder = shop.parent / "data"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        assert not [person for person in PEOPLE if person.encode() in content], path
    # Compressed columns hide their texts from a search for bytes.
    for database in (folder / "warehouse.duckdb", folder / "published/marts.duckdb"):
        with duckdb.connect(database, read_only=True) as connection:
            for schema, table in connection.sql("select schema_name, table_name from duckdb_tables()").fetchall():
                assert_nobody(connection.sql(f'select rows::varchar from "{schema}"."{table}" as rows'))
    for parquet in (folder / "published/parquet").iterdir():
        assert_nobody(duckdb.sql(f"select rows::varchar from '{parquet}' as rows"))


def assert_nobody(rows: duckdb.DuckDBPyRelation) -> None:
    text = "\n".join(row for (row,) in rows.fetchall()).lower()
    assert not [person for person in PEOPLE if person in text]


def test_a_source_that_is_configured_no_longer_leaves_the_marts(shop, tmp_path):
    config = copy_of(shop, tmp_path)
    with Warehouse(load_settings(config)).connect() as connection:
        rows = pl.DataFrame({"deployment_id": ["g"], "service": ["web"], "environment": ["staging"]})
        with transaction(connection):
            load(connection, DEPLOYMENTS, rows.with_columns(status=pl.lit("in_progress")), source="gone", origin="gone")
            connection.execute("insert into raw.source_state values ('gone', '{}', now()::timestamp)")
            assert forget_sources(connection, RAW_TABLES, ["gone", "landing"]) == []
            assert forget_sources(connection, RAW_TABLES, ["landing"]) == ["gone"]
        left = connection.sql(
            "select distinct source from raw.deployments union from (select source from raw.source_state)"
        )
        assert left.fetchall() == [("landing",)]


def test_publishing_a_build_that_no_gate_has_seen_is_refused(shop, tmp_path, monkeypatch):
    config = copy_of(shop, tmp_path)
    shutil.rmtree(config.parent / "data/gate")
    before = checksums(config)
    monkeypatch.setenv("PLUMBLINE_CONFIG", str(config))
    with DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("publish").execute_in_process(instance=instance, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "GateRefused" in failure.step_failure_data.error.to_string()
    assert "no gate record" in failure.step_failure_data.error.to_string()
    assert checksums(config) == before


class Met(NamedTuple):
    """A run without news, and one that was started while it went on: exit codes and what they said."""

    config: Path
    process: int
    first: tuple[int, str]
    second: tuple[int, str]


@pytest.fixture(scope="module")
def met(shop, tmp_path_factory) -> Met:
    config = copy_of(shop, tmp_path_factory.mktemp("met"))
    first = start(config, "run")
    begun = next(line for line in first.stdout if line.startswith("extract"))
    second = run(config)
    rest, _ = first.communicate()
    return Met(config, first.pid, (first.returncode, begun + rest), second)


def test_a_second_run_without_news_changes_no_published_table(shop, met):
    code, output = met.first
    assert code == 0, output
    assert "nothing new" in output
    assert checksums(met.config) == checksums(shop)


def test_of_two_runs_at_once_the_second_ends_with_one_clear_line(met):
    code, output = met.second
    assert code == 1
    assert f"process {met.process}" in output
    assert len(output.strip().splitlines()) == 1


def test_a_wrong_configuration_ends_with_its_key(tmp_path):
    config = installation(tmp_path, "  - kind: gti\n")
    code, output = run(config)
    assert (code, output.count("\n")) == (2, 1)
    assert "sources[0].kind: 'gti' is no source kind; allowed: git, landing, demo" in output


def test_a_source_that_is_not_there_ends_with_its_place(tmp_path):
    config = installation(tmp_path, "  - kind: landing\n    location: nowhere\n")
    code, output = run(config)
    assert code == 2, output
    assert str(tmp_path / "nowhere") in output.splitlines()[-1]
