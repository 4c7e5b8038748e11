"""OpenSLO v1: what an object of kind SLO may hold. Nothing here is about Plumbline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from dagster_project.slo.documents import Document, KeyPath

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
AnnotationKey = Annotated[str, Field(pattern=r"^([a-z0-9.-]{2,253}/)?[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$")]
Description = Annotated[str, Field(max_length=1050)]
# Minutes, hours, days, weeks, months, quarters, years; `1m` is a minute and `1M` a month.
UNITS = {"m": "minute", "h": "hour", "d": "day", "w": "week", "M": "month", "Q": "quarter", "Y": "year"}
MINUTES = {"m": 1, "h": 60, "d": 1440, "w": 10080}


@dataclass(frozen=True)
class Duration:
    """A positive number of units."""

    number: int
    unit: str

    @property
    def minutes(self) -> int | None:
        """NULL for months, quarters and years, whose length depends on when they begin."""
        return self.number * MINUTES[self.unit] if self.unit in MINUTES else None

    def __str__(self) -> str:
        return f"{self.number}{self.unit}"


def _duration(value: Any) -> Duration:
    if isinstance(value, Duration):
        return value
    if not isinstance(value, str) or not (found := re.fullmatch(r"([1-9][0-9]*)([mhdwMQY])", value)):
        raise ValueError("not a duration such as 5m, 12h, 28d, 4w, 1M, 1Q, 1Y")
    return Duration(int(found[1]), found[2])


def _slice(value: Any) -> Duration:
    """A duration or a number, which is one of minutes."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return Duration(value, "m") if is_number else _duration(value)


class Part(BaseModel):
    """A mapping of an OpenSLO document; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, arbitrary_types_allowed=True)


class Metadata(Part):
    name: Name
    display_name: str | None = None
    labels: dict[str, str | tuple[str, ...]] | None = None
    annotations: dict[AnnotationKey, str] | None = None


class MetricSource(Part):
    metric_source_ref: Name | None = None
    type: str | None = None
    spec: dict[str, Any]


class Metric(Part):
    metric_source: MetricSource


class RatioMetric(Part):
    counter: bool | None = None
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw_type: Literal["success", "failure"] | None = None
    raw: Metric | None = None


class IndicatorSpec(Part):
    description: Description | None = None
    threshold_metric: Metric | None = None
    ratio_metric: RatioMetric | None = None


class Indicator(Part):
    metadata: Metadata | None = None
    spec: IndicatorSpec


class Calendar(Part):
    start_time: datetime
    time_zone: str

    @field_validator("start_time", mode="before")
    @classmethod
    def _without_zone(cls, value: Any) -> Any:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", value):
            return datetime.fromisoformat(value)
        if not isinstance(value, datetime) or value.tzinfo:
            raise ValueError("not a time such as 2022-01-31 12:00:00, without a time zone")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("no IANA time zone, such as Europe/Berlin")
        return value


class TimeWindow(Part):
    duration: Annotated[Duration, BeforeValidator(_duration)]
    is_rolling: bool | None = None
    calendar: Calendar | None = None


class Objective(Part):
    display_name: str | None = None
    op: Literal["lte", "gte", "lt", "gt"] | None = None
    value: float | None = None
    target: Annotated[float, Field(ge=0, lt=1)] | None = None
    target_percent: Annotated[float, Field(ge=0, lt=100)] | None = None
    time_slice_target: Annotated[float, Field(ge=0, le=1)] | None = None
    time_slice_window: Annotated[Duration, BeforeValidator(_slice)] | None = None
    indicator: Indicator | None = None
    indicator_ref: Name | None = None
    composite_weight: Annotated[float, Field(gt=0)] | None = None


class Spec(Part):
    description: Description | None = None
    service: Name
    indicator: Indicator | None = None
    indicator_ref: Name | None = None
    time_window: tuple[TimeWindow, ...] | None = None
    budgeting_method: Literal["Occurrences", "Timeslices", "RatioTimeslices"]
    objectives: tuple[Objective, ...]
    alert_policies: tuple[Any, ...] | None = None


class Slo(Part):
    """One SLO."""

    api_version: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: Metadata
    spec: Spec


def read_slo(document: Document) -> tuple[Slo | None, list[str]]:
    """The SLO that a document holds and what is wrong with it at OpenSLO's own schema, a line a problem."""
    if document.faults:
        return None, list(document.faults)
    if not isinstance(document.content, dict):
        return None, [document.place((), "expected the keys apiVersion, kind, metadata, spec")]
    try:
        slo = Slo.model_validate(document.content)
    except ValidationError as error:
        return None, [document.place(*_explained(item)) for item in error.errors()]
    return slo, [document.place(path, problem) for path, problem in _contradictions(slo.spec)]


def _explained(item: dict[str, Any]) -> tuple[KeyPath, str]:
    path = tuple(part for part in item["loc"] if part != "[key]")
    shown = f"{item['input']!r:.60}"
    match item["type"]:
        case "missing":
            return path, "missing; OpenSLO v1 requires it"
        case "extra_forbidden":
            return path, "unknown key; OpenSLO v1 has none of this name here"
        case "literal_error":
            return path, f"{shown} is not allowed; allowed: {item['ctx']['expected']}"
        case "value_error":
            return path, f"{shown} is {item['ctx']['error']}"
        case _:
            return path, f"{item['msg'][:1].lower()}{item['msg'][1:]}; found {shown}"


def _contradictions(spec: Spec) -> Iterator[tuple[KeyPath, str]]:
    """What OpenSLO demands of several keys together."""
    at: KeyPath = ("spec",)
    composite = any(objective.indicator or objective.indicator_ref for objective in spec.objectives)
    if (spec.indicator is None) == (spec.indicator_ref is None) and not composite:
        yield (*at, "indicator"), "give exactly one of indicator, indicatorRef"
    if spec.time_window is not None:
        yield from _window_contradictions(spec.time_window, (*at, "timeWindow"))
    indicator = spec.indicator.spec if spec.indicator else None
    if indicator:
        yield from _indicator_contradictions(indicator, (*at, "indicator", "spec"))
        if indicator.threshold_metric and len(spec.objectives) > 1:
            yield (*at, "objectives"), "a thresholdMetric has exactly one objective"
    if not spec.objectives:
        yield (*at, "objectives"), "give at least one objective"
    for position, objective in enumerate(spec.objectives):
        here: KeyPath = (*at, "objectives", position)
        if (objective.target is None) == (objective.target_percent is None):
            found = "both" if objective.target is not None else "neither"
            yield (*here, "target"), f"give exactly one of target, targetPercent; found {found}"
        if indicator and indicator.threshold_metric:
            for key in ("op", "value"):
                if getattr(objective, key) is None:
                    yield (*here, key), "missing; a thresholdMetric is compared by op with value"
        if spec.budgeting_method == "Timeslices" and objective.time_slice_target is None:
            yield (*here, "timeSliceTarget"), "missing; Timeslices need it"
        if spec.budgeting_method != "Occurrences" and objective.time_slice_window is None:
            yield (*here, "timeSliceWindow"), f"missing; {spec.budgeting_method} need it"


def _window_contradictions(windows: tuple[TimeWindow, ...], at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if len(windows) != 1:
        yield at, f"give exactly one time window; found {len(windows)}"
    for position, window in enumerate(windows):
        if window.is_rolling and window.calendar:
            yield (*at, position, "calendar"), "a rolling window has no calendar"
        if not window.is_rolling and not window.calendar:
            yield (*at, position), "give isRolling: true, or calendar with startTime and timeZone"


def _indicator_contradictions(indicator: IndicatorSpec, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if (indicator.threshold_metric is None) == (indicator.ratio_metric is None):
        yield at, "give exactly one of thresholdMetric, ratioMetric"
    if ratio := indicator.ratio_metric:
        here: KeyPath = (*at, "ratioMetric")
        if (ratio.raw is None) == (ratio.total is None):
            yield here, "give either total with good or bad, or raw"
        elif ratio.total and (ratio.good is None) == (ratio.bad is None):
            yield here, "give exactly one of good, bad"
        elif ratio.raw and (ratio.good or ratio.bad):
            yield here, "raw stands alone, without good or bad"
        elif ratio.raw and ratio.raw_type is None:
            yield (*here, "rawType"), "missing; raw needs it"
