"""Scorecards of teams, what the audit found, what stands out, the rubric and the rules: part of the monthly report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter

import duckdb
import mistune
from markupsafe import Markup

from dagster_project.contracts import OV_DIMENSIONS, RUBRIC
from dagster_project.reference import read_file
from dagster_project.report import tables
from dagster_project.report.layout import Row, count, hours, percent, quarter_name, words
from dagster_project.settings import PROJECT_DIR, Settings

# What each query reads; a table that is not published yet has nothing to show.
SCORECARD, AUDIT, NOTES = "scorecard_quarterly", "metric_audit_quarterly", "system_notes"

LAYERS = ["delivery_speed", "reliability", "user_experience", "maintainability", "collaboration"]
LAST_QUARTER = f"select max(quarter) from {SCORECARD} where is_complete"
KPIS_OF_QUARTER = f"""
    select * replace (case team when 'all' then 'All teams' else team end as team)
    from {SCORECARD}
    where quarter = ?
    order by team <> 'All teams', team, list_position({LAYERS}, layer), kpi
"""
FINDINGS = f"""
    select case team when 'all' then 'All teams' else team end as team, check_name, kpi, claim, evidence
    from {AUDIT}
    where quarter = ? and finding = 'found'
    order by team <> 'All teams', team, audit_kind, check_name, kpi
"""
ANSWERS = f"""
    select case team when 'all' then 'All teams' else team end as team, claim, finding, evidence
    from {AUDIT}
    where quarter = ? and audit_kind in ('question', 'pilot')
    order by team <> 'All teams', team, check_name
"""
NOTED = f"select note from {NOTES} where quarter = ? order by note_kind, subject"

KPI_COLUMNS = {
    "Value": "value",
    "n": "n",
    "Coverage": "coverage_rate",
    "Verdict": "verdict",
    "Usual": "baseline_mean",
    "Expected by chance": "lower_limit",
    "Target": "target",
    "Next milestone": "next_milestone",
    "Pair": "pair_verdict",
}
# Columns whose definitions the page repeats, by table.
SHOWN = {
    SCORECARD: tuple(dict.fromkeys(KPI_COLUMNS.values())),
    AUDIT: ("check_name", "claim", "evidence"),
    NOTES: ("note",),
}
# Pages of docs, and their sections, that tell those who are measured by which rules.
GUARD, METRICS = PROJECT_DIR / "docs" / "guard.md", PROJECT_DIR / "docs" / "metrics.md"
SECTIONS = ("Outcome value", "Scorecards", "Audit", "Decisions", "System notes")


@dataclass(frozen=True)
class Kpi:
    """One KPI of a team; `cells` as in KPI_COLUMNS."""

    name: str
    cells: list[str | None]


@dataclass(frozen=True)
class Outcome:
    """What the page shows of one quarter; `rules` are (title, text) of the docs, `rubric` (dimension, wordings)."""

    quarter: str
    teams: list[tuple[str, list[Kpi]]]
    judged: int
    false_verdicts: str
    findings: list[Row]
    answers: list[Row]
    notes: list[str]
    rubric: list[tuple[str, list[str]]]
    rules: list[tuple[str, Markup]]
    definitions: list[tuple[str, list[tuple[str, str]]]]


def read_outcome(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Outcome:
    """The last complete quarter, from the published tables that there are, and the rubric and rules that hold now."""
    published = tables.present(connection)
    quarter = connection.execute(LAST_QUARTER).fetchone()[0] if SCORECARD in published else None
    kpis = tables.rows(connection, KPIS_OF_QUARTER, [quarter]) if quarter else []
    judged = {row["team"]: row["judged_kpis"] for row in kpis}
    expected = {row["team"]: row["expected_false_verdicts"] for row in kpis}
    is_audited, is_noted = quarter and AUDIT in published, quarter and NOTES in published
    return Outcome(
        quarter=quarter_name(quarter) if quarter else "",
        teams=[(team, [_kpi(row) for row in rows]) for team, rows in groupby(kpis, itemgetter("team"))],
        judged=sum(judged.values()),
        false_verdicts=f"{sum(expected.values()):.1f}",
        findings=tables.rows(connection, FINDINGS, [quarter]) if is_audited else [],
        answers=tables.rows(connection, ANSWERS, [quarter]) if is_audited else [],
        notes=[row["note"] for row in tables.rows(connection, NOTED, [quarter])] if is_noted else [],
        rubric=_rubric(settings, quarter),
        rules=_rules(),
        definitions=tables.definitions(connection, SHOWN),
    )


def _kpi(row: Row) -> Kpi:
    def text(value: float | None) -> str | None:
        if value is None:
            return None
        if row["unit"].startswith("share"):
            return percent(value)
        return hours(value) if row["unit"] == "hours" else f"{value:,.2f}"

    limits = [text(row["lower_limit"]), text(row["upper_limit"])]
    verdict = row["verdict"]
    return Kpi(
        name=words(row["kpi"]),
        cells=[
            text(row["value"]),
            None if row["n"] is None else count(round(row["n"])),
            None if row["coverage_rate"] is None else percent(row["coverage_rate"]),
            verdict if row["is_actionable"] else f"{verdict}, for reporting",
            text(row["baseline_mean"]),
            None if None in limits else " to ".join(limits),
            text(row["target"]),
            text(row["next_milestone"]),
            row["pair"] and f"{words(row['pair'])} {row['pair_verdict'] or 'without a verdict'}",
        ],
    )


def _rubric(settings: Settings, quarter: date | None) -> list[tuple[str, list[str]]]:
    """The wording of each dimension, level by level, that holds on the quarter's first day; without one, the first."""
    day = f"{quarter}" if quarter else ""
    rows = [
        row
        for row in read_file(settings.reference_dir, RUBRIC).iter_rows(named=True)
        if (row["valid_from"] or "") <= day < (row["valid_to"] or "9999")
    ]
    rows.sort(key=lambda row: int(row["level"]))
    return [
        (
            words(dimension),
            [row["descriptor"] for row in rows if row["dimension"] == dimension],
        )
        for dimension in OV_DIMENSIONS
    ]


def _rules() -> list[tuple[str, Markup]]:
    """The guard's page and the sections of the definitions, as (title, HTML)."""
    title, guard = GUARD.read_text(encoding="utf-8").split("\n", 1)
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", METRICS.read_text(encoding="utf-8"), re.MULTILINE))
    texts = {title.removeprefix("# "): guard, **{name: sections[name] for name in SECTIONS}}
    render = mistune.create_markdown(plugins=["table"])
    return [(name, Markup(_fitted(name, render(text)))) for name, text in texts.items()]


def _fitted(title: str, page: str) -> str:
    """Headings two levels lower, tables that scroll and are named, and no links, which would lead out of the page."""
    page = re.sub(r"</?a\b[^>]*>", "", page)
    page = re.sub(r"<(/?)h2>", r"<\1h4>", page)
    page = re.sub(r"<th\b", '<th scope="col"', page)
    page = re.sub(r"<tr>(\s*)<td>(.*?)</td>", r'<tr>\1<th scope="row">\2</th>', page)
    parts = re.split(r"(<table>.*?</table>)", page, flags=re.DOTALL)
    for place in range(1, len(parts), 2):
        heading = [title, *re.findall(r"<h4>(.*?)</h4>", "".join(parts[:place]))][-1]
        parts[place] = (
            f'<div class="scroll" role="region" aria-label="{heading}" tabindex="0">'
            + parts[place].replace("<table>", f'<table class="bands rule"><caption>{heading}</caption>')
            + "</div>"
        )
    return "".join(parts)
