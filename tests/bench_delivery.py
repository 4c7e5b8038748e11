"""`make bench`: raw tables to delivery marts, beyond what the same dbt command takes on empty raw tables (start-up)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import duckdb

from dagster_project.definition_version import with_version
from dagster_project.settings import DBT_DIR
from dagster_project.warehouse import BUILD_FILE_OPTIONS, create_tables
from tests.delivery_volume import DAYS, PULL_REQUESTS, History

TIMED_DBT = Path(__file__).with_name("timed_dbt.py")
REPETITIONS = 6
# What an update takes is less than what start-ups differ by.
UPDATE_REPETITIONS = 12
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


Taken = TypeVar("Taken")


class Measured(NamedTuple):
    """One dbt process: wall seconds, CPU seconds, peak memory in GiB."""

    wall: float
    cpu: float
    peak: float


def dbt_run(build_file: Path, *arguments: str) -> Measured:
    """`dbt run` on a copy of a build file. Tests are not part of the figure."""
    copy = copy_to_measure(build_file)
    started = time.perf_counter()
    process = subprocess.Popen(dbt_command(copy.parent, "run", *arguments), cwd=DBT_DIR, env=dbt_environment(copy))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Measured(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)


def copy_to_measure(build_file: Path) -> Path:
    # Under the same name, which is that of the database in the SQL of its views; in a folder of its own, since dbt
    # reads the project anew where the last run of a folder was on another file.
    copy = build_file.parent / "measured" / build_file.stem / build_file.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(build_file, copy)
    # Else what the system has yet to write of the copy is written while dbt waits for its own writes.
    with copy.open("rb") as written:
        os.fsync(written.fileno())
    return copy


def in_the_database(what: str, build_file: Path, empty: Path, *arguments: str) -> float:
    """Seconds of `dbt run` that are the database's, beyond those on empty raw tables, one model after the other: of
    each call the least of several runs, in turn. For figures below what start-ups differ by: of an hour's update the
    whole takes 0.24 to 1.1 s more than its start-up, and the least of five such runs still 0.24 or 0.46 s."""
    measured, start_ups = in_turn(calls_to_the_database, build_file, empty, *arguments, repetitions=REPETITIONS)
    start_up = least_of_each(start_ups)
    beyond = least_of_each(measured) - start_up
    print(f"{what}, in the database: {beyond:.3f} s beyond {start_up:.2f} s", flush=True)
    return beyond


def least_of_each(runs: Sequence[list[tuple[str, float]]]) -> float:
    total = 0.0
    for calls in zip(*runs, strict=True):
        assert len({node for node, _ in calls}) == 1, "the runs differ in the order of their calls"
        total += min(seconds for _, seconds in calls)
    return total


def calls_to_the_database(build_file: Path, *arguments: str) -> list[tuple[str, float]]:
    """The node and the seconds of each call."""
    copy = copy_to_measure(build_file)
    report = copy.with_name("seconds.json")
    dbt_arguments = dbt_command(copy.parent, "run", "--threads", "1", *arguments)[1:]
    command = [sys.executable, TIMED_DBT, report, *dbt_arguments]
    subprocess.run(command, cwd=DBT_DIR, env=dbt_environment(copy), check=True)
    return json.loads(report.read_text())


def dbt_build(build_file: Path, *arguments: str) -> None:
    """`dbt build` of the file itself: only after one with its tests may the next build update the tables."""
    command = dbt_command(build_file.parent, "build", "--exclude-resource-type", "unit_test", *arguments)
    subprocess.run(command, cwd=DBT_DIR, env=dbt_environment(build_file), check=True)


def dbt_command(folder: Path, *arguments: str) -> list:
    dbt = Path(sys.executable).with_name("dbt")
    return [dbt, "--quiet", *arguments, "--target-path", folder / "target", "--log-path", folder / "logs"]


def dbt_environment(build_file: Path) -> dict[str, str]:
    return {**os.environ, "PLUMBLINE_WAREHOUSE": str(build_file)}


def in_turn(
    run: Callable[..., Taken], build_file: Path, empty: Path, *arguments: str, repetitions: int
) -> tuple[tuple[Taken, ...], tuple[Taken, ...]]:
    """What several runs on a build file take, and what as many on empty raw tables do."""
    pairs = ((run(build_file, *arguments), run(empty, *arguments)) for _ in range(repetitions))
    measured, start_ups = zip(*pairs, strict=True)
    return measured, start_ups


def beyond_start_up(
    what: str, build_file: Path, empty: Path, *arguments: str, repetitions: int = REPETITIONS
) -> Measured:
    """What a dbt command takes on a build file beyond the same one on empty raw tables: the least of several runs of
    each, in turn, since whatever else a machine does only adds to them (a start-up of 7 s is 10 s some minutes later),
    and the first run in a folder reads the project anew; the highest peak."""
    measured, start_ups = in_turn(dbt_run, build_file, empty, *arguments, repetitions=repetitions)
    start_up = min(run.wall for run in start_ups)
    beyond = Measured(
        min(run.wall for run in measured) - start_up,
        min(run.cpu for run in measured) - min(run.cpu for run in start_ups),
        max(run.peak for run in measured),
    )
    print(
        f"dbt run, {what}: {beyond.wall:.2f} s ({beyond.cpu:.2f} s of CPU) beyond a start-up of {start_up:.1f} s, "
        f"peak {beyond.peak:.2f} GiB",
        flush=True,
    )
    return beyond


def delivery_models(folder: Path) -> None:
    empty, volume, tenfold = (folder / f"{name}.duckdb" for name in ("empty", "volume", "tenfold"))
    with duckdb.connect(empty, config=BUILD_FILE_OPTIONS) as connection:
        create_tables(connection)
    marts = ("--select", *DELIVERY_MARTS)
    history = History()
    history.load(volume)
    full = beyond_start_up(f"{PULL_REQUESTS:,} pull requests", volume, empty, *marts)
    variables = ("--vars", json.dumps(with_version({})))
    for build_file in (empty, volume):
        dbt_build(build_file, *variables)
    for what, is_corrected in (("one more day", False), ("one more day, and old rows corrected", True)):
        history.load(volume, DAYS + 1, is_corrected)
        update = beyond_start_up(what, volume, empty, *marts, *variables, repetitions=UPDATE_REPETITIONS)
        print(f"  {update.wall / full.wall:.2f} of the full build ({update.cpu / full.cpu:.2f} of its CPU)", flush=True)
    # Last, since this process then takes gigabytes, which the system counts to the peak of those that it starts.
    History(10 * PULL_REQUESTS).load(tenfold)
    more = beyond_start_up(f"{10 * PULL_REQUESTS:,} pull requests", tenfold, empty, *marts, repetitions=3)
    print(f"  {more.wall / full.wall:.1f} times as long ({more.cpu / full.cpu:.1f} times the CPU)", flush=True)
