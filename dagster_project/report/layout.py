"""What every part of the monthly report is made of: columns, how their values are written, months and their charts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from dagster_project.report.charts import Chart, Point, highest_drawn, month_number, round_up

# A year, and the same month of the year before.
RECENT_MONTHS = 13

SPACE = "\N{NARROW NO-BREAK SPACE}"

Row = dict[str, Any]


def words(value: str) -> str:
    return value.replace("_", " ")


def count(value: int) -> str:
    return f"{value:,}"


def percent(value: float, unit: str = f"{SPACE}%") -> str:
    """A rate of 0–1. Only 0 and 1 themselves, but for the error of binary fractions, read as 0 and 100 %.

    What another tool reports as a rate may lie above 1.
    """
    points = 100 * value
    if round(value, 9) in (0, 1):
        return f"{points:.0f}{unit}"
    if points < 0.05:
        return f"<0.1{unit}"
    return f">99.9{unit}" if 99.95 <= points < 100 else f"{points:.1f}{unit}"


def hours(value: float) -> str:
    """Hours in the unit that a person would say: minutes below one hour, days from two days on."""
    minutes = round(60 * value)
    if minutes < 60:
        return f"<1{SPACE}min" if minutes == 0 < value else f"{minutes}{SPACE}min"
    return f"{value:.1f}{SPACE}h" if value < 47.95 else f"{value / 24:,.1f}{SPACE}d"


@dataclass(frozen=True)
class Column:
    """A column of the page: its heading, the columns of the data it shows, and how their values are written.

    `defined_at` is where the page defines it, `counted` the column with its sample size and of what, `bounds` are the
    ends of its interval, `rests_on` is what else says how far to trust it.
    """

    label: str
    sources: tuple[str, ...]
    write: Callable[..., str]
    defined_at: str = ""
    counted: tuple[str, str] | None = None
    bounds: tuple[str, ...] = ()
    rests_on: Callable[[Row], list[str]] = lambda row: []

    @property
    def anchor(self) -> str:
        return self.defined_at or self.sources[0]

    def text(self, row: Row) -> str | None:
        """One month's cell; None if a value is NULL, for what is not known is never written as a number."""
        values = [row[source] for source in self.sources]
        return None if None in values else self.write(*values)


# What a reader must know about a month that is not final, by the column that says so.
STATES = {"is_complete": "so far", "is_provisional": "provisional"}


@dataclass(frozen=True)
class Month:
    """One row of a table of months: its name, the column of STATES that marks it, its cells in the order of columns."""

    name: str
    state: str | None
    cells: list[str | None]


@dataclass(frozen=True)
class Figure:
    """A chart and its heading: the last final month, its value, and in what light to see it."""

    title: str
    source: str
    shape: str
    chart: Chart
    top_label: str
    value: str | None
    notes: list[str]


def state(row: Row) -> str | None:
    """The column that keeps a month from being final: it is not over, or late data can still change it."""
    if not row["is_complete"]:
        return "is_complete"
    return "is_provisional" if row["is_provisional"] else None


def is_over(month: date, as_of: datetime | None) -> bool:
    """Whether all of a month, named by its first day, is known."""
    return as_of is not None and (as_of.year, as_of.month) > (month.year, month.month)


def quarter_name(quarter: date) -> str:
    return f"Q{(quarter.month + 2) // 3} {quarter.year}"


def month_name(row: Row) -> str:
    return f"{row['month']:%b %Y}"


def month(row: Row, groups: dict[str, tuple[Column, ...]]) -> Month:
    return Month(month_name(row), state(row), [column.text(row) for group in groups.values() for column in group])


def figure(title: str, shape: str, column: Column, rows: list[Row]) -> Figure:
    """The chart of one column over a service's whole history, oldest month first."""
    [source] = column.sources
    known = [row for row in rows if row[source] is not None]
    points = [
        Point(
            month=row["month"],
            value=row[source],
            is_final=state(row) is None,
            tip=f"{month_name(row)}{f' {STATES[state(row)]}' if state(row) else ''}: "
            + ", ".join([column.text(row), *basis(column, row)]),
            bounds=tuple(row[bound] for bound in column.bounds),
        )
        for row in known
    ]
    top = top_of_scale(highest_drawn([max(row[name] for name in (source, *column.bounds)) for row in known]), column)
    final = [row for row in rows if state(row) is None]
    return Figure(
        title=title,
        source=column.anchor,
        shape=shape,
        chart=Chart(rows[0]["month"], rows[-1]["month"], points, top),
        top_label=re.sub(r"\.0+(?!\d)", "", column.write(top)),
        value=column.text(final[-1]) if final else None,
        notes=[month_name(final[-1]), *basis(column, final[-1]), *year_before(column, final)] if final else [],
    )


def top_of_scale(highest: float, column: Column) -> float:
    """Where the vertical axis ends: a round number in the unit its label is written in, and no rate beyond 1."""
    if highest == 0:
        return 1
    if column.write is percent:
        return min(round_up(highest), 1)
    unit = 1
    if column.write is hours:
        # Above 40 the next round number of hours is 50, which reads in days.
        unit = 24 if highest > 40 else 1 if highest > 1 else 1 / 60
    return unit * max(round_up(highest / unit), 2)


def basis(column: Column, row: Row) -> list[str]:
    """What a month's value rests on, which says how far to trust it."""
    if column.counted is None:
        return column.rests_on(row)
    source, what = column.counted
    return [] if row[source] is None else [f"over {count(row[source])} {what}", *column.rests_on(row)]


def year_before(column: Column, final: list[Row]) -> list[str]:
    """Between which values the column lay in the twelve months before the last one, unless it has an interval."""
    [source] = column.sources
    since = month_number(final[-1]["month"]) - 12
    values = [row[source] for row in final[:-1] if month_number(row["month"]) >= since and row[source] is not None]
    if column.bounds or not values:
        return []
    ends = dict.fromkeys([column.write(min(values)), column.write(max(values))])
    return [f"monthly {' to '.join(ends)} in the year before"]
