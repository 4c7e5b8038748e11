"""`plumbline doctor`: what would stop a run, and how to mend it. Reads only."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from rich.console import Console

from dagster_project.errors import PlumblineError
from dagster_project.extract import landing
from dagster_project.extract.git import open_clone
from dagster_project.people import KEY_FILE, SALT_VARIABLE, people_of
from dagster_project.profiles import dbt_vars
from dagster_project.reference import load_reference
from dagster_project.settings import PROJECT_DIR, GitSource, LandingSource, Settings, Source, load_settings
from dagster_project.warehouse import Warehouse, scratch

MINIMUM_FREE_BYTES = 2**30


@dataclass(frozen=True)
class Finding:
    """One checked thing: `problem` is empty where all is well, else says what is wrong and how to mend it."""

    subject: str
    detail: str = ""
    problem: str = ""
    exit_code: int = 0


def diagnose(config: Path | None = None) -> list[Finding]:
    """Every check in order; those of an installation only once its configuration is right."""
    findings = [_checked("Python packages", _packages), _checked("git", _git)]
    try:
        settings = load_settings(config)
    except PlumblineError as error:
        return [*findings, Finding("configuration", problem=str(error), exit_code=error.exit_code)]
    findings.append(Finding("configuration", str(settings.config_file)))
    findings.append(_checked("variables", lambda: ", ".join(dbt_vars(settings)) or "the defaults"))
    findings += [
        _checked(f"source {source.kind} {source.name}", lambda source=source: _source(source, settings))
        for source in settings.distinct_sources
    ]
    findings += [
        _checked("reference data", lambda: _reference(settings)),
        _checked("people key", lambda: _people_key(settings)),
        _checked("disk", lambda: _disk(settings)),
        _checked("warehouse", lambda: _warehouse(settings)),
    ]
    return findings


def show(findings: list[Finding]) -> None:
    console = Console()
    for finding in findings:
        mark = "✗" if finding.problem else "✓"
        console.print(
            f"{mark} {finding.subject}: {finding.problem or finding.detail}",
            style="red" if finding.problem else None,
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _checked(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, check())
    except PlumblineError as error:
        return Finding(subject, problem=str(error), exit_code=error.exit_code)
    except OSError as error:
        return Finding(subject, problem=f"{error.filename}: {error.strerror}", exit_code=PlumblineError.exit_code)


def _packages() -> str:
    wrong = []
    locked = dict(_locked(PROJECT_DIR / "requirements.lock"))
    for name, wanted in locked.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not installed"
        if found != wanted:
            wrong.append(f"{name} {wanted} is locked, {found} found")
    if wrong:
        raise PlumblineError(f"{'; '.join(wrong)}. Run `make setup`")
    return f"{len(locked)} as locked, on Python {sys.version.split()[0]}"


def _locked(lock: Path) -> Iterator[tuple[str, str]]:
    """Name and version of every requirement of the lock that applies to this machine."""
    environment = default_environment()
    for line in re.findall(r"^[a-z0-9][^\\#\n]*==[^\\#\n]*", lock.read_text(encoding="utf-8"), re.MULTILINE):
        requirement = Requirement(line.strip())
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement.name, next(iter(requirement.specifier)).version


def _git() -> str:
    if found := shutil.which("git"):
        return found
    raise PlumblineError("no git on PATH; install it")


def _source(source: Source, settings: Settings) -> str:
    if isinstance(source, GitSource):
        with scratch() as connection:
            clone = open_clone(source, settings, connection)
        return f"{len(clone.deployments):,} deployments in {clone.repository.path}"
    if isinstance(source, LandingSource):
        return f"{len(landing.list_files(source)):,} files in {source.location}"
    return "generated, nothing to reach"


def _reference(settings: Settings) -> str:
    with scratch() as connection:
        rows = load_reference(connection, settings.reference_dir)
    return ", ".join(f"{count} {name}" for name, count in rows.items())


def _people_key(settings: Settings) -> str:
    file = settings.data_dir / KEY_FILE
    if not os.environ.get(SALT_VARIABLE):
        if not file.exists():
            return f"{file} will be made by the first run"
        if file.stat().st_mode & 0o077:
            raise PlumblineError(f"{file}: readable by others; run chmod 600 on it")
    people_of(settings.data_dir)
    return f"from {SALT_VARIABLE if os.environ.get(SALT_VARIABLE) else file}"


def _disk(settings: Settings) -> str:
    folder = next(folder for folder in (settings.data_dir, *settings.data_dir.parents) if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise PlumblineError(f"{folder}: not a folder that can be written to; correct data_dir")
    free = shutil.disk_usage(folder).free
    build_file = settings.warehouse_file
    # A build rewrites the marts beside the old ones, and a publication copies them.
    needed = max(MINIMUM_FREE_BYTES, 2 * build_file.stat().st_size if build_file.exists() else 0)
    if free < needed:
        raise PlumblineError(f"{folder}: {free / 2**30:.1f} GiB free, a run may need {needed / 2**30:.1f}; make room")
    return f"{free / 2**30:.1f} GiB free in {folder}"


def _warehouse(settings: Settings) -> str:
    warehouse = Warehouse(settings)
    if held := warehouse.is_locked():
        raise PlumblineError(held)
    if not warehouse.file.exists():
        return f"{warehouse.file} will be made by the first run"
    with warehouse.connect(read_only=True):
        return str(warehouse.file)
