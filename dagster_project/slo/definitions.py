"""The folder slos/ of the reference data: one OpenSLO file a definition, and its rows in the reference tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from dagster_project.contracts import SLO_CONDITIONS, SLO_OBJECTIVES, SLOS, Table
from dagster_project.slo.documents import Document, KeyPath, read_document
from dagster_project.slo.indicators import TYPE, Condition, Count, Problems, read_count
from dagster_project.slo.openslo import UNITS, Metric, Objective, Slo, TimeWindow, read_slo

FOLDER = "slos"
ANNOTATIONS = {
    "user-path": "the user path it protects",
    "why-this-threshold": "why this threshold",
    "how-measured": "how it is measured",
    "when-budget-burns": "what happens when the budget burns",
}
DATES = ("valid-from", "valid-to", "reviewed-on")
SLOT_MINUTES = 5
DAY_MINUTES = 1440


@dataclass(frozen=True)
class Definition:
    """One file, valid for us. `numerator` counts what `kind` says: good or bad events."""

    document: Document
    slo: Slo
    total: Count
    numerator: Count
    kind: str
    dates: dict[str, date | None]

    @property
    def name(self) -> str:
        return self.document.file.stem

    @property
    def window(self) -> TimeWindow:
        return self.slo.spec.time_window[0]

    @property
    def slot_minutes(self) -> int:
        """Counts are kept for so many minutes: five, or one where a slice is no multiple of five."""
        slices = [objective.time_slice_window.minutes for objective in self.slices]
        return SLOT_MINUTES if all(minutes % SLOT_MINUTES == 0 for minutes in slices) else 1

    @property
    def slices(self) -> list[Objective]:
        sliced = self.slo.spec.budgeting_method != "Occurrences"
        return [objective for objective in self.slo.spec.objectives if sliced]

    def place(self, path: KeyPath, problem: str) -> str:
        return self.document.place(path, problem)


def target_of(objective: Objective) -> float:
    # Rounded, since 99.9 / 100 is not 0.999.
    return objective.target if objective.target is not None else round(objective.target_percent / 100, 12)


def slo_files(reference_dir: Path) -> list[Path]:
    return sorted((reference_dir / FOLDER).glob("*.y*ml"))


def read_definitions(files: Iterable[Path]) -> tuple[list[Definition], list[str]]:
    """The valid definitions, and a line for each problem: file, line, key."""
    definitions, problems = [], []
    for file in files:
        definition, found = read_definition(file)
        problems += found
        if definition:
            definitions.append(definition)
    return definitions, problems + list(_same_name_at_once(definitions))


def read_definition(file: Path) -> tuple[Definition | None, list[str]]:
    """One file: at OpenSLO's schema, then at what Plumbline needs beyond it."""
    document = read_document(file)
    slo, faults = read_slo(document)
    if slo is None or faults:
        return None, faults
    problems: Problems = []
    dates = _annotations(slo, problems)
    _window(slo, problems)
    _slices(slo, problems)
    counts = _counts(slo, problems)
    lines = [document.place(path, problem) for path, problem in problems]
    return (None, lines) if lines else (Definition(document, slo, *counts, dates), [])


def _annotations(slo: Slo, problems: Problems) -> dict[str, date | None]:
    given = slo.metadata.annotations or {}
    for key, what in ANNOTATIONS.items():
        if not given.get(key, "").strip():
            problems.append((("metadata", "annotations", key), f"missing; say {what}"))
    dates: dict[str, date | None] = {}
    for key in DATES:
        try:
            dates[key] = date.fromisoformat(given[key]) if key in given else None
        except ValueError:
            problems.append((("metadata", "annotations", key), f"{given[key]!r:.60} is no day such as 2026-01-31"))
    if (dates.get("valid-from") or date.min) >= (dates.get("valid-to") or date.max):
        problems.append((("metadata", "annotations", "valid-to"), "not after valid-from"))
    return dates


def _window(slo: Slo, problems: Problems) -> None:
    at: KeyPath = ("spec", "timeWindow")
    if slo.spec.time_window is None:
        problems.append((at, "missing; a budget needs a window, such as {duration: 28d, isRolling: true}"))
        return
    duration = slo.spec.time_window[0].duration
    if slo.spec.time_window[0].is_rolling and duration.minutes is None:
        problems.append(((*at, 0, "duration"), f"{duration} has no fixed length to roll by; write days or weeks"))
    if (duration.minutes or 0) > 400 * DAY_MINUTES or (duration.minutes is None and duration.number > 12):
        problems.append(((*at, 0, "duration"), f"{duration} is too long; the longest are 400d and 12M"))


def _slices(slo: Slo, problems: Problems) -> None:
    if slo.spec.budgeting_method == "Occurrences":
        return
    window = slo.spec.time_window[0].duration.minutes if slo.spec.time_window else None
    for position, objective in enumerate(slo.spec.objectives):
        minutes = objective.time_slice_window.minutes
        at: KeyPath = ("spec", "objectives", position, "timeSliceWindow")
        if minutes is None or DAY_MINUTES % minutes:
            problems.append((at, f"{objective.time_slice_window} does not divide a day into equal slices"))
        elif window and window % minutes:
            problems.append((at, f"{objective.time_slice_window} does not divide the time window"))


def _counts(slo: Slo, problems: Problems) -> tuple[Count, Count, str] | None:
    """Total, numerator, and whether that one is good or bad; None after adding to `problems`."""
    if slo.spec.indicator is None:
        key = "indicatorRef" if slo.spec.indicator_ref else "objectives"
        problems.append((("spec", key), "not supported; write the indicator in place, one for the whole SLO"))
        return None
    for position, objective in enumerate(slo.spec.objectives):
        if objective.indicator or objective.indicator_ref or objective.composite_weight:
            problems.append((("spec", "objectives", position), "composite SLOs are not supported; write one SLO each"))
    at: KeyPath = ("spec", "indicator", "spec")
    indicator = slo.spec.indicator.spec
    if indicator.threshold_metric:
        total = _count(indicator.threshold_metric, (*at, "thresholdMetric"), problems, takes_value=True)
        return _threshold(total, slo.spec.objectives[0]) if total else None
    at = (*at, "ratioMetric")
    ratio = indicator.ratio_metric
    if ratio.raw:
        problems.append(((*at, "raw"), "not supported; give total with good or bad"))
        return None
    kind = "good" if ratio.good else "bad"
    total = _count(ratio.total, (*at, "total"), problems)
    part = ratio.good or ratio.bad
    if total is None:
        if part.metric_source.type != TYPE:
            _count(part, (*at, kind), problems)
        return None
    numerator = _count(part, (*at, kind), problems, total=total)
    return (total, numerator, kind) if numerator else None


def _count(metric: Metric, at: KeyPath, problems: Problems, **options: Any) -> Count | None:
    source, here = metric.metric_source, (*at, "metricSource")
    if source.type != TYPE:
        problems.append(((*here, "type"), f"{source.type!r:.60} cannot be counted; write type: {TYPE} and its spec"))
        return None
    return read_count(source.spec, (*here, "spec"), problems, **options)


def _threshold(total: Count, objective: Objective) -> tuple[Count, Count, str]:
    """An event is good if its value compares; one without a value is not counted."""
    measured = Condition(total.value_column, "is_present", ("true",), "boolean")
    compared = Condition(total.value_column, objective.op, (repr(float(objective.value)),), "number")
    measured_total = Count(total.source, (*total.where, measured), total.none_of, total.deadline_seconds)
    return measured_total, Count(total.source, (compared,), deadline_seconds=total.deadline_seconds), "good"


def is_part_of_total(definition: Definition) -> bool:
    """Whether the numerator counts events of the total, rather than events of its own."""
    metric = definition.slo.spec.indicator.spec
    part = metric.ratio_metric and (metric.ratio_metric.good or metric.ratio_metric.bad)
    return not (part and "source" in part.metric_source.spec)


def _same_name_at_once(definitions: Sequence[Definition]) -> Iterator[str]:
    """Names that two files give on one day: objectives are dated, so that a new target is a new file."""
    by_name: dict[str, list[Definition]] = {}
    for definition in definitions:
        by_name.setdefault(definition.slo.metadata.name, []).append(definition)
    for namesakes in by_name.values():
        namesakes.sort(key=lambda definition: definition.dates["valid-from"] or date.min)
        for earlier, later in pairwise(namesakes):
            if (earlier.dates["valid-to"] or date.max) > (later.dates["valid-from"] or date.min):
                yield later.place(
                    ("metadata", "name"),
                    f"{later.slo.metadata.name!r} is also in {earlier.document.file.name} on the same days; choose "
                    "another name, or give the annotations valid-to there and valid-from here",
                )


def reference_rows(definitions: Iterable[Definition]) -> dict[str, pl.DataFrame]:
    """Rows of the reference tables of SLOs, as text, each with the line of its file."""
    rows: dict[str, list[dict[str, Any]]] = {table.name: [] for table in (SLOS, SLO_OBJECTIVES, SLO_CONDITIONS)}
    for definition in definitions:
        rows[SLOS.name].append(_slo_row(definition))
        rows[SLO_OBJECTIVES.name] += _objective_rows(definition)
        rows[SLO_CONDITIONS.name] += _condition_rows(definition)
    return {table.name: _frame(table, rows[table.name]) for table in (SLOS, SLO_OBJECTIVES, SLO_CONDITIONS)}


def _slo_row(definition: Definition) -> dict[str, Any]:
    slo, window = definition.slo, definition.window
    # `m` of OpenSLO is a minute; weeks and quarters are days and months.
    number, unit = window.duration.number, UNITS[window.duration.unit]
    match unit:
        case "week":
            number, unit = number * 7, "day"
        case "hour":
            number, unit = number * 60, "minute"
        case "quarter":
            number, unit = number * 3, "month"
        case "year":
            number, unit = number * 12, "month"
    annotations = {key.replace("-", "_"): _line(slo.metadata.annotations[key]) for key in ANNOTATIONS}
    dates = {key.replace("-", "_"): value for key, value in definition.dates.items()}
    return {
        "definition": definition.name,
        "slo": slo.metadata.name,
        "display_name": slo.metadata.display_name or slo.metadata.name,
        "service": slo.spec.service,
        "budgeting_method": slo.spec.budgeting_method,
        "window_duration": str(window.duration),
        "window_length": number,
        "window_unit": unit,
        "window_starts_at": window.calendar and window.calendar.start_time,
        "time_zone": window.calendar and window.calendar.time_zone,
        "slot_minutes": definition.slot_minutes,
        "total_source": definition.total.source,
        "total_deadline_seconds": definition.total.deadline_seconds,
        "numerator_kind": definition.kind,
        "numerator_source": definition.numerator.source,
        "numerator_deadline_seconds": definition.numerator.deadline_seconds,
        "is_part_of_total": is_part_of_total(definition),
        **annotations,
        **dates,
    }


def _objective_rows(definition: Definition) -> Iterator[dict[str, Any]]:
    for position, objective in enumerate(definition.slo.spec.objectives, 1):
        minutes = objective.time_slice_window.minutes if definition.slices else definition.slot_minutes
        yield {
            "definition": definition.name,
            "objective": position,
            "objective_name": objective.display_name or f"objective {position}",
            "target": target_of(objective),
            "time_slice_target": objective.time_slice_target,
            "time_slice_minutes": minutes,
        }


def _condition_rows(definition: Definition) -> Iterator[dict[str, Any]]:
    for part, count in (("total", definition.total), ("numerator", definition.numerator)):
        for group, conditions in enumerate(count.groups):
            # Every event has a service, so that a count of all events has a condition, too.
            conditions = conditions or (Condition("service", "is_present", ("true",), "boolean"),)
            for position, condition in enumerate(conditions, 1):
                for value in condition.values:
                    yield {
                        "definition": definition.name,
                        "part": part,
                        "condition_group": group,
                        "position": position,
                        "column_name": condition.column,
                        "operator": condition.operator,
                        "value_type": condition.value_type,
                        "value": value,
                    }


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _frame(table: Table, rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = [column.name for column in table.columns]
    texts = [{name: _text(row.get(name)) for name in names} | {"line": 1} for row in rows]
    return pl.DataFrame(texts, schema={"line": pl.Int64} | dict.fromkeys(names, pl.String))


def _text(value: Any) -> str | None:
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
