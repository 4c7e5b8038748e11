"""Publication: what is refused, what is written, and that a kill at any moment does no harm."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import datetime

import duckdb
import pytest
from candidate_marts import TABLES, build, pass_gate
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dagster_project import publication
from dagster_project.errors import GateRefused, PlumblineError
from dagster_project.publication import publish
from dagster_project.quality.fingerprint import fingerprint


def snapshot(settings) -> dict[str, bytes]:
    """Every published file with its bytes."""
    return {
        str(file.relative_to(settings.published_dir)): file.read_bytes()
        for file in settings.published_dir.rglob("*")
        if file.is_file()
    }


def published_numbers(settings) -> set[int]:
    with duckdb.connect(settings.published_file, read_only=True) as connection:
        return {number for (number,) in connection.execute("select distinct number from fct_deployments").fetchall()}


@pytest.fixture
def published(settings):
    """An installation that has published build `one`, where every number is 1."""
    build(settings, "one", 1)
    pass_gate(settings)
    publish(settings, TABLES)
    return settings


def test_the_published_file_holds_what_the_candidates_hold(published):
    with duckdb.connect(published.warehouse_file, read_only=True) as connection:
        candidates = {table: connection.sql(f"from marts.{table} order by all") for table in TABLES}
        expected = {table: (rows.columns, rows.types, rows.fetchall()) for table, rows in candidates.items()}
    with duckdb.connect(published.published_file, read_only=True) as connection:
        assert connection.sql(
            "select table_name from duckdb_tables() where schema_name = 'main' order by 1"
        ).fetchall() == [
            ("dim_teams",),
            ("fct_deployments",),
        ]
        for table in TABLES:
            rows = connection.sql(f"from {table}")
            assert (rows.columns, rows.types, rows.fetchall()) == expected[table]
            rows = connection.sql(f"from '{published.published_dir}/parquet/{table}.parquet'")
            assert (rows.columns, rows.types, rows.fetchall()) == expected[table]


def test_tables_and_columns_keep_their_comments(published):
    with duckdb.connect(published.published_file, read_only=True) as connection:
        tables = dict(connection.sql("select table_name, comment from duckdb_tables()").fetchall())
        columns = dict(
            connection.sql("select column_name, comment from duckdb_columns() where not internal").fetchall()
        )
    assert tables == {"fct_deployments": "One attempt to put a team's version into production.", "dim_teams": None}
    assert columns["lead_time_hours"] == "Hours; it's NULL where unknown."
    assert columns["team"] is None


def test_the_manifest_says_what_was_published(published):
    manifest = json.loads(published.manifest_file.read_text(encoding="utf-8"))
    assert (manifest["build_id"], manifest["as_of"]) == ("one", "2024-05-01T00:00:00")
    assert datetime.fromisoformat(manifest["published_at"]).utcoffset().total_seconds() == 0
    assert list(manifest["tables"]) == list(TABLES)
    with duckdb.connect(published.published_file, read_only=True) as connection:
        for table, entry in manifest["tables"].items():
            assert (entry["rows"], entry["checksum"]) == fingerprint(connection, table)
    assert manifest["tables"]["dim_teams"]["columns"] == {"team": "VARCHAR", "parent": "VARCHAR"}
    assert manifest["gate"]["expectations"] == {"fct_deployments": 1, "dim_teams": 1}
    assert manifest["gate"]["failures"] == 0


def test_only_finished_files_lie_in_the_published_folder(published):
    assert set(snapshot(published)) == {
        "marts.duckdb",
        "manifest.json",
        "parquet/fct_deployments.parquet",
        "parquet/dim_teams.parquet",
    }


def test_the_same_rows_in_another_order_keep_every_checksum(published):
    first = json.loads(published.manifest_file.read_text(encoding="utf-8"))["tables"]
    parquet = {name: content for name, content in snapshot(published).items() if name.endswith("parquet")}
    build(published, "two", 1)
    pass_gate(published)
    assert publish(published, TABLES)["tables"] == first
    assert {name: content for name, content in snapshot(published).items() if name.endswith("parquet")} == parquet


def refused(settings, tables=TABLES) -> str:
    """The line of a refused publication, which changed no published byte."""
    before = snapshot(settings)
    with pytest.raises(GateRefused) as error:
        publish(settings, tables)
    assert snapshot(settings) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_build_without_a_gate_run_is_refused(published):
    build(published, "two")
    assert refused(published) == "no gate record of build two: run the gate, then publish"


def test_a_build_that_the_gate_refused_is_not_published(published):
    build(published, "two")
    pass_gate(published, passed=False)
    assert refused(published).startswith("gate refused build two: 2 of 2 expectations fail, on 2 of 2 tables")


def test_a_table_that_changed_after_the_gate_is_refused(published):
    build(published, "two")
    pass_gate(published)
    with duckdb.connect(published.warehouse_file) as connection:
        connection.execute("update marts.fct_deployments set lead_time_hours = 1 where deployment_key = 'web/3'")
    assert refused(published) == (
        "fct_deployments: changed since the gate of build two: run the gate again, then publish"
    )


def test_a_table_that_is_gone_after_the_gate_is_refused(published):
    build(published, "two")
    pass_gate(published)
    with duckdb.connect(published.warehouse_file) as connection:
        connection.execute("drop table marts.dim_teams")
    assert refused(published).startswith("dim_teams: changed since the gate of build two")


@pytest.mark.parametrize("tables", [("fct_deployments",), (*TABLES, "fct_incidents")])
def test_a_gate_run_over_other_tables_is_refused(published, tables):
    assert refused(published, tables).startswith("the gate of build one covered other tables (differing in ")


def test_a_failed_build_is_refused_whatever_the_gate_said(published):
    before = snapshot(published)
    with duckdb.connect(published.warehouse_file) as connection:
        connection.execute("update meta.build set is_success = false")
    with pytest.raises(PlumblineError, match="dbt build one failed"):
        publish(published, TABLES)
    assert snapshot(published) == before


def test_a_copy_that_differs_from_its_candidate_is_not_published(published, monkeypatch):
    before = snapshot(published)
    monkeypatch.setattr(publication, "fingerprint", lambda *_: (0, "another"))
    with pytest.raises(PlumblineError, match="fct_deployments: the copy differs from the candidate"):
        publish(published, TABLES)
    monkeypatch.undo()
    assert {name: content for name, content in snapshot(published).items() if not name.startswith(".next/")} == before


def test_a_folder_that_cannot_be_written_is_named_in_one_line(published):
    (published.published_dir / "parquet/fct_deployments.parquet").unlink()
    (published.published_dir / "parquet/fct_deployments.parquet").mkdir()
    with pytest.raises(PlumblineError, match=r"published: cannot be written \(.*directory.*\); mend that and publish"):
        publish(published, TABLES)


def test_the_files_of_a_removed_table_and_a_foreign_log_go_with_the_next_publication(published):
    (published.published_dir / "marts.duckdb.wal").write_bytes(b"of another program")
    build(published, "two")
    pass_gate(published, ("dim_teams",))
    publish(published, ("dim_teams",))
    assert set(snapshot(published)) == {"marts.duckdb", "manifest.json", "parquet/dim_teams.parquet"}


def test_an_installation_in_a_folder_with_an_apostrophe_is_published(settings):
    settings = settings.model_copy(update={"data_dir": settings.data_dir / "o'brien's"})
    settings.data_dir.mkdir(parents=True)
    build(settings, "one", 1)
    pass_gate(settings)
    publish(settings, TABLES)
    assert published_numbers(settings) == {1}


# Kills the process as it is about to call os.<function> for the nth time.
KILLED_PUBLISH = """
import os, signal, sys
from pathlib import Path
from dagster_project.publication import publish
from dagster_project.settings import load_settings
function, count, config, *tables = sys.argv[1:]
original, calls = getattr(os, function), 0
def dying(*arguments, **options):
    global calls
    calls += 1
    if calls == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)
setattr(os, function, dying)
publish(load_settings(Path(config)), tables)
"""


@pytest.mark.parametrize(
    ("function", "count", "visible"),
    [
        ("mkdir", 1, {1}),
        ("fsync", 1, {1}),
        ("replace", 1, {1}),
        ("fsync", 2, {2}),
        ("replace", 2, {2}),
        ("replace", 4, {2}),
    ],
)
def test_a_kill_in_the_middle_leaves_whole_files_and_the_next_publication_mends_the_rest(
    published, function, count, visible
):
    before = snapshot(published)
    build(published, "two", 2)
    pass_gate(published)
    child = subprocess.run(
        [sys.executable, "-c", KILLED_PUBLISH, function, str(count), published.config_file, *TABLES], check=False
    )
    assert child.returncode == -signal.SIGKILL
    assert published_numbers(published) == visible
    assert snapshot(published)["manifest.json"] == before["manifest.json"]
    for table in TABLES:
        assert duckdb.sql(f"select count(*) from '{published.published_dir}/parquet/{table}.parquet'").fetchone()[0] > 0

    publish(published, TABLES)
    assert published_numbers(published) == {2}
    assert json.loads(published.manifest_file.read_text(encoding="utf-8"))["build_id"] == "two"
    assert set(snapshot(published)) == set(before)


rows = st.lists(
    st.tuples(
        st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3),
        st.none() | st.integers(-3, 3),
        st.none() | st.sampled_from([0.1, 1e300, float("nan"), float("inf"), -2.5]),
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def memory():
    with duckdb.connect() as connection:
        yield connection


def checksum_of(connection, content: list[tuple]) -> str:
    connection.execute("create or replace temp table t (a varchar, b integer, c double)")
    if content:
        connection.executemany("insert into t values (?, ?, ?)", content)
    return fingerprint(connection, "t").checksum


@hypothesis_settings(max_examples=60, deadline=None)
@given(left=rows, right=rows)
def test_tables_have_one_checksum_exactly_if_they_hold_the_same_rows(memory, left, right):
    same = sorted(map(repr, left)) == sorted(map(repr, right))
    assert (checksum_of(memory, left) == checksum_of(memory, right)) == same
    assert checksum_of(memory, left) == checksum_of(memory, left[::-1])


def test_a_zero_below_zero_is_a_zero(memory):
    """Sorting loses the sign, so that a table with one would differ from its own copy, and never be published."""
    memory.execute("create or replace table candidate as select -0e0 as rise_rate union all select 1e0")
    memory.execute("create or replace table copy as from candidate order by all")
    assert fingerprint(memory, "candidate") == fingerprint(memory, "copy")


def test_a_renamed_or_retyped_column_changes_the_checksum(memory):
    checksums = {
        fingerprint(memory, f"(select {column})").checksum
        for column in ("1::integer as a", "1::integer as b", "1::bigint as a", "'1' as a")
    }
    assert len(checksums) == 4
