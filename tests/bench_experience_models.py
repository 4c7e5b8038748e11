"""`make bench`: beacons to sessions, web vitals and journeys, beside DuckDB's bare reading of the same beacons.

Alone, at another size: `python -m tests.bench_experience_models 2000000`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from dagster_project.contracts import RUM_EVENTS
from dagster_project.definition_version import with_version
from dagster_project.warehouse import BUILD_FILE_OPTIONS, create_tables
from tests.bench_delivery import Measured, beyond_start_up, dbt_build, dbt_run
from tests.experience_volume import Traffic

BEACONS = 20_000_000
DAYS = 60
# Of the comparison of one more day after a short and a long history.
BEACONS_A_DAY = 50_000
HISTORIES = (30, 365)


def bare_reading(build_file: Path) -> float:
    """Seconds of DuckDB's `create table as select from read_json` over the beacons of a build file as NDJSON, with ids
    as long as browsers make them."""
    beacons, bare = build_file.with_name("beacons.ndjson"), build_file.with_name("bare.duckdb")
    ids = ("event_id", "session_id", "page_view_id", "metric_id", "trace_id")
    names = [column.name for column in RUM_EVENTS.columns]
    columns = ", ".join(f"md5(cast({name} as varchar)) as {name}" if name in ids else name for name in names)
    with duckdb.connect(build_file, read_only=True) as connection:
        connection.execute(f"copy (select {columns} from raw.rum_events) to '{beacons}' (format json)")
    types = {column.name: "VARCHAR" if column.name in ids else column.duckdb_type for column in RUM_EVENTS.columns}
    started = time.perf_counter()
    with duckdb.connect(bare) as connection:
        connection.execute(f"create table beacons as from read_json('{beacons}', columns = {types})")
    took = time.perf_counter() - started
    beacons.unlink()
    bare.unlink()
    return took


def experience_models(folder: Path, beacons: int = BEACONS, days: int = DAYS) -> None:
    """Raw beacons to marts, beyond what the same command takes on empty raw tables (start-up)."""
    empty, volume = folder / "no-beacons.duckdb", folder / "beacons.duckdb"
    with duckdb.connect(empty, config=BUILD_FILE_OPTIONS) as connection:
        create_tables(connection)
    rows = Traffic(beacons // days).load(volume, days)
    bare = bare_reading(volume)
    print(f"create table as select from read_json, {rows:,} beacons: {bare:.1f} s", flush=True)
    models = beyond_start_up(f"{rows:,} beacons", volume, empty, repetitions=3)
    print(f"  {models.wall / bare:.2f} × that statement", flush=True)
    volume.unlink()


def one_more_day_of_beacons(
    folder: Path, beacons_a_day: int = BEACONS_A_DAY, histories: tuple[int, int] = HISTORIES
) -> None:
    """An update with one more day of beacons, after a short and after a long history."""
    variables = ("--vars", json.dumps(with_version({})))
    traffic = Traffic(beacons_a_day)
    took: dict[int, Measured] = {}
    for days in histories:
        build_file = folder / f"history-{days}.duckdb"
        traffic.load(build_file, days)
        dbt_build(build_file, *variables)
        # The first run of a folder also reads the project.
        dbt_run(build_file, *variables)
        nothing_new = dbt_run(build_file, *variables)
        traffic.load(build_file, 1, days)
        measured = took[days] = dbt_run(build_file, *variables)
        print(
            f"one more day on top of {days}: {measured.wall:.1f} s ({measured.cpu:.1f} s of CPU), "
            f"beyond an update with nothing new {measured.wall - nothing_new.wall:.1f} s",
            flush=True,
        )
        build_file.unlink()
    short, long = (took[days] for days in histories)
    print(f"  {long.wall / short.wall:.2f} times as long ({long.cpu / short.cpu:.2f} times the CPU)")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        experience_models(Path(temporary), *map(int, sys.argv[1:]))
        one_more_day_of_beacons(Path(temporary))
