"""Files that other systems write → raw tables: one folder a table, or a system whose objects they hold, in a local
folder or an object store.

A ledger (raw.landing_files) remembers what has been taken. Everything about one file, its rows, its quarantine and its
ledger entry, commits together.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import duckdb

from dagster_project import routes
from dagster_project.contracts import RAW_TABLES, Table
from dagster_project.errors import ConfigurationError
from dagster_project.extract.landing_formats import (
    ALLOWED_ENDINGS,
    ALLOWED_PAYLOAD_ENDINGS,
    CONTENT_ERRORS,
    PAYLOAD_FORMATS,
    TABLE_FORMATS,
    LandedFile,
    Reading,
    UnreadableError,
    format_of,
    nothing,
    readings,
)
from dagster_project.extract.landing_payloads import SYSTEMS, payload_readings
from dagster_project.extract.landing_places import ChangedError, File, LocalFolder, ObjectStore, private_folder
from dagster_project.extract.payloads import Names
from dagster_project.load import Batch, Fingerprint, Rejected, stage, store
from dagster_project.load_files import insert, is_insertable, settle
from dagster_project.reference import route_rules
from dagster_project.settings import LandingSource, Settings
from dagster_project.warehouse import remove_open_batches, transaction

TABLES = {table.name: table for table in RAW_TABLES}
FOLDERS = (*TABLES, *SYSTEMS)
# What writers call files that are not finished, or no data.
IGNORED_STARTS = (".", "_")
IGNORED_ENDS = (".tmp", ".part", ".partial")

log = logging.getLogger(__name__)


def extract(source: LandingSource, settings: Settings, connection: duckdb.DuckDBPyConnection) -> list[Batch]:
    """Take every file that is new or has changed since it was taken, by name; one batch a file and table.

    A changed file corrects rows by their key; rows that it no longer has stay. Raises ConfigurationError for a local
    folder that is not there, PlumblineError for an object store that does not answer.
    """
    routes.use_in(connection, route_rules(connection, settings.reference_dir))
    place = _place(source)
    offered, problems = _offered(place.files())
    landing = _Landing(source, settings, connection, place)
    for problem in problems:
        log.warning("%s: %s", landing.location, problem)
    new = [file for file in offered if not landing.has_taken(file)]
    settled = place.settled(new)
    for file in new:
        if file not in settled:
            log.warning("%s: left alone for now, since it is still being written", landing.origin(file))
    batches = []
    with private_folder(settings.data_dir) as spool:
        for file in settled:
            try:
                batches += landing.take(file, spool)
            except ChangedError:
                log.warning("%s: left alone for now, since it changed while it was read", landing.origin(file))
            except OSError as error:
                log.warning(
                    "%s: left alone, since it cannot be read: %s", landing.origin(file), error.strerror or error
                )
    return batches


def list_files(source: LandingSource) -> list[File]:
    """The files that lie in the folders of tables, taken before or not, by name. Raises as extract does."""
    return _offered(_place(source).files())[0]


def _place(source: LandingSource) -> LocalFolder | ObjectStore:
    if "://" in source.location:
        return ObjectStore(source.location)
    folder = Path(source.location)
    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder}: no such folder; create it, and in it a folder for each table that files are for "
            f"({', '.join(TABLES)}), or correct the location of the landing source"
        )
    return LocalFolder(folder, source.settle_seconds)


def _portable(location: str, settings: Settings) -> str:
    """The location in words that stay true when the installation is moved as a whole."""
    return location.rstrip("/") if "://" in location else os.path.relpath(location, settings.config_file.parent)


def _offered(files: list[File]) -> tuple[list[File], list[str]]:
    """The files to be taken, by name; and a line for each that is neither that nor meant to be ignored."""
    offered, problems = [], {}
    for file in sorted(files, key=lambda file: file.name):
        folder, *rest = file.name.split("/")
        if any(part.startswith(IGNORED_STARTS) or part.endswith(IGNORED_ENDS) for part in (folder, *rest)):
            continue
        if not file.name.isprintable():
            problems[file.name] = f"{file.name!a} is left alone, since its name cannot be printed; rename it"
        elif "@" in file.name or "%40" in file.name:
            # Names are kept and logged, and people are not.
            problems["@"] = "a file whose name has an @, as addresses have, is left alone; rename it"
        elif not rest:
            problems[folder] = f"{folder} is left alone; put it into the folder of its table: {', '.join(FOLDERS)}"
        elif folder not in FOLDERS:
            problems[folder] = f"{folder}/ is left alone, since no table is called so; allowed: {', '.join(FOLDERS)}"
        elif not _is_readable(file.name, folder):
            allowed = ALLOWED_PAYLOAD_ENDINGS if folder in SYSTEMS else ALLOWED_ENDINGS
            problems[file.name] = f"{file.name} is left alone, since its ending is unknown; allowed: {allowed}"
        else:
            offered.append(file)
    return offered, list(problems.values())


def _is_readable(name: str, folder: str) -> bool:
    found = format_of(name)
    return found is not None and found[0] in (PAYLOAD_FORMATS if folder in SYSTEMS else TABLE_FORMATS)


class _Landing:
    """One location and its part of the ledger."""

    def __init__(
        self,
        source: LandingSource,
        settings: Settings,
        connection: duckdb.DuckDBPyConnection,
        place: LocalFolder | ObjectStore,
    ) -> None:
        self._source = source
        self._retention_days = settings.retention_days
        self._maximum_routes = settings.maximum_routes
        self._connection = connection
        self._place = place
        self.location = _portable(source.location, settings)
        rows = connection.execute(
            "select name, bytes, version, checksum from raw.landing_files where location = ?", [self.location]
        ).fetchall()
        self._taken = {File(name, size, version) for name, size, version, _ in rows}
        self._checksums = {name: checksum for name, *_, checksum in rows}

    def origin(self, file: File) -> str:
        return f"{self.location}/{file.name}"

    def has_taken(self, file: File) -> bool:
        return file in self._taken

    def take(self, file: File, spool: Path) -> list[Batch]:
        """Load one file, unless it holds what was taken before. Raises ChangedError, having kept nothing of it."""
        with self._place.fetch(file, spool) as path:
            folder, *inner, _ = file.name.split("/")
            system = SYSTEMS.get(folder)
            table = TABLES[system.tables[0] if system else folder]
            landed = LandedFile(
                path, self.origin(file), file.name, table, *format_of(file.name), self._source.maximum_line_bytes
            )
            checksum = landed.survey.checksum
            if self._checksums.get(file.name) == checksum:
                self._note_version(file)
                return []
            try:
                if system:
                    names = Names(self._source.services, self._source.environments, inner[0] if inner else None)
                    batches = self._commit_all(file, checksum, payload_readings(landed, system, names))
                else:
                    batches = [self._take_rows(file, checksum, landed, spool)]
            except UnreadableError as error:
                log.warning("%s: refused: %s", landed.origin, error)
                reading = nothing([Rejected(file.name, f"refused: {error}", Fingerprint.of_file(path))])
                stage(self._connection, table, reading.rows, self._source.name)
                batches = [self._commit(file, checksum, table, reading, "refused")]
            if not any(batch.read for batch in batches):
                log.warning("%s: empty", landed.origin)
            return batches

    def _take_rows(self, file: File, checksum: str, landed: LandedFile, spool: Path) -> Batch:
        """Load the rows of a file in the first way that works."""
        # What comes again is mostly what is stored already; then one pass is no gain.
        is_new = file.name not in self._checksums
        for reading in readings(landed, self._connection, spool):
            try:
                can_insert = is_new and reading.rows_at and is_insertable(landed.table, file.size)
                if can_insert and (batch := self._insert(file, checksum, landed.table, reading)):
                    return batch
                stage(self._connection, landed.table, reading.rows, self._source.name, self._retention_days)
            except CONTENT_ERRORS as error:
                log.info("%s: holds errors, so that it is read line by line", landed.origin)
                failure = error
            else:
                return self._commit(file, checksum, landed.table, reading)
        raise failure

    def _insert(self, file: File, checksum: str, table: Table, reading: Reading) -> Batch | None:
        """The rows in one pass; None if that is not the way for them."""
        try:
            inserted = insert(
                self._connection,
                table,
                reading.rows,
                reading.rows_at,
                reading.sample() if reading.sample else reading.rows,
                self._source.name,
                self._retention_days,
                self._maximum_routes,
            )
            if inserted is None:
                return None
            with transaction(self._connection):
                batch = settle(
                    self._connection,
                    table,
                    inserted,
                    source=self._source.name,
                    origin=self.origin(file),
                    places=reading.places,
                )
                self._note(file, checksum, batch, "taken" if batch.read else "empty")
        except BaseException:
            remove_open_batches(self._connection)
            raise
        return batch

    def _commit(self, file: File, checksum: str, table: Table, reading: Reading, status: str = "taken") -> Batch:
        with transaction(self._connection):
            batch = self._store(file, table, reading)
            self._note(file, checksum, batch, status if batch.read else "empty")
        return batch

    def _commit_all(self, file: File, checksum: str, readings: dict[str, Reading]) -> list[Batch]:
        """Rows of several tables, and what this file had in quarantine of others, in one transaction."""
        names = list(readings)
        refused = self._connection.execute(
            "select distinct table_name from raw.quarantine where origin = ?", [self.origin(file)]
        ).fetchall()
        with transaction(self._connection):
            batches = []
            for name, reading in readings.items():
                if name == names[0] or reading.rows != nothing().rows or (name,) in refused:
                    stage(self._connection, TABLES[name], reading.rows, self._source.name, self._retention_days)
                    batches.append(self._store(file, TABLES[name], reading))
            self._note(file, checksum, batches[0], "taken" if any(batch.read for batch in batches) else "empty")
        return batches

    def _store(self, file: File, table: Table, reading: Reading) -> Batch:
        folded = routes.hold(self._connection, table, self._maximum_routes)
        batch = store(
            self._connection,
            table,
            source=self._source.name,
            origin=self.origin(file),
            places=reading.places,
            rejected=reading.rejected,
        )
        for routes_of_a_service in folded:
            log.warning("%s: %s", batch.origin, routes_of_a_service)
        return replace(batch, warnings=tuple(map(str, folded)))

    def _note(self, file: File, checksum: str, batch: Batch, status: str) -> None:
        """Into the ledger, as the last thing of the transaction."""
        self._connection.execute(
            "delete from raw.landing_files where location = ? and name = ?", [self.location, file.name]
        )
        self._connection.execute(
            "insert into raw.landing_files values (?, ?, ?, ?, ?, ?, ?, ?, now()::timestamp)",
            [self.location, file.name, batch.table, file.size, file.version, checksum, status, batch.batch_id],
        )
        self._place.demand_unchanged(file)

    def _note_version(self, file: File) -> None:
        self._place.demand_unchanged(file)
        self._connection.execute(
            "update raw.landing_files set version = ? where location = ? and name = ?",
            [file.version, self.location, file.name],
        )
