"""Sources → schemas raw and restricted, reference folder → schema reference."""

import logging
from collections import defaultdict

import duckdb
from dagster import (
    AssetKey,
    AssetSpec,
    Backoff,
    Failure,
    MaterializeResult,
    RetryPolicy,
    multi_asset,
)

from dagster_project import contexts
from dagster_project.contracts import (
    ASSESSMENTS,
    CALIBRATION_SESSIONS,
    EVIDENCE,
    GROWTH_REVIEWS,
    OV_QUARTERS,
    RAW_TABLES,
    REFERENCE_TABLES,
    RELEASED_TABLES,
    TABLES,
    TEAM_MEMBERS,
    TEAMS,
    Table,
)
from dagster_project.errors import ConfigurationError
from dagster_project.extract import demo, git, landing
from dagster_project.guard.release import release_closed_quarters
from dagster_project.installation import Installation, stage
from dagster_project.load import Batch, forget_sources
from dagster_project.profiles import minimum_group_size
from dagster_project.reference import load_reference
from dagster_project.settings import Settings, Source
from dagster_project.warehouse import transaction

EXTRACTORS = {"git": git.extract, "landing": landing.extract, "demo": demo.extract}
OWNER = "team:data-platform"
GUARD_INPUTS = (TEAM_MEMBERS, ASSESSMENTS, EVIDENCE, GROWTH_REVIEWS, CALIBRATION_SESSIONS, TEAMS, OV_QUARTERS)

log = logging.getLogger(__name__)


def _spec(table: Table) -> AssetSpec:
    return AssetSpec(
        AssetKey([table.schema, table.name]),
        description=f"{table.description} Key: {', '.join(table.key)}.",
        group_name=table.schema,
        owners=[OWNER],
        kinds={"duckdb", "table"},
    )


@multi_asset(
    name="raw",
    specs=[_spec(table) for table in RAW_TABLES],
    retry_policy=RetryPolicy(max_retries=2, delay=2, backoff=Backoff.EXPONENTIAL),
)
def raw(installation: Installation):
    """Load what is new in every source. Retried when a source fails; what has been loaded is not read again."""
    settings = installation.settings
    batches: dict[str, list[Batch]] = defaultdict(list)
    with installation.warehouse.connect() as connection:
        with transaction(connection):
            for name in forget_sources(connection, RAW_TABLES, [source.name for source in settings.sources]):
                log.warning("%s: no longer in plumbline.yaml; its rows are removed", name)
        for source in settings.distinct_sources:
            with stage(f"extract {source.kind} {source.name}"):
                for batch in _extract(source, settings, connection):
                    batches[batch.table].append(batch)
        with transaction(connection):
            for table in RAW_TABLES:
                contexts.forget_all_unused(connection, table)
        for table in RAW_TABLES:
            (stored,) = connection.sql(f"select count(*) from {table.qualified_name}").fetchone()
            yield MaterializeResult(
                asset_key=AssetKey([table.schema, table.name]),
                metadata={"rows_stored": stored} | _totals(batches[table.name]) | _warnings(batches[table.name]),
            )


def _extract(source: Source, settings: Settings, connection: duckdb.DuckDBPyConnection) -> list[Batch]:
    try:
        batches = EXTRACTORS[source.kind](source, settings, connection)
    except ConfigurationError as error:
        raise Failure(str(error), allow_retries=False) from error
    for batch in batches:
        log.info(
            "%s → %s: %s read = %s loaded + %s duplicate + %s quarantined%s",
            batch.origin,
            TABLES[batch.table].qualified_name,
            f"{batch.read:,}",
            f"{batch.loaded:,}",
            f"{batch.duplicate:,}",
            f"{batch.quarantined:,}",
            f"; {batch.removed:,} removed" if batch.removed else "",
        )
    if not batches:
        log.info("%s: nothing new", source.name)
    return batches


def _totals(batches: list[Batch]) -> dict[str, int]:
    return {
        f"rows_{count}": sum(getattr(batch, count) for batch in batches)
        for count in ("read", "loaded", "duplicate", "quarantined", "removed")
    }


def _warnings(batches: list[Batch]) -> dict[str, str]:
    lines = [f"{batch.origin}: {warning}" for batch in batches for warning in batch.warnings]
    return {"warnings": "\n".join(lines)} if lines else {}


@multi_asset(
    name="guard",
    specs=[
        _spec(table).replace_attributes(deps=[AssetKey([each.schema, each.name]) for each in GUARD_INPUTS])
        for table in RELEASED_TABLES
    ],
)
def guard(installation: Installation):
    """Decide what is published of each closed quarter, once; published quarters stay as they are."""
    smallest = minimum_group_size(installation.settings)
    with stage("guard"), installation.warehouse.connect() as connection:
        with transaction(connection):
            notes = release_closed_quarters(connection, smallest)
        for note in notes:
            log.warning("%s", note)
        for table in RELEASED_TABLES:
            (rows,) = connection.sql(f"select count(*) from {table.qualified_name}").fetchone()
            yield MaterializeResult(asset_key=AssetKey([table.schema, table.name]), metadata={"rows_stored": rows})


@multi_asset(name="reference", specs=[_spec(table) for table in REFERENCE_TABLES])
def reference(installation: Installation):
    """Replace the reference tables by the files of the reference folder, if every row of them is right."""
    with stage("load reference data"), installation.warehouse.connect() as connection:
        for name, rows in load_reference(connection, installation.settings.reference_dir).items():
            yield MaterializeResult(asset_key=AssetKey(["reference", name]), metadata={"rows_stored": rows})
