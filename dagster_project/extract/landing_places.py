"""Where landing files lie: a local folder, or an object store whose objects are copied to a private folder first."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from dagster_project.errors import ConfigurationError, PlumblineError

RETRIES = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}


class ChangedError(Exception):
    """The file changed after it was listed; what was read of it may be torn."""


@dataclass(frozen=True)
class File:
    """A file as its place lists it: its path below the place, bytes, and a text that any change of it changes."""

    name: str
    size: int
    version: str


class LocalFolder:
    """A folder of this machine. A file changed less than `settle_seconds` ago may still be written."""

    def __init__(self, folder: Path, settle_seconds: float) -> None:
        self._folder = folder
        self._settle_seconds = settle_seconds

    def files(self) -> list[File]:
        return [self._file(path) for path in self._folder.rglob("*") if path.is_file()]

    def settled(self, files: Sequence[File]) -> list[File]:
        """The files that do not change any more; waits once, at most `settle_seconds`, for the youngest."""
        youngest = max((int(file.version.split("-")[0]) for file in files), default=0)
        wait = youngest / 1e9 + self._settle_seconds - time.time()
        if wait > 0:
            time.sleep(min(wait, self._settle_seconds))
        return [file for file in files if self._is_unchanged(file)]

    @contextmanager
    def fetch(self, file: File, spool: Path) -> Iterator[Path]:
        """A context in which the file lies at a local path."""
        yield self._folder / file.name

    def demand_unchanged(self, file: File) -> None:
        """Raises ChangedError if the file is not the one that was listed."""
        if not self._is_unchanged(file):
            raise ChangedError

    def _file(self, path: Path) -> File:
        stat = path.stat()
        # The change time (ctime) also tells of a write whose writer sets the modification time back.
        return File(path.relative_to(self._folder).as_posix(), stat.st_size, f"{stat.st_mtime_ns}-{stat.st_ctime_ns}")

    def _is_unchanged(self, file: File) -> bool:
        try:
            return self._file(self._folder / file.name) == file
        except OSError:
            return False


class ObjectStore:
    """A bucket or a folder in one, by URL; credentials come from the environment alone. Objects appear there whole."""

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            self._store = from_url(url, retry_config=RETRIES)
        except (BaseError, ValueError):
            raise ConfigurationError(
                f"{url}: cannot be opened; a landing location is a local folder, s3://bucket/folder, "
                "gs://bucket/folder, az://account/container/folder, or file:///folder where that is"
            ) from None

    def files(self) -> list[File]:
        with self._explained():
            return [self._file(entry) for chunk in obstore.list(self._store) for entry in chunk]

    def settled(self, files: Sequence[File]) -> list[File]:
        return list(files)

    @contextmanager
    def fetch(self, file: File, spool: Path) -> Iterator[Path]:
        """A context in which the object lies in the folder `spool`. Raises ChangedError if it is not the one listed."""
        copy = spool / Path(file.name).name
        try:
            with self._explained(), copy.open("wb") as out:
                content = obstore.get(self._store, file.name)
                for piece in content.stream():
                    out.write(piece)
            if self._file(content.meta) != file or copy.stat().st_size != file.size:
                raise ChangedError
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def demand_unchanged(self, file: File) -> None:
        """The copy was compared when it was made."""

    def _file(self, entry) -> File:
        return File(entry["path"], entry["size"], entry["e_tag"] or entry["last_modified"].isoformat())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except NotFoundError:
            raise PlumblineError(f"{self._url}: no such bucket or object; correct the landing location") from None
        except BaseError as error:
            # Of the store's own message no more than this: it may hold a signed URL.
            status = re.search(r"status code: (\d+)", str(error))
            problem = f"HTTP status {status[1]}" if status else type(error).__name__
            raise PlumblineError(
                f"{self._url}: cannot be read ({problem}); check the address, the network, and the credentials in the "
                "environment"
            ) from None


@contextmanager
def private_folder(installation: Path) -> Iterator[Path]:
    """A folder outside data_dir, for its owner alone, since copies hold people in the clear; removed at the end.

    What a killed run of the same installation has left is removed first.
    """
    prefix = f"plumbline-{hashlib.sha256(str(installation).encode()).hexdigest()[:12]}-"
    for leftover in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        yield Path(folder)
