"""`make bench`: 200 SLOs over requests and browser events, beside separate queries, and an hour more on 90 days.

By itself, and over fewer events: `python -m tests.bench_slo 5000000`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import duckdb

from dagster_project.contexts import insert_rows
from dagster_project.contracts import RUM_EVENTS
from dagster_project.definition_version import with_version
from dagster_project.load import Batch
from dagster_project.settings import DBT_DIR
from dagster_project.warehouse import BUILD_FILE_OPTIONS, create_tables
from tests.bench_delivery import (
    UPDATE_REPETITIONS,
    beyond_start_up,
    dbt_build,
    dbt_command,
    dbt_environment,
    in_the_database,
)
from tests.slo_documents import condition, define, definitions_of, document, ratio

EVENTS = 50_000_000
DAYS = 90
SLOS = 200
SAMPLE = 10
KINDS = 8
SERVICES = 25
# What the separate queries do, and from there to the status, without what else reads them.
COUNTS = tuple(f"int_slo_{name}" for name in ("touched_days", "codes", "conditions", "places", "groups", "counts"))
MODELS = ("int_slo_touched_days", "int_slo_codes+,+slo_status")
ALL = ("--select", "+slo_status")
FIRST_DAY = "timestamp '2026-01-01'"


def slo_models(folder: Path, events: int = EVENTS) -> None:
    definitions = definitions_of(folder, documents())
    empty, volume = folder / "empty.duckdb", folder / "volume.duckdb"
    version = ("--vars", json.dumps(with_version({})))
    for file, number in ((empty, 0), (volume, events)):
        with duckdb.connect(file, config=BUILD_FILE_OPTIONS) as connection:
            create_tables(connection)
            define(connection, definitions)
            if number:
                load(connection, 0, DAYS * 24, number)
        # What SLOs share with everything else: views, sessions, superseded reports.
        run(file, *ALL, "--exclude", *MODELS)
    counted, judged = (
        beyond_start_up(what, volume, empty, "--select", *models)
        for what, models in (("200 SLOs counted", COUNTS), ("200 SLOs counted and judged", MODELS))
    )
    # Measured on a copy: the queries are compared with what the models count.
    run(volume, "--select", *MODELS)
    with duckdb.connect(volume, read_only=True) as connection:
        connection.execute("set threads = 2")
        took = [(kind, *seconds(connection, definition, sql)) for definition, (kind, sql) in separate_queries().items()]
    # There are as many of each kind, but of two kinds two are among the ten.
    wall, cpu = (
        SLOS * mean(mean(each[part] for each in took if each[0] == kind) for kind in {kind for kind, *_ in took})
        for part in (1, 2)
    )
    print(f"  {SLOS} separate queries that count, from {len(took)}: {wall:.1f} s ({cpu:.1f} s of CPU)")
    for what, models in (("counts", counted), ("counts and judgements", judged)):
        print(f"  {what}: {models.wall / wall:.3f} of it ({models.cpu / cpu:.3f} of its CPU)", flush=True)
    full = beyond_start_up("200 SLOs and all they need", volume, empty, *ALL)
    full_database = in_the_database("200 SLOs and all they need", volume, empty, *ALL)
    for file in (empty, volume):
        dbt_build(file, *version)
        with duckdb.connect(file, config=BUILD_FILE_OPTIONS) as connection:
            load(connection, DAYS * 24, DAYS * 24 + 1, events // (DAYS * 24) if file == volume else 0)
    update = beyond_start_up("one more hour", volume, empty, *ALL, *version, repetitions=UPDATE_REPETITIONS)
    print(f"  {update.wall / full.wall:.3f} of the full build ({update.cpu / full.cpu:.3f} of its CPU)", flush=True)
    update_database = in_the_database("one more hour", volume, empty, *ALL, *version)
    print(f"  {update_database / full_database:.3f} of the full build", flush=True)


def run(file: Path, *arguments: str) -> None:
    subprocess.run(dbt_command(file.parent, "run", *arguments), cwd=DBT_DIR, env=dbt_environment(file), check=True)


def seconds(connection: duckdb.DuckDBPyConnection, definition: str, sql: str) -> tuple[float, float]:
    """Wall and CPU seconds of the query, which must count what the models did."""
    started, cpu = time.perf_counter(), time.process_time()
    connection.execute(f"create or replace temp table counted as {sql}")
    took = time.perf_counter() - started, time.process_time() - cpu
    (same,) = connection.execute(
        "with built as (select slot_starts_at, total, good from intermediate.int_slo_counts "
        "inner join staging.stg_slos using (definition_number) where definition = ?) "
        "select not exists (from counted except from built) and not exists (from built except from counted)",
        [definition],
    ).fetchone()
    assert same, f"{definition}: the separate query counts otherwise"
    return took


def load(connection: duckdb.DuckDBPyConnection, first_hour: int, last_hour: int, events: int) -> None:
    """Half requests, half browser events, evenly over the hours, a batch each."""
    half, span = events // 2, (last_hour - first_hour) * 3_600_000_000
    batches = {
        table: Batch(table, "bench", f"{table} of hour {first_hour}", half, half, 0, 0, 0)
        for table in ("requests", "rum_events")
    }
    for table, batch in batches.items():
        connection.execute(
            "insert into raw.batches values (?, 'bench', ?, ?, now()::timestamp, ?, ?, 0, 0, 0)",
            [batch.batch_id, batch.origin, table, half, half],
        )
    if not events:
        return
    at = f"{FIRST_DAY} + to_hours({first_hour}) + to_microseconds(cast(i * {span / half} as bigint))"
    service = f"'service-' || lpad(cast(hash(i, 1) % {SERVICES} as varchar), 2, '0')"
    connection.execute(f"""
        insert into raw.requests by name
        select
            'bench' as source, hash(i, {first_hour}) as request_id, {service} as service, {at} as occurred_at,
            '/api/resource-' || (hash(i, 2) % 8) || '/:id' as route,
            ['GET', 'POST', 'PUT'][cast(1 + hash(i, 3) % 3 as bigint)] as method,
            case when hash(i, 4) % 1000 < 3 then 500 when hash(i, 4) % 1000 < 40 then 404 else 200 end as status,
            cast(20 + hash(i, 5) % 400 as double) as duration_ms, hash(i, 6) % 100 = 0 as is_validation_error,
            hash(i, 7) as trace_id, now()::timestamp as loaded_at, '{batches["requests"].batch_id}' as batch_id
        from range({half}) as numbers (i)
    """)
    # Twenty events a session, within ten minutes.
    at = (
        f"{FIRST_DAY} + to_hours({first_hour}) + to_microseconds(cast((i // 20) * {20 * span / half} as bigint)) "
        "+ to_seconds(30 * (i % 20))"
    )
    service = f"'web-' || lpad(cast(hash(i // 20, 1) % {SERVICES} as varchar), 2, '0')"
    query = f"""
        select
            'bench' as source, hash(i, {first_hour}, 9) as event_id, {service} as service,
            least({at}, {FIRST_DAY} + to_hours({last_hour}) - interval 1 second) as occurred_at,
            case when i % 20 = 0 then 'page_view'
                else ['vital', 'vital', 'route_change', 'accessibility_check', 'payment', 'interaction', 'error']
                    [cast(1 + hash(i, 2) % 7 as bigint)] end as event_type,
            hash(i // 20, {first_hour}) as session_id, '/page-' || (hash(i, 3) % 20) as route,
            ['mobile', 'desktop'][cast(1 + hash(i // 20, 4) % 2 as bigint)] as device_class,
            hash(i // 20, 5) % 2 = 0 as is_authenticated,
            ['LCP', 'INP'][cast(1 + hash(i, 6) % 2 as bigint)] as metric_name,
            hash(i, 7, {first_hour}) as metric_id, cast(hash(i, 8) % 4000 as double) as metric_value,
            hash(i, 9) % 50 > 0 as is_success, hash(i, 10) % 2 = 0 as is_retry_visible,
            now()::timestamp as loaded_at, '{batches["rum_events"].batch_id}' as batch_id
        from range({half}) as numbers (i)
    """
    insert_rows(connection, RUM_EVENTS, query)


def kinds(number: int) -> tuple[str, list[dict], dict]:
    """Source, which events, and which are good: eight kinds of SLO, for each service one of each."""
    api, web = (condition("service", "eq", f"{kind}-{number // KINDS:02}") for kind in ("service", "web"))
    route = condition("route", "eq", f"/api/resource-{number % 3}/:id")
    validated = condition("is_validation_error", "eq", False)
    answered, fast = condition("status", "lt", 500), condition("duration_ms", "lte", 300)
    error, payment = condition("event_type", "eq", "error"), condition("event_type", "eq", "payment")
    failed, seen = condition("is_success", "eq", False), condition("is_retry_visible", "eq", True)
    succeeded = {"where": [condition("is_success", "eq", True)]}
    return [
        ("requests", [api], {"where": [answered]}),
        ("requests", [api, validated], {"where": [answered, fast]}),
        ("requests", [api, route], {"where": [answered]}),
        ("requests", [api, route, condition("method", "eq", "GET")], {"where": [condition("duration_ms", "lte", 200)]}),
        ("rum_events", [web, condition("event_type", "eq", "route_change")], succeeded),
        ("rum_events", [web, condition("event_type", "eq", "accessibility_check")], succeeded),
        (
            "web_vitals",
            [web, condition("metric_name", "eq", "LCP")],
            {"where": [condition("metric_value", "lte", 2500)]},
        ),
        ("sessions", [web], {"none_of": [[error], [payment, failed, seen]]}),
    ][number % KINDS]


def documents() -> list[dict]:
    definitions = []
    for number in range(SLOS):
        source, where, good = kinds(number)
        indicator = ratio({"source": source, "where": where}, good=good)
        service = where[0]["value"]
        definitions.append(document(f"slo-{number:03}", indicator, [{"target": 0.99}], service=service))
    return definitions


def separate_queries() -> dict[str, tuple[int, str]]:
    """What somebody would write for each SLO by hand over the same views, and its kind, by definition: some of each."""
    queries = {}
    for number in range(0, SLOS, SLOS // SAMPLE + 1):
        source, where, good = kinds(number)
        total = " and ".join(sql_of("events", each) for each in where)
        part = " and ".join(sql_of("events", each) for each in good.get("where", []))
        at, events, is_good = "occurred_at", f"from intermediate.int_user_events as events where {total}", part
        if source == "requests":
            events = f"from staging.stg_requests as events where {total}"
        elif source == "rum_events":
            events += " and event_type <> 'vital'"
        elif source == "web_vitals":
            events += (
                " and event_type = 'vital' and not exists (from intermediate.int_superseded_reports as later where "
                "(later.source, later.service, later.event_id) = (events.source, events.service, events.event_id))"
            )
        else:
            broken = " or ".join(
                "(" + " and ".join(sql_of("events", each) for each in group) + ")" for group in good["none_of"]
            )
            at, is_good = "started_at", "not is_broken"
            events = f"""
                from (
                    select sessions.started_at, bool_or({broken}) as is_broken
                    from intermediate.int_sessions as sessions
                    inner join intermediate.int_user_events as events
                        on (events.source, events.service, events.session_id)
                            = (sessions.source, sessions.service, sessions.session_id)
                        and events.occurred_at between sessions.started_at and sessions.ended_at
                    where {total}
                    group by sessions.source, sessions.session_id, sessions.started_at
                ) as sessions
            """
        queries[f"slo-{number:03}"] = (
            number % KINDS,
            f"select time_bucket(interval 5 minute, {at}) as slot_starts_at, count(*) as total, "
            f"count(*) filter (where {is_good}) as good {events} group by slot_starts_at",
        )
    return queries


def sql_of(events: str, condition: dict[str, Any]) -> str:
    operator = {"eq": "=", "lt": "<", "lte": "<="}[condition["operator"]]
    value = condition["value"]
    return f"{events}.{condition['column']} {operator} " + (f"'{value}'" if isinstance(value, str) else str(value))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        slo_models(Path(temporary), *map(int, sys.argv[1:]))
