"""The gate's look at every published table: no person in a name or a value, no order of people, nothing told of one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import duckdb

from dagster_project.contracts import RAW_TABLES
from dagster_project.guard.feasible import FEWEST_FEASIBLE_SCORES, Knowledge
from dagster_project.guard.release import statement
from dagster_project.load import EMAIL, NO_EMAIL

PERSON = "person|people|author|committer|reviewer|responder|assignee|assessor|employee|engineer|member|user|respondent"
# A name such as author, reviewer_key or person_id; counts and bands of people are none.
PERSON_COLUMN = re.compile(
    rf"(.*_)?({PERSON})s?(_(key|id|hash|name|login)s?)*|(.*_)?(login|e?mail|username|handle)s?(_.*)?"
    r"|(.*_)?(authored|created|opened|merged|closed|reviewed|approved|assigned)_by"
)
ORDER_COLUMN = re.compile(r"(.*_)?(rank|ranked|ranking|leaderboard|percentile_rank|quartile|decile)(_.*)?")
COMPOSITE_COLUMN = re.compile(r"(.*_)?(score|composite)")
NAMELESS = ("BIGINT", "INTEGER", "DOUBLE", "BOOLEAN")

TEAMS, ORGANISATION, CALIBRATION = "ov_team_quarterly", "readiness_quarterly", "calibration_quarterly"
AUDIT = "metric_audit_quarterly"
# What is told of reviews, of the spread of work and of survey answers is told of at least so many people; of answers,
# given in each of three months.
FEWEST_PEOPLE, MONTHS_OF_ANSWERS = 5, 3
# What is published once and for good: a second version would be a difference.
FROZEN = {
    TEAMS: "quarter, team, dimension, status, value_quarter, mean_low, mean_high, people_band, assessed_share_band, "
    "refused_scores, recent_evidence_band",
    ORGANISATION: "quarter, people_band, level_recorded_people, clear_growth_people, promotion_ready_people",
    CALIBRATION: "quarter, assessor_groups, calibration_drift, evidence_entries, last_month_evidence_rate",
}


def scan(
    connection: duckdb.DuckDBPyConnection, schema: str, tables: Iterable[str], published_file: Path
) -> dict[str, list[str]]:
    """What forbids to publish each of the tables, one line each, without a value of it."""
    _know_people(connection)
    has_before = published_file.exists()
    if has_before:
        path = str(published_file).replace("'", "''")
        connection.execute(f"attach '{path}' as before (read_only)")
    found = {}
    for table in tables:
        name = f'{schema}."{table}"'
        found[table] = [*_names(connection, name), *_values(connection, name)]
        if table in FROZEN and has_before:
            found[table] += _changes(connection, schema, table)
        if table == TEAMS:
            found[table] += _disclosures(connection, name)
        if table == AUDIT:
            found[table] += _small_groups(connection, schema, name)
    if has_before:
        connection.execute("detach before")
    return found


def _names(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[str]:
    columns = connection.sql(f"describe {table}").fetchall()
    # Causes and pages may be ordered, if the name says so; teams and people not.
    is_about_teams = "team" in [name for name, *_ in columns]
    for column, kind, *_ in columns:
        if PERSON_COLUMN.fullmatch(column) and not (column.endswith(("people", "users")) and kind in NAMELESS):
            yield f"column {column} names a person; no published table does, not even hashed: remove it"
        if ORDER_COLUMN.fullmatch(column) and (
            (is_about_teams and "_" not in column) or re.search(rf"team|{PERSON}", column)
        ):
            yield f"column {column} puts somebody in an order; nobody is ranked: remove it"
        if COMPOSITE_COLUMN.fullmatch(column):
            yield f"column {column} is a composite score; there is none, of nobody: remove it"


def _values(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[str]:
    columns = connection.sql(f"describe {table}").fetchall()
    # A list or structure may hold a text.
    texts = [name for name, kind, *_ in columns if kind in ("VARCHAR", "BLOB", "JSON") or kind[-1] in "])"]
    for column in texts:
        name = 'cast("' + column.replace('"', '""') + '" as varchar)'
        mails, keys = connection.execute(f"""
            select
                count(*) filter (where
                    (contains({name}, '@') or contains({name}, '%40'))
                    and regexp_matches(regexp_replace({name}, '{NO_EMAIL}', '', 'g'), '{EMAIL}')),
                count(*) filter (where
                    length({name}) >= 64
                    and list_has_any(regexp_extract_all({name}, '[0-9a-f]{{64}}'), getvariable('people')))
            from {table}
        """).fetchone()
        for count, what in ((mails, "look like an e-mail address"), (keys, "hold the key of a person")):
            if count:
                yield f"column {column}: {count:,} values {what}; no published table names a person: remove them"


def _know_people(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the session know every hashed person of the build file, as the variable `people`."""
    present = set(connection.sql("select schema_name || '.' || table_name from duckdb_tables()").fetchall())
    union = " union ".join(
        f"select {column.name} as person from {table.qualified_name}"
        for table in RAW_TABLES
        for column in table.columns
        if column.person and (table.qualified_name,) in present
    )
    people = f"select list(person) from ({union}) where person is not null" if union else "null"
    connection.execute(f"set variable people = cast(coalesce(({people}), []) as varchar[])")


def _changes(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> Iterator[str]:
    columns = FROZEN[table]
    exists = "select 1 from duckdb_tables() where database_name = 'before' and table_name = ?"
    if not connection.execute(exists, [table]).fetchone():
        return
    before = f"select {columns} from before.main.{table}"
    now = f"select {columns} from {schema}.{table} where quarter in (select quarter from before.main.{table})"
    changed = connection.sql(
        f"select distinct quarter from (({before} except {now}) union all ({now} except {before})) order by quarter"
    ).fetchall()
    for (quarter,) in changed:
        yield (
            f"the quarter from {quarter} has been published and is not what it was; a published quarter stays: restore "
            "the build file, whose schema restricted holds the record of publications"
        )


def _disclosures(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[str]:
    """The enumeration on the table itself: what two people who know all rows and their scores learn of the others."""
    rows = connection.sql(f"""
        select quarter, dimension, list(person_key), any_value(candidates.status), any_value(candidates.mean_low),
            any_value(releases.possible_bands)
        from restricted.ov_release_members
        join restricted.ov_releases as releases using (quarter, dimension, team)
        join {table} as candidates using (quarter, dimension, team)
        group by quarter, dimension, team
        order by quarter, dimension, team
    """).fetchall()
    unknown = connection.sql(f"""
        select distinct quarter, dimension from {table} as candidates
        where status = 'published' and not exists (
            from restricted.ov_release_members as members
            where members.quarter = candidates.quarter and members.dimension = candidates.dimension
                and members.team = candidates.team
        )
        order by quarter, dimension
    """).fetchall()
    for quarter, dimension in unknown:
        yield f"{dimension} of the quarter from {quarter}: a row of which the record does not know whom it is about"
    seen: dict[tuple[date, str], set[str]] = defaultdict(set)
    for quarter, dimension, people, status, mean_low, told in rows:
        bands = [mean_low] if status == "published" else [float(band) for band in (told or "").split()]
        place = f"{dimension} of the quarter from {quarter}"
        if not seen[quarter, dimension].isdisjoint(people):
            yield f"{place}: somebody is in two rows, whose difference may tell of one person; not to be published"
        seen[quarter, dimension].update(people)
        if bands and not Knowledge([statement(frozenset(people), bands)]).keeps_enough():
            yield (
                f"{place}: two people who put their scores together could leave somebody fewer than "
                f"{FEWEST_FEASIBLE_SCORES} possible ones; this must not be published"
            )


def _small_groups(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> Iterator[str]:
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
            select *, quarter - interval 1 day as since, quarter + interval 3 month as until
            from {table}
            where finding in ('found', 'not_found') and not starts_with(evidence, 'answers unknown')
        )
        select quarter, check_name,
            case check_name
                when 'silent_reviews' then (
                    select count(distinct person) from reviewers where team = told.team and day between since and until
                )
                when 'uneven_workload' then (
                    select count(distinct person) from workers where team = told.team and day between since and until
                )
                else (
                    select least({answers_of_months}) from restricted.survey_responses
                    where team = told.team and question = check_name
                )
            end as people
        from told
        where (check_name in ('silent_reviews', 'uneven_workload') or check_name like 'perceived_%')
            and people < {FEWEST_PEOPLE}
        order by quarter, check_name
    """).fetchall()
    for quarter, check, _ in small:
        yield (
            f"{check} of the quarter from {quarter}: tells of fewer than {FEWEST_PEOPLE} people; this must not be "
            "published: build the table anew"
        )
