"""Small candidate marts with a passing gate record, as dbt and the gate would leave them."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb

from dagster_project.quality.gate import candidate_fingerprints, current_build
from dagster_project.quality.record import ExpectationResult, GateRecord, TableResult

TABLES = ("fct_deployments", "dim_teams")
CANDIDATES = """
create schema if not exists marts;
create schema if not exists meta;
create or replace table meta.build as
    select '{build_id}' as build_id, timestamp '2024-05-01' as as_of, true as is_success;
create or replace table marts.fct_deployments as
    select
        'web/' || range as deployment_key, timestamp '2024-01-01' + interval (range) hour as finished_at,
        if(range % 3 = 0, null, range / 7) as lead_time_hours, range % 2 = 0 as is_rollback,
        cast({number} as bigint) as number
    from range(500) order by random();
create or replace table marts.dim_teams as select 'Søk & finn' as team, null::varchar as parent;
comment on table marts.fct_deployments is 'One attempt to put a team''s version into production.';
comment on column marts.fct_deployments.lead_time_hours is 'Hours; it''s NULL where unknown.';
"""


def build(settings, build_id: str, number: int = 0) -> None:
    """Leave a build file as dbt would; every deployment carries `number`."""
    settings.data_dir.mkdir(exist_ok=True)
    with duckdb.connect(settings.warehouse_file) as connection:
        connection.execute(CANDIDATES.format(build_id=build_id, number=number))


def pass_gate(settings, tables=TABLES, passed: bool = True) -> None:
    """Leave a gate record of the current build."""
    with duckdb.connect(settings.warehouse_file, read_only=True) as connection:
        current = current_build(connection)
        fingerprints = candidate_fingerprints(connection, tables)
    result = ExpectationResult(name="expect_it", type="expect_it", passed=passed, message="1 row fails")
    GateRecord(
        build_id=current.build_id,
        as_of=current.as_of,
        checked_at=datetime.now(UTC),
        tables=tuple(
            TableResult(table=table, fingerprint=fingerprints[table], expectations=(result,)) for table in tables
        ),
    ).save(settings.gate_dir)
