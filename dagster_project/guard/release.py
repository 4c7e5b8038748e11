"""Which cells (team, dimension) of a closed quarter are published, and the record of all that ever were.

What is decided of a cell follows from who its people are and, of its scores, from the band of their mean alone. So who
knows the rules learns from a cell that is not published no more than the bands in which it would not have been; and
these too leave every person enough feasible scores.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb
import polars as pl

from dagster_project.contracts import OV_ORGANISATION_RELEASES, OV_RELEASE_MEMBERS, OV_RELEASES
from dagster_project.guard.bands import MEAN_BANDS, Sums, mean_band, people_band, recency_band, share_band, sums_of
from dagster_project.guard.feasible import Knowledge, Statement

# A cell follows an earlier one of some of the same people only if so many joined, and so many left.
FEWEST_CHANGED_PEOPLE = 3
# Nobody is taken to know that no score has changed for longer than a year; and so long cells of different people that
# are connected stay two, since more of them would tell more together.
REMEMBERED_DAYS = 366
MOST_CONNECTED_GROUPS = 2
# A count of so few people, or of all but so few, would tell of one.
FEWEST_COUNTED = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """One team, dimension and quarter: the people whose scores make it up, and which bands its row leaves possible.

    bands: None where the row tells nothing of their scores.
    """

    quarter: date
    team: str
    people: frozenset[str]
    bands: tuple[float, ...] | None
    is_published: bool = False

    @property
    def statement(self) -> Statement:
        return statement(self.people, self.bands)


@dataclass(frozen=True)
class Verdict:
    """What becomes of a cell: published or not, and what anybody learns of its mean by that."""

    is_published: bool
    bands: tuple[float, ...] | None
    members_may_follow: bool = True


def statement(people: frozenset[str], bands: Iterable[float]) -> Statement:
    """That the mean of these people lies in one of these bands."""
    ranges: list[Sums] = []
    for sums in filter(None, (sums_of(band, len(people)) for band in sorted(bands))):
        if ranges and ranges[-1][1] + 1 == sums[0]:
            sums = (ranges.pop()[0], sums[1])
        ranges.append(sums)
    return Statement(people, tuple(ranges))


def judge(cell: Cell, band: float, earlier: Sequence[Cell]) -> Verdict:
    """Whether a cell whose mean lies in this band is published, after all cells of its dimension that were decided."""
    remembered = [each for each in earlier if _distance(cell, each) <= REMEMBERED_DAYS]
    groups = {cell.people, *(each.people for each in _connected(cell.people, remembered))}
    if not may_follow(cell.people, earlier) or len(groups) > MOST_CONNECTED_GROUPS:
        return Verdict(False, None, members_may_follow=False)
    publishable = publishable_bands(cell, remembered)
    if band in publishable:
        return Verdict(True, (band,))
    return Verdict(False, tuple(each for each in MEAN_BANDS if each not in publishable))


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
    possible = [band for band in MEAN_BANDS if sums_of(band, len(cell.people))]
    publishable = [band for band in possible if _leaves_enough(cell, [band], earlier)]
    while publishable:
        others = [band for band in possible if band not in publishable]
        if not others or _leaves_enough(cell, others, earlier):
            break
        publishable.remove(max(publishable, key=lambda band: (abs(band - 2.75), -band)))
    return frozenset(publishable)


def _leaves_enough(cell: Cell, bands: Sequence[float], earlier: Sequence[Cell]) -> bool:
    """Whether every person keeps enough feasible scores for any two others, if the mean lies in one of these bands.

    They may know that no score has changed since the earliest quarter for which that is possible at all.
    """
    own = statement(cell.people, bands)
    for distance in sorted({_distance(cell, each) for each in earlier}, reverse=True):
        near = [each for each in earlier if _distance(cell, each) <= distance]
        knowledge = Knowledge([*(each.statement for each in _connected(cell.people, near)), own])
        if knowledge.is_possible():
            return knowledge.keeps_enough()
    return Knowledge([own]).keeps_enough()


def _distance(cell: Cell, other: Cell) -> int:
    return abs((cell.quarter - other.quarter).days)


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
        last = max((each for each in earlier if each.team == team and each.is_published), key=_age, default=None)
        if len(people) < smallest:
            has_cells = any(len(below[each][0]) >= smallest for each in parents if _is_below(each, team, parents))
            rows.append(row | {"status": "in_teams_below" if has_cells else "suppressed"})
            continue
        band = mean_band(sum(scores[person] for person in people), len(people))
        cell = Cell(quarter.first_day, team, people, None)
        verdict = judge(cell, band, [*earlier, *cells])
        cells.append(Cell(quarter.first_day, team, people, verdict.bands, verdict.is_published))
        told = None if verdict.bands is None else " ".join(map(str, verdict.bands))
        row |= {"possible_bands": told}
        if verdict.is_published:
            covered = set().union(*(eligible[each] for each in teams))
            row |= {"status": "published", "value_quarter": quarter.first_day, "mean_low": band}
            row |= {"mean_high": band + 0.5, "people_band": people_band(len(people))}
            row |= {"assessed_share_band": share_band(len(people), len(covered))}
            row |= _beside(quarter, dimension, people, covered, smallest)
        elif last and not verdict.members_may_follow:
            row |= {"status": "carried_forward", "value_quarter": last.quarter}
        else:
            row |= {"status": "suppressed"}
        rows.append(row)
    return rows, cells


def _age(cell: Cell) -> date:
    return cell.quarter


def _is_below(team: str, ancestor: str, parents: Mapping[str, str | None]) -> bool:
    parent = parents[team]
    return parent is not None and (parent == ancestor or _is_below(parent, ancestor, parents))


def _beside(
    quarter: Quarter, dimension: str, people: frozenset[str], covered: set[str], smallest: int
) -> dict[str, Any]:
    """What stands beside the mean of a published cell and says nothing of a score that counted."""
    refused = sum(quarter.refused[dimension, person] for person in covered)
    entries = [quarter.evidence[dimension, person] for person in people if (dimension, person) in quarter.evidence]
    all_, recent = sum(entry[0] for entry in entries), sum(entry[1] for entry in entries)
    return {
        "refused_scores": refused if refused == 0 or refused >= FEWEST_COUNTED else None,
        "recent_evidence_band": recency_band(recent, all_) if len(entries) >= smallest else None,
    }


def guarded_count(hits: int, people: int) -> int | None:
    """A count of people; None where it would tell of one of them."""
    return hits if FEWEST_COUNTED <= hits <= people - FEWEST_COUNTED else None


# The record, in schema restricted


def release_closed_quarters(connection: duckdb.DuckDBPyConnection, smallest: int) -> list[str]:
    """Decide every closed quarter that is not published yet; returns what people should know, one line each.

    The rows of published quarters are never touched again.
    """
    notes: list[str] = []
    for table in (OV_RELEASE_MEMBERS, OV_RELEASES):
        connection.execute(
            f"delete from {table.qualified_name} "
            "where quarter not in (select quarter from restricted.ov_releases where is_frozen)"
        )
    connection.execute(f"delete from {OV_ORGANISATION_RELEASES.qualified_name} where not is_frozen")
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
        for dimension in sorted(quarter.scores):
            earlier = recorded_cells(connection, dimension)
            released, cells = team_releases(quarter, dimension, parents, smallest, earlier)
            rows += _with_carried_values(connection, released)
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
        _insert(connection, OV_ORGANISATION_RELEASES, [_organisation(connection, quarter, closed_at, smallest)])
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
    """From now on every decided quarter is published, and never decided again."""
    for table in (OV_RELEASES, OV_ORGANISATION_RELEASES):
        connection.execute(f"update {table.qualified_name} set is_frozen = true where not is_frozen")


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
            names = ["mean_low", "mean_high", "people_band", "assessed_share_band"]
            names += ["refused_scores", "recent_evidence_band"]
            values = connection.execute(
                f"select {', '.join(names)} from restricted.ov_releases "
                "where quarter = ? and dimension = ? and team = ?",
                [row["value_quarter"], row["dimension"], row["team"]],
            ).fetchone()
            row = row | dict(zip(names, values, strict=True))
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
REFUSED = """
    select fields ->> 'dimension' as dimension, fields ->> 'person_key' as person_key, count(*) as refused_scores
    from restricted.quarantine
    where
        table_name = 'assessments'
        and contains(reason, 'a score without evidence')
        and try_cast((fields ->> 'quarter') as date) = $first_day
        and (fields ->> 'assessor_role') in ('calibration_panel', 'manager')
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
    for dimension, person, refused in connection.execute(REFUSED, values).fetchall():
        quarter.refused[dimension, person] = refused
    for dimension, person, entries, recent in connection.execute(ENTRIES, values).fetchall():
        quarter.evidence[dimension, person] = (entries, recent)
    return quarter


READINESS = """
    with members as (select unnest($people) as person_key),

    reviews as (
        select person_key, growth_signal
        from restricted.growth_reviews semi join members using (person_key)
        where quarter = $first_day
        qualify row_number() over (partition by person_key order by reviewed_at desc, source) = 1
    ),

    next_level as (
        select person_key
        from restricted.evidence semi join members using (person_key)
        where
            is_next_level
            and occurred_at < $first_day + interval 3 month
            and occurred_at >= $first_day - interval 9 month
        group by person_key
        having
            count(distinct date_trunc('quarter', occurred_at)) >= 2
            and count(distinct project) >= 2
            and count(distinct stakeholder) >= 2
    ),

    entries as (
        select person_key, occurred_at
        from restricted.evidence semi join members using (person_key)
        where occurred_at >= $first_day and occurred_at < $first_day + interval 3 month
    )

    select
        (select count(*) from reviews),
        (select count(*) from reviews where growth_signal = 'clear'),
        (select count(*) from next_level),
        (select count(distinct person_key) from entries),
        (select count(*) from entries),
        (select count(*) from entries where occurred_at >= $first_day + interval 2 month)
"""
# Over all dimensions together: a difference of one dimension would be one more statement about its cells.
GROUPS = """
    select assessor_group, avg(score)
    from restricted.assessments
    where
        quarter = $first_day
        and assessed_at <= $closed_at
        and assessor_role = 'manager'
        and assessor_group is not null
        and list_contains($people, person_key)
    group by assessor_group
    having count(distinct person_key) >= $smallest
"""


def _organisation(
    connection: duckdb.DuckDBPyConnection, quarter: Quarter, closed_at: Any, smallest: int
) -> dict[str, Any]:
    """The row of ov_organisation_releases of a quarter; the organisation is everybody in a team on its last day."""
    people = sorted(quarter.teams)
    row: dict[str, Any] = {"quarter": quarter.first_day, "is_frozen": False}
    if len(people) < smallest:
        return row
    values = {"first_day": quarter.first_day, "people": people}
    levels, growing, ready, writers, entries, recent = connection.execute(READINESS, values).fetchone()
    groups = connection.execute(GROUPS, values | {"closed_at": closed_at, "smallest": smallest}).fetchall()
    means = [mean for _, mean in groups]
    drift = max(means) - min(means) if len(means) > 1 else None
    return row | {
        "people_band": people_band(len(people)),
        "level_recorded_people": guarded_count(levels, len(people)),
        "clear_growth_people": guarded_count(growing, len(people)),
        "promotion_ready_people": guarded_count(ready, len(people)),
        "evidence_entries": entries if writers >= smallest else None,
        "last_month_evidence_rate": recent / entries if writers >= smallest else None,
        "assessor_groups": len(means),
        "calibration_drift": (
            None if drift is None else "under_half" if drift < 0.5 else "half_to_one" if drift <= 1 else "over_one"
        ),
    }
