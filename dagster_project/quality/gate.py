"""The gate: candidate marts against their suites, on the build as dbt left it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb

from dagster_project.errors import PlumblineError
from dagster_project.guard.scan import scan
from dagster_project.people import people_of
from dagster_project.profiles import minimum_group_size
from dagster_project.quality.fingerprint import TableFingerprint, fingerprint
from dagster_project.quality.record import ExpectationResult, GateRecord, TableResult
from dagster_project.quality.suites import CANDIDATES, MINIMUM_ROWS, load_suites
from dagster_project.settings import EXPECTATIONS_DIR, Settings
from dagster_project.warehouse import Warehouse

BUILD_FIRST = "run `dbt build` (or `plumbline run`) first"


class Build(NamedTuple):
    """The dbt build that the build file holds; `as_of` is None where no event is on record."""

    build_id: str
    as_of: datetime | None


def current_build(connection: duckdb.DuckDBPyConnection) -> Build:
    """Raises PlumblineError if no build is on record, or the last one failed."""
    try:
        stamps = connection.execute("select build_id, as_of, is_success from meta.build").fetchall()
    except duckdb.CatalogException:
        stamps = []
    if len(stamps) != 1:
        raise PlumblineError(f"the build file holds no finished dbt build: {BUILD_FIRST}")
    build_id, as_of, is_success = stamps[0]
    if not is_success:
        raise PlumblineError(f"dbt build {build_id} failed: mend what it names, then {BUILD_FIRST}")
    return Build(build_id, as_of)


def candidate_fingerprints(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[str]
) -> dict[str, TableFingerprint | None]:
    """The fingerprint of each candidate mart; None for one that does not exist."""
    present = {
        name
        for (name,) in connection.execute(
            "select table_name from information_schema.tables where table_schema = ?", [CANDIDATES]
        ).fetchall()
    }
    return {table: fingerprint(connection, f'{CANDIDATES}."{table}"') if table in present else None for table in tables}


def run_gate(settings: Settings, tables: Sequence[str], expectations_dir: Path = EXPECTATIONS_DIR) -> GateRecord:
    """Validate the candidate marts; write the record and Data Docs to `settings.gate_dir`, and return the record.

    The caller holds the lock and has closed every connection to the build file. Raises PlumblineError without a
    successful dbt build, and ConfigurationError for a suite that is wrong or belongs to no table.
    """
    suites = load_suites(expectations_dir, tables)
    if not settings.warehouse_file.exists():
        raise PlumblineError(f"{settings.warehouse_file}: no such file: {BUILD_FIRST}")
    with Warehouse(settings).connect(read_only=True) as connection:
        build = current_build(connection)
        fingerprints = candidate_fingerprints(connection, tables)
        present = [table for table in tables if fingerprints[table] is not None]
        # A text may hold a login; nobody's is stored, so that its words are hashed.
        people_of(settings.data_dir).use_in(connection)
        faults = scan(connection, CANDIDATES, present, settings.published_file, minimum_group_size(settings))
    checked_at = datetime.now(UTC)

    # Its import takes 4 to 9 s; in a whole run it is done while dbt builds (assets/transform.py).
    from dagster_project.quality.engine import Validator

    docs_dir = settings.gate_dir / "data_docs"
    with Validator(settings.warehouse_file, docs_dir, build.build_id, checked_at) as validator:
        validator.execute("create temp table source_freshness (source varchar, expected_since timestamp)")
        for source in settings.sources:
            if (hours := getattr(source, "freshness_hours", None)) is not None:
                since = checked_at.replace(tzinfo=None) - timedelta(hours=hours)
                validator.execute("insert into source_freshness values (?, ?)", source.name, since)
        previous = published_rows(settings)
        results = []
        for table in tables:
            if table not in suites:
                expectations = (_missing("suite", f"write {expectations_dir.name}/{table}.yaml"),)
            elif fingerprints[table] is None:
                expectations = (_missing("table", f"dbt built no {CANDIDATES}.{table}; check its model"),)
            else:
                suite = suites[table]
                minimum = math.ceil(previous.get(table, 0) * suite.minimum_share_of_previous_rows)
                expectations = validator.validate(
                    table, suite, expectations_dir / f"{table}.yaml", {MINIMUM_ROWS: minimum}
                )
            if table in faults:
                expectations = (*expectations, _tells_of_nobody(faults[table]))
            results.append(TableResult(table=table, fingerprint=fingerprints[table], expectations=expectations))
        validator.write_docs()
    record = GateRecord(build_id=build.build_id, as_of=build.as_of, checked_at=checked_at, tables=tuple(results))
    record.save(settings.gate_dir)
    return record


def published_rows(settings: Settings) -> dict[str, int]:
    """Rows of each table in the current publication; empty before the first one."""
    try:
        manifest = json.loads(settings.manifest_file.read_text(encoding="utf-8"))
        return {table: entry["rows"] for table, entry in manifest["tables"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise PlumblineError(
            f"{settings.manifest_file}: damaged; delete it, and the next publication writes it anew"
        ) from None


def _tells_of_nobody(faults: Sequence[str]) -> ExpectationResult:
    """What the guard's scan of a table found, as one more expectation."""
    return ExpectationResult(
        name="it_tells_of_nobody",
        type="guard_scan",
        description="No column and no value names a person or puts people in an order; published quarters are frozen.",
        passed=not faults,
        message="; ".join(faults) or "holds",
    )


def _missing(what: str, remedy: str) -> ExpectationResult:
    return ExpectationResult(name=f"{what}_exists", type=f"{what}_exists", passed=False, message=f"no {what}: {remedy}")
