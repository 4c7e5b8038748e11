"""The demo organisation: a JavaScript shop of eight services, generated; the same options give the same rows.

`PLANTED` declares what is true of its data on purpose.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import yaml

from dagster_project.contracts import (
    AUDIT_ANSWERS,
    CORRECTIONS,
    DECISION_LOG,
    JOURNEYS,
    KPIS,
    OV_QUARTERS,
    ROTATIONS,
    SERVICES,
    TABLES,
    TEAMS,
    Table,
    Type,
)
from dagster_project.errors import ConfigurationError
from dagster_project.extract.demo import backend, experience, feedback, oncall, organisation, outcomes, records
from dagster_project.extract.demo.delivery import Delivery, Row
from dagster_project.extract.demo.incidents import incidents_of
from dagster_project.extract.demo.operations import operational_changes, synthetic_checks
from dagster_project.extract.demo.organisation import AS_OF, MEASURED_DAYS, PLANTED, Period, Truth
from dagster_project.load import Batch, load
from dagster_project.settings import DemoSource, Settings, load_settings
from dagster_project.slo.definitions import FOLDER
from dagster_project.warehouse import transaction

__all__ = ["PLANTED", "Truth", "extract", "generate", "write_installation"]

POLARS_TYPES: dict[Type, pl.DataType] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "timestamp": pl.Datetime("us"),
    "date": pl.Date(),
    "hash": pl.String(),
}


def extract(source: DemoSource, settings: Settings, connection: duckdb.DuckDBPyConnection) -> list[Batch]:
    """Load the organisation of these options, one batch a table; nothing if it is loaded already."""
    state = json.dumps({"generator": _generator_version(), **source.model_dump()})
    stored = connection.execute("select state from raw.source_state where source = ?", [source.name]).fetchone()
    if stored == (state,):
        return []
    with transaction(connection):
        batches = [
            load(
                connection,
                TABLES[name],
                frame,
                source=source.name,
                origin=source.name,
                mirror=True,
                retention_days=settings.retention_days,
            )
            for name, frame in generate(source).items()
        ]
        connection.execute("delete from raw.source_state where source = ?", [source.name])
        connection.execute("insert into raw.source_state values (?, ?, now()::timestamp)", [source.name, state])
    return batches


def generate(source: DemoSource) -> dict[str, pl.DataFrame]:
    """Table name → its rows, for each table that the demo fills; people in the clear."""
    period = Period(source.days)
    deliveries = {service.name: Delivery(service, period, source.seed) for service in organisation.SERVICES}
    rows: dict[str, list[Row]] = {
        produce.__name__: [row for delivery in deliveries.values() for row in produce(delivery)]
        for produce in (
            records.deployments,
            records.deployment_statuses,
            records.changes,
            records.change_paths,
            records.deployment_changes,
            records.pull_requests,
            records.builds,
        )
    }
    rows["incidents"], rows["incident_events"] = incidents_of(deliveries.values(), period, source.seed)
    rows["post_incident_reviews"], rows["post_incident_actions"] = oncall.reviews_and_actions(
        rows["incidents"], period, source.seed
    )
    rows["operational_changes"] = operational_changes(
        organisation.SERVICES, rows["incidents"], rows["incident_events"], period, source.seed
    )
    rows |= outcomes.outcomes(period, source.seed)
    rows |= feedback.feedback(deliveries.values(), period, source.seed)
    rows |= _telemetry(deliveries, Period(min(source.days, MEASURED_DAYS)), source)
    return {name: _frame(TABLES[name], each) for name, each in rows.items()}


def _telemetry(deliveries: dict[str, Delivery], measured: Period, source: DemoSource) -> dict[str, pl.DataFrame]:
    """The event tables; each draws from a stream of its own."""
    kinds = {service.name: service.component_kind for service in organisation.SERVICES}
    releases = {service: delivery.releases() for service, delivery in deliveries.items()}
    servers = {service: shipped for service, shipped in releases.items() if kinds[service] != "frontend"}
    seeds = np.random.SeedSequence(source.seed).spawn(6)
    for_browsing, for_checks, for_requests, for_jobs, for_processes, for_the_way = map(np.random.default_rng, seeds)
    browsing = experience.browsing(releases, measured, source.sessions_per_day, for_browsing)
    checks = synthetic_checks(deliveries.values(), measured, for_checks)
    return {
        "rum_events": experience.as_received(browsing, measured, for_the_way),
        "requests": backend.requests(browsing, checks, servers, measured, source.sessions_per_day, for_requests),
        "jobs": backend.jobs(browsing, servers, measured, source.sessions_per_day, for_jobs),
        "process_samples": backend.process_samples(servers, measured, for_processes),
        "synthetic_checks": checks,
    }


def write_installation(folder: Path, source: DemoSource) -> Path:
    """Write plumbline.yaml and the reference folder of the demo organisation; returns the path of plumbline.yaml.

    The same options write the same bytes. Data go to the folder itself.
    """
    config = {
        "data_dir": ".",
        "reference_dir": "seeds",
        "vars": {"as_of": f"{AS_OF}"},
        "sources": [source.model_dump()],
    }
    file = folder / "plumbline.yaml"
    if file.exists() and [each.kind for each in load_settings(file).sources] != ["demo"]:
        raise ConfigurationError(f"{file}: not a demo installation; give the demo a folder of its own")
    seeds = folder / config["reference_dir"]
    seeds.mkdir(parents=True, exist_ok=True)
    _write_csv(
        seeds,
        SERVICES,
        [
            (service.name, team, service.component_kind, service.repository, None, since, until)
            for service in organisation.SERVICES
            for team, since, until in service.ownerships()
        ],
    )
    _write_csv(seeds, CORRECTIONS, list(_corrections(source)))
    _write_csv(
        seeds,
        ROTATIONS,
        [
            (rotation, team, services, None, None, None, None, None, shift_hours, None, None, None)
            for rotation, team, services, shift_hours in oncall.ROTATIONS
        ],
    )
    _write_csv(seeds, JOURNEYS, experience.JOURNEYS)
    _write_csv(seeds, OV_QUARTERS, outcomes.closed_quarters(Period(source.days)))
    _write_csv(seeds, KPIS, outcomes.kpis())
    _write_csv(seeds, DECISION_LOG, outcomes.DECISIONS_MADE)
    _write_csv(seeds, AUDIT_ANSWERS, outcomes.AUDIT_ANSWERS_GIVEN)
    _write_csv(seeds, TEAMS, [(team.name, team.parent, team.time_zone) for team in organisation.TEAMS])
    slos = seeds / FOLDER
    slos.mkdir(exist_ok=True)
    for definition in sorted((Path(__file__).parent / FOLDER).glob("*.yaml")):
        shutil.copyfile(definition, slos / definition.name)
    file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return file


def _corrections(source: DemoSource) -> Iterator[tuple]:
    """Rows of corrections.csv: one deployment that no alert told of, and one that was not to blame."""
    delivery = Delivery(organisation.SERVICES[3], Period(source.days), source.seed)
    shipped = [item for item in delivery.deployments if item.environment == "production" and item.status == "success"]
    silent = next(item for item in shipped[5:] if item not in [failure.deployment for failure in delivery.failures])
    blamed = delivery.failures[0].deployment
    yield (
        silent.finished_at + timedelta(days=2),
        "incident reviewer",
        "Support tickets show wrong prices for an hour; no alert fired.",
        "deployment_failed",
        f"{source.name}/{silent.deployment_id}",
        None,
        "degradation",
    )
    yield (
        blamed.finished_at + timedelta(days=3),
        "service owner",
        "The review found a full disk of the database, not this deployment.",
        "deployment_not_failed",
        f"{source.name}/{blamed.deployment_id}",
        None,
        None,
    )


def _write_csv(folder: Path, table: Table, rows: Iterable[tuple]) -> None:
    with (folder / f"{table.name}.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(column.name for column in table.columns)
        writer.writerows(rows)


def _frame(table: Table, rows: list[Row] | pl.DataFrame) -> pl.DataFrame:
    """Rows in the contract's types, with those of its columns that the demo fills."""
    types = {column.name: POLARS_TYPES[column.type] for column in table.columns}
    if isinstance(rows, pl.DataFrame):
        return rows.select(pl.col(name).cast(type_) for name, type_ in types.items() if name in rows.columns)
    return pl.DataFrame(rows, schema=types)


def _generator_version() -> str:
    """Changes with any line of the generator."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
