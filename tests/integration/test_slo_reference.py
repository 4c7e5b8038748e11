"""SLOs of every kind over random events: the models agree with a slow reference in Python, day by day."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import polars as pl
import pytest
from dbt_models import dbt, load_rows, parsed_project
from reference_slo import Reference, counts
from slo_documents import condition, document, metric, ratio, write

from dagster_project.reference import load_reference
from dagster_project.settings import Settings
from dagster_project.warehouse import Warehouse

# Clocks change in Berlin on 29 March and in New York on 8 March.
START, DAYS, AS_OF = datetime(2026, 3, 5), 28, datetime(2026, 4, 1, 15, 2, 30)
SERVICES = ("api", "web")


def at(random: Random) -> datetime:
    """Crowded in some hours, so that slices have several events, and none on two days."""
    day = random.choice([day for day in range(DAYS) if day not in (9, 10)])
    hour = random.choice([0, 1, 2, 4, 5, 12, 13, 22, 23])
    seconds = random.choice([0, 59.999999, random.uniform(0, 60)])
    return min(START + timedelta(days=day, hours=hour, minutes=random.randrange(60), seconds=seconds), AS_OF)


def maybe(random: Random, *values: Any) -> Any:
    return random.choice([*values, None])


def request(random: Random, key: int) -> dict[str, Any]:
    return {
        "request_id": f"r{key}",
        "service": random.choice(SERVICES),
        "occurred_at": at(random),
        "route": random.choice(["/a", "/b", "/c", "unknown"]),
        "method": maybe(random, "GET", "POST"),
        "status": random.choice([0, 200, 200, 404, 499, 500, 503]),
        "duration_ms": maybe(random, 0.0, 299.5, 300.0, 300.1, 1000.0),
        "is_validation_error": random.choice([True, False, False]),
        "release": maybe(random, "1", "it's 2"),
        "is_synthetic": random.choice([True, False, False]),
    }


def job(random: Random, key: int) -> dict[str, Any]:
    enqueued = at(random)
    took = maybe(random, 0, 1, 119.5, 120, 120.5, 4000, 90000)
    finished = enqueued + timedelta(seconds=took) if took is not None else None
    if finished and finished > AS_OF:
        finished = None
    return {
        "job_id": f"j{key}",
        "service": random.choice(SERVICES),
        "queue": maybe(random, "mail", "export"),
        "enqueued_at": enqueued,
        "finished_at": finished,
        "status": random.choice(["success", "failure", "cancelled"]) if finished else None,
    }


def process_sample(random: Random, key: int) -> dict[str, Any]:
    """Of one of few processes, never two of one at a time."""
    kind = random.choice(["sample", "sample", "sample", "start", "crash"])
    return {
        "sample_id": f"p{key}",
        "service": random.choice(SERVICES),
        "process_id": f"process {random.randrange(8)}",
        "occurred_at": at(random) - timedelta(microseconds=key),
        "sample_kind": kind,
        "is_cold_start": maybe(random, True, False) if kind == "start" else None,
        "startup_ms": random.choice([100.0, 3000.0]) if kind == "start" else None,
        "uptime_seconds": maybe(random, 3599.0, 3600.0, 90000.0),
        "rss_bytes": maybe(random, 0, 100, 149, 150, 151),
    }


def synthetic_check(random: Random, key: int) -> dict[str, Any]:
    return {
        "check_run_id": f"c{key}",
        "service": random.choice(SERVICES),
        "check_name": maybe(random, "home", "cart"),
        "location": random.choice(["eu", "us"]),
        "occurred_at": at(random),
        "is_success": random.choice([True, True, False]),
        "duration_ms": maybe(random, 80.0, 2000.0),
    }


def browser_events(random: Random, session: int) -> list[dict[str, Any]]:
    """A short session: a page view, and then whatever."""
    began, service = at(random), random.choice(SERVICES)
    events = []
    for number in range(random.randrange(1, 6)):
        kind = random.choice(["page_view", "error", "payment", "route_change", "vital"]) if number else "page_view"
        event = {
            "event_id": f"e{session}-{number}",
            "service": service,
            "session_id": f"s{session}",
            "occurred_at": min(began + timedelta(seconds=11 * number), AS_OF),
            "event_type": kind,
            "device_class": "bot" if session % 11 == 0 else random.choice(["mobile", "desktop"]),
            "is_synthetic": session % 13 == 0,
            "is_authenticated": random.choice([True, False]),
            "route": random.choice(["/", "/a", "/b", "/c"]),
            "country": maybe(random, "DE", "FR"),
        }
        if kind in ("payment", "route_change"):
            event |= {"is_success": random.choice([True, False]), "is_retry_visible": maybe(random, True, False)}
        if kind == "vital":
            event |= {
                "metric_name": random.choice(["LCP", "INP"]),
                "metric_value": random.choice([100.0, 2500.0, 2500.5]),
                "metric_id": f"m{session}-{random.randrange(2)}",
            }
        events.append(event)
    return events


SERVICE = condition("service", "eq", "api")
OFFERED = {
    "requests": [
        condition("route", "eq", "/a"),
        condition("route", "in", ["/a", "/b"]),
        condition("route", "not_in", ["/a", "/nowhere"]),
        condition("method", "ne", "GET"),
        condition("method", "is_present", True),
        condition("status", "lt", 500),
        condition("status", "gte", 400),
        condition("status", "in", [0, 200]),
        condition("status", "ne", 404),
        condition("duration_ms", "lte", 300),
        condition("duration_ms", "gt", 299.5),
        condition("duration_ms", "is_present", False),
        condition("is_validation_error", "eq", False),
        condition("release", "eq", "it's 2"),
        condition("is_synthetic", "eq", True),
        condition("method", "in", ["POST", "PUT"]),
    ],
    "rum_events": [
        condition("event_type", "in", ["payment", "route_change"]),
        condition("is_success", "eq", True),
        condition("is_retry_visible", "ne", True),
    ],
    "web_vitals": [
        condition("metric_name", "eq", "LCP"),
        condition("metric_value", "lte", 2500),
        condition("is_authenticated", "eq", True),
    ],
    "sessions": [
        condition("event_type", "eq", "error"),
        condition("event_type", "eq", "payment"),
        condition("is_retry_visible", "eq", True),
        condition("is_success", "eq", False),
        condition("metric_value", "gt", 2500),
        condition("metric_value", "lt", 2500),
        condition("is_authenticated", "eq", True),
        condition("device_class", "ne", "mobile"),
        condition("country", "in", ["DE", "IT"]),
        condition("route", "not_in", ["/", "/a", "/b"]),
    ],
    "jobs": [
        condition("status", "eq", "success"),
        condition("status", "ne", "cancelled"),
        condition("queue", "eq", "mail"),
    ],
    "process_samples": [
        condition("sample_kind", "in", ["start", "crash"]),
        condition("is_cold_start", "ne", True),
        condition("rss_growth_rate", "lte", 0.5),
        condition("rss_growth_rate", "is_present", True),
        condition("uptime_seconds", "gte", 3600),
    ],
    "synthetic_checks": [
        condition("is_success", "eq", True),
        condition("check_name", "eq", "home"),
        condition("duration_ms", "lt", 2000),
        condition("location", "ne", "us"),
    ],
}
WINDOWS = [
    {"duration": "28d", "isRolling": True},
    {"duration": "1w", "isRolling": True},
    {"duration": "6h", "isRolling": True},
    {"duration": "36h", "isRolling": True},
    {"duration": "1M", "calendar": {"startTime": datetime(2026, 1, 31), "timeZone": "Europe/Berlin"}},
    {"duration": "1w", "calendar": {"startTime": datetime(2026, 3, 2, 12), "timeZone": "America/New_York"}},
    {"duration": "2d", "calendar": {"startTime": datetime(2026, 3, 20), "timeZone": "Europe/Berlin"}},
    {"duration": "8h", "calendar": {"startTime": datetime(2026, 3, 1, 1), "timeZone": "Asia/Kolkata"}},
    {"duration": "1Q", "calendar": {"startTime": datetime(2026, 1, 1), "timeZone": "UTC"}},
]
METHODS = ["Occurrences", "Timeslices", "RatioTimeslices"]


def random_definition(random: Random, number: int) -> dict[str, Any]:
    source = random.choice([*OFFERED, "requests", "jobs"])
    offered = OFFERED[source]
    deadline = random.choice([None, 120, 3600]) if source == "jobs" else None

    def spec(is_total: bool, own_source: bool = False) -> dict[str, Any]:
        where = [SERVICE] * random.choice([0, 1, 1, 1]) if is_total or own_source else []
        where = where + random.sample(offered, random.choice([0, 1, 2]) if is_total else random.choice([1, 1, 2]))
        none_of = [random.sample(offered, random.choice([1, 2])) for _ in range(random.choice([0, 0, 1, 2]))]
        given = {"where": where, "none_of": none_of}
        if is_total or own_source:
            given |= {"source": source} | ({"deadline_seconds": deadline} if deadline else {})
        elif deadline and random.random() < 0.5:
            given["where"] = [condition("is_on_time", "eq", True)]
        return given

    if source == "requests" and random.random() < 0.25:
        source_spec = spec(is_total=True) | {"value": "duration_ms"}
        indicator = {"thresholdMetric": metric(source_spec)}
        objectives = [{"op": random.choice(["lt", "lte", "gt", "gte"]), "value": 300, "target": 0.9}]
    else:
        total, part = spec(is_total=True), random.choice(["good", "bad"])
        indicator = ratio(total, **{part: spec(is_total=False, own_source=random.random() < 0.2)})
        objectives = [{"target": target} for target in random.sample([0, 0.5, 0.9, 0.99, 0.999], random.choice([1, 2]))]
    method, window = random.choice(METHODS), random.choice(WINDOWS)
    slices = ["1m", "5m", "30m", "1h", "2h"] if window["duration"].endswith("h") else ["1m", "5m", "1h", "6h", "1d"]
    for objective in objectives if method != "Occurrences" else []:
        objective |= {"timeSliceTarget": random.choice([0.07, 0.5, 0.99, 1]), "timeSliceWindow": random.choice(slices)}
    return document(f"slo-{number}", indicator, objectives, window=window, method=method)


def units_of(rows: dict[str, list[dict]]) -> dict[str, list[tuple[datetime, list[dict]]]]:
    """By source and deadline: when each unit counts, and the events it is made of."""
    units: dict[str, list] = defaultdict(list)
    units["requests"] = [(row["occurred_at"], [row]) for row in rows["requests"]]
    users = [row for row in rows["rum_events"] if row["device_class"] != "bot" and not row["is_synthetic"]]
    units["rum_events"] = [(row["occurred_at"], [row]) for row in users if row["event_type"] != "vital"]
    latest = {(row["session_id"], row["metric_name"], row["metric_id"]): row for row in users if "metric_name" in row}
    units["web_vitals"] = [(row["occurred_at"], [row]) for row in latest.values()]
    sessions: dict[str, list[dict]] = defaultdict(list)
    for row in users:
        sessions[row["session_id"]].append(row)
    units["sessions"] = [(min(row["occurred_at"] for row in events), events) for events in sessions.values()]
    units["synthetic_checks"] = [(row["occurred_at"], [row]) for row in rows["synthetic_checks"]]
    settled: dict[tuple[str, str], dict] = {}
    for row in sorted(rows["process_samples"], key=lambda row: row["occurred_at"]):
        process = (row["service"], row["process_id"])
        if row["sample_kind"] == "sample" and row["rss_bytes"] and (row["uptime_seconds"] or 0) >= 3600:
            settled.setdefault(process, row)
        first, growth = settled.get(process), None
        if first and row["rss_bytes"] is not None:
            growth = row["rss_bytes"] / first["rss_bytes"] - 1
        units["process_samples"].append((row["occurred_at"], [row | {"rss_growth_rate": growth}]))
    units["jobs"] = [(row["finished_at"], [row]) for row in rows["jobs"] if row["finished_at"]]
    for deadline in (120, 3600):
        for row in rows["jobs"]:
            due = row["enqueued_at"] + timedelta(seconds=deadline)
            if row["finished_at"] and row["finished_at"] <= due:
                units[f"jobs/{deadline}"].append((row["finished_at"], [row | {"is_on_time": True}]))
            elif due <= AS_OF:
                units[f"jobs/{deadline}"].append((due, [row | {"is_on_time": False, "status": None}]))
    return units


def loaded(folder: Path, definitions: list[dict[str, Any]], rows: dict[str, list[dict]]) -> Settings:
    """A warehouse with the definitions and the rows."""
    (folder / "seeds/slos").mkdir(parents=True)
    (folder / "seeds/services.csv").write_text("service,team,component_kind\napi,back,node_service\n", encoding="utf-8")
    (folder / "seeds/teams.csv").write_text("team,time_zone\nback,UTC\n", encoding="utf-8")
    write(folder / "seeds/slos", definitions)
    settings = Settings(config_file=folder / "plumbline.yaml", data_dir=folder, sources=())
    with Warehouse(settings).connect() as connection:
        load_reference(connection, folder / "seeds")
        load_rows(connection, {name: pl.DataFrame(each, infer_schema_length=None) for name, each in rows.items()})
    return settings


def judge(folder: Path, random: Random, definitions: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict]]:
    """Build the models over random events; each definition with what the reference counts in each minute."""
    rows = {
        "requests": [request(random, key) for key in range(3000)],
        "jobs": [job(random, key) for key in range(1000)],
        "rum_events": [event for session in range(500) for event in browser_events(random, session)],
        "process_samples": [process_sample(random, key) for key in range(600)],
        "synthetic_checks": [synthetic_check(random, key) for key in range(600)],
    }
    # Events come in any order.
    settings = loaded(folder, definitions, {name: random.sample(each, len(each)) for name, each in rows.items()})
    dbt(settings.warehouse_file, "run", "--select", "+slo_status", as_of=AS_OF)
    units = units_of(rows)
    return [(definition, counts(definition, units)) for definition in definitions]


def rows_of(connection: duckdb.DuckDBPyConnection, mart: str) -> list[dict[str, Any]]:
    return connection.sql(f"from marts.{mart}").pl().to_dicts()


@pytest.fixture(scope="module")
def random_slos(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("slos"), Random(5)
    definitions = judge(folder, random, [random_definition(random, number) for number in range(130)])
    with duckdb.connect(folder / "warehouse.duckdb", read_only=True) as connection:
        tables = {mart: rows_of(connection, mart) for mart in ("slo_attainment_daily", "slo_status")}
        classes = connection.sql("""
            with columns as (
                select scan, case when min(value_type) = 'boolean' then 3 else 1 + coalesce(max(code), 1) end as codes
                from intermediate.int_slo_codes
                group by scan, column_name
            )
            select scan, product(codes) from columns group by scan
        """).fetchall()
        (masks,) = connection.execute("""
            select 1 + max(mask) from intermediate.int_slo_groups where scan = 'sessions' and not is_of_service
        """).fetchone()
    # More groups of conditions than one mask of a session has bits.
    assert masks > 1
    # Of so many classes only those that events have are judged, of fewer all (macro slo_enumerated_classes).
    assert {scan for scan, number in classes if number > 20000} == {"requests", "sessions"}
    return definitions, tables


def agreeing_states(definitions: list[tuple[dict[str, Any], dict]], rows: list[dict[str, Any]]) -> list[str]:
    """The states of the days of `slo_attainment_daily`, after comparing each with the reference over its minutes."""
    built = {(row["slo"], row["objective"], row["day"]): row for row in rows}
    states = []
    for definition, minutes in definitions:
        reference = Reference(definition, minutes, AS_OF)
        for position, objective in enumerate(definition["spec"]["objectives"], 1):
            for day in reference.days():
                expected = reference.judged(day, objective)
                row = built.pop((definition["metadata"]["name"], position, day))
                where = (definition["metadata"]["name"], position, day, definition["spec"])
                assert (row["state"] == "data_error") == expected.pop("contradicts"), where
                for name, value in expected.items():
                    is_number = isinstance(value, float)
                    assert row[name] == (pytest.approx(value, abs=1e-7) if is_number else value), (name, where)
                states.append(row["state"])
    # What is left has no event at all.
    assert {row["state"] for row in built.values()} <= {"no_data"}
    return states


def test_every_day_is_judged_as_the_reference_does(random_slos):
    definitions, tables = random_slos
    states = agreeing_states(definitions, tables["slo_attainment_daily"])
    assert len(states) > 1500
    assert set(states) == {"data_error", "exhausted", "burning", "healthy", "insufficient_data", "no_data"}
    assert {source for source, events in events_counted(definitions).items() if events} == set(OFFERED)


def events_counted(definitions: list[tuple[dict[str, Any], dict]]) -> dict[str, int]:
    """How many events the definitions of each source count."""
    known: dict[str, int] = defaultdict(int)
    for definition, minutes in definitions:
        (metric, *_) = definition["spec"]["indicator"]["spec"].values()
        source = (metric.get("total") or metric)["metricSource"]["spec"]["source"]
        known[source] += sum(total for _, total in minutes.values())
    return known


def test_sessions_are_counted_where_no_definition_names_a_service(tmp_path):
    random = Random(8)
    # A `where` that says nothing asks whether an event has a service.
    of_no_service = [
        definition
        for definition in (random_definition(random, number) for number in range(400))
        if "'sessions'" in str(definition)
        and not any(named in str(definition) for named in ("'service', 'operator'", "'where': []"))
    ]
    definitions = judge(tmp_path, random, of_no_service)
    with duckdb.connect(tmp_path / "warehouse.duckdb", read_only=True) as connection:
        agreeing_states(definitions, rows_of(connection, "slo_attainment_daily"))
    assert events_counted(definitions)["sessions"] > 100


def test_sessions_are_counted_where_every_definition_names_its_service(tmp_path):
    definitions = []
    for service, bad in (("api", "error"), ("web", "payment")):
        total = {"source": "sessions", "where": [condition("service", "eq", service)]}
        indicator = ratio(total, good={"none_of": [[condition("event_type", "eq", bad)]]})
        definitions.append(document(f"{service}-sessions", indicator, [{"target": 0.9}]))
    judged = judge(tmp_path, Random(9), definitions)
    with duckdb.connect(tmp_path / "warehouse.duckdb", read_only=True) as connection:
        agreeing_states(judged, rows_of(connection, "slo_attainment_daily"))
    assert events_counted(judged)["sessions"] > 300


@pytest.mark.parametrize(("requests", "is_counted"), [(3, True), (4, False)])
def test_more_events_in_a_slot_than_its_number_can_count_end_the_build(tmp_path, monkeypatch, requests, is_counted):
    macro = parsed_project().macros["macro.plumbline.slo_events_below"]
    monkeypatch.setattr(macro, "macro_sql", "{% macro slo_events_below() %}{{ return(4) }}{% endmacro %}")
    rows = [
        {"request_id": f"{service}{key}", "service": service, "occurred_at": START, "status": 200 if key else 500}
        for service in SERVICES
        for key in range(requests)
    ]
    definitions = []
    # One is counted where it is grouped, of the other the counts of both services are added up.
    for name, where in (("api", [SERVICE]), ("all", [])):
        indicator = ratio({"source": "requests", "where": where}, good={"where": [condition("status", "lt", 500)]})
        definitions.append(document(name, indicator, [{"target": 0.9}]))
    settings = loaded(tmp_path, definitions, {"requests": rows})
    if is_counted:
        dbt(settings.warehouse_file, "run", "--select", "+int_slo_counts")
        with duckdb.connect(settings.warehouse_file, read_only=True) as connection:
            assert connection.sql("""
                select definition, good, total
                from intermediate.int_slo_counts inner join staging.stg_slos using (definition_number)
                order by total
            """).fetchall() == [("api", 2, 3), ("all", 4, 6)]
    else:
        with pytest.raises(AssertionError, match="requests: 4 or more events in one slot of time"):
            dbt(settings.warehouse_file, "run", "--select", "+int_slo_counts")


def test_burn_rates_of_now_are_those_of_the_reference(random_slos):
    definitions, tables = random_slos
    built = {(row["slo"], row["objective"]): row for row in tables["slo_status"]}
    names = {"5m": 5, "30m": 30, "1h": 60, "2h": 120, "6h": 360, "1d": 1440, "3d": 4320}
    known = 0
    for definition, minutes in definitions:
        reference = Reference(definition, minutes, AS_OF)
        for position, objective in enumerate(definition["spec"]["objectives"], 1):
            row = built[definition["metadata"]["name"], position]
            for name, length in names.items():
                expected = reference.burn(objective, length)
                assert row[f"burn_rate_{name}"] == pytest.approx(expected, abs=1e-6), (name, definition)
                known += expected is not None
    assert known > 50
