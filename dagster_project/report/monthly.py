"""The monthly report: one self-contained page about what services deliver and users experience, from the published
file alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from urllib.parse import quote

import duckdb
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from dagster_project.durable import write_durably
from dagster_project.errors import PlumblineError
from dagster_project.report import charts, experience, outcome, outcome_value, reliability, tables
from dagster_project.report.layout import (
    RECENT_MONTHS,
    STATES,
    Column,
    Figure,
    Month,
    Row,
    count,
    figure,
    hours,
    month,
    month_name,
    percent,
    state,
    words,
)
from dagster_project.settings import Settings
from dagster_project.warehouse import open_published

TABLE, TRENDS, BANDS = "delivery_monthly", "monthly_trends", "dora_bands"

# Of verdicts on months in which nothing changed, the share that sees a change: with a baseline of four months one in a
# hundred, of twelve half of that (tests/integration/test_trends.py).
FALSE_VERDICTS = 0.01


def per_day(value: float) -> str:
    return "<0.01" if 0 < value < 0.005 else f"{value:.2f}"


def minutes(value: float) -> str:
    return hours(value / 60)


def interval(low: float, high: float) -> str:
    return f"{percent(low, unit='')}–{percent(high)}"


def segment(value: str) -> str:
    return value.replace("_to_", "→").replace("_", " ")


DEPLOYMENTS = Column("all", ("deployments",), count)
LEAD_TIME = Column("median", ("lead_time_median_hours",), hours, counted=("lead_time_changes", "changes"))
LEAD_TIME_CHANGES = Column("n", ("lead_time_changes",), count)
FAILURE_INTERVAL = Column("95 % interval", ("change_failure_rate_low", "change_failure_rate_high"), interval)
FAILED = Column("failed", ("failed_deployments",), count)


def of_deployments(row: Row) -> list[str]:
    if not row["deployments"]:
        return []
    return [
        f"{FAILED.text(row)} of {DEPLOYMENTS.text(row)} failed",
        f"{FAILURE_INTERVAL.label} {FAILURE_INTERVAL.text(row)}",
    ]


FAILURE_RATE = Column(
    "rate", ("change_failure_rate",), percent, bounds=FAILURE_INTERVAL.sources, rests_on=of_deployments
)

GROUPS = {
    "Deployments": (
        DEPLOYMENTS,
        Column("per day", ("deployments_per_day",), per_day),
        Column("redeploys", ("redeploys",), count),
        Column("changes", ("changes",), count),
    ),
    "Lead time": (
        LEAD_TIME,
        Column("p90", ("lead_time_p90_hours",), hours),
        LEAD_TIME_CHANGES,
        Column("coverage", ("lead_time_coverage_rate",), percent),
        Column("slowest segment", ("slowest_segment",), segment),
    ),
    "Change failure rate": (
        FAILURE_RATE,
        FAILURE_INTERVAL,
        FAILED,
        Column("on evidence", ("evidenced_change_failure_rate",), percent),
    ),
    "Rework": (
        Column("rollbacks", ("rollbacks",), count),
        Column("hotfixes", ("hotfixes",), count),
        Column("rate", ("rework_rate",), percent),
    ),
    "Recovery": (
        Column("median", ("recovery_median_hours",), hours),
        Column("n", ("recovered_deployments",), count),
    ),
    "MTTR": (
        Column("mean", ("mttr_hours",), hours),
        Column("n", ("resolved_incidents",), count),
    ),
    "Builds": (
        Column("median", ("build_median_minutes",), minutes),
        Column("flaky", ("flaky_build_rate",), percent),
    ),
}


@dataclass(frozen=True)
class Judged:
    """A metric with a verdict, and the columns of TABLE that stand beside it."""

    label: str
    source: str
    write: Callable[[float], str]
    trend: str
    band: str | None = None
    reported: str | None = None


JUDGED = (
    Judged(
        "Deployments per day",
        "deployments_per_day",
        per_day,
        "deployment_frequency_trend",
        "deployment_frequency_dora_band",
        "reported_deployments_per_day",
    ),
    Judged(
        "Lead time, median",
        "lead_time_median_hours",
        hours,
        "lead_time_trend",
        "lead_time_dora_band",
        "reported_lead_time_hours",
    ),
    Judged(
        "Change failure rate",
        "change_failure_rate",
        percent,
        "change_failure_rate_trend",
        "change_failure_rate_dora_band",
        "reported_change_failure_rate",
    ),
    Judged(
        "Recovery, median",
        "recovery_median_hours",
        hours,
        "recovery_trend",
        "recovery_dora_band",
        "reported_recovery_hours",
    ),
    Judged("MTTR, mean", "mttr_hours", hours, "mttr_trend"),
    Judged("Page views with a good LCP", "good_lcp_rate", percent, "good_lcp_trend"),
)
LABELS = {metric.source: metric.label for metric in JUDGED}

# The profile of one's own definitions, whose reported values are those of the other columns.
OWN_PROFILE = "plumbline"

IDENTITY = ("month", "team", "service", "component_kind")
SHOWN = tuple(
    dict.fromkeys(
        [
            *(source for group in GROUPS.values() for column in group for source in column.sources),
            *(name for each in JUDGED for name in (each.source, each.trend, each.band, each.reported) if name),
            *("reported_profile", "dora_report_year"),
            *STATES,
        ]
    )
)
SHOWN_OF_TRENDS = (
    *("service", "month", "metric", "baseline_mean", "lower_limit", "upper_limit"),
    *("verdict", "paired_metric", "paired_verdict", "is_trade"),
)
SHOWN_OF_BANDS = ("report_year", "metric", "band", "stated", "caveat")


@dataclass(frozen=True)
class Comparison:
    """One metric of the last final month against the service's own past; None where there is nothing to say."""

    metric: Judged
    value: str | None
    usual: str | None
    expected: str | None
    verdict: str
    trade: str | None
    band: str | None
    reported: str | None


@dataclass(frozen=True)
class Service:
    """One service's section, newest month first. Its team is that of its last month.

    `profile` names the tool whose reported values are compared, if it is not OWN_PROFILE.
    """

    name: str
    anchor: str
    team: str
    about: list[str]
    figures: list[Figure]
    compared_month: str
    profile: str | None
    comparisons: list[Comparison]
    recent: list[Month]
    earlier: list[Month]


def comparisons(row: Row, trends: dict[str, Row]) -> list[Comparison]:
    """The metrics of one month that have a value or a baseline, from its verdicts by metric."""
    found = []
    for metric in JUDGED:
        trend = trends[metric.source]
        if row[metric.source] is None and trend["baseline_mean"] is None:
            continue

        def text(value: float | None, write: Callable[[float], str] = metric.write) -> str | None:
            return None if value is None else write(value)

        limits = [text(trend[name]) for name in ("lower_limit", "upper_limit")]
        found.append(
            Comparison(
                metric=metric,
                value=text(row[metric.source]),
                usual=text(trend["baseline_mean"]),
                expected=None if None in limits else " to ".join(limits),
                verdict=trend["verdict"],
                trade=f"{LABELS[trend['paired_metric']]} {trend['paired_verdict']}" if trend["is_trade"] else None,
                band=metric.band and row[metric.band],
                reported=metric.reported and text(row[metric.reported]),
            )
        )
    return found


def service(rows: list[Row], trends: dict[tuple[str, date], dict[str, Row]]) -> Service:
    """One service's section, from its months, oldest first, and the verdicts of each service and month by metric."""
    last = rows[-1]
    final = [row for row in rows if state(row) is None]
    months = [month(row, GROUPS) for row in reversed(rows)]
    team = last["team"] or "No team"
    former = [name for name in dict.fromkeys(row["team"] for row in rows) if name and name != team]
    return Service(
        name=last["service"],
        anchor=f"service-{quote(last['service'], safe='')}",
        team=team,
        about=[
            *([words(last["component_kind"])] if last["component_kind"] else []),
            *([f"earlier with {', '.join(former)}"] if former else []),
        ],
        figures=[
            figure("Deployments", "bars", DEPLOYMENTS, rows),
            figure("Lead time, median", "line", LEAD_TIME, rows),
            figure("Change failure rate", "band", FAILURE_RATE, rows),
        ],
        compared_month=month_name(final[-1]) if final else "",
        profile=last["reported_profile"] if last["reported_profile"] != OWN_PROFILE else None,
        comparisons=comparisons(final[-1], trends[last["service"], final[-1]["month"]]) if final else [],
        recent=months[:RECENT_MONTHS],
        earlier=months[RECENT_MONTHS:],
    )


def by_name(name: str) -> tuple[str, str]:
    return name.casefold(), name


@dataclass(frozen=True)
class Published:
    """What the page shows: the months of every service, oldest first, their verdicts, the DORA bands of their year,
    what each column of TABLE means, what users experienced, what was promised and who was woken, the scorecards and
    the rules behind them, and the time up to which all this is known."""

    months: list[Row]
    trends: dict[tuple[str, date], dict[str, Row]]
    bands: list[Row]
    comments: dict[str, str]
    experience: experience.Experience
    reliability: reliability.Reliability
    outcome: outcome.Outcome
    outcome_value: outcome_value.OutcomeValue
    as_of: datetime | None


def read_table(
    connection: duckdb.DuckDBPyConnection, settings: Settings, table: str, shown: tuple[str, ...], order: str
) -> tuple[list[Row], dict[str, str]]:
    """Columns of a published table, and what each of its columns means.

    Raises PlumblineError if a column that the page shows is missing or unexplained.
    """
    comments = tables.comments(connection, table)
    for problem, names in {
        "lacks": [name for name in shown if name not in comments],
        "does not explain": [name for name in shown if name not in IDENTITY and comments.get(name) is None],
    }.items():
        if names:
            raise PlumblineError(
                f"{settings.published_file}: {table} {problem} {', '.join(names)}, which the report shows; "
                "publish it anew with `plumbline run`"
            )
    found = tables.rows(connection, f"select {', '.join(shown)} from {table} order by {order}")
    explained = {name: comment for name, comment in comments.items() if comment is not None}
    return found, explained


def read_published(settings: Settings) -> Published:
    """Everything that the page shows, from the published file.

    Raises PlumblineError if nothing is published, or a column that the page shows is missing or unexplained.
    """
    for file in (settings.published_file, settings.manifest_file):
        if not file.exists():
            raise PlumblineError(f"{file}: no such file, so nothing is published yet; start `plumbline run` first")
    as_of = read_watermark(settings)
    with open_published(settings.published_file) as connection:
        users = experience.read_experience(connection, as_of)
        promised = reliability.read_reliability(connection, as_of)
        scorecards = outcome.read_outcome(connection, settings)
        values = outcome_value.read_outcome_value(connection)
        months, comments = read_table(connection, settings, TABLE, (*IDENTITY, *SHOWN), "service, month")
        verdicts, _ = read_table(connection, settings, TRENDS, SHOWN_OF_TRENDS, "service, month, metric")
        bands, _ = read_table(
            connection,
            settings,
            BANDS,
            SHOWN_OF_BANDS,
            "metric, list_position(['elite', 'high', 'medium', 'low'], band)",
        )
    trends: dict[tuple[str, date], dict[str, Row]] = {}
    for row in verdicts:
        trends.setdefault((row["service"], row["month"]), {})[row["metric"]] = row
    years = {row["dora_report_year"] for row in months}
    shown_bands = [band for band in bands if band["report_year"] in years]
    return Published(months, trends, shown_bands, comments, users, promised, scorecards, values, as_of)


def read_watermark(settings: Settings) -> datetime | None:
    """The time up to which the published file knows, from the manifest."""
    as_of = json.loads(settings.manifest_file.read_text(encoding="utf-8"))["as_of"]
    return as_of and datetime.fromisoformat(as_of)


def definitions(comments: dict[str, str]) -> list[tuple[str, str, Markup]]:
    """What each published column means: its name, what heads it on this page ("" if nothing), its text.

    In the table's own order and complete, for one text may build on another; a column's name in it becomes a link.
    """
    headings = {
        "is_complete": f"Month: “{STATES['is_complete']}” where false",
        "is_provisional": f"Month: “{STATES['is_provisional']}” where true",
    }
    for group, columns in GROUPS.items():
        for column in columns:
            for source in column.sources:
                headings.setdefault(source, f"{group}: {column.label}")
    for metric in JUDGED:
        headings.setdefault(metric.source, f"Verdicts: {metric.label}")
        headings[metric.trend] = f"Verdicts: {metric.label}"
    # A name without an underscore may be a plain word.
    names = re.compile(rf"\b({'|'.join(name for name in comments if '_' in name)})\b")
    return [
        (name, headings.get(name, ""), Markup(names.sub(r'<a href="#\1"><code>\1</code></a>', str(escape(text)))))
        for name, text in comments.items()
    ]


def write_report(settings: Settings) -> Path:
    """Write `report_dir/index.html` from the published file and return its path; the same data give the same bytes.

    Raises PlumblineError if nothing is published, or a column that the page shows is missing or unexplained.
    """
    published = read_published(settings)
    services = [
        service(list(months), published.trends) for _, months in groupby(published.months, itemgetter("service"))
    ]
    services.sort(key=lambda each: (by_name(each.team), by_name(each.name)))
    environment = Environment(
        loader=PackageLoader("dagster_project", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    verdicts = [each.verdict for one in services for each in one.comparisons if each.verdict != "baselining"]
    target = settings.report_dir / "index.html"
    page = environment.get_template("monthly.html.jinja").render(
        as_of=published.as_of,
        experience=published.experience,
        outcome=published.outcome,
        outcome_value=published.outcome_value,
        ov_columns=outcome_value.COLUMNS,
        kpi_columns=outcome.KPI_COLUMNS,
        teams=[(team, list(members)) for team, members in groupby(services, attrgetter("team"))],
        groups=GROUPS,
        reliability=published.reliability,
        others=[
            *published.experience.definitions,
            *published.reliability.definitions,
            *published.outcome.definitions,
            *published.outcome_value.definitions,
        ],
        experience_groups=experience.GROUPS,
        journey_columns=experience.JOURNEY_COLUMNS,
        found_columns=experience.FOUND_COLUMNS,
        promise_columns=reliability.PROMISE_COLUMNS,
        review_columns=reliability.REVIEW_COLUMNS,
        on_call_groups=reliability.GROUPS,
        states=STATES,
        verdicts=len(verdicts),
        false_verdicts=f"{FALSE_VERDICTS * len(verdicts):.1f}",
        bands=published.bands,
        definitions=definitions(published.comments),
        table_name=TABLE,
        box=charts,
    )
    write_durably(target, page)
    return target
