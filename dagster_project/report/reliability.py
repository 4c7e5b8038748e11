"""What was promised and who was woken: the part of the monthly report about SLOs and on-call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from math import floor
from operator import itemgetter
from urllib.parse import quote

import duckdb

from dagster_project.report import tables
from dagster_project.report.layout import (
    RECENT_MONTHS,
    SPACE,
    Column,
    Figure,
    Month,
    Row,
    count,
    figure,
    hours,
    is_over,
    month,
    month_name,
    percent,
    quarter_name,
    words,
)

# What each query reads; a table that is not published yet has nothing to show.
STATUS, REVIEW, ONCALL = "slo_status", "slo_review_monthly", "oncall_weekly"

PROMISES = f"select * from {STATUS} order by owner_team nulls last, display_name, slo, objective"
REVIEWS = f"""
    select *
    from {REVIEW}
    where is_complete
    qualify month = max(month) over ()
    order by team nulls last, slo, objective
"""
# Of weeks that begin in the month; a rate is a ratio of sums.
MONTHS_ON_CALL = f"""
    select
        team,
        rotation,
        cast(date_trunc('month', week) as date) as month,
        bool_and(is_complete) as is_complete,
        false as is_provisional,
        sum(pages) as pages,
        sum(interruptions) as interruptions,
        sum(off_hours_interruptions) as off_hours_interruptions,
        sum(sleep_interruptions) as sleep_interruptions,
        sum(incidents) as incidents,
        sum(incidents) / nullif(sum(shifts), 0) as incidents_per_shift,
        sum(shifts_over_norm) as shifts_over_norm,
        sum(closed_incidents) as closed_incidents,
        sum(false_positives) / nullif(sum(closed_incidents), 0) as false_positive_rate,
        sum(keyed_incidents) as keyed_incidents,
        sum(recurrences) / nullif(sum(keyed_incidents), 0) as recurrence_rate,
        sum(reviewable_incidents) as reviewable_incidents,
        sum(reviewed_incidents) / nullif(sum(reviewable_incidents), 0) as review_completion_rate,
        sum(due_actions) as due_actions,
        sum(actions_closed_on_time) / nullif(sum(due_actions), 0) as actions_on_time_rate
    from {ONCALL}
    group by team, rotation, date_trunc('month', week)
    order by rotation, team, month
"""
TIMES = {"acknowledge": "acknowledged", "action": "acted on", "mitigate": "mitigated", "resolve": "resolved"}
RESPONSES = f"""
    select distinct
        team, rotation, response_quarter, {", ".join(f"{name}_median_hours, {name}_incidents" for name in TIMES)}
    from {ONCALL}
    where response_quarter is not null
    qualify response_quarter = max(response_quarter) over (partition by team, rotation)
"""


def share(value: float) -> str:
    """A share near 1, so exactly that its distance from a target shows; rounded down, for only 1 reads as 100 %."""
    return f"{floor(round(100_000 * value, 6)) / 1000:g}{SPACE}%"


def budget(value: float) -> str:
    """What is left of a budget, in hundredths of it; below zero where more was used than there was."""
    return f"{100 * value:,.0f}{SPACE}%".replace("-", "\N{MINUS SIGN}")


def day(value: date) -> str:
    return f"{value.day} {value:%b %Y}"


def _on_call(
    label: str, source: str, write: Callable[..., str] = count, counted: tuple[str, str] | None = None
) -> Column:
    return Column(label, (source,), write, f"{ONCALL}.{source}", counted)


INTERRUPTIONS = _on_call("interruptions", "interruptions")
PER_SHIFT = _on_call(
    "incidents a shift", "incidents_per_shift", lambda value: f"{value:.2f}", ("incidents", "incidents")
)
FALSE = _on_call("false", "false_positive_rate", percent, ("closed_incidents", "closed incidents"))
GROUPS = {
    "Load": (
        _on_call("pages", "pages"),
        INTERRUPTIONS,
        _on_call("off hours", "off_hours_interruptions"),
        _on_call("at night", "sleep_interruptions"),
    ),
    "Shifts": (PER_SHIFT, _on_call("over norm", "shifts_over_norm")),
    "Incidents": (
        FALSE,
        _on_call("n", "closed_incidents"),
        _on_call("again", "recurrence_rate", percent, ("keyed_incidents", "incidents with a key")),
        _on_call("n", "keyed_incidents"),
    ),
    "Afterwards": (
        _on_call("reviewed", "review_completion_rate", percent, ("reviewable_incidents", "incidents")),
        _on_call("n", "reviewable_incidents"),
        _on_call("actions on time", "actions_on_time_rate", percent, ("due_actions", "actions")),
        _on_call("n", "due_actions"),
    ),
}
PROMISE_COLUMNS = (
    Column("Service", ("service",), str),
    Column("Target", ("target",), share),
    Column("Attained", ("attainment_rate",), share),
    Column("n", ("window_total",), count),
    Column("Window", ("window_duration",), str),
    Column("Budget left", ("budget_remaining_rate",), budget),
    Column("State", ("state",), words),
    Column("Alert", ("verdict",), str),
    Column("Lasts", ("hours_to_exhaustion",), hours),
)
REVIEW_COLUMNS = (
    Column("Finding", ("finding",), words),
    Column("Least left", ("lowest_budget_remaining_rate",), budget),
    Column("Exhausted, days", ("exhausted_days",), count),
    Column("Judged, days", ("judged_days",), count),
    Column("Tickets", ("support_tickets_per_1000_active_users",), lambda value: f"{value:.2f}"),
    Column("before", ("support_tickets_per_1000_active_users_before",), lambda value: f"{value:.2f}"),
    Column("Bounced", ("bounce_rate",), percent),
    Column("before", ("bounce_rate_before",), percent),
    Column("Reviewed", ("reviewed_on",), day),
)
# Columns whose definitions the page repeats, by table.
SHOWN = {
    STATUS: tuple(column.sources[0] for column in PROMISE_COLUMNS),
    REVIEW: tuple(column.sources[0] for column in REVIEW_COLUMNS),
    ONCALL: tuple(
        dict.fromkeys(column.sources[0] for columns in GROUPS.values() for column in columns)
        | {f"{name}_median_hours": None for name in TIMES}
    ),
}


@dataclass(frozen=True)
class Promise:
    """One objective now, or what a review found of it; `cells` as in PROMISE_COLUMNS or REVIEW_COLUMNS."""

    name: str
    cells: list[str | None]


@dataclass(frozen=True)
class Rotation:
    """One team's rotation, newest month first; `times` are the medians of the last quarter that has any."""

    name: str
    anchor: str
    team: str
    figures: list[Figure]
    recent: list[Month]
    quarter: str | None
    times: list[str]


@dataclass(frozen=True)
class Reliability:
    """`missing` names what nothing is known about; `definitions` are (table, [(column, text)])."""

    teams: list[tuple[str, list[Promise]]]
    to_do: list[tuple[str, str, str]]
    reviewed: str | None
    matching: int
    findings: list[Promise]
    rotations: list[Rotation]
    missing: list[str]
    definitions: list[tuple[str, list[tuple[str, str]]]]


def read_reliability(connection: duckdb.DuckDBPyConnection, as_of: datetime | None) -> Reliability:
    """Everything that the page shows of SLOs and on-call, from the published tables that there are."""
    published = tables.present(connection)

    def rows(table: str, query: str) -> list[Row]:
        return tables.rows(connection, query) if table in published else []

    promises, reviews = rows(STATUS, PROMISES), rows(REVIEW, REVIEWS)
    months, responses = rows(ONCALL, MONTHS_ON_CALL), rows(ONCALL, RESPONSES)
    names = {(row["slo"], row["objective"]): _name(row, promises) for row in promises}
    for row in months:
        row["is_complete"] = row["is_complete"] and is_over(row["month"], as_of)
    return Reliability(
        teams=[
            (team or "No team", [Promise(_name(row, promises), _cells(row, PROMISE_COLUMNS)) for row in of_team])
            for team, of_team in groupby(promises, itemgetter("owner_team"))
        ],
        to_do=[
            (_name(row, promises), words(row["state"]), row["action_to_take"])
            for row in promises
            if row["state"] in ("data_error", "exhausted", "burning")
        ],
        reviewed=month_name(reviews[0]) if reviews else None,
        matching=sum(row["finding"] == "matches" for row in reviews),
        findings=[
            Promise(names.get((row["slo"], row["objective"]), row["slo"]), _cells(row, REVIEW_COLUMNS))
            for row in reviews
            if row["finding"] != "matches"
        ],
        rotations=[_rotation(list(of_one), responses) for _, of_one in groupby(months, itemgetter("rotation", "team"))],
        missing=[topic for topic, found in {"SLOs": promises, "on-call": months}.items() if not found],
        definitions=tables.definitions(connection, SHOWN),
    )


def _name(row: Row, promises: list[Row]) -> str:
    """The SLO's, with the objective's where it has several."""
    has_several = sum(each["slo"] == row["slo"] for each in promises) > 1
    return f"{row['display_name']}, {row['objective_name']}" if has_several else row["display_name"]


def _cells(row: Row, columns: tuple[Column, ...]) -> list[str | None]:
    return [column.text(row) for column in columns]


def _rotation(rows: list[Row], responses: Iterable[Row]) -> Rotation:
    last = rows[-1]
    times = next((row for row in responses if (row["team"], row["rotation"]) == (last["team"], last["rotation"])), None)
    quarter = times and times["response_quarter"]
    return Rotation(
        name=last["rotation"],
        anchor=f"rotation-{quote(last['team'] or '', safe='')}-{quote(last['rotation'], safe='')}",
        team=last["team"] or "No team",
        figures=[
            figure("Interruptions", "bars", INTERRUPTIONS, rows),
            figure("Incidents a shift", "line", PER_SHIFT, rows),
            figure("False alarms", "line", FALSE, rows),
        ],
        recent=[month(row, GROUPS) for row in reversed(rows)][:RECENT_MONTHS],
        quarter=quarter and quarter_name(quarter),
        times=[
            f"{what} in {hours(times[f'{each}_median_hours'])} (n {count(times[f'{each}_incidents'])})"
            for each, what in TIMES.items()
            if times and times[f"{each}_median_hours"] is not None
        ],
    )
