"""The vocabulary of a metricSource of type plumbline: which events are counted, and by what conditions.

A condition names a column, an operator and a value. Columns are those of the raw tables' contracts and a few derived
ones; a value becomes SQL only as a number or a quoted text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dagster_project.contracts import JOBS, PROCESS_SAMPLES, REQUESTS, RUM_EVENTS, SYNTHETIC_CHECKS, Column, Table
from dagster_project.slo.documents import KeyPath

TYPE = "plumbline"
OPERATORS = {
    "text": ("eq", "ne", "in", "not_in", "is_present"),
    "number": ("eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "is_present"),
    "boolean": ("eq", "ne", "is_present"),
}
LISTS = ("in", "not_in")


@dataclass(frozen=True)
class Source:
    """A kind of event that can be counted: which raw table it is made of, and the columns that conditions may name."""

    table: Table
    what: str
    columns: Mapping[str, Column]
    takes_deadline: bool = False

    def value_type(self, column: str) -> str:
        kind = self.columns[column].type
        return "number" if kind in ("integer", "number") else kind


def _of(table: Table, *names: str) -> dict[str, Column]:
    return {name: table.column(name) for name in names}


def _derived(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


_BROWSER = (
    "service",
    "route",
    "release",
    "component",
    "device_class",
    "country",
    "is_authenticated",
    "navigation_type",
)
_HAPPENED = ("event_type", "step", "is_success", "is_retry_visible")
_MEASURED = ("metric_name", "metric_value")

SOURCES: dict[str, Source] = {
    "requests": Source(
        REQUESTS,
        "One request, when it came in.",
        _of(
            REQUESTS,
            "service",
            "route",
            "method",
            "status",
            "duration_ms",
            "is_validation_error",
            "is_synthetic",
            "release",
        ),
    ),
    "rum_events": Source(
        RUM_EVENTS,
        "One event of a user's browser other than a web vital, when it happened.",
        _of(RUM_EVENTS, *_BROWSER, *_HAPPENED),
    ),
    "web_vitals": Source(
        RUM_EVENTS,
        "One measurement of a web vital, with the value and at the time of its last report.",
        _of(RUM_EVENTS, *_BROWSER, *_MEASURED),
    ),
    "sessions": Source(
        RUM_EVENTS,
        "One session of a user's browser, when it began; conditions are about its events.",
        _of(RUM_EVENTS, *_BROWSER, *_HAPPENED, *_MEASURED),
    ),
    "jobs": Source(
        JOBS,
        "One job, when it ended; with a deadline, when it ended or at its deadline, whichever came first.",
        _of(JOBS, "service", "queue", "job_name", "status", "attempts", "release")
        | _derived(
            Column("is_on_time", "boolean", "Whether it had ended by the deadline."),
            Column("wait_seconds", "number", "From its enqueuing to the start of its last attempt."),
            Column("run_seconds", "number", "From that start to its end."),
        ),
        takes_deadline=True,
    ),
    "process_samples": Source(
        PROCESS_SAMPLES,
        "One observation of a process, when it was made.",
        _of(
            PROCESS_SAMPLES,
            "service",
            "sample_kind",
            "is_cold_start",
            "startup_ms",
            "uptime_seconds",
            "rss_bytes",
            "heap_used_bytes",
            "event_loop_delay_p99_ms",
            "release",
        )
        | _derived(
            Column(
                "rss_growth_rate",
                "number",
                "Resident memory over that of the process's first sample after its first hour, less 1; 0.5: half as "
                "much again. Absent in the first hour.",
            )
        ),
    ),
    "synthetic_checks": Source(
        SYNTHETIC_CHECKS,
        "One synthetic check, when it ran.",
        _of(SYNTHETIC_CHECKS, "service", "check_name", "location", "is_success", "duration_ms"),
    ),
}


@dataclass(frozen=True)
class Condition:
    """One comparison. A missing value meets `ne` and `not_in` and no other comparison."""

    column: str
    operator: str
    values: tuple[str, ...]
    value_type: str


@dataclass(frozen=True)
class Count:
    """What is counted: events that meet all of `where` and none of the groups in `none_of`, each met as a whole.

    Of a session, a group is met if one of its events meets it.
    """

    source: str
    where: tuple[Condition, ...]
    none_of: tuple[tuple[Condition, ...], ...] = ()
    deadline_seconds: int | None = None
    value_column: str | None = None

    @property
    def groups(self) -> tuple[tuple[Condition, ...], ...]:
        return (self.where, *self.none_of)


Problems = list[tuple[KeyPath, str]]


def read_count(
    spec: Mapping[str, Any], at: KeyPath, problems: Problems, total: Count | None = None, takes_value: bool = False
) -> Count | None:
    """The count that a metricSource's spec describes, or None after adding to `problems`.

    total: for a good or bad count, what it is a part of; with a source of its own it is counted by itself.
    takes_value: for a thresholdMetric, whose `value` is the column that the objective compares.
    """
    before = len(problems)
    allowed = ["source", "where", "none_of"] + ["value"] * takes_value
    is_part = total is not None and "source" not in spec
    name = total.source if is_part else spec.get("source")
    if name not in SOURCES:
        found = "missing" if name is None else f"{name!r:.60} is not known"
        problems.append(((*at, "source"), f"{found}; allowed: {', '.join(SOURCES)}"))
        return None
    source = SOURCES[name]
    allowed += ["deadline_seconds"] * (source.takes_deadline and not is_part)
    for key in spec:
        if key not in allowed:
            problems.append(((*at, key), f"unknown key; allowed here: {', '.join(allowed)}"))
    deadline = total.deadline_seconds if is_part else spec.get("deadline_seconds")
    if deadline is not None and not (type(deadline) is int and 0 < deadline <= 7 * 86400):
        problems.append(((*at, "deadline_seconds"), f"{deadline!r:.60} is no whole number from 1 to 604800"))
    if total is None and "where" not in spec:
        problems.append(((*at, "where"), "missing; say which events are meant, at least of which service"))
    if is_part and not spec.get("where") and not spec.get("none_of"):
        problems.append(((*at, "where"), "missing; without where or none_of every event would be counted"))
    groups = spec.get("none_of", [])
    if not isinstance(groups, list):
        problems.append(((*at, "none_of"), "not a list of groups, each a list of conditions"))
        groups = []
    has_deadline = deadline is not None
    where = tuple(_conditions(spec.get("where", []), source, has_deadline, (*at, "where"), problems))
    none_of = tuple(
        tuple(_conditions(group, source, has_deadline, (*at, "none_of", position), problems))
        for position, group in enumerate(groups)
    )
    value = spec.get("value") if takes_value else None
    if takes_value and (value not in source.columns or source.value_type(value) != "number"):
        numbers = [column for column in source.columns if source.value_type(column) == "number"]
        found = "missing" if value is None else f"{value!r:.60} is no number of {name}"
        problems.append(((*at, "value"), f"{found}; allowed: {', '.join(numbers) or 'none'}"))
    if takes_value and name == "sessions":
        problems.append(((*at, "value"), "a session has no value of its own; use ratioMetric"))
    return Count(name, where, none_of, deadline, value) if len(problems) == before else None


def _conditions(given: Any, source: Source, has_deadline: bool, at: KeyPath, problems: Problems) -> Iterator[Condition]:
    if not isinstance(given, list) or (not given and at[-1] != "where"):
        problems.append((at, "not a list of conditions {column, operator, value}"))
        return
    for position, condition in enumerate(given):
        here: KeyPath = (*at, position)
        if not isinstance(condition, dict) or set(condition) != {"column", "operator", "value"}:
            problems.append((here, "a condition has exactly the keys column, operator, value; SQL is not taken"))
            continue
        column, operator, value = condition["column"], condition["operator"], condition["value"]
        if not isinstance(column, str) or column not in source.columns:
            allowed = ", ".join(source.columns)
            problems.append(((*here, "column"), f"{column!r:.60} is no column of this source; allowed: {allowed}"))
            continue
        if column == "is_on_time" and not has_deadline:
            problems.append(((*here, "column"), "is_on_time needs deadline_seconds beside source"))
            continue
        value_type = source.value_type(column)
        if operator not in OPERATORS[value_type]:
            allowed = ", ".join(OPERATORS[value_type])
            problems.append(
                (
                    (*here, "operator"),
                    f"{operator!r:.60} is not for a {value_type} such as {column}; allowed: {allowed}",
                )
            )
            continue
        fault, values = _values(source.columns[column], value_type, operator, value)
        if fault:
            problems.append(((*here, "value"), fault))
            continue
        yield Condition(column, operator, values, "boolean" if operator == "is_present" else value_type)


def _values(column: Column, value_type: str, operator: str, value: Any) -> tuple[str | None, tuple[str, ...]]:
    """What is wrong with a condition's value, if anything is, and its values as text."""
    if (operator in LISTS) != isinstance(value, list) or value == []:
        return f"{operator} takes {'a list of values' if operator in LISTS else 'one value'}", ()
    if operator == "is_present":
        value_type = "boolean"
    values = []
    for each in value if isinstance(value, list) else [value]:
        match value_type:
            case "boolean" if isinstance(each, bool):
                values.append("true" if each else "false")
            case "number" if isinstance(each, int | float) and not isinstance(each, bool) and abs(each) < 1e15:
                values.append(repr(float(each)))
            case "text" if isinstance(each, str) and 0 < len(each) <= 200 and each.isprintable():
                if column.allowed and each not in column.allowed:
                    return f"{each!r} never occurs; allowed: {', '.join(column.allowed)}", ()
                values.append(each)
            case _:
                return f"{each!r:.60} is no {value_type}, as {column.name} {operator} needs", ()
    return None, tuple(sorted(set(values)))
