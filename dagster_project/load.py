"""Rows into a canonical table: one generated statement casts, checks and keys them; every row read is accounted for.

loaded      new, or a newer version of a stored row
duplicate   the same row again, or an older version of one
quarantined breaks the contract, with every reason; or could not be parsed at all (kept by place, length, checksum)
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import duckdb
import polars as pl

from dagster_project.contracts import MAXIMUM_TEXT_LENGTH, Column, Table

# A clock may be ahead by this much before a time counts as in the future.
CLOCK_TOLERANCE = "interval 1 day"


@dataclass(frozen=True)
class Rejected:
    """A piece of input that is no row: where it stands, why, and enough to recognise it, but not its content."""

    place: str
    reason: str
    content: bytes = b""

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


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
    batch_id: str = field(default_factory=lambda: uuid.uuid4().hex)


def load(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    rows: pl.DataFrame | str,
    *,
    source: str,
    origin: str,
    places: Callable[[Sequence[int]], Sequence[str]] = lambda rows: [f"row {row}" for row in rows],
    rejected: Sequence[Rejected] = (),
    mirror: bool = False,
    retention_days: int | None = None,
) -> Batch:
    """Upsert rows into a canonical table; call it inside a transaction.

    rows: a frame, or a query over files, with any subset of the contract's columns, as text or in their own types;
        person columns in the clear, since the statement that reads them hashes them.
    source: value of the column `source` where a row has none.
    origin: the file or item that the rows come from; what it had in quarantine before is replaced.
    places: maps 1-based row numbers to places a person can find.
    rejected: input of the same origin that could not be parsed into rows.
    mirror: the rows are all that this source has for the table; stored rows of it that are gone are removed.
    retention_days: age in days from which rows of event tables are refused.
    """
    if isinstance(rows, pl.DataFrame):
        connection.register("frame", rows.to_arrow())
        rows = "select * from frame"
    connection.execute(f"create temp table incoming as {_checked(connection, table, rows, source, retention_days)}")
    _judge(connection, table)
    counts = dict(connection.sql("select verdict, count(*) from incoming group by all").fetchall())
    batch = Batch(
        table=table.name,
        source=source,
        origin=origin,
        read=sum(counts.values()) + len(rejected),
        loaded=counts.get("load", 0),
        duplicate=counts.get("duplicate", 0),
        quarantined=counts.get("quarantine", 0) + len(rejected),
        removed=_apply(connection, table, source, mirror),
    )
    names = ", ".join(column.name for column in table.columns)
    connection.execute(
        f"insert into {table.qualified_name} ({names}, loaded_at, batch_id) "
        f"select {names}, now()::timestamp, ? from incoming where verdict = 'load'",
        [batch.batch_id],
    )
    _quarantine(connection, table, batch, places, rejected)
    connection.execute(
        "insert into raw.batches values (?, ?, ?, ?, now()::timestamp, ?, ?, ?, ?, ?)",
        [
            batch.batch_id,
            source,
            origin,
            table.name,
            batch.read,
            batch.loaded,
            batch.duplicate,
            batch.quarantined,
            batch.removed,
        ],
    )
    connection.execute("drop table incoming")
    return batch


def _checked(connection, table: Table, query: str, source: str, retention_days: int | None) -> str:
    """The query that numbers, casts and checks the rows of another."""
    given = {name: str(type_) for name, type_, *_ in connection.sql(f"describe {query}").fetchall()}
    casts = []
    for column in table.columns:
        if column.name not in given:
            missing = _quoted(source) if column.name == "source" else "null"
            casts.append(f"cast({missing} as {column.duckdb_type}) as {column.name}, false as bad_{column.name}")
            continue
        text = f"nullif(trim(cast(input.{column.name} as varchar)), '')"
        value = _cast(column, given[column.name], text)
        if column.name == "source":
            value = f"coalesce({value}, {_quoted(source)})"
        bad = "false" if column.type in ("text", "hash") else f"{text} is not null and {value} is null"
        casts.append(f"{value} as {column.name}, {bad} as bad_{column.name}")
    keyed = [
        f"coalesce({column.name}, {_hash(', '.join(_identity(table.column(name)) for name in column.hash_of))}) "
        f"as {column.name}"
        for column in table.columns
        if column.hash_of
    ]
    reasons = _reasons(table, retention_days)
    broken = " or ".join(f"coalesce({condition}, false)" for condition, _ in reasons)
    messages = ", ".join(f"case when {condition} then {_quoted(message)} end" for condition, message in reasons)
    withheld = ", ".join(
        f"'{column.name}': case when bad_{column.name} or not coalesce({_valid(column)}, true) then '(withheld)' "
        f"else cast({column.name} as varchar) end"
        for column in table.columns
    )
    return f"""
        with cast_rows as (
            select row_number() over () as row_number, {", ".join(casts)} from ({query}) as input
        ), keyed_rows as (
            select * {f"replace ({', '.join(keyed)})" if keyed else ""} from cast_rows
        ), checked_rows as (
            select *, case when {broken} then concat_ws('; ', {messages}) end as reason from keyed_rows
        )
        select
            * exclude ({", ".join(f"bad_{column.name}" for column in table.columns)}),
            case when reason is not null then to_json({{{withheld}}}) end as fields,
            cast(null as varchar) as verdict
        from checked_rows
    """


def _cast(column: Column, given: str, text: str) -> str:
    """The expression that gives a column its contract type; NULL where the value does not fit."""
    if column.person:
        return f"person_key({text})"
    match column.type:
        case "timestamp" if given.startswith("TIMESTAMP") and given != "TIMESTAMP WITH TIME ZONE":
            value = f"cast(input.{column.name} as timestamp)"
        case "timestamp":
            value = f"timezone('UTC', try_cast({text} as timestamptz))"
        case "number":
            value = f"try_cast({text} as double)"
        case "hash":
            return f"case when {text} is not null then {_hash(text)} end"
        case "text":
            return text
        case _:
            return f"try_cast({text} as {column.duckdb_type})"
    return f"case when isfinite({value}) then {value} end"


def _hash(expression: str) -> str:
    # 64 of MD5's 128 bits: stable over DuckDB versions, unlike hash(), and half the width to join on.
    return f"cast(md5_number(concat_ws('|', {expression})) >> 64 as ubigint)"


def _identity(column: Column) -> str:
    # concat_ws skips NULL, so that NULL needs a mark of its own to keep neighbours apart.
    return f"coalesce(cast({column.name} as varchar), '~')"


def _valid(column: Column) -> str:
    """The condition that a value of this column keeps the contract on its own."""
    conditions = []
    if column.allowed:
        conditions.append(f"{column.name} in ({', '.join(map(_quoted, column.allowed))})")
    if column.minimum is not None:
        conditions.append(f"{column.name} >= {column.minimum}")
    if column.maximum is not None:
        conditions.append(f"{column.name} <= {column.maximum}")
    if column.type == "text":
        conditions.append(f"length({column.name}) <= {MAXIMUM_TEXT_LENGTH}")
    if column.type == "timestamp":
        conditions.append(f"{column.name} <= timezone('UTC', now()) + {CLOCK_TOLERANCE}")
    return " and ".join(conditions) or "true"


def _reasons(table: Table, retention_days: int | None) -> list[tuple[str, str]]:
    """(condition that breaks the contract, message) for every check of a table."""
    reasons = []
    for column in table.columns:
        name = column.name
        reasons.append((f"bad_{name}", f"{name}: not a {column.type}"))
        if column.required:
            reasons.append((f"{name} is null and not bad_{name}", f"{name}: missing"))
        if column.allowed:
            reasons.append(
                (
                    f"{name} not in ({', '.join(map(_quoted, column.allowed))})",
                    f"{name}: not one of {', '.join(column.allowed)}",
                )
            )
        if column.minimum is not None:
            reasons.append((f"{name} < {column.minimum}", f"{name}: below {column.minimum}"))
        if column.maximum is not None:
            reasons.append((f"{name} > {column.maximum}", f"{name}: above {column.maximum}"))
        if column.type == "text":
            reasons.append(
                (f"length({name}) > {MAXIMUM_TEXT_LENGTH}", f"{name}: longer than {MAXIMUM_TEXT_LENGTH} characters")
            )
        if column.type == "timestamp":
            reasons.append((f"{name} > timezone('UTC', now()) + {CLOCK_TOLERANCE}", f"{name}: in the future"))
    reasons += [(f"not ({rule.condition})", rule.message) for rule in table.rules]
    if table.is_event and retention_days is not None:
        reasons.append(
            (
                f"{table.event_time} < timezone('UTC', now()) - interval {retention_days} day",
                f"{table.event_time}: older than the retention of {retention_days} days",
            )
        )
    return reasons


def _judge(connection, table: Table) -> None:
    """Give every incoming row its verdict: quarantine, duplicate or load."""
    versioned = any(column.name == "updated_at" for column in table.columns)
    key = ", ".join(table.key)
    newest_first = ("updated_at desc nulls last, " if versioned else "") + "row_number desc"
    same_version = "incoming.updated_at is not distinct from winner.updated_at" if versioned else "true"
    newer = "coalesce(incoming.updated_at < stored.updated_at, false)" if versioned else "false"
    connection.execute("update incoming set verdict = 'quarantine' where reason is not null")
    connection.execute(f"""
        create or replace temp table winner as
        select * from incoming where verdict is null
        qualify row_number() over (partition by {key} order by {newest_first}) = 1
    """)
    connection.execute(f"""
        update incoming set
            verdict = case
                when ({_row(table, "incoming")}) is not distinct from ({_row(table, "winner")}) then 'duplicate'
                when {same_version} then 'quarantine' else 'duplicate' end,
            reason = case
                when ({_row(table, "incoming")}) is distinct from ({_row(table, "winner")}) and {same_version}
                then 'another row further on has the same key ({key}) and different content; that one was taken' end,
            fields = to_json({{{", ".join(f"'{name}': incoming.{name}" for name in table.key)}}})
        from winner
        where incoming.verdict is null and {_same_key(table, "incoming", "winner")}
            and incoming.row_number <> winner.row_number
    """)
    connection.execute(f"""
        update incoming set verdict = 'duplicate'
        from {table.qualified_name} as stored
        where incoming.verdict is null and {_same_key(table, "incoming", "stored")}
            and (({_row(table, "incoming")}) is not distinct from ({_row(table, "stored")}) or {newer})
    """)
    connection.execute("update incoming set verdict = 'load' where verdict is null")
    connection.execute("drop table winner")


def _apply(connection, table: Table, source: str, mirror: bool) -> int:
    """Delete the stored versions that are replaced and, for a mirror, what the source no longer has; counts those."""
    connection.execute(
        f"delete from {table.qualified_name} as stored using incoming "
        f"where incoming.verdict = 'load' and {_same_key(table, 'incoming', 'stored')}"
    )
    if not mirror:
        return 0
    return connection.execute(
        f"delete from {table.qualified_name} as stored where stored.source = ? and not exists "
        f"(select 1 from incoming where {_same_key(table, 'incoming', 'stored')})",
        [source],
    ).fetchone()[0]


def _quarantine(connection, table: Table, batch: Batch, places, rejected: Sequence[Rejected]) -> None:
    connection.execute(
        "delete from raw.quarantine where table_name = ? and source = ? and origin = ?",
        [table.name, batch.source, batch.origin],
    )
    columns = "batch_id, source, origin, table_name, place, reason, fields, bytes, checksum, quarantined_at"
    numbers = [n for (n,) in connection.sql("select row_number from incoming where verdict = 'quarantine'").fetchall()]
    if numbers:
        located = pl.DataFrame({"row_number": numbers, "place": list(places(numbers))})
        connection.register("located", located.to_arrow())
        connection.execute(
            f"insert into raw.quarantine ({columns}) "
            "select ?, ?, ?, ?, located.place, incoming.reason, incoming.fields, null, null, now()::timestamp "
            "from incoming join located using (row_number)",
            [batch.batch_id, batch.source, batch.origin, table.name],
        )
    for item in rejected:
        connection.execute(
            f"insert into raw.quarantine ({columns}) values (?, ?, ?, ?, ?, ?, null, ?, ?, now()::timestamp)",
            [
                batch.batch_id,
                batch.source,
                batch.origin,
                table.name,
                item.place,
                item.reason,
                len(item.content),
                item.checksum,
            ],
        )


def _row(table: Table, alias: str) -> str:
    return ", ".join(f"{alias}.{column.name}" for column in table.columns)


def _same_key(table: Table, left: str, right: str) -> str:
    return " and ".join(f"{left}.{name} = {right}.{name}" for name in table.key)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
