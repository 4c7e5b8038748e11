"""Files that other systems write → raw tables: one folder a table under a local folder or an object store.

A ledger (raw.landing_files) remembers what has been taken. Everything about one file, its rows, its quarantine and its
ledger entry, commits together.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import duckdb

from dagster_project.contracts import RAW_TABLES, TABLES
from dagster_project.errors import ConfigurationError
from dagster_project.extract.landing_formats import NO_ROWS, Content, Reading, Unreadable, readings
from dagster_project.extract.landing_places import File, LocalFolder, ObjectStore, Place
from dagster_project.load import Batch, Fingerprint, Rejected, load
from dagster_project.settings import LandingSource, Settings
from dagster_project.warehouse import transaction

FORMATS = {".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv", ".parquet": "parquet"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
# Names that writers give to what is not finished, or not data.
IGNORED_STARTS = (".", "_")
IGNORED_ENDS = (".tmp", ".part", ".partial")

log = logging.getLogger(__name__)


class _StillWritten(Exception):
    """The file changed while it was read."""


def extract(source: LandingSource, settings: Settings, connection: duckdb.DuckDBPyConnection) -> list[Batch]:
    """Load every file that is new or has changed since it was taken, in the order of their names; one batch a file.

    A changed file corrects its rows by key; rows that it no longer has stay. Raises ConfigurationError for a local
    folder that does not exist, PlumblineError for an object store that does not answer.
    """
    location = _portable(source.location, settings)
    ledger = {
        name: (size, version, checksum)
        for name, size, version, checksum in connection.execute(
            "select name, bytes, version, checksum from raw.landing_files where location = ?", [location]
        ).fetchall()
    }
    batches = []
    with _place(source) as place:
        found = place.files()
        for problem in _problems(found):
            log.warning("%s: %s", location, problem)
        new = [file for file in _takeable(found) if ledger.get(file.name, ())[:2] != (file.size, file.version)]
        for file in _settled(place, new, location):
            taker = _Taker(connection, source, settings, place, file, location)
            try:
                batch = taker.take(ledger.get(file.name))
            except OSError as error:
                log.warning("%s/%s: left alone: %s", location, file.name, error.strerror or type(error).__name__)
            except _StillWritten:
                log.warning("%s/%s: left alone: it was changed while it was read", location, file.name)
            else:
                batches += [batch] if batch else []
    return batches


def list_files(source: LandingSource) -> list[File]:
    """The files that a table's folder offers now, taken before or not, in the order of their names."""
    with _place(source) as place:
        return _takeable(place.files())


def _place(source: LandingSource) -> Place:
    if "://" in source.location:
        return ObjectStore(source.location)
    folder = Path(source.location)
    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder}: no such folder; create it, with one folder a table in it ({_tables()}), or correct "
            "the location of the landing source"
        )
    return LocalFolder(folder, source.settle_seconds)


def _portable(location: str, settings: Settings) -> str:
    """The location as the ledger names it: it stays the same when the whole installation is moved."""
    return location if "://" in location else os.path.relpath(location, settings.config_file.parent)
