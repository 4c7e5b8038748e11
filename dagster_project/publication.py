"""Publication: candidate marts that passed the gate become the files that BI tools read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from dagster_project.durable import replace_durably
from dagster_project.errors import GateRefused, PlumblineError
from dagster_project.guard.release import freeze_published
from dagster_project.quality.fingerprint import columns_of, fingerprint
from dagster_project.quality.gate import candidate_fingerprints, current_build
from dagster_project.quality.record import GateRecord, gate_summary, record_file
from dagster_project.quality.suites import CANDIDATES
from dagster_project.settings import Settings
from dagster_project.warehouse import Warehouse, open_publication, transaction


def publish(settings: Settings, tables: Sequence[str]) -> dict[str, Any]:
    """Publish the candidate marts and return the manifest.

    Everything is written into a folder beside the published files first, and then moved over them one by one: each
    file is the old one or the new one at any moment, and manifest.json, the last, says that all are new. The caller
    holds the lock and has closed every connection to the build file. Raises GateRefused unless a passing gate record
    of this very build covers exactly these tables as they are now.
    """
    staging = settings.published_dir / ".next"
    # What a killed publication left.
    shutil.rmtree(staging, ignore_errors=True)
    record = _passing_record(settings, tables)
    try:
        (staging / "parquet").mkdir(parents=True)
        manifest = _manifest(record, _write(settings, record, staging))
        (staging / settings.manifest_file.name).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        # First the record, then the publication: killed in between, a quarter stays unpublished but never changes.
        with Warehouse(settings).connect() as connection:
            freeze_published(connection)
        _swap(settings, tables, staging)
    except (OSError, duckdb.IOException) as error:
        raise PlumblineError(
            f"{settings.published_dir}: cannot be written ({str(error).splitlines()[0]}); mend that and publish again"
        ) from error
    return manifest


def _passing_record(settings: Settings, tables: Sequence[str]) -> GateRecord:
    with Warehouse(settings).connect(read_only=True) as connection:
        build = current_build(connection)
        fingerprints = candidate_fingerprints(connection, tables)
    file = record_file(settings.gate_dir, build.build_id)
    if not file.exists():
        raise GateRefused(f"no gate record of build {build.build_id}: run the gate, then publish")
    record = GateRecord.load(file)
    if not record.passed:
        raise GateRefused(gate_summary(record).splitlines()[0])
    if different := {table.table for table in record.tables} ^ set(tables):
        raise GateRefused(
            f"the gate of build {build.build_id} covered other tables (differing in {', '.join(sorted(different))}): "
            "run the gate again, then publish"
        )
    changed = [table.table for table in record.tables if table.fingerprint != fingerprints[table.table]]
    if changed:
        raise GateRefused(
            f"{', '.join(changed)}: changed since the gate of build {build.build_id}: run the gate again, then publish"
        )
    return record


def _write(settings: Settings, record: GateRecord, staging: Path) -> dict[str, dict[str, Any]]:
    """Write the database and the Parquet files; what the manifest says of each table."""
    entries = {}
    with open_publication(settings.warehouse_file, staging / settings.published_file.name) as connection:
        for table, expected in ((result.table, result.fingerprint) for result in record.tables):
            target = f'published.main."{table}"'
            # Ordered by every column, so that the same rows give the same files.
            connection.execute(f'create table {target} as from warehouse.{CANDIDATES}."{table}" order by all')
            with transaction(connection):
                for statement in _comments(connection, table, target):
                    connection.execute(statement)
            written = fingerprint(connection, target)
            if written != expected:
                raise PlumblineError(f"{table}: the copy differs from the candidate; nothing was published: run again")
            connection.sql(f"from {target}").write_parquet(f"{staging}/parquet/{table}.parquet", compression="zstd")
            entries[table] = {
                "rows": written.rows,
                "checksum": written.checksum,
                "columns": columns_of(connection, target),
            }
        connection.execute("checkpoint published")
    return entries


def _comments(connection: duckdb.DuckDBPyConnection, table: str, target: str) -> list[str]:
    """Statements that give the published table the comments of the candidate and of its columns."""
    return [
        statement
        for (statement,) in connection.execute(
            """
            select format('comment on table {} is ''{}''', $target, replace(comment, '''', ''''''))
            from duckdb_tables()
            where database_name = 'warehouse' and schema_name = $schema and table_name = $table and comment is not null
            union all
            select format('comment on column {}."{}" is ''{}''', $target, column_name, replace(comment, '''', ''''''))
            from duckdb_columns()
            where database_name = 'warehouse' and schema_name = $schema and table_name = $table and comment is not null
            """,
            {"schema": CANDIDATES, "table": table, "target": target},
        ).fetchall()
    ]


def _manifest(record: GateRecord, tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "build_id": record.build_id,
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "as_of": record.as_of.isoformat() if record.as_of else None,
        "tables": tables,
        "gate": {
            "checked_at": record.checked_at.isoformat(timespec="seconds"),
            "expectations": {result.table: len(result.expectations) for result in record.tables},
            "failures": len(record.failures()),
        },
    }


def _swap(settings: Settings, tables: Sequence[str], staging: Path) -> None:
    parquet_dir = settings.published_dir / "parquet"
    parquet_dir.mkdir(exist_ok=True)
    # A log left by a program that had opened the file for writing would be replayed into the new one.
    Path(f"{settings.published_file}.wal").unlink(missing_ok=True)
    replace_durably(staging / settings.published_file.name, settings.published_file)
    for table in tables:
        replace_durably(staging / "parquet" / f"{table}.parquet", parquet_dir / f"{table}.parquet")
    for stale in set(os.listdir(parquet_dir)) - {f"{table}.parquet" for table in tables}:
        (parquet_dir / stale).unlink()
    replace_durably(staging / settings.manifest_file.name, settings.manifest_file)
    shutil.rmtree(staging)
