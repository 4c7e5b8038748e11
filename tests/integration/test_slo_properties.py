"""SLOs over whatever events come, however late: the compiled SQL agrees with the slow reference in Python."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from dbt_models import dbt, frame, in_order, insert, memory
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference_slo import counts
from slo_documents import condition, define, definitions_of, document, metric, ratio
from test_slo_reference import AS_OF, agreeing_states, units_of

from dagster_project.contracts import TABLES
from dagster_project.settings import Settings
from dagster_project.warehouse import Warehouse

API, WEB = condition("service", "eq", "api"), condition("service", "eq", "web")
BROKEN, FAST = condition("status", "gte", 500), condition("duration_ms", "lte", 300)
REQUESTS = {"source": "requests", "where": [API]}
BERLIN = {"startTime": datetime(2026, 3, 27), "timeZone": "Europe/Berlin"}


def slices(of: str, target: float = 0.5) -> dict[str, Any]:
    return {"target": 0.9, "timeSliceTarget": target, "timeSliceWindow": of}


# name → indicator, method, window, objective.
SLOS: dict[str, tuple[dict, str, dict, dict]] = {
    "excluding-invalid": (
        ratio(REQUESTS | {"none_of": [[condition("is_validation_error", "eq", True)]]}, good={"where": [FAST]}),
        "Occurrences",
        {"duration": "2d", "isRolling": True},
        {"target": 0.9},
    ),
    "excluding-combinations": (
        ratio(REQUESTS, bad={"where": [BROKEN], "none_of": [[FAST, condition("method", "ne", "GET")]]}),
        "Timeslices",
        {"duration": "1d", "isRolling": True},
        slices("1h"),
    ),
    "every-service": (
        ratio({"source": "requests", "where": []}, bad={"where": [BROKEN]}),
        "RatioTimeslices",
        {"duration": "6h", "isRolling": True},
        slices("5m"),
    ),
    "more-good-than-total": (
        ratio(REQUESTS, good={"source": "synthetic_checks", "where": [condition("is_success", "eq", True)]}),
        "Occurrences",
        {"duration": "1d", "calendar": BERLIN},
        {"target": 0.5},
    ),
    "more-bad-than-total": (
        ratio(REQUESTS, bad={"source": "requests", "where": [WEB, BROKEN]}),
        "Timeslices",
        {"duration": "1d", "isRolling": True},
        slices("1d"),
    ),
    "minutes": (
        {"thresholdMetric": metric(REQUESTS | {"value": "duration_ms"})},
        "Timeslices",
        {"duration": "1w", "calendar": BERLIN},
        slices("1m", 1) | {"op": "lte", "value": 300},
    ),
    "deadline": (
        ratio(
            {"source": "jobs", "deadline_seconds": 120, "where": [API]},
            good={"where": [condition("is_on_time", "eq", True)]},
        ),
        "Occurrences",
        {"duration": "1w", "calendar": BERLIN},
        {"target": 0.99},
    ),
}
# Days without anything, both sides of five minutes, an hour, a day, the change of clocks in Berlin, and now.
TIMES = st.sampled_from(
    [
        datetime(2026, 3, 26, 23, 59, 59, 999999),
        datetime(2026, 3, 27),
        datetime(2026, 3, 27, 0, 4, 59, 999999),
        datetime(2026, 3, 27, 0, 5),
        datetime(2026, 3, 28, 22, 59, 59),
        datetime(2026, 3, 28, 23),
        datetime(2026, 3, 29, 0, 59),
        datetime(2026, 3, 29, 1),
        datetime(2026, 3, 29, 22, 30),
        datetime(2026, 3, 31, 15, 2, 30),
        AS_OF - timedelta(hours=6),
        AS_OF - timedelta(minutes=62, seconds=30),
        AS_OF - timedelta(minutes=3),
        AS_OF,
    ]
)
SERVICE = st.sampled_from(["api", "api", "web"])
EVENTS = st.fixed_dictionaries(
    {
        "requests": st.lists(
            st.fixed_dictionaries(
                {
                    "service": SERVICE,
                    "occurred_at": TIMES,
                    "status": st.sampled_from([200, 404, 500]),
                    "duration_ms": st.sampled_from([None, 299.5, 300.0, 300.1]),
                    "method": st.sampled_from([None, "GET", "POST"]),
                    "is_validation_error": st.booleans(),
                }
            ),
            max_size=20,
        ),
        "synthetic_checks": st.lists(
            st.fixed_dictionaries({"service": SERVICE, "occurred_at": TIMES, "is_success": st.booleans()}), max_size=8
        ),
        "jobs": st.lists(
            st.fixed_dictionaries(
                {
                    "service": SERVICE,
                    "enqueued_at": TIMES,
                    "seconds": st.sampled_from([None, 0, 119, 120, 121, 90000]),
                }
            ),
            max_size=8,
        ),
    }
)
KEYS = {"requests": "request_id", "synthetic_checks": "check_run_id", "jobs": "job_id"}
REQUEST = {"service": "api", "status": 200, "duration_ms": 100.0, "method": None, "is_validation_error": False}
NOTHING: dict[str, list] = {"requests": [], "synthetic_checks": [], "jobs": []}


def definition(name: str) -> dict[str, Any]:
    indicator, method, window, objective = SLOS[name]
    return document(name, indicator, [objective], window=window, method=method)


@pytest.fixture(scope="module")
def slos(tmp_path_factory):
    """A database in memory with the definitions, and the models compiled for them in the order of dependency."""
    folder = tmp_path_factory.mktemp("slos")
    definitions = definitions_of(folder, [definition(name) for name in SLOS])
    installation = Settings(config_file=folder / "plumbline.yaml", data_dir=folder, sources=())
    with Warehouse(installation).connect() as connection:
        define(connection, definitions)
    # What is read of events is chosen when int_slo_counts is compiled.
    dbt(installation.warehouse_file, "run", "--select", "+int_slo_groups", as_of=AS_OF)
    selection = ("--full-refresh", "--select", "+slo_attainment_daily", "--indirect-selection", "empty")
    compiled = dbt(installation.warehouse_file, "compile", *selection, as_of=AS_OF)
    with memory() as connection:
        define(connection, definitions)
        yield connection, [each.node for each in compiled if each.node.resource_type == "model"]


def rows_of(drawn: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Rows of the raw tables; a job that ends after now has not ended."""
    rows: dict[str, list[dict]] = {"rum_events": [], "process_samples": []}
    for table, events in drawn.items():
        rows[table] = [event | {"source": "test", KEYS[table]: number} for number, event in enumerate(events)]
    for job in rows["jobs"]:
        seconds = job.pop("seconds")
        ended = None if seconds is None else job["enqueued_at"] + timedelta(seconds=seconds)
        job["finished_at"] = ended if ended and ended <= AS_OF else None
        job["status"] = "success" if job["finished_at"] else None
        job["job_id"] = str(job["job_id"])
    return rows


def build(slos, rows: dict[str, list[dict]]) -> list[dict[str, Any]]:
    connection, nodes = slos
    for name in KEYS:
        connection.execute(f"delete from {TABLES[name].qualified_name}")
        insert(connection, TABLES[name], frame(TABLES[name], rows[name]))
    for node in nodes:
        connection.execute(f"create schema if not exists {node.schema}")
        kind = "view" if node.config.materialized == "view" else "table"
        query = in_order(node.compiled_code, list(node.columns), node.config.contract.enforced)
        connection.execute(f"create or replace {kind} {node.schema}.{node.name} as {query}")
    return connection.sql("from marts.slo_attainment_daily").pl().to_dicts()


@settings(max_examples=30, deadline=None)
@given(drawn=EVENTS, number_on_time=st.integers(0, 20))
@example(drawn=NOTHING, number_on_time=0)
@example(
    drawn=NOTHING | {"requests": [REQUEST | {"occurred_at": AS_OF}, REQUEST | {"occurred_at": datetime(2026, 3, 27)}]},
    number_on_time=1,
)
@example(
    drawn={
        "requests": [REQUEST | {"occurred_at": datetime(2026, 3, 29, 1)}],
        "synthetic_checks": [{"service": "api", "occurred_at": datetime(2026, 3, 29, 1), "is_success": True}] * 2,
        "jobs": [],
    },
    number_on_time=20,
)
def test_whatever_comes_when_is_judged_as_the_reference_does(slos, drawn, number_on_time):
    """Once over the first events of each source, and again with those that came late, of whatever time."""
    definitions = [definition(name) for name in SLOS]
    on_time = {table: events[:number_on_time] for table, events in drawn.items()}
    for arrived in (on_time, drawn):
        rows = rows_of(arrived)
        units = units_of(rows)
        agreeing_states([(each, counts(each, units)) for each in definitions], build(slos, rows))
