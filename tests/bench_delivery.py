"""`make bench`: raw tables to delivery marts, beyond what the same dbt command takes on empty raw tables (start-up)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import duckdb

from dagster_project.definition_version import with_version
from dagster_project.settings import DBT_DIR
from dagster_project.warehouse import create_tables
from tests.delivery_volume import DAYS, PULL_REQUESTS, History

REPETITIONS = 3
# With all that they need; scorecards, audits and what reads other events are no part of the figures.
DELIVERY_MARTS = [
    "+fct_changes",
    "+fct_pull_requests",
    "+fct_deployment_failures",
    "+fct_deployments",
    "+fct_incidents",
    "+delivery_daily",
    "+delivery_weekly",
    "+delivery_monthly",
    "+delivery_quarterly",
    "+team_delivery_monthly",
]


class Measured(NamedTuple):
    """One dbt process: wall seconds, CPU seconds, peak memory in GiB."""

    wall: float
    cpu: float
    peak: float


def dbt_run(build_file: Path, *arguments: str) -> Measured:
    """`dbt run` on a copy of a build file. Tests are not part of the figure."""
    # Under the same name, which is that of the database in the SQL of its views.
    copy = build_file.parent / "measured" / build_file.name
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(build_file, copy)
    started = time.perf_counter()
    process = subprocess.Popen(dbt_command(copy.parent, "run", *arguments), cwd=DBT_DIR, env=dbt_environment(copy))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Measured(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)


def dbt_build(build_file: Path, *arguments: str) -> None:
    """`dbt build` of the file itself: only after one with its tests may the next build update the tables."""
    command = dbt_command(build_file.parent, "build", "--exclude-resource-type", "unit_test", *arguments)
    subprocess.run(command, cwd=DBT_DIR, env=dbt_environment(build_file), check=True)


def dbt_command(folder: Path, *arguments: str) -> list:
    dbt = Path(sys.executable).with_name("dbt")
    return [dbt, "--quiet", *arguments, "--target-path", folder / "target", "--log-path", folder / "logs"]


def dbt_environment(build_file: Path) -> dict[str, str]:
    return {**os.environ, "PLUMBLINE_WAREHOUSE": str(build_file)}


def typical(build_file: Path, *arguments: str) -> Measured:
    """The median of several runs, of each figure by itself."""
    runs = [dbt_run(build_file, *arguments) for _ in range(REPETITIONS)]
    return Measured(*(median(values) for values in zip(*runs, strict=True)))


def delivery_models(folder: Path) -> None:
    empty, volume, tenfold = (folder / f"{name}.duckdb" for name in ("empty", "volume", "tenfold"))
    with duckdb.connect(empty) as connection:
        create_tables(connection)
    marts = ("--select", *DELIVERY_MARTS)
    start_up = typical(empty, *marts)
    print(f"dbt run, empty raw tables (start-up): {start_up.wall:.1f} s, {start_up.cpu:.1f} s of CPU")

    def beyond(what: str, measured: Measured, baseline: Measured = start_up) -> Measured:
        beyond = Measured(measured.wall - baseline.wall, measured.cpu - baseline.cpu, measured.peak)
        print(
            f"dbt run, {what}: {measured.wall:.1f} s, beyond start-up {beyond.wall:.2f} s "
            f"({beyond.cpu:.2f} s of CPU), peak {beyond.peak:.2f} GiB",
            flush=True,
        )
        return beyond

    history = History()
    history.load(volume)
    full = beyond(f"{PULL_REQUESTS:,} pull requests", typical(volume, *marts))
    variables = ("--vars", json.dumps(with_version({})))
    for build_file in (empty, volume):
        dbt_build(build_file, *variables)
    no_news = typical(empty, *marts, *variables)
    for what, is_corrected in (("one more day", False), ("one more day, and old rows corrected", True)):
        history.load(volume, DAYS + 1, is_corrected)
        update = beyond(what, typical(volume, *marts, *variables), no_news)
        print(f"  {update.wall / full.wall:.2f} of the full build ({update.cpu / full.cpu:.2f} of its CPU)", flush=True)
    History(10 * PULL_REQUESTS).load(tenfold)
    tenfold_full = beyond(f"{10 * PULL_REQUESTS:,} pull requests", dbt_run(tenfold, *marts))
    print(f"  {tenfold_full.wall / full.wall:.1f} times as long ({tenfold_full.cpu / full.cpu:.1f} times the CPU)")
