"""Rows into a canonical table: one generated statement casts, checks and keys them; every row read is accounted for.

loaded      new, or a newer version of a stored row
duplicate   the same row again, or an older version of one
quarantined breaks the contract, with every reason; or could not be parsed at all (kept by place, length, checksum)
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from dagster_project import contexts
from dagster_project.contracts import MAXIMUM_TEXT_LENGTH, Column, Rule, Table

# A clock may be ahead by this much before a time counts as in the future.
CLOCK_TOLERANCE = "interval 1 day"
# An e-mail address, also with its @ percent-encoded. What may precede or follow an @ in other texts is removed before:
# the user of a clone URL (git@host:path) and the number of a package version (@scope/package@1.2.3-beta.rc).
# (The classes \pL and \pN would make each statement ten times as slow to plan.)
EMAIL = r"[\w.+\x{80}-\x{10FFFF}-](@|%40)([\w\x{80}-\x{10FFFF}-]+\.)+[a-zA-Z\x{80}-\x{10FFFF}]{2,}"
NO_EMAIL = r"(^|[^\w.+-])git@|(@|%40)v?[0-9]+\.[0-9]+"
WITHHELD = "(withheld)"
CONFLICTS = {
    "repeated": "another row further on has the same key and different content; that one was taken",
    "unversioned": "updated_at: missing, while another row with the same key has it",
}

INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
NUMBERS = {*INTEGERS, "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"}
TIMESTAMPS = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}
ZONED = "TIMESTAMP WITH TIME ZONE"
# A text may be empty, which is no value.
NEVER_EMPTY = {*NUMBERS, *TIMESTAMPS, ZONED, "BOOLEAN", "DATE", "UUID"}


@dataclass(frozen=True)
class Fingerprint:
    """Enough to recognise a piece of input that is not kept: its length in bytes and its SHA-256."""

    length: int
    checksum: str

    @classmethod
    def of(cls, content: bytes) -> Fingerprint:
        return cls(len(content), hashlib.sha256(content).hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> Fingerprint:
        with path.open("rb") as content:
            return cls(path.stat().st_size, hashlib.file_digest(content, "sha256").hexdigest())


@dataclass(frozen=True)
class Rejected:
    """A piece of input that is no row: where it stands and why; of its content only the fingerprint is stored."""

    place: str
    reason: str
    content: bytes | Fingerprint = b""

    @property
    def fingerprint(self) -> Fingerprint:
        return self.content if isinstance(self.content, Fingerprint) else Fingerprint.of(self.content)


@dataclass(frozen=True)
class Expected:
    """What the rows of a query are expected to be like.

    absent: columns and fields that are NULL; a row that has one is a suspect, and the value is not read.
    present: all other ones that the rows have.
    never_blank: columns that are never a text of no characters; one that is left there makes its row a suspect.
    judged: columns whose values the caller looks at: no row is a suspect for what it has there.
    """

    absent: Sequence[str] = ()
    present: Sequence[str] = ()
    never_blank: Sequence[str] = ()
    judged: Sequence[str] = ()


def new_batch_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Batch:
    """What one load did with the rows of one origin (a file, a repository) for one table."""

    table: str
    source: str
    origin: str
    read: int
    loaded: int
    duplicate: int
    quarantined: int
    removed: int
    # What a person should hear of although every row is accounted for.
    warnings: tuple[str, ...] = ()
    batch_id: str = field(default_factory=new_batch_id)


def load(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    rows: pl.DataFrame | pa.RecordBatchReader | str,
    *,
    source: str,
    origin: str,
    places: Callable[[Sequence[int]], Sequence[str]] = lambda numbers: [f"row {number}" for number in numbers],
    rejected: Sequence[Rejected] = (),
    mirror: bool = False,
    retention_days: int | None = None,
) -> Batch:
    """Upsert rows into a canonical table; call it inside a transaction.

    rows: a frame, a stream of batches, or a query over files, with any subset of the contract's columns, as text or in
        their own types; person columns in the clear, since the statement that reads them hashes them.
    source: value of the column `source` where a row has none.
    origin: the file or item that the rows come from; what it had in quarantine before is replaced.
    places: maps ascending 1-based row numbers to places a person can find.
    rejected: input of the same origin that could not be parsed into rows; may grow while the rows are read.
    mirror: the rows are all that this source has for the table; stored rows of it that are gone are removed.
    retention_days: age in days from which rows of event tables are refused.
    """
    stage(connection, table, rows, source, retention_days)
    return store(connection, table, source=source, origin=origin, places=places, rejected=rejected, mirror=mirror)


def stage(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    rows: pl.DataFrame | pa.RecordBatchReader | str,
    source: str,
    retention_days: int | None = None,
) -> None:
    """The first half of load(): rows, read, cast and checked, into the temporary table `incoming`; stores nothing.

    For many rows it is worth calling outside the transaction: DuckDB reads a table that the open transaction has made
    at half the speed.
    """
    query = rows if isinstance(rows, str) else "from given"
    if not isinstance(rows, str):
        connection.register("given", rows.to_arrow() if isinstance(rows, pl.DataFrame) else rows)
    checked = checked_rows(connection, table, query, source, retention_days)
    connection.execute(f"create or replace temp table incoming as {checked}")
    if not isinstance(rows, str):
        connection.unregister("given")


def store(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    *,
    source: str,
    origin: str,
    places: Callable[[Sequence[int]], Sequence[str]],
    rejected: Sequence[Rejected] = (),
    mirror: bool = False,
    batch_id: str | None = None,
    stored_before: int = 0,
) -> Batch:
    """The second half of load(): what `incoming` holds into the table and into quarantine, counted.

    batch_id, stored_before: of a batch that has that many rows in the table already (load_files.py); in `standing` are
        those of `incoming` that stand there, too.
    """
    removed = _remove_gone(connection, table, source) if mirror else 0
    is_begun = batch_id is not None
    _judge(connection, table, is_begun)
    read, broken = connection.sql("select count(*), count(reason) from incoming").fetchone()
    verdicts = dict(connection.sql("select verdict, count(*) from verdicts group by all").fetchall())
    duplicate, conflicting = verdicts.get("duplicate", 0), sum(verdicts.get(verdict, 0) for verdict in CONFLICTS)
    batch = Batch(
        table=table.name,
        source=source,
        origin=origin,
        read=read + stored_before + len(rejected),
        loaded=read + stored_before - broken - duplicate - conflicting,
        duplicate=duplicate,
        quarantined=broken + conflicting + len(rejected),
        removed=removed,
        batch_id=batch_id or new_batch_id(),
    )
    _upsert(connection, table, batch, bool(verdicts), is_begun)
    _quarantine(connection, table, batch, places, rejected)
    _record(connection, batch)
    connection.execute("drop table incoming; drop table verdicts")
    return batch


def _record(connection: duckdb.DuckDBPyConnection, batch: Batch) -> None:
    connection.execute(
        "insert into raw.batches values (?, ?, ?, ?, now()::timestamp, ?, ?, ?, ?, ?)",
        [
            batch.batch_id,
            batch.source,
            batch.origin,
            batch.table,
            batch.read,
            batch.loaded,
            batch.duplicate,
            batch.quarantined,
            batch.removed,
        ],
    )


def forget_sources(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[Table], configured: Sequence[str]
) -> list[str]:
    """Remove what mirrored sources (those with a state) have loaded that are configured no longer; returns them."""
    known = connection.sql("select distinct source from raw.source_state order by source").fetchall()
    gone = [source for (source,) in known if source not in configured]
    for source in gone:
        for table in tables:
            (removed,) = connection.execute(
                f"delete from {table.stored_name} "
                "where batch_id in (select batch_id from raw.batches where source = ?)",
                [source],
            ).fetchone()
            batch = Batch(table.name, source, "no longer in plumbline.yaml", 0, 0, 0, 0, removed)
            _record(connection, batch)
        for schema in ("raw", "restricted"):
            connection.execute(f"delete from {schema}.quarantine where source = ?", [source])
        connection.execute("delete from raw.source_state where source = ?", [source])
    return gone


def checked_rows(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    query: str,
    source: str | None = None,
    retention_days: int | None = None,
) -> str:
    """The query that casts and checks the rows of another, in their order.

    Its columns are those of the table; `reason`, every way in which the row broke the contract; and for such rows
    `fields`, the row as JSON without the values that did. Few rows break it: the many are told apart by signs that are
    cheap to look for, and only a row that shows one is examined column by column.
    """
    suspected = suspected_rows(connection, table, query, source, retention_days)
    names = [column.name for column in table.columns]
    faults = {name: f"faults[{place}]" for place, name in enumerate(names, start=1)}
    messages = [
        *faults.values(),
        *(
            f"case when {condition} and coalesce({', '.join(faults[name] for name in used)}) is null "
            f"then {_quoted(message)} end"
            for condition, message, used in _breaches(table, retention_days)
        ),
    ]
    shown = ", ".join(f"'{column.name}': {_shown(table, column, faults[column.name])}" for column in table.columns)
    withheld = {
        column.name: f"case when {faults[column.name]} is null then {column.name} end"
        for column in table.columns
        if _is_free_text(column)
    }
    return f"""
        with suspected_rows as ({suspected}
        ), examined_rows as (
            select *, case when is_suspect then [{", ".join(map(_fault, table.columns))}] end as faults
            from suspected_rows
        ), judged_rows as (
            select *, case when is_suspect then nullif(concat_ws('; ', {", ".join(messages)}), '') end as reason
            from examined_rows
        )
        select
            {", ".join(f"{withheld[name]} as {name}" if name in withheld else name for name in names)},
            reason,
            case when reason is not null then to_json({{{shown}}}) end as fields
        from judged_rows
    """


def suspected_rows(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    query: str,
    source: str | None = None,
    retention_days: int | None = None,
    expected: Expected = Expected(),
) -> str:
    """The query that casts and keys the rows of another, in their order, and tells which of them may break the contract
    (`is_suspect`): all that do or are not as expected, and few others."""
    types = _types(connection, query)
    given = {name: types[name] for name in table.given_names if name in types and name not in expected.absent}
    # In `case` a condition is tried only on rows for which none before it held.
    has_any = " or ".join(f"{name} is not null" for name in expected.absent) or "false"
    has_more = f"case when {has_any} then true else false end as has_more"
    query = _filled(table, f"select {', '.join(given)}, {has_more} from ({query})", given)
    given = _types(connection, query)
    typed = ", ".join(
        _typed(column, given.get(column.name), source, may_be_blank=column.name not in expected.never_blank)
        for column in table.columns
    )
    keyed = {column.name: _key(table, column) for column in table.columns if column.hash_of}
    keyed |= {column.name: f"route_template(service, {column.name})" for column in table.columns if column.is_route}
    unjudged = [column for column in table.columns if column.name not in expected.judged]
    signs = ["has_more", *(sign for column in unjudged for sign in signs_of_a_fault(column))]
    signs += [condition for condition, *_ in _breaches(table, retention_days)]
    return f"""
        with typed_rows as (
            select {typed}, has_more from ({query}) as input
        ), keyed_rows as (
            select * {_replace(keyed)} from typed_rows
        )
        select
            * exclude (has_more),
            case when {" or ".join(f"({sign})" for sign in signs)} then true else false end as is_suspect
        from keyed_rows
    """


def _breaches(table: Table, retention_days: int | None) -> list[tuple[str, str, list[str]]]:
    """Of each rule over a row: the condition under which the row breaks it, what to say, the columns it is about."""
    names = [column.name for column in table.columns]
    breaches = [(f"not ({rule.condition})", rule.message, _columns_in(rule, names)) for rule in table.rules]
    if table.is_event and retention_days is not None:
        condition = f"{table.event_time} < timezone('UTC', now()) - interval {retention_days} day"
        message = f"{table.event_time}: older than the retention of {retention_days} days"
        breaches.append((condition, message, [table.event_time]))
    return breaches


def _types(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    return {name: str(type_) for name, type_, *_ in connection.sql(f"describe {query}").fetchall()}


def _filled(table: Table, query: str, given: dict[str, str]) -> str:
    """The query with columns that its rows leave empty made of the fields that they bring in their place."""
    made = {
        column: expression
        for field in table.fields
        if field.name in given
        for column, expression in field.becomes.items()
    }
    columns = [
        f"coalesce(nullif(cast({column} as varchar), ''), cast({expression} as varchar)) as {column}"
        if column in given
        else f"{expression} as {column}"
        for column, expression in made.items()
    ]
    columns += [column.name for column in table.columns if column.name in given and column.name not in made]
    return f"select {', '.join(columns)}, has_more from ({query}) as input" if made else query


def _is_free_text(column: Column) -> bool:
    return column.type == "text" and not (column.allowed or column.person)


def _shown(table: Table, column: Column, fault: str) -> str:
    """What quarantine shows of a value: free text may be anything in a row that is broken or shifted, so nothing."""
    name = column.name
    is_withheld = _is_free_text(column) and name not in table.key
    withheld = f"{name} is not null" if is_withheld else f"{fault} is not null or contains({name}::varchar, '@')"
    return f"case when {withheld} then '{WITHHELD}' else cast({name} as varchar) end"


def _replace(values: dict[str, str]) -> str:
    return f"replace ({', '.join(f'{value} as {name}' for name, value in values.items())})" if values else ""


def _typed(column: Column, given: str | None, source: str | None, *, may_be_blank: bool) -> str:
    """Two result columns: the value in its contract type, NULL if it does not fit; and whether there was one."""
    name = column.name
    default = _quoted(source) if name == "source" and source is not None else "null"
    if given is None:
        duckdb_type = "varchar" if column.hash_of else column.duckdb_type
        return f"cast({default} as {duckdb_type}) as {name}, {default} is not null as given_{name}"
    is_nested = given.endswith("]") or given.startswith(("STRUCT", "MAP"))
    # An id of the source's own becomes part of a key (see _key), on which no blank would be seen any more.
    may_be_blank = not is_nested and given.split("(")[0] not in NEVER_EMPTY and (may_be_blank or column.hash_of != ())
    # JSON has a type of its own, of which no text is an equal.
    text = f"cast({f'to_json(input.{name})' if is_nested else f'input.{name}'} as varchar)"
    if may_be_blank:
        text = f"nullif({text}, '')"
    is_given = f"{text if may_be_blank else f'input.{name}'} is not null"
    match column.type:
        case _ if column.person:
            is_given = f"nullif(trim({text}), '') is not null"
            value = f"case when {_is_structure(text)} then null else person_key({text}) end"
        case "text":
            value = text
        case "hash" if column.hash_of:
            value = text
        case "hash":
            value = f"case when {text} is not null then {_hash(f'lower({text})' if column.ignores_case else text)} end"
        case "boolean" if given == "BOOLEAN":
            value = f"input.{name}"
        case "timestamp" if given in TIMESTAMPS:
            value = f"case when isfinite(input.{name}) then cast(input.{name} as timestamp) end"
        case "timestamp" if given == ZONED:
            value = _utc(f"case when isfinite(input.{name}) then input.{name} end")
        case "timestamp":
            zoned = _utc(f"try_cast({_written_time(text)} as timestamptz)")
            # What browsers and most servers write; a cast that knows no time zones takes a fifth of the time.
            value = f"case when {text} like '____-__-_____:__:__%Z' then try_cast({text} as timestamp) else {zoned} end"
        case "number" if given.split("(")[0] in NUMBERS:
            value = f"case when isfinite(cast(input.{name} as double)) then cast(input.{name} as double) end"
        case "number":
            value = f"case when isfinite(try_cast({text} as double)) then try_cast({text} as double) end"
        case "integer" if given in INTEGERS:
            value = f"try_cast(input.{name} as bigint)"
        case "integer":
            # The cast alone would round 1.5 and read 0x10 and 1_000.
            value = rf"case when regexp_full_match({text}, '[+-]?[0-9]+(\.0*)?') then try_cast({text} as bigint) end"
        case _:
            value = f"try_cast({text} as {column.duckdb_type})"
    if default != "null":
        value = f"coalesce({value}, {default})"
    return f"{value} as {name}, {is_given} as given_{name}"


def _is_structure(text: str) -> str:
    # The first character decides for all but a few: a route such as [slug] is no JSON.
    return f"{_may_be_a_structure(text)} and json_valid({text})"


def _may_be_a_structure(text: str) -> str:
    """Whether it begins with { or [; by comparison, in half the time of ascii()."""
    return f"(({text} >= '[' and {text} < '\\') or ({text} >= '{{' and {text} < '|'))"


def _written_time(text: str) -> str:
    """Text that DuckDB reads as ISO 8601 does; it would also take words, years of two digits, a date without a time."""
    return (
        f"case when {text} like '____-__-_____:__:__%' then {text} "
        # An offset may follow the minutes; DuckDB wants seconds before it.
        rf"when {text} like '____-__-_____:__%' then regexp_replace({text}, '^(.{{16}})', '\1:00') end"
    )


def _utc(zoned: str) -> str:
    # A third of the time that timezone('UTC', …) takes.
    return f"make_timestamp(epoch_us({zoned}))"


def _hash(*expressions: str) -> str:
    # A fifth of what MD5 costs, which were two fifths of a whole load. It may change with a major version of DuckDB:
    # warehouse.py refuses a file that was hashed otherwise.
    return f"hash({', '.join(expressions)})"


def _key(table: Table, column: Column) -> str:
    """The hash of an id of the source's own, together with the time; without one, of what identifies the row."""
    own = [column.name, *(part for part in column.hash_of if part == table.event_time)]
    return f"case when {column.name} is not null then {_hash(*own)} else {_hash(*column.hash_of)} end"


def _kind(column: Column) -> str:
    return {"number": "finite number", "timestamp": "time in ISO 8601"}.get(column.type, column.type)


def _may_not_fit(column: Column) -> bool:
    """Whether there are values that are none of the column's type: any text is a text, and has a hash."""
    return column.person or column.type not in ("text", "hash")


def _is_no_value(column: Column) -> str:
    """Whether there was something that is no value of the column's type."""
    return f"{column.name} is null and given_{column.name}"


def signs_of_a_fault(column: Column) -> list[str]:
    """Conditions of which one holds for every value that _fault() finds fault with, for every text of no characters
    that has not become NULL, and for few others."""
    name = column.name
    signs = []
    if column.required:
        signs.append(f"{name} is null")
    elif _may_not_fit(column):
        signs.append(_is_no_value(column))
    if column.allowed:
        signs.append(_is_not_allowed(column))
    elif column.type == "hash" and not column.hash_of:
        of_nothing = _hash("''")
        signs.append(f"{name} = {of_nothing}")
    elif _is_free_text(column):
        # Bytes rather than characters: their number is known without a look at them.
        length = f"strlen({name}) not between 1 and {MAXIMUM_TEXT_LENGTH}"
        signs += [length, _may_be_a_structure(name), _may_be_an_address(name)]
    return signs + [condition for condition, _ in _out_of_bounds(column)]


def _fault(column: Column) -> str:
    """The expression that says what is wrong with a value of this column on its own; NULL if nothing is."""
    name = column.name
    faults = [(_is_no_value(column), f"not a {_kind(column)}")] if _may_not_fit(column) else []
    if column.required:
        faults.append((f"{name} is null", "missing"))
    if column.allowed:
        faults.append((_is_not_allowed(column), f"not one of {', '.join(column.allowed)}"))
    elif _is_free_text(column):
        faults += [
            (_is_structure(name), "not a text"),
            (f"length({name}) > {MAXIMUM_TEXT_LENGTH}", f"longer than {MAXIMUM_TEXT_LENGTH} characters"),
            (
                f"{_may_be_an_address(name)} and "
                f"regexp_matches(regexp_replace({name}, '{NO_EMAIL}', '', 'g'), '{EMAIL}')",
                "looks like an e-mail address",
            ),
        ]
    faults += _out_of_bounds(column)
    branches = " ".join(f"when {condition} then {_quoted(f'{name}: {message}')}" for condition, message in faults)
    return f"case {branches} end" if faults else "null"


def _is_not_allowed(column: Column) -> str:
    # A long `in (…)` becomes a join, and the rows would lose their order.
    return f"not list_contains([{', '.join(map(_quoted, column.allowed))}], {column.name})"


def _may_be_an_address(name: str) -> str:
    return f"(contains({name}, '@') or contains({name}, '%40'))"


def _out_of_bounds(column: Column) -> list[tuple[str, str]]:
    name, bounds = column.name, []
    if column.minimum is not None:
        bounds.append((f"{name} < {column.minimum}", f"below {column.minimum}"))
    if column.maximum is not None:
        bounds.append((f"{name} > {column.maximum}", f"above {column.maximum}"))
    if column.type == "timestamp":
        bounds.append((f"{name} > timezone('UTC', now()) + {CLOCK_TOLERANCE}", "in the future"))
        bounds.append((f"{name} < timestamp '1970-01-01'", "before 1970"))
    return bounds


def _columns_in(rule: Rule, names: list[str]) -> list[str]:
    """The columns of a rule: where one of them is at fault itself, the rule is not held against the row as well."""
    return [name for name in names if re.search(rf"\b{name}\b", rule.condition)]


def _judge(connection, table: Table, is_begun: bool) -> None:
    """Give each valid row that shares its key with another, incoming or stored, its verdict.

    load        it replaces the stored row, if there is one
    duplicate   it says the same as the row that wins, or is an older version of it
    else        it contradicts the row that wins, see CONFLICTS

    The newest version of a key wins; without versions, the row read last. Rows of a key of their own have no verdict.
    """
    key = ", ".join(table.key)
    versioned = any(column.name == "updated_at" for column in table.columns)
    if versioned:
        winner = "arg_max(rowid, (coalesce(updated_at, '-infinity'), rowid))"
        unversioned, older = "{0}.updated_at is null and {1}.updated_at is not null", "{0}.updated_at < {1}.updated_at"
    else:
        winner = "max(rowid)"
        unversioned = older = "false"
    connection.execute(f"""
        create temp table contested as
        select incoming.*, stored.stored_row
        from (
            select {key}, {winner} as winner, count(*) as occurrences from incoming where reason is null group by {key}
        ) as incoming
        left join (select {key}, stored_row from {_comparable(connection, table, is_begun)}) as stored using ({key})
        where occurrences > 1 or stored.stored_row is not null
    """)
    connection.execute("create temp table verdicts (row bigint, stored_row bigint, verdict varchar)")
    # Mostly no key is contested, and then the wide joins would cost a tenth of the whole load.
    if connection.sql("from contested limit 1").fetchone():
        connection.execute(f"""
            insert into verdicts
            select
                incoming.rowid,
                if(incoming.rowid = winner, stored_row, null),
                case
                    when incoming.rowid = winner then case
                        when stored_row is null then 'load'
                        when {_same_row(table, "incoming", "stored")} then 'duplicate'
                        when {unversioned.format("incoming", "stored")} then 'unversioned'
                        when {older.format("incoming", "stored")} then 'duplicate'
                        else 'load' end
                    when {_same_row(table, "incoming", "winning")} then 'duplicate'
                    when {unversioned.format("incoming", "winning")} then 'unversioned'
                    when {older.format("incoming", "winning")} then 'duplicate'
                    else 'repeated'
                end
            from contested
            join incoming using ({key})
            join incoming as winning on winning.rowid = winner
            -- Without the filter DuckDB would read every column of every stored row.
            left join {contexts.stored_rows(table, "rowid in (select stored_row from contested)")} as stored
                using (stored_row)
            where incoming.reason is null
        """)
    connection.execute("drop table contested")


def _comparable(connection, table: Table, is_begun: bool) -> str:
    """The stored rows with which `incoming` can share a key: of events only those of its times, so that one more day
    costs the same however many there are."""
    if not table.timed_keys:
        return contexts.stored_rows(table)
    first, last = connection.sql(
        f"select min({table.event_time}), max({table.event_time}) from incoming where reason is null"
    ).fetchone()
    if first is None:
        return contexts.stored_rows(table, "false")
    condition = f"{table.event_time} between timestamp '{first}' and timestamp '{last}'"
    if is_begun:
        # Beside few rows the stored ones are better sought than joined.
        key = table.timed_keys[0]
        condition += f" and {key} in (select {key} from incoming) and rowid not in (select stored_row from standing)"
    return contexts.stored_rows(table, condition)


def _remove_gone(connection, table: Table, source: str) -> int:
    """Delete the rows that this source once loaded and that did not come in, or only in an older version: what came in
    is all that it has. Returns their number."""
    same_row = " and ".join(f"incoming.{name} = stored.{name}" for name in table.key)
    if any(column.name == "updated_at" for column in table.columns):
        same_row += " and not coalesce(incoming.updated_at < stored.updated_at, false)"
    of_source = "batch_id in (select batch_id from raw.batches where source = $1)"
    return connection.execute(
        f"delete from {table.stored_name} where rowid in ("
        f"select stored_row from {contexts.stored_rows(table, of_source)} as stored "
        f"where source = $1 and not exists (select 1 from incoming where {same_row}))",
        [source],
    ).fetchone()[0]


def _upsert(connection, table: Table, batch: Batch, contested: bool, is_begun: bool) -> None:
    replaced = "rowid in (select stored_row from verdicts where verdict = 'load' and stored_row is not null)"
    if table.is_event and contested:
        connection.execute(
            f"insert into raw.replaced_events "
            f"select distinct $1, $2, service, time_bucket(interval 15 minute, {table.event_time}) "
            f"from {contexts.stored_rows(table, replaced)}",
            [batch.batch_id, table.name],
        )
    connection.execute(f"delete from {table.stored_name} where {replaced}")
    if is_begun:
        connection.execute(
            f"delete from {table.stored_name} where rowid in "
            "(select stored_row from standing where row in (select row from verdicts where verdict <> 'load'))"
        )
    names = ", ".join(column.name for column in table.columns)
    contexts.insert_rows(
        connection,
        table,
        f"select {names}, now()::timestamp as loaded_at, '{batch.batch_id}' as batch_id "
        "from incoming where reason is null "
        # Where they do nothing they would cost: without a join DuckDB inserts on all cores.
        + ("and rowid not in (select row from verdicts where verdict <> 'load') " if contested else "")
        + ("and rowid not in (select row from standing)" if is_begun else ""),
    )


def _nameless(place: str) -> str:
    """A place without what could be an e-mail address, as in the name of a tag."""
    return re.sub(r"\S*(?:@|%40)\S*", WITHHELD, place)


def _quarantine(connection, table: Table, batch: Batch, places, rejected: Sequence[Rejected]) -> None:
    """Replace what the origin had in quarantine: rows by place, reasons and fields, the rest by fingerprint.

    The fields of a row about a person stay in schema `restricted`.
    """
    for schema in ("raw", "restricted"):
        connection.execute(
            f"delete from {schema}.quarantine where table_name = ? and source = ? and origin = ?",
            [table.name, batch.source, batch.origin],
        )
    shown = ", ".join(f"'{name}': incoming.{name}" for name in table.key)
    conflicts = " ".join(f"when '{verdict}' then {_quoted(reason)}" for verdict, reason in CONFLICTS.items())
    # In a transaction that is still open, rows are numbered from 2^55 or so.
    number = "incoming.rowid - (select min(rowid) from incoming) + 1"
    rows = connection.sql(f"""
        select {number}, reason, fields from incoming where reason is not null
        union all
        select {number}, case verdicts.verdict {conflicts} end as conflict, to_json({{{shown}}})
        from verdicts join incoming on incoming.rowid = verdicts.row where conflict is not null
        order by 1
    """).fetchall()
    items = [
        (_nameless(place), reason, fields, None, None)
        for place, (_, reason, fields) in zip(places([number for number, *_ in rows]), rows, strict=True)
    ] + [
        (_nameless(item.place), item.reason, None, item.fingerprint.length, item.fingerprint.checksum)
        for item in rejected
    ]
    if not items:
        return
    names = ("place", "reason", "fields", "bytes", "checksum")
    types = (pl.String, pl.String, pl.String, pl.Int64, pl.String)
    connection.register("items", pl.DataFrame(items, dict(zip(names, types, strict=True)), orient="row").to_arrow())
    kept_in = {table.schema: "*", "raw": "* replace (null as fields)" if table.schema == "restricted" else "*"}
    for schema, values in kept_in.items():
        connection.execute(
            f"insert into {schema}.quarantine (batch_id, source, origin, table_name, {', '.join(names)}, "
            f"quarantined_at) select ?, ?, ?, ?, {values}, now()::timestamp from items",
            [batch.batch_id, batch.source, batch.origin, table.name],
        )
    connection.unregister("items")


def _same_row(table: Table, left: str, right: str) -> str:
    return " and ".join(f"{left}.{column.name} is not distinct from {right}.{column.name}" for column in table.columns)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
