"""Which cells (team, dimension) of a closed quarter are published, and the record of all that ever were.

What is decided of a cell follows from who its people are and, of its scores, from the band of their mean alone. So who
knows the rules learns from a cell that is not published no more than the bands in which it would not have been; and
these too leave every person enough feasible scores.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from operator import attrgetter
from typing import Any

import duckdb
import polars as pl

from dagster_project.contracts import (
    AUDIT_RELEASES,
    OV_DIMENSIONS,
    OV_ORGANISATION_MEMBERS,
    OV_ORGANISATION_RELEASES,
    OV_RELEASE_MEMBERS,
    OV_RELEASES,
)
from dagster_project.guard.bands import (
    COUNT,
    MEAN_SCORE,
    Measure,
    Sums,
    mean_band,
    people_band,
    recency_band,
    share_band,
)
from dagster_project.guard.feasible import Statement, keeps_enough

# A cell follows an earlier one of some of the same people only if so many joined, and so many left.
FEWEST_CHANGED_PEOPLE = 3
# Nobody is taken to know that no score has changed for longer than a year.
REMEMBERED_DAYS = 366
# Checks of the audit about what people do or say; what was reported is the work of the whole system.
IS_TOLD_OF_PEOPLE = "audit_kind in ('safety', 'perception') and check_name <> 'reporting_drops'"
FEWEST_CLAIMS = 50
# A group of assessors is compared if so many rows are about people whom it alone assessed: a team in all dimensions.
FEWEST_ROWS_OF_GROUP = len(OV_DIMENSIONS)
# What a row tells, and takes from an earlier one where that is carried forward.
VALUES = (
    "value_quarter",
    "mean_low",
    "mean_high",
    "people_band",
    "assessed_share_band",
    "refused_scores",
    "recent_evidence_band",
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """One team and quarter: the people whose scores, or other numbers, make it up, and what its row leaves possible.

    bands: None where the row tells nothing of them.
    """

    quarter: date
    team: str
    people: frozenset[str]
    bands: tuple[float, ...] | None
    is_published: bool = False
    measure: Measure = MEAN_SCORE

    @property
    def statement(self) -> Statement:
        """That the mean (or count) of these people lies in one of these bands."""
        ranges: list[Sums] = []
        for sums in (self.measure.sums_of(band, len(self.people)) for band in sorted(self.bands)):
            if ranges and ranges[-1][1] + 1 == sums[0]:
                sums = (ranges.pop()[0], sums[1])
            ranges.append(sums)
        return Statement(self.people, tuple(ranges))


@dataclass(frozen=True)
class Verdict:
    """What becomes of a cell: published or not, and what anybody learns of its mean by that."""

    is_published: bool
    bands: tuple[float, ...] | None

    @property
    def told(self) -> str | None:
        """The bands as the record has them."""
        return None if self.bands is None else " ".join(map(str, self.bands))


def judge(cell: Cell, band: float, earlier: Sequence[Cell]) -> Verdict:
    """Whether a cell whose mean lies in this band is published, after all cells of its dimension that were decided."""
    publishable = publishable_bands(cell, earlier)
    if band in publishable:
        return Verdict(True, (band,))
    withheld = tuple(each for each in cell.measure.bands_of(len(cell.people)) if each not in publishable)
    return Verdict(False, withheld if publishable else None)


def may_follow(people: frozenset[str], earlier: Iterable[Cell]) -> bool:
    """The membership rule, against every published cell of some of the same people, whatever its team."""
    return all(
        people == each.people
        or min(len(people - each.people), len(each.people - people)) >= FEWEST_CHANGED_PEOPLE
        or people.isdisjoint(each.people)
        for each in earlier
        if each.is_published
    )


def publishable_bands(cell: Cell, earlier: Sequence[Cell]) -> frozenset[float]:
    """The bands in which the cell would be published; none of its scores has a say.

    Each of them leaves every person enough, and so do all others together, which is what a cell tells that is not
    published. Where those others alone would tell too much, the outermost bands join them.
    """
    people = len(cell.people)
    possible = cell.measure.bands_of(people)
    publishable = [
        band for band in possible if cell.measure.is_shown(band, people) and _may_be_told(cell, [band], earlier)
    ]
    middle = (possible[0] + possible[-1]) / 2
    while publishable:
        others = [band for band in possible if band not in publishable]
        if not others or _may_be_told(cell, others, earlier):
            break
        publishable.remove(max(publishable, key=lambda band: (abs(band - middle), -band)))
    return frozenset(publishable)


def _may_be_told(cell: Cell, bands: Sequence[float], earlier: Sequence[Cell]) -> bool:
    """Whether every person keeps enough if the mean lies in one of these bands; also where later quarters are decided
    already, which then say more."""
    told = replace(cell, bands=tuple(bands))
    cells = [*earlier, told]
    later = [each for each in _connected(cell.people, _remembered(cell, earlier)) if each.quarter > cell.quarter]
    return all(leaves_enough(each, cells) for each in (told, *later))


def leaves_enough(cell: Cell, cells: Iterable[Cell]) -> bool:
    """Whether every person keeps enough feasible scores for any two others who know this cell and those before it.

    These two may have had other scores in each quarter, and may know that nobody else's score has changed since any
    quarter of the year before.
    """
    before = [each for each in cells if 0 <= (cell.quarter - each.quarter).days <= REMEMBERED_DAYS]
    return all(
        keeps_enough(
            (each.statement for each in _connected(cell.people, (each for each in before if each.quarter >= since))),
            cell.measure,
        )
        for since in {each.quarter for each in before}
    )


def _remembered(cell: Cell, cells: Iterable[Cell]) -> list[Cell]:
    return [each for each in cells if abs((cell.quarter - each.quarter).days) <= REMEMBERED_DAYS]


def _connected(people: frozenset[str], earlier: Iterable[Cell]) -> list[Cell]:
    """The cells that share people with these, or with such a cell, and so on."""
    rest = [each for each in earlier if each.bands is not None]
    found: list[Cell] = []
    reached, size = set(people), -1
    while len(found) != size:
        size = len(found)
        near = [each for each in rest if not reached.isdisjoint(each.people)]
        rest = [each for each in rest if each not in near]
        found += near
        reached.update(*(each.people for each in near))
    return found


def pools(
    members: Mapping[str, set[str]], parents: Mapping[str, str | None], smallest: int
) -> dict[str, tuple[set[str], set[str]]]:
    """Whom the cell of each team is about: its people and those of the teams below it that are too small for one; and
    the teams whose people these are.

    So nobody is in two cells, and no cell is the difference of others.
    """
    below = defaultdict(set)
    for team, parent in parents.items():
        below[parent].add(team)
    found: dict[str, tuple[set[str], set[str]]] = {}

    def pool(team: str) -> tuple[set[str], set[str]]:
        smaller = [pool(each) for each in sorted(below[team])]
        people = set(members.get(team, ())).union(*(people for people, _ in smaller))
        found[team] = people, {team}.union(*(teams for _, teams in smaller))
        return found[team] if len(people) < smallest else (set(), set())

    for team in sorted(below[None]):
        pool(team)
    return found


@dataclass
class Quarter:
    """What is known of one closed quarter."""

    first_day: date
    # person → team on the last day
    teams: dict[str, str]
    # dimension → person → score
    scores: dict[str, dict[str, int]]
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    # (dimension, person) → (entries of the evidence log, those of the last month)
    evidence: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)


def team_releases(
    quarter: Quarter, dimension: str, parents: Mapping[str, str | None], smallest: int, earlier: list[Cell]
) -> tuple[list[dict[str, Any]], list[Cell]]:
    """Rows of ov_releases of one quarter and dimension, one a team; and the cells that they are about."""
    scores = quarter.scores.get(dimension, {})
    members, eligible = defaultdict(set), defaultdict(set)
    for person, team in quarter.teams.items():
        eligible[team].add(person)
        if person in scores:
            members[team].add(person)
    below = pools(members, parents, smallest)
    rows, cells = [], []
    for team in sorted(parents):
        people, teams = frozenset(below[team][0]), below[team][1]
        row: dict[str, Any] = {"quarter": quarter.first_day, "dimension": dimension, "team": team}
        published = [
            each for each in earlier if each.team == team and each.is_published and each.quarter < quarter.first_day
        ]
        last = max(published, key=attrgetter("quarter"), default=None)
        if len(people) < smallest:
            has_cells = any(len(below[each][0]) >= smallest for each in parents if _is_below(each, team, parents))
            rows.append(row | {"status": "in_teams_below" if has_cells else "suppressed"})
            continue
        band = mean_band(sum(scores[person] for person in people), len(people))
        cell = Cell(quarter.first_day, team, people, None)
        known = [*earlier, *cells]
        verdict = judge(cell, band, known) if may_follow(people, known) else Verdict(False, None)
        cells.append(Cell(quarter.first_day, team, people, verdict.bands, verdict.is_published))
        row |= {"possible_bands": verdict.told}
        if verdict.is_published:
            covered = set().union(*(eligible[each] for each in teams))
            row |= {"status": "published", "value_quarter": quarter.first_day, "mean_low": band}
            row |= {"mean_high": band + 0.5, "people_band": people_band(len(people))}
            row |= {"assessed_share_band": share_band(len(people), len(covered))}
            row |= _beside(quarter, dimension, people, covered, smallest)
        elif last and verdict.bands is None:
            row |= {"status": "carried_forward", "value_quarter": last.quarter}
        else:
            row |= {"status": "suppressed"}
        rows.append(row)
    return rows, cells


def _is_below(team: str, ancestor: str, parents: Mapping[str, str | None]) -> bool:
    parent = parents[team]
    return parent is not None and (parent == ancestor or _is_below(parent, ancestor, parents))


def _beside(
    quarter: Quarter, dimension: str, people: frozenset[str], covered: set[str], smallest: int
) -> dict[str, Any]:
    """What stands beside the mean of a published cell and says nothing of a score that counted."""
    refused = [count for person in covered if (count := quarter.refused[dimension, person])]
    entries = [quarter.evidence[dimension, person] for person in people if (dimension, person) in quarter.evidence]
    all_, recent = sum(entry[0] for entry in entries), sum(entry[1] for entry in entries)
    return {
        "refused_scores": sum(refused) if not refused or COUNT.is_shown(len(refused), len(covered)) else None,
        "recent_evidence_band": recency_band(recent, all_) if len(entries) >= smallest else None,
    }


# The record, in schema restricted


def release_closed_quarters(connection: duckdb.DuckDBPyConnection, smallest: int) -> list[str]:
    """Decide every closed quarter that is not published yet; returns what people should know, one line each.

    The rows of published quarters are never touched again.
    """
    notes: list[str] = []
    for members, releases in (
        (OV_RELEASE_MEMBERS, OV_RELEASES),
        (OV_ORGANISATION_MEMBERS, OV_ORGANISATION_RELEASES),
    ):
        for table in (members, releases):
            connection.execute(
                f"delete from {table.qualified_name} "
                f"where quarter not in (select quarter from {releases.qualified_name} where is_frozen)"
            )
    parents = dict(connection.sql("select team, parent from reference.teams").fetchall())
    closed = connection.sql(
        "select quarter, closed_at from reference.ov_quarters "
        "where quarter not in (select quarter from restricted.ov_releases) "
        # One of which nobody was assessed has no rows there.
        "and quarter not in (select quarter from restricted.ov_organisation_releases) order by quarter"
    ).fetchall()
    for first_day, closed_at in closed:
        quarter = _read(connection, first_day, closed_at, parents, notes)
        rows: list[dict[str, Any]] = []
        shown: list[tuple[str, Cell]] = []
        for dimension in sorted(quarter.scores):
            earlier = recorded_cells(connection, dimension)
            released, cells = team_releases(quarter, dimension, parents, smallest, earlier)
            rows += _with_carried_values(connection, released)
            shown += [(dimension, cell) for cell in cells if cell.is_published]
            _insert(
                connection,
                OV_RELEASE_MEMBERS,
                [
                    {"quarter": first_day, "dimension": dimension, "team": cell.team, "person_key": person}
                    | {"score": quarter.scores[dimension][person]}
                    for cell in cells
                    for person in sorted(cell.people)
                ],
            )
        _insert(connection, OV_RELEASES, [row | {"is_frozen": False} for row in rows])
        row = {"quarter": first_day, "is_frozen": False}
        if len(quarter.teams) >= smallest:
            row |= _organisation(connection, quarter, smallest)
            row |= _calibration(connection, first_day, closed_at, shown, smallest)
        _insert(connection, OV_ORGANISATION_RELEASES, [row])
    waiting = connection.sql(
        "select distinct quarter from restricted.assessments "
        "where quarter not in (select quarter from reference.ov_quarters) order by quarter"
    ).fetchall()
    notes += [
        f"assessments of the quarter from {quarter} wait, since it is not closed: add it to ov_quarters.csv when it is"
        for (quarter,) in waiting
    ]
    return notes


def freeze_published(connection: duckdb.DuckDBPyConnection) -> None:
    """From now on every decided quarter is published and never decided again; so is what the audit tells of people in
    closed ones, also that it is not judged."""
    for table in (OV_RELEASES, OV_ORGANISATION_RELEASES):
        connection.execute(f"update {table.qualified_name} set is_frozen = true where not is_frozen")
    columns = ", ".join(column.name for column in AUDIT_RELEASES.columns)
    audit = "select 1 from duckdb_tables() where schema_name = 'marts' and table_name = 'metric_audit_quarterly'"
    if connection.execute(audit).fetchone():
        connection.execute(f"""
            insert into {AUDIT_RELEASES.qualified_name} ({columns})
            select {columns} from marts.metric_audit_quarterly
            where {IS_TOLD_OF_PEOPLE}
                and quarter in (select quarter from reference.ov_quarters)
                and (quarter, team, check_name) not in
                    (select (quarter, team, check_name) from {AUDIT_RELEASES.qualified_name})
        """)


def recorded_cells(connection: duckdb.DuckDBPyConnection, dimension: str) -> list[Cell]:
    """Every cell of a dimension that was ever decided, and what its row tells."""
    rows = connection.execute(
        """
        select quarter, team, list(person_key), any_value(possible_bands), any_value(status) = 'published'
        from restricted.ov_release_members join restricted.ov_releases using (quarter, dimension, team)
        where dimension = ?
        group by quarter, team
        order by quarter, team
        """,
        [dimension],
    ).fetchall()
    return [
        Cell(quarter, team, frozenset(people), told and tuple(map(float, told.split())), is_published)
        for quarter, team, people, told, is_published in rows
    ]


def _with_carried_values(connection: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows carried forward get the values of the quarter that they are carried from."""
    found = []
    for row in rows:
        if row["status"] == "carried_forward":
            values = connection.execute(
                f"select {', '.join(VALUES)} from restricted.ov_releases "
                "where quarter = ? and dimension = ? and team = ?",
                [row["value_quarter"], row["dimension"], row["team"]],
            ).fetchone()
            row = row | dict(zip(VALUES, values, strict=True))
        found.append(row)
    return found


def _insert(connection: duckdb.DuckDBPyConnection, table, rows: list[dict[str, Any]]) -> None:
    if rows:
        names = [column.name for column in table.columns]
        given = pl.DataFrame([{name: row.get(name) for name in names} for row in rows], infer_schema_length=None)
        connection.register("given", given.to_arrow())
        connection.execute(f"insert into {table.qualified_name} ({', '.join(names)}) from given")
        connection.unregister("given")


MEMBERS = """
    select person_key, list(distinct team order by team) as teams
    from restricted.team_members
    where
        valid_from < $first_day + interval 3 month
        and (valid_to is null or valid_to >= $first_day + interval 3 month)
    group by person_key
"""
# The panel's score before the manager's; what came after the close, and what people say of themselves or of a peer,
# does not count.
SCORES = """
    select dimension, person_key, score
    from restricted.assessments
    where
        quarter = $first_day
        and assessed_at <= $closed_at
        and assessor_role in ('calibration_panel', 'manager')
    qualify row_number() over (
        partition by dimension, person_key order by assessor_role, assessed_at desc, source, score
    ) = 1
"""
# A score is refused once, however often it is delivered, and not if it came with evidence before the close.
REFUSED = """
    with refused as (
        select distinct
            fields ->> 'source' as source,
            fields ->> 'dimension' as dimension,
            fields ->> 'person_key' as person_key,
            fields ->> 'assessor_role' as assessor_role
        from restricted.quarantine
        where
            table_name = 'assessments'
            and contains(reason, 'a score without evidence')
            and try_cast((fields ->> 'quarter') as date) = $first_day
            and try_cast((fields ->> 'assessed_at') as timestamp) <= $closed_at
            and (fields ->> 'assessor_role') in ('calibration_panel', 'manager')
    ),
    accepted as (
        select source, dimension, person_key, assessor_role
        from restricted.assessments
        where quarter = $first_day and assessed_at <= $closed_at
    )
    select dimension, person_key, count(*) as refused_scores
    from refused anti join accepted using (source, dimension, person_key, assessor_role)
    group by all
"""
ENTRIES = """
    select
        dimension,
        person_key,
        count(*) as entries,
        count(*) filter (where occurred_at >= $first_day + interval 2 month) as recent
    from restricted.evidence
    where occurred_at >= $first_day and occurred_at < $first_day + interval 3 month
    group by all
"""


def _read(
    connection: duckdb.DuckDBPyConnection, first_day: date, closed_at: Any, parents: Mapping, notes: list[str]
) -> Quarter:
    values = {"first_day": first_day}
    memberships = connection.execute(MEMBERS, values).fetchall()
    several = {person for person, teams in memberships if len(teams) > 1}
    unknown = {person for person, teams in memberships if len(teams) == 1 and teams[0] not in parents}
    for people, what, remedy in (
        (several, "are in two teams at once", "end one membership of each in team_members (valid_to)"),
        (unknown, "are in a team that is not in teams.csv", "add it there"),
    ):
        if people:
            notes.append(
                f"quarter from {first_day}: people who {what} on its last day count nowhere ({len(people)}): {remedy} "
                "before the quarter is published"
            )
    quarter = Quarter(
        first_day,
        {person: teams[0] for person, teams in memberships if person not in several | unknown},
        defaultdict(dict),
    )
    for dimension, person, score in connection.execute(SCORES, values | {"closed_at": closed_at}).fetchall():
        if person in quarter.teams:
            quarter.scores[dimension][person] = score
    for dimension, person, refused in connection.execute(REFUSED, values | {"closed_at": closed_at}).fetchall():
        quarter.refused[dimension, person] = refused
    for dimension, person, entries, recent in connection.execute(ENTRIES, values).fetchall():
        quarter.evidence[dimension, person] = (entries, recent)
    return quarter


# Each count, and whom it is about: who has it, of those who could.
COUNTS = {
    "level_recorded_people": """
        select person_key, person_key in (select person_key from reviews) as is_counted
        from members
    """,
    # Who has no review is known; the others are not to be found by counting them.
    "clear_growth_people": """
        select person_key, growth_signal is not distinct from 'clear' as is_counted
        from reviews semi join members using (person_key)
    """,
    "promotion_ready_people": """
        select person_key, person_key in (
            select person_key
            from restricted.evidence
            where
                is_next_level
                and occurred_at < $first_day + interval 3 month
                and occurred_at >= $first_day - interval 9 month
            group by person_key
            having
                count(distinct date_trunc('quarter', occurred_at)) >= 2
                and count(distinct project) >= 2
                and count(distinct stakeholder) >= 2
        ) as is_counted
        from members
    """,
}
COUNTED = """
    with members as (select unnest($people) as person_key),

    reviews as (
        select person_key, growth_signal
        from restricted.growth_reviews
        where quarter = $first_day
        qualify row_number() over (partition by person_key order by reviewed_at desc, source) = 1
    )
"""
LOGS = """
    select
        count(distinct person_key) as writers,
        count(*) as entries,
        count(*) filter (where occurred_at >= $first_day + interval 2 month) as recent
    from restricted.evidence
    where
        list_contains($people, person_key)
        and occurred_at >= $first_day
        and occurred_at < $first_day + interval 3 month
"""


def _organisation(connection: duckdb.DuckDBPyConnection, quarter: Quarter, smallest: int) -> dict[str, Any]:
    """What ov_organisation_releases has of the people of a quarter: everybody in a team on its last day.

    Records whom each count is about.
    """
    values = {"first_day": quarter.first_day, "people": sorted(quarter.teams)}
    writers, entries, recent = connection.execute(LOGS, values).fetchone()
    row: dict[str, Any] = {
        "people_band": people_band(len(quarter.teams)),
        "evidence_entries": entries if writers >= smallest else None,
        "last_month_evidence_rate": recent / entries if writers >= smallest else None,
    }
    for name, counted in COUNTS.items():
        people = dict(connection.execute(COUNTED + counted, values).fetchall())
        if len(people) < smallest:
            continue
        count = sum(people.values())
        verdict = judge(
            Cell(quarter.first_day, "all", frozenset(people), None, measure=COUNT),
            count,
            recorded_counts(connection, name),
        )
        row |= {name: count if verdict.is_published else None, f"possible_{name}": verdict.told}
        members = [
            {"quarter": quarter.first_day, "count_name": name, "person_key": person, "is_counted": is_counted}
            for person, is_counted in sorted(people.items())
        ]
        _insert(connection, OV_ORGANISATION_MEMBERS, members)
    return row


def recorded_counts(connection: duckdb.DuckDBPyConnection, name: str) -> list[Cell]:
    """Every count of that name that was ever decided, and what its row tells."""
    rows = connection.execute(
        f"""
        select quarter, list(person_key), any_value(possible_{name}), any_value({name}) is not null
        from restricted.ov_organisation_members join restricted.ov_organisation_releases using (quarter)
        where count_name = ?
        group by quarter
        order by quarter
        """,
        [name],
    ).fetchall()
    return [
        Cell(quarter, "all", frozenset(people), told and tuple(map(int, told.split())), is_published, COUNT)
        for quarter, people, told, is_published in rows
    ]


SESSIONS = """
    select
        count(*) as sessions,
        cast(sum(claims_reviewed) as bigint) as claims_reviewed,
        cast(sum(claims_challenged) as bigint) as claims_challenged,
        cast(sum(claims_changed) as bigint) as claims_changed,
        cast(sum(coalesce(changes_with_evidence, 0)) as bigint) as changes_with_evidence
    from raw.calibration_sessions
    where quarter = $first_day
"""
# Who calibrates with whom: the group whose managers assessed a person in a dimension.
GROUPS = """
    select dimension, person_key, assessor_group
    from restricted.assessments
    where
        quarter = $first_day
        and assessed_at <= $closed_at
        and assessor_role = 'manager'
        and assessor_group in (
            select assessor_group
            from restricted.assessments
            where quarter = $first_day and assessed_at <= $closed_at and assessor_role = 'manager'
            group by assessor_group
            having count(distinct assessor_key) >= $smallest
        )
"""


def _calibration(
    connection: duckdb.DuckDBPyConnection,
    first_day: date,
    closed_at: Any,
    shown: Sequence[tuple[str, Cell]],
    smallest: int,
) -> dict[str, Any]:
    """What ov_organisation_releases has of the assessors of a quarter.

    shown: the cells that are published, each with its dimension. The drift is computed from their bands alone, so that
    it tells of no score what they do not; a panel's score counts in them, so that the drift is what panels have left.
    """
    values = {"first_day": first_day, "closed_at": closed_at, "smallest": smallest}
    sessions, reviewed, challenged, changed, evidenced = connection.execute(
        SESSIONS, {"first_day": first_day}
    ).fetchone()
    row: dict[str, Any] = {"sessions": sessions}
    # A change among few claims may be one person's.
    if (reviewed or 0) >= FEWEST_CLAIMS:
        row |= {"claims_reviewed": reviewed, "claims_challenged": challenged, "claims_changed": changed}
        row |= {"evidenced_change_rate": evidenced / changed if changed else None}
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for dimension, person, group in connection.execute(GROUPS, values).fetchall():
        groups[dimension, person].add(group)
    bands: dict[str, list[float]] = defaultdict(list)
    for dimension, cell in shown:
        of_cell = [groups[dimension, person] for person in cell.people]
        if len(set().union(*of_cell)) == 1 and all(of_cell):
            bands[next(iter(of_cell[0]))] += cell.bands
    means = [sum(each) / len(each) for each in bands.values() if len(each) >= FEWEST_ROWS_OF_GROUP]
    drift = max(means) - min(means) if len(means) > 1 else None
    return row | {
        "assessor_groups": len(means),
        "calibration_drift": (
            None if drift is None else "under_half" if drift < 0.5 else "half_to_one" if drift <= 1 else "over_one"
        ),
    }
