"""The gate's recount of what is told of people: quarters that stay as published, scores, groups large enough.

It counts from the finished tables, the record of whom each row is about, and the file published before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import duckdb

from dagster_project.guard.bands import COUNT, MEAN_SCORE, people_band
from dagster_project.guard.release import (
    COUNTS,
    IS_TOLD_OF_PEOPLE,
    VALUES,
    Cell,
    leaves_enough,
    may_follow,
    recorded_counts,
)
from dagster_project.settings import MINIMUM_GROUP_SIZE

TEAMS, ORGANISATION, CALIBRATION = "ov_team_quarterly", "readiness_quarterly", "calibration_quarterly"
AUDIT = "metric_audit_quarterly"
MONTHS_OF_ANSWERS = 3
# What is published once and for good, by table: columns, and the rows that are. A second version would be a difference.
FROZEN = {
    TEAMS: (("quarter", "team", "dimension", "status", *VALUES), "true"),
    ORGANISATION: (("quarter", "people_band", *COUNTS), "true"),
    CALIBRATION: (
        (
            "quarter",
            "sessions",
            "claims_reviewed",
            "claims_challenged",
            "claims_changed",
            "evidenced_change_rate",
            "assessor_groups",
            "calibration_drift",
            "evidence_entries",
            "last_month_evidence_rate",
        ),
        "true",
    ),
    AUDIT: (
        ("quarter", "team", "audit_kind", "check_name", "finding", "evidence"),
        f"{IS_TOLD_OF_PEOPLE} and finding in ('found', 'not_found')",
    ),
}


def changes(connection: duckdb.DuckDBPyConnection, table: str, name: str) -> Iterator[str]:
    """Quarters that have been published, in the attached database `before`, and are not what they were."""
    columns_before = {
        column
        for (column,) in connection.execute(
            "select column_name from duckdb_columns() where database_name = 'before' and table_name = ?", [table]
        ).fetchall()
    }
    if table not in FROZEN or not columns_before:
        return
    columns, is_frozen = FROZEN[table]
    columns = ", ".join(column for column in columns if column in columns_before)
    before = f"select {columns} from before.main.{table} where {is_frozen}"
    # Rows of a quarter that were not known then may come; those of a table that is frozen as a whole may not.
    new = "" if table == AUDIT else f" union all (({_of_quarters(columns, name, table)}) except {before})"
    now = f"select {columns} from {name}"
    changed = connection.sql(f"select distinct quarter from (({before} except {now}){new}) order by quarter").fetchall()
    for (quarter,) in changed:
        yield (
            f"the quarter from {quarter} has been published and is not what it was; a published quarter stays: restore "
            "the build file, whose schema restricted holds the record of publications"
        )


def _of_quarters(columns: str, name: str, table: str) -> str:
    return f"select {columns} from {name} where quarter in (select quarter from before.main.{table})"


def recounts(connection: duckdb.DuckDBPyConnection, schema: str, table: str, smallest: int) -> Iterator[str]:
    """What a table tells of people and must not, one line each.

    smallest: of at least so many people rows may tell that are not published yet; of those that are, five.
    """
    name = f'{schema}."{table}"'
    if table == TEAMS:
        yield from _scores(connection, name, smallest)
    if table == ORGANISATION:
        yield from _counts(connection, name)
    if table == AUDIT:
        yield from _small_groups(connection, schema, name, smallest)


@dataclass(frozen=True)
class Row:
    """A row of ov_team_quarterly, with what the record says of it."""

    quarter: date
    dimension: str
    team: str
    status: str
    values: tuple
    people: frozenset[str]
    told: str | None
    is_frozen: bool

    @property
    def place(self) -> str:
        return f"{self.dimension} of the quarter from {self.quarter}"

    @property
    def cell(self) -> Cell | None:
        """What the row tells; None if nothing of any score."""
        bands = (self.values[1],) if self.status == "published" else tuple(map(float, (self.told or "").split()))
        if not (self.people and bands):
            return None
        return Cell(self.quarter, self.team, self.people, bands, self.status == "published")


def _scores(connection: duckdb.DuckDBPyConnection, table: str, smallest: int) -> Iterator[str]:
    """What two people who know all rows, and all of the year before, and their own scores learn of the others."""
    rows = [
        Row(quarter, dimension, team, status, tuple(values), frozenset(people or ()), told, bool(is_frozen))
        for quarter, dimension, team, status, people, told, is_frozen, *values in connection.sql(f"""
            with members as (
                select quarter, dimension, team, list(person_key) as people
                from restricted.ov_release_members
                group by all
            )
            select
                quarter, dimension, team, candidates.status, people, releases.possible_bands, releases.is_frozen,
                {", ".join(f"candidates.{column}" for column in VALUES)}
            from {table} as candidates
            left join restricted.ov_releases as releases using (quarter, dimension, team)
            left join members using (quarter, dimension, team)
            order by quarter, dimension, team
        """).fetchall()
    ]
    published = {(row.dimension, row.team, row.quarter): row for row in rows if row.status == "published"}
    earlier: dict[str, list[Cell]] = defaultdict(list)
    for row in rows:
        cell = row.cell
        if row.status == "published":
            least = MINIMUM_GROUP_SIZE if row.is_frozen else smallest
            if not row.people:
                yield f"{row.place}: a row of which the record does not know whom it is about"
            elif len(row.people) < least:
                yield f"{row.place}: a row about fewer than {least} people; this must not be published"
            elif not _is_consistent(row):
                yield f"{row.place}: a band that is none, or not of the people of the record: build the table anew"
            elif not may_follow(row.people, earlier[row.dimension]):
                yield f"{row.place}: too few joined or left since an earlier row about some of the same people"
        elif row.status == "carried_forward":
            of = published.get((row.dimension, row.team, row.values[0]))
            if of is None or of.values != row.values:
                yield f"{row.place}: a row carried forward is not the earlier one: build the table anew"
        elif any(value is not None for value in row.values):
            yield f"{row.place}: a row without a status that lets it has values: build the table anew"
        if cell is None:
            continue
        cells = earlier[row.dimension]
        if any(each.quarter == cell.quarter and not each.people.isdisjoint(cell.people) for each in cells):
            yield f"{row.place}: somebody is in two rows, whose difference may tell of one person; not to be published"
        cells.append(cell)
        if not leaves_enough(cell, cells):
            yield (
                f"{row.place}: two people who put their scores together, with all rows of the year before, could leave "
                f"somebody fewer than {MEAN_SCORE.fewest_feasible} possible ones; this must not be published"
            )


def _is_consistent(row: Row) -> bool:
    value_quarter, low, high, people, *_ = row.values
    return (
        low in MEAN_SCORE.bands_of(len(row.people))
        and high == low + 0.5
        and people == people_band(len(row.people))
        and value_quarter == row.quarter
    )


def _counts(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[str]:
    """What two people who know all counts and whether they are counted learn of the others."""
    for name in COUNTS:
        shown = dict(connection.sql(f"select quarter, {name} from {table}").fetchall())
        cells: list[Cell] = []
        for cell in recorded_counts(connection, name):
            count = shown.get(cell.quarter)
            bands = cell.bands if count is None else (count,)
            if bands is None:
                continue
            cells.append(Cell(cell.quarter, cell.team, cell.people, bands, count is not None, COUNT))
            is_shown = count is None or COUNT.is_shown(count, len(cell.people))
            if not is_shown or not leaves_enough(cells[-1], cells):
                yield (
                    f"{name} of the quarter from {cell.quarter}: two people who know whether they are counted could "
                    "find out whether somebody else is; this must not be published"
                )
        if unknown := sorted({quarter for quarter, count in shown.items() if count} - {cell.quarter for cell in cells}):
            yield f"{name} of the quarter from {unknown[0]}: a count of which the record does not know whom it is about"


def _small_groups(connection: duckdb.DuckDBPyConnection, schema: str, table: str, smallest: int) -> Iterator[str]:
    """Audited quarters of teams that tell of fewer people than they may; counted with a day more at either end, so that
    no time zone of the calendar makes them fewer than they are."""
    answers_of_months = ", ".join(
        "count(*) filter (where answered_at::date between "
        f"quarter + interval {month} month - interval 1 day and quarter + interval {month + 1} month)"
        for month in range(MONTHS_OF_ANSWERS)
    )
    small = connection.sql(f"""
        with requests as (
            select team, merged_on, source, repository, pull_request_number, author_key
            from {schema}.fct_pull_requests join raw.pull_requests using (source, repository, pull_request_number)
        ),
        reviewers as (
            select team, submitted_at::date as day, reviewer_key as person
            from restricted.review_activity join requests using (source, repository, pull_request_number)
        ),
        workers as (from reviewers union all select team, merged_on as day, author_key as person from requests),
        told as (
            select *, quarter - interval 1 day as since, quarter + interval 3 month as until,
                exists (
                    from restricted.audit_releases as frozen
                    where frozen.quarter = candidates.quarter and frozen.team = candidates.team
                        and frozen.check_name = candidates.check_name
                ) as is_frozen
            from {table} as candidates
            where finding in ('found', 'not_found') and team <> 'all'
        )
        select quarter, check_name, is_frozen,
            case
                when check_name = 'silent_reviews' then (
                    select count(distinct person) from reviewers where team = told.team and day between since and until
                )
                when check_name = 'uneven_workload' then (
                    select count(distinct person) from workers where team = told.team and day between since and until
                )
                when check_name = 'retrospective_participation' then (
                    select min(people_invited) from raw.retrospectives
                    where team = told.team and held_at::date between since + interval 2 day and until - interval 2 day
                )
                when audit_kind = 'perception' then (
                    select least({answers_of_months}) from restricted.survey_responses
                    where team = told.team and question = check_name
                )
            end as people
        from told
        where people < if(is_frozen, {MINIMUM_GROUP_SIZE}, {smallest})
        order by quarter, check_name
    """).fetchall()
    for quarter, check, is_frozen, _ in small:
        yield (
            f"{check} of the quarter from {quarter}: tells of fewer than "
            f"{MINIMUM_GROUP_SIZE if is_frozen else smallest} people; this must not be published: build the table anew"
        )
