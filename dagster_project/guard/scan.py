"""The gate's look at every published table: no person in a name or a value, and no order of people or teams."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

from dagster_project.contracts import AUDIT_ANSWERS, CORRECTIONS, DECISION_LOG, REFERENCE_TABLES, TABLES
from dagster_project.guard.recount import changes, recounts
from dagster_project.load import EMAIL, NO_EMAIL
from dagster_project.settings import DBT_DIR, MINIMUM_GROUP_SIZE

PERSON = "person|people|author|committer|reviewer|responder|assignee|assessor|employee|engineer|member|user|respondent"
# A name such as author, reviewer_key or person_id; counts and bands of people are none.
PERSON_COLUMN = re.compile(
    rf"(.*_)?({PERSON})s?(_(key|id|hash|name|login)s?)*|(.*_)?(login|e?mail|username|handle)s?(_.*)?"
    r"|(.*_)?(authored|created|opened|merged|closed|reviewed|approved|assigned)_by"
)
# Teams are held against their own past, and people against nothing: no table has a place in an order of either.
ORDER_COLUMN = re.compile(
    r"(.*_)?(rank|ranked|ranking|leaderboard|league|standing|position|place|ordinal|row_number|n?tile|quartile|quintile"
    r"|decile|percentile|top|bottom|best|worst)(_.*)?"
)
# These number causes of one degradation, and steps of one journey.
ORDERS_OF_THINGS = {("degradation_contributions", "contribution_rank"), ("journey_daily", "position")}
COMPOSITE_COLUMN = re.compile(r"(.*_)?(score|composite)")
NAMELESS = ("BIGINT", "INTEGER", "DOUBLE", "BOOLEAN")

# What stands between the words of a text; hashes and numbers, which are no names.
BETWEEN_WORDS = r"[^\w.@+\x{80}-\x{10FFFF}-]+"
NO_NAME = r"(^|[^\w.@+-])([0-9a-f]{7,}|[0-9]+)($|[^\w.@+-])"
# In these people write sentences; all other reference data are the organisation's names for things.
PROSE = (AUDIT_ANSWERS, CORRECTIONS, DECISION_LOG)


def scan(
    connection: duckdb.DuckDBPyConnection,
    schema: str,
    tables: Iterable[str],
    published_file: Path,
    smallest: int = MINIMUM_GROUP_SIZE,
) -> dict[str, list[str]]:
    """What forbids to publish each of the tables, one line each, without a value of it.

    The connection has the macro `person_key`. smallest: what is told of people is told of at least so many.
    """
    _know_people(connection)
    has_before = published_file.exists()
    if has_before:
        path = str(published_file).replace("'", "''")
        connection.execute(f"attach '{path}' as before (read_only)")
    found = {}
    for table in tables:
        name = f'{schema}."{table}"'
        found[table] = [*_names(connection, table, name), *_values(connection, name)]
        if has_before:
            found[table] += changes(connection, table, name)
        found[table] += recounts(connection, schema, table, smallest)
    if has_before:
        connection.execute("detach before")
    return found


def _names(connection: duckdb.DuckDBPyConnection, table: str, name: str) -> Iterator[str]:
    for column, kind, *_ in connection.sql(f"describe {name}").fetchall():
        if PERSON_COLUMN.fullmatch(column) and not (column.endswith(("people", "users")) and kind in NAMELESS):
            yield f"column {column} names a person; no published table does, not even hashed: remove it"
        if ORDER_COLUMN.fullmatch(column) and (table, column) not in ORDERS_OF_THINGS:
            yield f"column {column} puts somebody in an order; neither people nor teams are ranked: remove it"
        if COMPOSITE_COLUMN.fullmatch(column):
            yield f"column {column} is a composite score; there is none, of nobody: remove it"


def _values(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[str]:
    # A list or structure may hold a text.
    columns = [
        name
        for name, kind, *_ in connection.sql(f"describe {table}").fetchall()
        if kind in ("VARCHAR", "BLOB", "JSON") or kind[-1] in "])"
    ]
    if not columns:
        return
    quoted = ['"' + column.replace('"', '""') + '"' for column in columns]
    texts = " union all ".join(
        f"select {place} as place, cast({column} as varchar) as text from {table} where {column} is not null"
        for place, column in enumerate(quoted)
    )
    found = connection.execute(f"""
        with texts as ({texts})
        select
            place,
            count(*) filter (where
                (contains(text, '@') or contains(text, '%40'))
                and regexp_matches(regexp_replace(text, '{NO_EMAIL}', '', 'g'), '{EMAIL}')) as mails,
            count(*) filter (where
                length(text) >= 64
                and list_has_any(regexp_extract_all(text, '[0-9a-f]{{64}}'), getvariable('people'))) as keys
        from texts
        group by place
    """).fetchall()
    mails, keys = ({place: row[at] for place, *row in found} for at in range(2))
    names = _names_of_people(connection, texts)
    for place, column in enumerate(columns):
        for counts, what, remedy in (
            (mails, "look like an e-mail address", ""),
            (keys, "hold the key of a person", ""),
            (
                names,
                "hold the login or name of a person",
                ", or let the reference data (services.csv, teams.csv, route_rules.csv) name the thing",
            ),
        ):
            if count := counts.get(place):
                yield (
                    f"column {column}: {count:,} values {what}; no published table names a person: remove them{remedy}"
                )


def _names_of_people(connection: duckdb.DuckDBPyConnection, texts: str) -> dict[int, int]:
    """Column, by its place → values in which a word, two neighbouring ones or all have the hash of a known person.

    Nobody's name is on record, so that the words are hashed, each distinct one once.
    """
    found = connection.sql(f"""
        with texts as ({texts}),
        distinct_texts as (
            select place, trim(regexp_replace(lower(text), '{NO_NAME}', ' ', 'g')) as text, count(*) as values
            from texts
            where len(getvariable('people')) > 0
            group by all
        ),
        split as (
            select *, regexp_split_to_array(text, '{BETWEEN_WORDS}') as words from distinct_texts where text <> ''
        ),
        candidates as (
            select place, text, values, trim(unnest(list_distinct([text] || words || list_transform(
                range(1, len(words)), lambda first: words[first] || ' ' || words[first + 1]
            ))), '.-') as word
            from split
        ),
        known as (
            select word from (select distinct word from candidates)
            where person_key(word) in (select unnest(getvariable('people')))
        )
        select word, place, text, values
        from candidates join known using (word)
    """).fetchall()
    own = _own_words(connection) if found else set()
    named = {(place, text): values for word, place, text, values in found if word not in own}
    counts: dict[int, int] = defaultdict(int)
    for (place, _), values in named.items():
        counts[place] += values
    return counts


def _own_words(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Words that name things here, in reference data, contracts and models: a team may be called as somebody."""
    texts = [value for table in TABLES.values() for column in table.columns for value in column.allowed]
    for table in REFERENCE_TABLES:
        names = [column.name for column in table.columns if column.type == "text"]
        if table not in PROSE and names:
            rows = connection.sql(f"select {', '.join(names)} from {table.qualified_name}").fetchall()
            texts += [value for row in rows for value in row if value]
    for file in (*(DBT_DIR / "models").rglob("*.sql"), *(DBT_DIR / "macros").rglob("*.sql")):
        texts += re.findall(r"'([^'\n]*)'", file.read_text(encoding="utf-8"))
    return {word for text in map(str.lower, texts) for word in (text, *re.split(r"[^\w.@+-]+", text))}


def _know_people(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the session know every hashed person of the build file, as the variable `people`."""
    present = set(connection.sql("select schema_name || '.' || table_name from duckdb_tables()").fetchall())
    union = " union ".join(
        f"select {column.name} as person from {table.qualified_name}"
        for table in TABLES.values()
        for column in table.columns
        if column.person and (table.qualified_name,) in present
    )
    people = f"select list(person) from ({union}) where person is not null" if union else "null"
    connection.execute(f"set variable people = cast(coalesce(({people}), []) as varchar[])")
