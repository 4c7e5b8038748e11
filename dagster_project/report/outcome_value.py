"""Outcome value of teams in bands, readiness and calibration of the organisation: part of the monthly report."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import duckdb

from dagster_project.contracts import OV_DIMENSIONS
from dagster_project.report import tables
from dagster_project.report.layout import Row, count, hours, percent, quarter_name, words

TEAMS, READINESS, CALIBRATION = "ov_team_quarterly", "readiness_quarterly", "calibration_quarterly"

LAST_CLOSED = f"select max(quarter) from {TEAMS}"
# By name, in the order of the rubric: never by a value.
ROWS = f"""
    select * from {TEAMS} where quarter = ? order by team, list_position({list(OV_DIMENSIONS)}, dimension)
"""
OF_ORGANISATION = "select * from {} where quarter = ?"

COLUMNS = {
    "Mean": "mean_low",
    "People": "people_band",
    "Assessed": "assessed_share_band",
    "Refused scores": "refused_scores",
    "Evidence of the last month": "recent_evidence_band",
    "State": "status",
}
SIGNALS = ("deployments", "change_failure_rate", "recovery_median_hours", "met_slo_objectives")
ORGANISATION = {
    READINESS: {
        "People in teams": "people_band",
        "Current level recorded": "level_recorded_people",
        "Clear signs of growth": "clear_growth_people",
        "Ready for promotion": "promotion_ready_people",
    },
    CALIBRATION: {
        "Calibration sessions": "sessions",
        "Claims reviewed": "claims_reviewed",
        "Claims challenged": "claims_challenged",
        "Claims changed": "claims_changed",
        "Changes with evidence": "evidenced_change_rate",
        "Groups compared": "assessor_groups",
        "Largest difference of groups": "calibration_drift",
        "Entries of evidence": "evidence_entries",
        "Of them in the last month": "last_month_evidence_rate",
    },
}
# Columns whose definitions the page repeats, by table.
SHOWN = {
    TEAMS: (*COLUMNS.values(), *SIGNALS),
    **{table: tuple(figures.values()) for table, figures in ORGANISATION.items()},
}

DRIFT = {"under_half": "under half a point", "half_to_one": "half a point to one", "over_one": "over one point"}
RECENT = {"under_a_sixth": "under a sixth", "about_a_third": "about a third", "over_half": "over half"}


@dataclass(frozen=True)
class Team:
    """`rows` are (dimension, cells as in COLUMNS), `signals` (column, what the system did in the same quarter)."""

    name: str
    rows: list[tuple[str, list[str | None]]]
    signals: list[tuple[str, str]]


@dataclass(frozen=True)
class OutcomeValue:
    """What the page shows of the last closed quarter; `organisation` holds (table, column, label, value)."""

    quarter: str
    teams: list[Team]
    organisation: list[tuple[str, str, str, str | None]]
    definitions: list[tuple[str, list[tuple[str, str]]]]


def read_outcome_value(connection: duckdb.DuckDBPyConnection) -> OutcomeValue:
    """The last closed quarter, from the published tables that there are."""
    published = tables.present(connection)
    quarter = connection.execute(LAST_CLOSED).fetchone()[0] if TEAMS in published else None
    rows = tables.rows(connection, ROWS, [quarter]) if quarter else []
    organisation = []
    for table, figures in ORGANISATION.items():
        for row in tables.rows(connection, OF_ORGANISATION.format(table), [quarter]) if table in published else []:
            organisation += [(table, name, label, _figure(name, row[name])) for label, name in figures.items()]
    return OutcomeValue(
        quarter=quarter_name(quarter) if quarter else "",
        teams=[_team(name, list(of_team)) for name, of_team in groupby(rows, itemgetter("team"))],
        organisation=organisation,
        definitions=tables.definitions(connection, SHOWN),
    )


def _team(name: str, rows: list[Row]) -> Team:
    return Team(name, [(words(row["dimension"]), _cells(row)) for row in rows], _signals(rows[0]))


def _cells(row: Row) -> list[str | None]:
    refused = row["refused_scores"]
    of_then = f", {quarter_name(row['value_quarter'])}" if row["is_stale"] else ""
    return [
        None if row["mean_low"] is None else f"{row['mean_low']:g} to {row['mean_high']:g}{of_then}",
        row["people_band"],
        row["assessed_share_band"],
        None if refused is None else count(refused),
        RECENT.get(row["recent_evidence_band"]),
        _state(row),
    ]


def _state(row: Row) -> str:
    """What became of the row, in words."""
    if row["is_stale"]:
        return f"as in {quarter_name(row['value_quarter'])}: new values would tell too much"
    return {"suppressed": "withheld by the guard", "in_teams_below": "in the rows of the teams below"}.get(
        row["status"], row["status"]
    )


def _signals(row: Row) -> list[tuple[str, str]]:
    """Of the team's own services, the same in each of its rows."""
    found = [("deployments", f"{count(row['deployments'])} deployments")]
    if row["change_failure_rate"] is not None:
        found.append(("change_failure_rate", f"{percent(row['change_failure_rate'])} of them failed"))
    if row["recovery_median_hours"] is not None:
        recovered = (
            f"{hours(row['recovery_median_hours'])} to recover (median of {count(row['recovered_deployments'])})"
        )
        found.append(("recovery_median_hours", recovered))
    if row["slo_objectives"]:
        met = f"{count(row['met_slo_objectives'])} of {count(row['slo_objectives'])} SLO objectives attained"
        found.append(("met_slo_objectives", met))
    return found


def _figure(name: str, value: object) -> str | None:
    if isinstance(value, str):
        return DRIFT.get(value, value)
    if value is None:
        return None
    return percent(value) if name.endswith("_rate") else count(value)
