"""What users experience: the part of the monthly report about front ends, journeys and degraded deployments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
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
    is_over,
    month,
    month_name,
    percent,
    state,
    words,
)

# What each query reads; a table that is not published yet has nothing to show.
VITALS, SESSIONS, JOURNEYS = "web_vitals_monthly", "experience_daily", "journey_daily"
DEGRADATIONS, CONTRIBUTIONS = "fct_degradations", "degradation_contributions"

MONTHS_OF_VITALS = f"""
    select
        service,
        month,
        arg_max(team, month) as team,
        bool_and(is_complete) as is_complete,
        bool_or(is_provisional) as is_provisional,
        {
    ", ".join(
        f"any_value({value}) filter (metric_name = '{name}') as {name.lower()}_{short}"
        for name in ("LCP", "INP", "CLS")
        for value, short in (("p75_value", "p75"), ("rating", "rating"), ("good_rate", "good"), ("measurements", "n"))
    )
}
    from {VITALS}
    where route = 'all' and release = 'all' and device_class = 'all'
    group by service, month
"""
# Sums of a month's days; a rate is their ratio.
MONTHS_OF_SESSIONS = f"""
    select
        service,
        cast(date_trunc('month', day) as date) as month,
        arg_max(team, day) as team,
        bool_or(is_provisional) as is_provisional,
        sum(measured_sessions) as measured_sessions,
        sum(error_free_sessions) / nullif(sum(sessions), 0) as error_free_rate,
        sum(bounced_sessions) / nullif(sum(judged_sessions), 0) as bounce_rate
    from {SESSIONS}
    group by service, date_trunc('month', day)
"""
STEPS = f"""
    select
        service,
        journey,
        position,
        any_value(step) as step,
        cast(date_trunc('month', day) as date) as month,
        sum(sessions) as sessions,
        sum(entered) as entered,
        sum(completed) as completed,
        list(day order by day) filter (is_broken_step) as broken_days
    from {JOURNEYS}
    group by service, journey, position, date_trunc('month', day)
    order by service, journey, position, month
"""
FOUND = ("degraded", "still_degraded", "telemetry_lost", "suspected")
VERDICTS = (*FOUND, "insufficient_data", "ok")
CHANGES_FOUND = f"""
    select
        found.*,
        cast(split_part(first_degraded_deployment_key, '/', -1) as varchar) as blamed,
        list_position({list(VERDICTS)}, verdict) as place
    from {DEGRADATIONS} as found
    where verdict in {FOUND}
    order by finished_at desc, service, place, indicator
"""
DEPLOYMENTS_BY_VERDICT = f"""
    select verdict, count(*) as deployments
    from (select arg_min(verdict, list_position({list(VERDICTS)}, verdict)) as verdict from {DEGRADATIONS}
        where deployed_on >= ? group by deployment_key)
    group by verdict
    order by list_position({list(VERDICTS)}, verdict)
"""
MOVED_MOST = f"""
    select deployment_key, indicator, dimension, dimension_value, contribution / nullif(change_rate, 0) as share
    from {CONTRIBUTIONS}
    where contribution_rank = 1 and dimension in ('route', 'component') and dimension_value <> '(none)'
        -- What is all of the traffic says nothing.
        and cases_rate < 1 and contribution * change_rate > 0
    order by dimension desc
"""


def milliseconds(value: float) -> str:
    """Seconds from one second on."""
    return f"{value / 1000:.2f}{SPACE}s" if value >= 1000 else f"{value:.3g}{SPACE}ms"


def score(value: float) -> str:
    return f"{value:.3f}"


def _vital(name: str, write: Any) -> tuple[Column, ...]:
    lower = name.lower()
    n = f"{lower}_n"
    return (
        Column("p75", (f"{lower}_p75",), write, f"{VITALS}.p75_value", (n, "page views")),
        Column("rating", (f"{lower}_rating",), words, f"{VITALS}.rating"),
        Column("good", (f"{lower}_good",), percent, f"{VITALS}.good_rate", (n, "page views")),
        Column("n", (n,), count, f"{VITALS}.measurements"),
    )


OVER_SESSIONS = ("measured_sessions", "sessions")
BOUNCE = Column("bounced", ("bounce_rate",), percent, f"{SESSIONS}.bounce_rate", OVER_SESSIONS)
ERROR_FREE = Column(
    "without error", ("error_free_rate",), percent, f"{SESSIONS}.error_free_session_rate", OVER_SESSIONS
)
GROUPS = {
    "LCP": _vital("LCP", milliseconds),
    "INP": _vital("INP", milliseconds),
    "CLS": _vital("CLS", score),
    "Sessions": (
        ERROR_FREE,
        BOUNCE,
        Column("n", ("measured_sessions",), count, f"{SESSIONS}.measured_sessions"),
    ),
}
JOURNEY_COLUMNS = {
    "Reached": "entered",
    "Went on": "completed",
    "Share": "completion_rate",
    "Usual": "baseline_drop_rate",
    "Broke on": "is_broken_step",
}
FOUND_COLUMNS = {
    "Indicator": "indicator",
    "Verdict": "verdict",
    "Before": "baseline_bad_rate",
    "n before": "baseline_cases",
    "After": "bad_rate",
    "n after": "cases",
    "Change": "rise_rate",
    "95 % interval": "rise_rate_low",
}
# Columns whose definitions the page repeats, by table.
SHOWN = {
    VITALS: ("p75_value", "rating", "good_rate", "measurements"),
    SESSIONS: ("bounce_rate", "error_free_session_rate", "measured_sessions"),
    JOURNEYS: tuple(JOURNEY_COLUMNS.values()),
    DEGRADATIONS: tuple(FOUND_COLUMNS.values()),
    CONTRIBUTIONS: ("contribution",),
}


@dataclass(frozen=True)
class Step:
    name: str
    reached: str
    went_on: str
    share: str | None
    usual: str | None
    broke_on: str | None


@dataclass(frozen=True)
class Journey:
    """One journey in one month."""

    name: str
    month: str
    steps: list[Step]


@dataclass(frozen=True)
class FrontEnd:
    """One front end's part, newest month first."""

    name: str
    anchor: str
    team: str
    figures: list[Figure]
    recent: list[Month]
    journeys: list[Journey]


@dataclass(frozen=True)
class Finding:
    """One indicator that a deployment made worse, or whose measurements it lost; `cells` as in FOUND_COLUMNS."""

    indicator: str
    cells: list[str | None]
    about: list[str]


@dataclass(frozen=True)
class Noticed:
    """One deployment that users noticed."""

    deployed_at: datetime
    service: str
    findings: list[Finding]


@dataclass(frozen=True)
class Experience:
    """`missing` names what nothing is known about; `definitions` are (table, [(column, text)])."""

    front_ends: list[FrontEnd]
    noticed: list[Noticed]
    measured: list[tuple[str, str]]
    missing: list[str]
    definitions: list[tuple[str, list[tuple[str, str]]]]
    since: date | None


def read_experience(connection: duckdb.DuckDBPyConnection, as_of: datetime | None) -> Experience:
    """Everything that the page shows of users, from the published tables that there are."""
    published = tables.present(connection)
    months = _months(connection, as_of) if {VITALS, SESSIONS} <= published else []
    steps = tables.rows(connection, STEPS) if JOURNEYS in published else []
    found, moved, measured, since = [], [], [], _first_recent_month(as_of)
    if {DEGRADATIONS, CONTRIBUTIONS} <= published and since:
        found, moved = tables.rows(connection, CHANGES_FOUND), tables.rows(connection, MOVED_MOST)
        measured = connection.execute(DEPLOYMENTS_BY_VERDICT, [since]).fetchall()
    front_ends = [
        _front_end(list(rows), [step for step in steps if step["service"] == name])
        for name, rows in groupby(months, itemgetter("service"))
    ]
    topics = {
        "web vitals and sessions": months,
        "journeys": steps,
        "deployments and what they did to users": measured,
    }
    return Experience(
        front_ends=sorted(front_ends, key=lambda each: (each.name.casefold(), each.name)),
        noticed=[
            Noticed(at, service, [_finding(row, moved, found) for row in rows])
            for (at, service), rows in groupby(
                (row for row in found if row["deployed_on"] >= since), itemgetter("finished_at", "service")
            )
        ],
        measured=[(words(verdict), count(number)) for verdict, number in measured],
        missing=[topic for topic, rows in topics.items() if not rows],
        definitions=tables.definitions(connection, SHOWN),
        since=since,
    )


def _first_recent_month(as_of: datetime | None) -> date | None:
    if as_of is None:
        return None
    number = 12 * as_of.year + as_of.month - RECENT_MONTHS
    return date(number // 12, number % 12 + 1, 1)


def _months(connection: duckdb.DuckDBPyConnection, as_of: datetime | None) -> list[Row]:
    """The months of every front end, oldest first: its web vitals and its sessions, as far as there are any."""
    found: dict[tuple[str, date], Row] = {}
    empty = dict.fromkeys(source for columns in GROUPS.values() for column in columns for source in column.sources)
    for query in (MONTHS_OF_SESSIONS, MONTHS_OF_VITALS):
        for row in tables.rows(connection, query):
            known = found.setdefault(
                (row["service"], row["month"]),
                {**empty, "is_complete": is_over(row["month"], as_of), "is_provisional": False},
            )
            known |= row | {"is_provisional": known["is_provisional"] or row["is_provisional"]}
    return [found[key] for key in sorted(found)]


def _front_end(rows: list[Row], steps: list[Row]) -> FrontEnd:
    last = rows[-1]
    final = [row["month"] for row in rows if state(row) is None]
    [lcp, *_], good = GROUPS["LCP"], GROUPS["LCP"][2]
    return FrontEnd(
        name=last["service"],
        anchor=f"front-end-{quote(last['service'], safe='')}",
        team=last["team"] or "No team",
        figures=[
            figure("LCP, p75", "line", lcp, rows),
            figure("Page views with a good LCP", "line", good, rows),
            figure("Bounced sessions", "line", BOUNCE, rows),
        ],
        recent=[month(row, GROUPS) for row in reversed(rows)][:RECENT_MONTHS],
        journeys=list(_journeys(steps, final[-1])) if final else [],
    )


def _journeys(steps: list[Row], of: date) -> Iterator[Journey]:
    """Every journey in this month, beside the months before it."""
    for name, rows in groupby((row for row in steps if row["month"] <= of), itemgetter("journey")):
        shown = []
        for _, months in groupby(rows, itemgetter("position")):
            *before, now = months
            if now["month"] == of:
                shown.append(_step(now, before[-RECENT_MONTHS:]))
        if shown:
            yield Journey(name, month_name({"month": of}), shown)


def _step(now: Row, before: list[Row]) -> Step:
    def share(rows: list[Row]) -> str | None:
        entered = sum(row["entered"] for row in rows)
        return percent(sum(row["completed"] for row in rows) / entered) if entered else None

    days = [f"{day.day} {day:%b}" for day in now["broken_days"] or []]
    return Step(
        name=now["step"],
        reached=count(round(now["entered"])),
        went_on=count(round(now["completed"])),
        share=share([now]),
        usual=share(before),
        broke_on=", ".join([*days[:3], *([f"{len(days) - 3} more days"] if len(days) > 3 else [])]) or None,
    )


def _finding(row: Row, moved: list[Row], found: list[Row]) -> Finding:
    about = [
        f"{each['dimension']} {each['dimension_value']}, {percent(min(each['share'], 1))} of the change"
        for each in moved
        if (each["deployment_key"], each["indicator"]) == (row["deployment_key"], row["indicator"])
    ]
    if row["verdict"] == "still_degraded":
        first = next((each for each in found if each["deployment_key"] == row["first_degraded_deployment_key"]), None)
        about = [f"since the deployment of {_time(first['finished_at'])}" if first else f"since {row['blamed']}"]
    if row["verdict"] == "telemetry_lost":
        expected = row["expected_telemetry_cases"]
        about = [f"{count(row['telemetry_cases'])} came, {count(round(expected))} were to be expected"]
    is_lost = row["verdict"] == "telemetry_lost"

    def text(write: Callable[..., str], *names: str) -> str | None:
        """What is not comparable is not written."""
        values = [row[name] for name in names]
        return None if is_lost or None in values else write(*values)

    return Finding(
        indicator=words(row["indicator"]).replace("lcp", "LCP"),
        cells=[
            words(row["verdict"]),
            text(percent, "baseline_bad_rate"),
            text(count, "baseline_cases"),
            text(percent, "bad_rate"),
            count(row["cases"]),
            text(points, "rise_rate"),
            text(lambda low, high: f"{points(low)} to {points(high)}", "rise_rate_low", "rise_rate_high"),
        ],
        about=about,
    )


def points(rise: float) -> str:
    """A difference of two shares, in points of a hundred."""
    return f"{100 * rise:+.1f}".replace("-", "\N{MINUS SIGN}")


def _time(at: datetime) -> str:
    return f"{at.day} {at:%b %Y, %H:%M}"
