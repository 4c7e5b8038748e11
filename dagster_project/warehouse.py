"""The build file. The only module that opens DuckDB, and the lock that keeps runs apart."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from dagster_project import contexts, routes, user_agents
from dagster_project.contracts import RELEASED_TABLES, TABLES, Table
from dagster_project.errors import ConfigurationError, PlumblineError
from dagster_project.people import SALT_VARIABLE, people_of
from dagster_project.settings import Settings

BUILD_FILE_OPTIONS = {
    # What exceeds it is spilled beside the file, so that 100 million rows need less than 4 GiB of memory in all.
    "memory_limit": "2560MiB",
    # Of no use to older clients, which read the published file; its compression of texts takes two thirds of the time.
    "storage_compatibility_version": "latest",
}

BOOKKEEPING_DDL = """
create table if not exists raw.batches (
    batch_id uuid not null,
    source varchar not null,
    origin varchar not null,
    table_name varchar not null,
    finished_at timestamp not null,
    rows_read bigint not null,
    rows_loaded bigint not null,
    rows_duplicate bigint not null,
    rows_quarantined bigint not null,
    rows_removed bigint not null,
    check (rows_read = rows_loaded + rows_duplicate + rows_quarantined)
);
-- Where events were before a batch replaced them: an update makes these days anew, too.
create table if not exists raw.replaced_events (
    batch_id uuid not null,
    table_name varchar not null,
    service varchar not null,
    from_time timestamp not null
);
create table if not exists raw.quarantine (
    batch_id uuid not null,
    source varchar not null,
    origin varchar not null,
    table_name varchar not null,
    place varchar not null,
    reason varchar not null,
    fields varchar,
    bytes bigint,
    checksum varchar,
    quarantined_at timestamp not null
);
create table if not exists restricted.quarantine as from raw.quarantine limit 0;
create table if not exists restricted.evidence_access (
    person_key varchar not null,
    quarter date not null,
    reader varchar not null,
    read_at timestamp not null
);
create table if not exists raw.landing_files (
    location varchar not null,
    name varchar not null,
    table_name varchar not null,
    bytes bigint not null,
    version varchar not null,
    checksum varchar not null,
    status varchar not null,
    batch_id uuid not null,
    taken_at timestamp not null
);
-- Batches of which all rows are committed, and not yet judged; see load_files.py.
create table if not exists raw.open_batches (
    batch_id uuid not null,
    table_name varchar not null
);
create table if not exists raw.routes (
    table_name varchar not null,
    service varchar not null,
    route varchar not null
);
create table if not exists raw.people_key (probe varchar not null);
create table if not exists raw.hash_function (probe ubigint not null);
create table if not exists raw.source_state (
    source varchar not null,
    state varchar not null,
    recorded_at timestamp not null
);
"""

SCHEMAS = ("raw", "reference", "restricted")


def table_ddl(table: Table) -> list[str]:
    """`create … if not exists` for one contract: its tables, and of one with contexts the view that it is; loaded
    tables add when and by which batch a row was loaded."""
    statements = [
        f"create table if not exists {name} ({', '.join(f'{column} {type_}' for column, type_ in columns.items())})"
        for name, columns in stored_columns(table).items()
    ]
    return [*statements, f"create view if not exists {contexts.view(table)}"] if table.contexts else statements


def stored_columns(table: Table) -> dict[str, dict[str, str]]:
    """Of each table that holds a contract's rows the columns and their types."""
    columns = {column.name: table.stored_type(column) for column in table.own_columns}
    if table.schema != "reference" and table not in RELEASED_TABLES:
        columns |= {"loaded_at": "TIMESTAMP", "batch_id": "UUID"}
    numbers = {context.name: "INTEGER" for context in table.contexts}
    texts = {
        table.context_table(context): {context.name: "INTEGER", **dict.fromkeys(context.columns, "VARCHAR")}
        for context in table.contexts
    }
    return {table.stored_name: columns | numbers, **texts}


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what is missing: schemas, contract tables, columns added to a contract since, bookkeeping, functions; and
    give columns the types that their contract has by now."""
    for schema in SCHEMAS:
        connection.execute(f"create schema if not exists {schema}")
    for table in TABLES.values():
        if table.contexts and _is_table(connection, table):
            _move_into_contexts(connection, table)
        for statement in table_ddl(table):
            connection.execute(statement)
        is_changed = False
        for name, columns in stored_columns(table).items():
            stored = _columns(connection, name)
            for column, type_ in columns.items():
                if column not in stored:
                    connection.execute(f"alter table {name} add column {column} {type_}")
                elif stored[column] != type_:
                    connection.execute(f"alter table {name} alter {column} set data type {type_}")
                is_changed |= stored.get(column) != type_
        if table.contexts and (
            is_changed or [*_columns(connection, table.qualified_name)] != contexts.view_columns(table)
        ):
            connection.execute(f"create or replace view {contexts.view(table)}")
    connection.execute(BOOKKEEPING_DDL)
    # Texts in a warehouse of an earlier version.
    for schema, name in connection.sql(
        "select schema_name, table_name from duckdb_columns() where database_name = current_database() "
        f"and schema_name in {(*SCHEMAS, 'meta')} and column_name = 'batch_id' and data_type = 'VARCHAR'"
    ).fetchall():
        connection.execute(f"alter table {schema}.{name} alter batch_id set data type uuid")
    routes.use_in(connection)
    user_agents.use_in(connection)


def _columns(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    return {column: type_ for column, type_, *_ in connection.sql(f"describe {name}").fetchall()}


def _is_table(connection: duckdb.DuckDBPyConnection, table: Table) -> bool:
    """Whether a contract whose rows have contexts is a table still, as in a warehouse of an earlier version."""
    found = connection.execute(
        "select count(*) from duckdb_tables() "
        "where database_name = current_database() and schema_name = ? and table_name = ?",
        [table.schema, table.name],
    )
    return found.fetchone()[0] > 0


def _move_into_contexts(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    with transaction(connection):
        connection.execute(f"alter table {table.qualified_name} rename to {table.name}_moving")
        for statement in table_ddl(table):
            connection.execute(statement)
        moving = f"{table.qualified_name}_moving"
        # One that a killed run has left unjudged has none.
        contexts.insert_rows(connection, table, f"from {moving} where service is not null")
        connection.execute(f"drop table {moving}")


def remove_open_batches(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove the rows of batches that a run has inserted and could not finish."""
    for batch_id, name in connection.sql("from raw.open_batches").fetchall():
        with transaction(connection):
            connection.execute(f"delete from {TABLES[name].stored_name} where batch_id = ?", [batch_id])
            connection.execute("delete from raw.open_batches where batch_id = ?", [batch_id])


def _check_people_key(connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse another key than the one that the stored people were hashed with: one person would become two."""
    connection.execute(
        "insert into raw.people_key select person_key('plumbline') where not exists (from raw.people_key)"
    )
    if connection.sql("select probe <> person_key('plumbline') from raw.people_key").fetchone()[0]:
        raise ConfigurationError(
            f"the people key has changed since this warehouse was made: restore {SALT_VARIABLE} or people.salt, or "
            "move the warehouse file away to load everything again under the new key"
        )


def _check_hash_function(connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse another hash function of DuckDB than the stored ids were made with: one session would become two."""
    connection.execute(
        "insert into raw.hash_function select hash('plumbline') where not exists (from raw.hash_function)"
    )
    if connection.sql("select probe <> hash('plumbline') from raw.hash_function").fetchone()[0]:
        raise ConfigurationError(
            f"DuckDB {duckdb.__version__} hashes otherwise than the version that made this warehouse: run `make setup` "
            "for the locked one, or move the warehouse file away to load everything again"
        )


class Warehouse:
    """One installation's build file, opened by the pipeline alone and by one process at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.file = settings.warehouse_file
        self.lock_file = settings.data_dir / "warehouse.lock"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the installation for one run. Raises PlumblineError if another process holds it."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        with self.lock_file.open("a+", encoding="utf-8") as handle:
            for attempt in range(3):
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if attempt == 2:
                        raise PlumblineError(self._held_by(handle)) from None
                    # `is_locked` of another process holds it for an instant.
                    time.sleep(0.1)
            handle.truncate(0)
            handle.write(json.dumps({"process": os.getpid(), "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"}))
            handle.flush()
            try:
                yield
            finally:
                handle.truncate(0)

    def _held_by(self, handle) -> str:
        handle.seek(0)
        try:
            holder = json.loads(handle.read())
            who = f" (process {holder['process']}, since {holder['since']})"
        except (ValueError, KeyError):
            who = ""
        return f"another run holds {self.settings.data_dir}{who}: wait until it ends, then start this one again"

    def is_locked(self) -> str | None:
        """What a run would be told now if another one held the installation, else None; changes nothing."""
        if not self.lock_file.exists():
            return None
        with self.lock_file.open(encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return self._held_by(handle)
        return None

    @contextmanager
    def connect(self, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in UTC. Close it before dbt or Great Expectations open the file."""
        connection = self._open(read_only)
        try:
            connection.execute("set TimeZone = 'UTC'")
            if not read_only:
                create_tables(connection)
                remove_open_batches(connection)
                people_of(self.settings.data_dir).use_in(connection)
                _check_people_key(connection)
                _check_hash_function(connection)
            yield connection
        finally:
            connection.close()

    def _open(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            return duckdb.connect(self.file, read_only=read_only, config=BUILD_FILE_OPTIONS)
        except duckdb.IOException as error:
            if "lock" in str(error).lower():
                raise PlumblineError(
                    f"{self.file}: another program has the build file open; close it (BI tools read "
                    f"{self.settings.published_file} instead)"
                ) from None
            raise PlumblineError(
                f"{self.file}: cannot be opened as a DuckDB database; restore it, or move it away and run again to "
                f"rebuild it from the sources ({str(error).splitlines()[0]})"
            ) from None


@contextmanager
def scratch() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in UTC to empty tables in memory: for trying what a run would do."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        create_tables(connection)
        yield connection


@contextmanager
def open_beside(build_file: Path, new_file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in UTC to a new file with empty tables, with the build file attached read-only as `warehouse`."""
    with duckdb.connect(new_file) as connection:
        connection.execute("set TimeZone = 'UTC'")
        create_tables(connection)
        path = str(build_file).replace("'", "''")
        connection.execute(f"attach '{path}' as warehouse (read_only)")
        yield connection


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All or nothing: commits at the end, rolls back on any exception."""
    connection.execute("begin transaction")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


@contextmanager
def open_publication(build_file: Path, new_file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in UTC with the build file attached read-only as `warehouse` and, as `published`, a new file that
    DuckDB 1.4 clients can read."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for file, name, option in (
            (build_file, "warehouse", "read_only"),
            (new_file, "published", "storage_version 'v1.4.0'"),
        ):
            path = str(file).replace("'", "''")
            connection.execute(f"attach '{path}' as {name} ({option})")
        yield connection


def open_published(file: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to a published file, as a BI tool has it."""
    return duckdb.connect(file, read_only=True)
