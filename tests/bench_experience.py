"""`make bench`: beacons from landing files into raw.rum_events, beside DuckDB's bare `create table as` of the files.

Alone, at another size: `python -m tests.bench_experience 2000000`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import duckdb

from dagster_project.contexts import insert_rows
from dagster_project.contracts import RUM_EVENTS
from dagster_project.extract.landing import extract
from dagster_project.load import new_batch_id
from dagster_project.settings import Settings, load_settings
from dagster_project.warehouse import Warehouse

BEACONS = 20_000_000
FILES = 4
REPETITIONS = 3
# A day of the benchmark of one more day.
BEACONS_A_DAY = 50_000
# As many sessions send at the same time, 24 beacons each from four pages; so ids of 36 characters repeat far apart.
CONCURRENT = 5_000

# What the contract has of every browser: web-vitals' fields, session, page, route, release, component, device, flags.
BEACON = f"""
    'storefront-web' as service,
    strftime(timestamp '2026-06-01' + to_microseconds(i * $step), '%Y-%m-%dT%H:%M:%S.%gZ') as occurred_at,
    case when i % 10 < 6 then 'vital' when i % 10 < 8 then 'page_view' when i % 10 = 8 then 'interaction'
        else 'route_change' end as event_type,
    cast(md5('session ' || session) as uuid) as session_id,
    cast(md5('page ' || session || ' ' || place // 6) as uuid) as page_view_id,
    ['/', '/products/:slug', '/collections/:name', '/cart', '/search', '/orders/' || i % 1000]
        [1 + (hash(session, place // 6) % 6)::int] as route,
    '2026.6.' || i * 10 // $beacons as release,
    if(i % 10 < 6, ['hero', 'price-box', 'reviews', 'navigation'][1 + (hash(i) % 4)::int], null) as component,
    ['mobile', 'desktop', 'tablet'][1 + (hash(session) % 3)::int] as device_class,
    hash(session) % 3 = 0 as is_authenticated,
    if(hash(session) % 2 = 0, 'fast-search=on', 'fast-search=off;new-cart=b') as feature_flags,
    if(i % 10 < 8, ['navigate', 'reload', 'back-forward-cache'][1 + (hash(session, place // 6) % 3)::int], null)
        as navigation_type,
    if(i % 10 < 6, ['LCP', 'INP', 'CLS', 'FCP', 'TTFB'][1 + i % 5], null) as metric_name,
    if(i % 10 < 6, 'v5-' || 1780000000000 + i || '-' || 1000000000000 + hash(i) % 9000000000000, null) as metric_id,
    -- One in a thousand breaks its contract.
    if(i % 10 < 6, if(i % 1000 = 3, -1, round(exp(7 + hash(i) % 1000 / 500), 1)), null) as metric_value,
    if(i % 10 = 8, 'add-to-cart', null) as step,
    0.25 as sample_rate
    from (
        -- One in a thousand comes twice.
        select if(number % 1000 = 999, number - 1, number) as i,
            i // {24 * CONCURRENT} * {CONCURRENT} + i % {CONCURRENT} as session,
            i // {CONCURRENT} % 24 as place
        from range($first, $last) as numbers(number)
    )
"""
# What somebody who knows the file would say to DuckDB.
TYPES = {
    "occurred_at": "TIMESTAMP",
    **dict.fromkeys(("metric_value", "sample_rate"), "DOUBLE"),
    "is_authenticated": "BOOLEAN",
    **dict.fromkeys(("service", "event_type", "session_id", "page_view_id", "route", "release"), "VARCHAR"),
    **dict.fromkeys(("component", "device_class", "feature_flags", "navigation_type"), "VARCHAR"),
    **dict.fromkeys(("metric_name", "metric_id", "step"), "VARCHAR"),
}


class Measured(NamedTuple):
    """One process: wall seconds, CPU seconds, peak memory in GiB."""

    wall: float
    cpu: float
    peak: float


def measured(action: Callable[[], object]) -> Measured:
    """What an action takes in a process of its own, so that each has its own peak and none a warm start."""
    started = time.perf_counter()
    process = os.fork()
    if not process:
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise RuntimeError("the measured process failed")
    return Measured(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)


def least(runs: list[Measured]) -> Measured:
    """Of each the best, since whatever else a machine does only adds; of the peaks the highest."""
    return Measured(min(run.wall for run in runs), min(run.cpu for run in runs), max(run.peak for run in runs))


def show(what: str, took: Measured, baseline: Measured | None = None, limit: float | None = None) -> None:
    line = f"{what:<52} {took.wall:7.1f} s {took.cpu:7.1f} s CPU {took.peak:5.2f} GiB"
    if baseline:
        line += f"  {took.wall / baseline.wall:5.2f} × (CPU {took.cpu / baseline.cpu:.2f} ×)"
    print(line + (f", at most {limit}" if limit else ""), flush=True)


def beacons(first: int, last: int, total: int) -> str:
    """Query: the beacons of these numbers, of a day that has `total`."""
    values = {"$step": 86_400_000_000 // total, "$beacons": total, "$first": first, "$last": last}
    query = f"select {BEACON}"
    for name, value in values.items():
        query = query.replace(name, str(value))
    return query


def write(folder: Path, ending: str, total: int) -> None:
    folder.mkdir(parents=True)
    options = {"ndjson": "format json", "parquet": "format parquet, compression zstd"}[ending]
    with duckdb.connect(config={"memory_limit": "3GB", "preserve_insertion_order": False}) as connection:
        for number in range(FILES):
            query = beacons(number * total // FILES, (number + 1) * total // FILES, total)
            connection.execute(f"copy ({query}) to '{folder}/{number}.{ending}' ({options})")


def installation(folder: Path) -> Settings:
    (folder / "landing").mkdir(parents=True, exist_ok=True)
    file = folder / "plumbline.yaml"
    landing = {"kind": "landing", "location": "landing", "settle_seconds": 0}
    file.write_text(json.dumps({"data_dir": "data", "sources": [landing]}), encoding="utf-8")
    return load_settings(file)


def take(settings: Settings, rows: int | None = None) -> None:
    with Warehouse(settings).connect() as connection:
        batches = extract(settings.sources[0], settings, connection)
        connection.execute("checkpoint")
    if rows is not None:
        assert sum(batch.read for batch in batches) == rows, batches
        assert all(batch.duplicate and batch.quarantined for batch in batches), batches


def landing_beacons(folder: Path, total: int = BEACONS) -> None:
    """NDJSON and Parquet files of beacons, each into an empty warehouse, beside the bare statement over the NDJSON: the
    least of three, in turn, since within minutes the same statement took 39 s and 48 s, NDJSON 63 s and 85 s."""
    ndjson, parquet = folder / "ndjson", folder / "parquet"
    for place in (ndjson, parquet):
        measured(lambda place=place: write(place / "landing/rum_events", place.name, total))
    size = sum(file.stat().st_size for file in ndjson.rglob("*.ndjson"))
    print(f"{total:,} beacons in {FILES} files, {size / total:.0f} bytes each", flush=True)

    def bare() -> None:
        with duckdb.connect(folder / "bare.duckdb", config={"memory_limit": "3GB"}) as connection:
            files = f"'{ndjson}/landing/rum_events/*.ndjson'"
            connection.execute(f"create table bare as select * from read_json({files}, columns = {TYPES})")
            connection.execute("checkpoint")

    runs: dict[str, list[Measured]] = {"bare": [], "ndjson": [], "parquet": []}
    for _ in range(REPETITIONS):
        runs["bare"].append(measured(bare))
        (folder / "bare.duckdb").unlink()
        for place in (ndjson, parquet):
            settings = installation(place)
            runs[place.name].append(measured(lambda settings=settings: take(settings, total)))
            settings.warehouse_file.unlink()
    baseline = least(runs["bare"])
    show("create table as select … from read_json", baseline)
    for name, what, limit in (("ndjson", "landing, NDJSON", 1.5), ("parquet", "landing, Parquet", 0.6)):
        show(what, least(runs[name]), baseline, limit)
        for number, (took, beside) in enumerate(zip(runs[name], runs["bare"], strict=True), start=1):
            show(f"  round {number}", took, beside)


def one_more_day(folder: Path, beacons_a_day: int = BEACONS_A_DAY) -> None:
    """One more day of NDJSON on top of 365 days of stored beacons, beside one more on top of 30; the least of three."""
    took, filled = {}, new_batch_id()
    for days in (30, 365):
        settings = installation(folder / f"days-{days}")

        def fill(settings: Settings = settings, days: int = days) -> None:
            names = ", ".join(column.name for column in RUM_EVENTS.columns if column.name in TYPES)
            day = beacons(0, beacons_a_day, beacons_a_day)
            hashed = ", ".join(f"hash({name}, day) as {name}" for name in ("session_id", "page_view_id", "metric_id"))
            with Warehouse(settings).connect() as connection:
                query = f"""
                    select
                        'landing' as source, hash(occurred_at, session_id, metric_id, day) as event_id,
                        '{filled}' as batch_id, {names}
                    from (
                        select * replace (
                            {hashed}, cast(occurred_at as timestamp) - to_days(day::int) as occurred_at
                        )
                        from ({day}), range({days}, 0, -1) as days(day)
                        order by day desc
                    )
                """
                insert_rows(connection, RUM_EVENTS, query)

        measured(fill)
        file = folder / f"days-{days}/landing/rum_events/0.ndjson"
        file.parent.mkdir()
        copy = f"copy ({beacons(0, beacons_a_day, beacons_a_day)}) to '{file}' (format json)"
        measured(lambda copy=copy: duckdb.execute(copy))
        runs = []
        for _ in range(REPETITIONS):
            runs.append(measured(lambda settings=settings: take(settings)))
            with Warehouse(settings).connect() as connection:
                connection.execute("delete from raw.landing_files")
                connection.execute(f"delete from {RUM_EVENTS.stored_name} where batch_id <> '{filled}'")
        took[days] = least(runs)
        settings.warehouse_file.unlink()
    show("one more day on 30 days of beacons", took[30])
    show("one more day on 365 days of beacons", took[365], took[30], 1.3)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as place:
        landing_beacons(Path(place) / "volume", *given)
        one_more_day(Path(place) / "days")
