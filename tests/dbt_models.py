"""The dbt models over given rows: by dbt in this process, or their compiled SQL on a database in memory.

Starting dbt and parsing the project takes six seconds, a build of few rows three: so the project is parsed once.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import polars as pl
import yaml

from dagster_project.contexts import insert_rows
from dagster_project.contracts import REFERENCE_TABLES, RELEASED_TABLES, TABLES, Table
from dagster_project.load import load
from dagster_project.people import People
from dagster_project.profiles import dbt_vars
from dagster_project.settings import DBT_DIR, PROJECT_DIR, Settings
from dagster_project.warehouse import Warehouse, create_tables, transaction

DEFAULTS: dict[str, Any] = yaml.safe_load((DBT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
# dbt-duckdb names the database after the file; a manifest is good for one name.
FILE_NAME = "warehouse.duckdb"
# Nobody reads dbt's log and artifacts of a test; they take a tenth of the time.
UNRECORDED = ("--quiet", "--log-level-file", "none", "--no-write-json")
POLARS_TYPES = {
    "text": pl.String,
    "integer": pl.Int64,
    "number": pl.Float64,
    "boolean": pl.Boolean,
    "timestamp": pl.Datetime("us"),
    "date": pl.Date,
    "hash": pl.UInt64,
}


def frame(table: Table, rows: list[dict]) -> pl.DataFrame:
    """Rows, each with any of the contract's columns, in the contract's types."""
    columns = {column.name: POLARS_TYPES[column.type] for column in table.columns}
    return pl.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns)


def insert(connection: duckdb.DuckDBPyConnection, table: Table, rows: pl.DataFrame) -> None:
    """Rows as they are, without the loader."""
    connection.register("given", rows.to_arrow())
    insert_rows(connection, table, "from given")
    connection.unregister("given")


def load_rows(connection: duckdb.DuckDBPyConnection, rows: dict[str, pl.DataFrame], origin: str = "test") -> None:
    """Rows through the loader, none of which may break its contract."""
    with transaction(connection):
        for name, given in rows.items():
            table = TABLES[name]
            if table in (*REFERENCE_TABLES, *RELEASED_TABLES):
                insert(connection, table, given)
            else:
                assert load(connection, table, given, source="test", origin=origin).quarantined == 0


@cache
def parsed_project():
    """What dbt makes of the project's files, whatever the variables: those are read when a node is compiled."""
    return _invoke("parse")


def dbt(file: Path, *arguments: str, **variables: Any) -> list:
    """`dbt` with these arguments on a build file, which is named warehouse.duckdb, in this process: results by node."""
    return _invoke(
        *arguments, "--vars", json.dumps(variables, default=str), file=file, manifest=parsed_project().deepcopy()
    ).results


def _invoke(*arguments: str, file: Path | None = None, manifest=None):
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    with tempfile.TemporaryDirectory() as folder:
        places = {"project-dir": DBT_DIR, "profiles-dir": DBT_DIR, "target-path": folder, "log-path": folder}
        options = [text for name, place in places.items() for text in (f"--{name}", str(place))]
        with patch.dict(os.environ, PLUMBLINE_WAREHOUSE=str(file or Path(folder) / FILE_NAME), NO_COLOR="1"):
            done = dbtRunner(manifest=manifest).invoke([*UNRECORDED, *arguments, *options])
            # Else it keeps the file open until this process ends.
            DuckDBConnectionManager.close_all_connections()
    if not done.success:
        results = getattr(done.result, "results", [])
        failed = [f"{each.node.name}: {each.message}" for each in results if each.status in ("error", "fail")]
        raise AssertionError("\n".join(failed) or done.exception)
    return done.result


def built(folder: Path, rows: dict[str, pl.DataFrame], *arguments: str) -> duckdb.DuckDBPyConnection:
    """The build file after loading the rows and `dbt` with these arguments, read-only."""
    settings = Settings(config_file=folder / "plumbline.yaml", data_dir=folder, sources=())
    with Warehouse(settings).connect() as connection:
        load_rows(connection, rows)
    dbt(settings.warehouse_file, *arguments)
    return duckdb.connect(settings.warehouse_file, read_only=True)


@contextmanager
def memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty warehouse in memory that the loader can load into; named as dbt names the build file."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'; attach ':memory:' as warehouse; use warehouse")
        create_tables(connection)
        People(b"a salt for tests").use_in(connection)
        # For so few rows several threads only wait for each other.
        connection.execute("set threads = 1")
        yield connection


def profile(name: str) -> dict[str, Any]:
    """The variables that a shipped profile sets; plumbline: none."""
    if name == DEFAULTS["profile"]:
        return {}
    settings = Settings(
        config_file=PROJECT_DIR / "plumbline.yaml", data_dir=PROJECT_DIR / "data", sources=(), profile=name
    )
    return dbt_vars(settings)


def in_order(query: str, columns: list[str], is_contract: bool) -> str:
    """The query with the columns of a contract in its order, as dbt makes the table."""
    return f"select {', '.join(columns)} from ({query})" if is_contract else query


class Models:
    """The SQL of every model as dbt compiles it with these variables for a full build, in the order of dependency.

    Running it in memory takes a fraction of a second, where `dbt run` takes several: enough for generated histories.
    """

    def __init__(self, variables: dict[str, Any]) -> None:
        self.vars = DEFAULTS | variables
        with tempfile.TemporaryDirectory() as folder:
            selection = ["--select", "resource_type:model", "--indirect-selection", "empty"]
            compiled = dbt(Path(folder) / FILE_NAME, "compile", "--full-refresh", *selection, **variables)
        self.nodes = [result.node for result in compiled]

    def build(self, connection: duckdb.DuckDBPyConnection, *marts: str) -> None:
        """The models that these marts, or all, are made from, into the database."""
        for node in self._needed(marts) if marts else self.nodes:
            self._run(connection, node)

    def run(self, connection: duckdb.DuckDBPyConnection, *names: str) -> None:
        """These models alone, into a database that holds what they read."""
        for node in self.nodes:
            if node.name in names:
                self._run(connection, node)

    @staticmethod
    def _run(connection: duckdb.DuckDBPyConnection, node: Any) -> None:
        connection.execute(f"create schema if not exists {node.schema}")
        kind = "view" if node.config.materialized == "view" else "table"
        query = in_order(node.compiled_code, list(node.columns), node.config.contract.enforced)
        connection.execute(f"create or replace {kind} {node.schema}.{node.name} as {query}")

    def marts(self, connection: duckdb.DuckDBPyConnection, *names: str) -> dict[str, list[dict]]:
        """Build, then the rows of these marts, or of all."""
        self.build(connection, *names)
        names = names or tuple(node.name for node in self.nodes if node.schema == "marts")
        return {name: connection.sql(f"from marts.{name}").pl().to_dicts() for name in names}

    def _needed(self, marts: tuple[str, ...]) -> list:
        needed: set[str] = set()
        for node in reversed(self.nodes):
            if node.name in marts or node.unique_id in needed:
                needed |= {node.unique_id, *node.depends_on.nodes}
        return [node for node in self.nodes if node.unique_id in needed]


def models(**variables: Any) -> Models:
    """Those of this process with these variables: compiling takes half a second."""
    return _models(json.dumps(variables, default=str, sort_keys=True))


@cache
def _models(variables: str) -> Models:
    return Models(json.loads(variables))
