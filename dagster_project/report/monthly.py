"""The monthly report: one self-contained page about every service's delivery, from the published file alone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from dagster_project.errors import PlumblineError
from dagster_project.report import charts
from dagster_project.report.charts import Chart, Point, month_number, round_up
from dagster_project.settings import Settings
from dagster_project.warehouse import open_published

TABLE = "delivery_monthly"

# A year, and the same month of the year before.
RECENT_MONTHS = 13

SPACE = "\N{NARROW NO-BREAK SPACE}"

Row = dict[str, Any]


def count(value: int) -> str:
    return f"{value:,}"


def per_day(value: float) -> str:
    return "<0.01" if 0 < value < 0.005 else f"{value:.2f}"


def percent(value: float, unit: str = f"{SPACE}%") -> str:
    """A rate of 0–1. Only exactly 0 and 1 read as 0 and 100 %."""
    points = 100 * value
    if value in (0, 1):
        return f"{points:.0f}{unit}"
    if points < 0.05:
        return f"<0.1{unit}"
    return f">99.9{unit}" if points >= 99.95 else f"{points:.1f}{unit}"


def hours(value: float) -> str:
    """Hours in the unit that a person would say: minutes below one hour, days from two days on."""
    minutes = round(60 * value)
    if minutes < 60:
        return f"<1{SPACE}min" if minutes == 0 < value else f"{minutes}{SPACE}min"
    return f"{value:.1f}{SPACE}h" if value < 47.95 else f"{value / 24:,.1f}{SPACE}d"


def segment(value: str) -> str:
    return value.replace("_to_", " → ").replace("_", " ")


def interval(low: float, high: float) -> str:
    return f"{percent(low, unit='')}–{percent(high)}"


def part_of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}"


@dataclass(frozen=True)
class Column:
    """A column of the page: its heading, the published columns it shows, and how their values are written."""

    label: str
    sources: tuple[str, ...]
    write: Callable[..., str]

    def text(self, row: Row) -> str | None:
        """One month's cell; None if a value is NULL, for what is not known is never written as a number."""
        values = [row[source] for source in self.sources]
        return None if None in values else self.write(*values)


DEPLOYMENTS = Column("all", ("deployments",), count)
LEAD_TIME = Column("median", ("lead_time_median_hours",), hours)
FAILURE_RATE = Column("rate", ("change_failure_rate",), percent)
FAILURE_INTERVAL = Column("95 % interval", ("change_failure_rate_low", "change_failure_rate_high"), interval)
FAILED = Column("failed", ("failed_deployments", "deployments"), part_of)

GROUPS = {
    "Deployments": (
        DEPLOYMENTS,
        Column("per day", ("deployment_frequency_per_day",), per_day),
        Column("redeploys", ("redeploys",), count),
        Column("changes", ("changes",), count),
    ),
    "Lead time": (
        LEAD_TIME,
        Column("p90", ("lead_time_p90_hours",), hours),
        Column("coverage", ("lead_time_coverage_rate",), percent),
        Column("slowest segment", ("slowest_segment",), segment),
    ),
    "Change failure rate": (FAILURE_RATE, FAILURE_INTERVAL, FAILED),
    "Rework": (
        Column("rollbacks", ("rollbacks",), count),
        Column("hotfixes", ("hotfixes",), count),
        Column("rate", ("rework_rate",), percent),
    ),
    "Recovery": (
        Column("median", ("recovery_median_hours",), hours),
        Column("MTTR", ("mttr_hours",), hours),
    ),
}

# What a reader must know about a month that is not final, by the column that says so.
STATES = {"is_complete": "so far", "is_provisional": "provisional"}

IDENTITY = ("month", "team", "service", "component_kind")
EXPLAINED = tuple(dict.fromkeys([*(s for group in GROUPS.values() for column in group for s in column.sources), *STATES]))


@dataclass(frozen=True)
class Month:
    """One row of a service's table: its name, the column of STATES that marks it, the cells in the order of GROUPS."""

    name: str
    state: str | None
    cells: list[str | None]


@dataclass(frozen=True)
class Figure:
    """A chart and its heading: the last final month, its value, and what to hold it against."""

    title: str
    source: str
    shape: str
    chart: Chart
    top_label: str
    month: str | None
    value: str | None
    context: str | None


@dataclass(frozen=True)
class Service:
    """One service's section, newest month first. Its team and kind are those of its last month."""

    name: str
    anchor: str
    team: str
    component_kind: str | None
    former_teams: list[str]
    figures: list[Figure]
    recent: list[Month]
    earlier: list[Month]


def state(row: Row) -> str | None:
    """The column that keeps a month from being final: it is not over, or late data can still change it."""
    if not row["is_complete"]:
        return "is_complete"
    return "is_provisional" if row["is_provisional"] else None


def month_name(row: Row) -> str:
    return f"{row['month']:%b %Y}"


def month(row: Row) -> Month:
    return Month(month_name(row), state(row), [column.text(row) for group in GROUPS.values() for column in group])


def figure(title: str, shape: str, column: Column, rows: list[Row], bounds: tuple[str, ...] = ()) -> Figure:
    """One column over the whole history, oldest month first; `bounds` are the columns of its interval."""
    [source] = column.sources
    points = [
        Point(
            month=row["month"],
            value=row[source],
            is_final=state(row) is None,
            tip=f"{month_name(row)}{f' ({STATES[state(row)]})' if state(row) else ''}: {column.text(row)}",
            bounds=tuple(row[bound] for bound in bounds),
        )
        for row in rows
        if row[source] is not None
    ]
    top = top_of_scale(max((max(point.value, *point.bounds, 0) for point in points), default=0), column)
    final = [row for row in rows if state(row) is None]
    return Figure(
        title=title,
        source=source,
        shape=shape,
        chart=Chart(rows[0]["month"], rows[-1]["month"], points, top),
        top_label=column.write(top).replace(".0", ""),
        month=month_name(final[-1]) if final else None,
        value=column.text(final[-1]) if final else None,
        context=(uncertainty(final[-1]) if bounds else year_before(column, final)) if final else None,
    )


def top_of_scale(highest: float, column: Column) -> float:
    """Where the vertical axis ends: a round number in the unit its label is written in, and no rate beyond 1."""
    if highest == 0:
        return 1
    if column.write is hours:
        unit = 24 if highest >= 48 else 1 if highest >= 1 else 1 / 60
        return unit * round_up(highest / unit)
    return min(round_up(highest), 1) if column.write is percent else max(round_up(highest), 2)


def year_before(column: Column, final: list[Row]) -> str | None:
    """The range of the column in the twelve months before the last one; a level to hold it against, not a verdict."""
    [source] = column.sources
    last = month_number(final[-1]["month"])
    values = [row[source] for row in final[:-1] if month_number(row["month"]) >= last - 12 and row[source] is not None]
    return f"{column.write(min(values))} to {column.write(max(values))} in the year before" if values else None


def uncertainty(row: Row) -> str | None:
    """How much a failure rate is worth: its counts and its interval."""
    if row["change_failure_rate"] is None:
        return None
    return f"{FAILED.text(row)}; 95{SPACE}% interval {FAILURE_INTERVAL.text(row)}"


def service(rows: list[Row]) -> Service:
    """One service's section, from its months, oldest first."""
    last = rows[-1]
    months = [month(row) for row in reversed(rows)]
    teams = dict.fromkeys(row["team"] or "No team" for row in rows)
    team = last["team"] or "No team"
    return Service(
        name=last["service"],
        anchor=f"service-{quote(last['service'], safe='')}",
        team=team,
        component_kind=last["component_kind"] and last["component_kind"].replace("_", " "),
        former_teams=[name for name in teams if name != team],
        figures=[
            figure("Deployments", "bars", DEPLOYMENTS, rows),
            figure("Lead time, median", "line", LEAD_TIME, rows),
            figure("Change failure rate", "band", FAILURE_RATE, rows, FAILURE_INTERVAL.sources),
        ],
        recent=months[:RECENT_MONTHS],
        earlier=months[RECENT_MONTHS:],
    )


def by_name(name: str) -> tuple[str, str]:
    return name.casefold(), name


def read_published(settings: Settings) -> tuple[list[Row], dict[str, str]]:
    """The months of every service, oldest first, and what each column means, from the published file.

    Raises PlumblineError if nothing is published, or a column that the page shows is missing or unexplained.
    """
    if not settings.published_file.exists():
        raise PlumblineError(f"{settings.published_file}: nothing is published yet; start `plumbline run` first")
    columns = (*IDENTITY, *EXPLAINED)
    with open_published(settings.published_file) as connection:
        comments = dict(
            connection.execute(
                "select column_name, comment from duckdb_columns() where table_name = ? and schema_name = 'main'", [TABLE]
            ).fetchall()
        )
        if missing := [name for name in columns if name not in comments]:
            raise PlumblineError(
                f"{settings.published_file}: {TABLE} has no column {', '.join(missing)}; publish it anew with `plumbline run`"
            )
        if unexplained := [name for name in EXPLAINED if not comments[name]]:
            raise PlumblineError(
                f"{settings.published_file}: {TABLE} does not explain {', '.join(unexplained)}; "
                "describe it in dbt/models/marts and publish it anew with `plumbline run`"
            )
        result = connection.execute(f"select {', '.join(columns)} from {TABLE} order by service, month, team")
        rows = [dict(zip(columns, values, strict=True)) for values in result.fetchall()]
    return rows, comments


def read_watermark(settings: Settings) -> datetime | None:
    """The time up to which the published file knows, from the manifest."""
    as_of = json.loads(settings.manifest_file.read_text(encoding="utf-8"))["as_of"]
    return as_of and datetime.fromisoformat(as_of)


def prose(text: str) -> Markup:
    """A column's description, with its `names` set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
