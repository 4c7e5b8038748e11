"""The dbt models over given rows: by `dbt` itself as a process, or their compiled SQL on a database in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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

from dagster_project.contracts import REFERENCE_TABLES, TABLES, Table
from dagster_project.load import load
from dagster_project.people import People
from dagster_project.profiles import dbt_vars
from dagster_project.settings import DBT_DIR, PROJECT_DIR, Settings
from dagster_project.warehouse import Warehouse, scratch, transaction

DEFAULTS: dict[str, Any] = yaml.safe_load((DBT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
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
    connection.execute(f"insert into {table.qualified_name} by name from given")
    connection.unregister("given")


def load_rows(connection: duckdb.DuckDBPyConnection, rows: dict[str, pl.DataFrame], origin: str = "test") -> None:
    """Rows through the loader, none of which may break its contract."""
    with transaction(connection):
        for name, given in rows.items():
            table = TABLES[name]
            if table in REFERENCE_TABLES:
                insert(connection, table, given)
            else:
                assert load(connection, table, given, source="test", origin=origin).quarantined == 0


def dbt(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """`dbt` with these arguments on the build file in the folder."""
    command = [
        Path(sys.executable).with_name("dbt"),
        *arguments,
        *("--target-path", folder / "target", "--log-path", folder / "logs"),
    ]
    environment = {**os.environ, "PLUMBLINE_WAREHOUSE": str(folder / "warehouse.duckdb"), "NO_COLOR": "1"}
    return subprocess.run(command, cwd=DBT_DIR, env=environment, capture_output=True, text=True, check=False)


def built(folder: Path, rows: dict[str, pl.DataFrame], *arguments: str) -> duckdb.DuckDBPyConnection:
    """The build file after loading the rows and `dbt` with these arguments, read-only."""
    settings = Settings(config_file=folder / "plumbline.yaml", data_dir=folder, sources=())
    with Warehouse(settings).connect() as connection:
        load_rows(connection, rows)
    result = dbt(folder, *arguments)
    assert result.returncode == 0, result.stdout
    return duckdb.connect(folder / "warehouse.duckdb", read_only=True)


@contextmanager
def memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty warehouse in memory that the loader can load into."""
    with scratch() as connection:
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
        from dbt.cli.main import dbtRunner

        self.vars = DEFAULTS | variables
        with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, PLUMBLINE_WAREHOUSE=":memory:"):
            arguments = ["--quiet", "compile", "--full-refresh", "--select", "resource_type:model"]
            arguments += ["--indirect-selection", "empty"]
            places = {"project": DBT_DIR, "profiles": DBT_DIR}
            arguments += [text for name, place in places.items() for text in (f"--{name}-dir", str(place))]
            arguments += ["--target-path", folder, "--log-path", folder, "--vars", json.dumps(variables, default=str)]
            result = dbtRunner().invoke(arguments)
            assert result.success, result.exception
        self.nodes = [compiled.node for compiled in result.result.results]

    def build(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Every model into the database."""
        for node in self.nodes:
            connection.execute(f"create schema if not exists {node.schema}")
            kind = "view" if node.config.materialized == "view" else "table"
            query = in_order(node.compiled_code, list(node.columns), node.config.contract.enforced)
            connection.execute(f"create or replace {kind} {node.schema}.{node.name} as {query}")

    def marts(self, connection: duckdb.DuckDBPyConnection) -> dict[str, list[dict]]:
        """Build, then every mart's rows."""
        self.build(connection)
        names = [node.name for node in self.nodes if node.schema == "marts"]
        return {name: connection.sql(f"from marts.{name}").pl().to_dicts() for name in names}


def models(**variables: Any) -> Models:
    """Those of the process with these variables: compiling takes about four seconds."""
    return _models(json.dumps(variables, default=str, sort_keys=True))


@cache
def _models(variables: str) -> Models:
    return Models(json.loads(variables))
