"""A file of many events into its table in one pass, without a table between.

All rows are inserted and committed at once, without any free text of those that may break the contract. Then the few
that need a closer look go through `incoming` as any other rows do: the suspects, read again from the file, and the rows
that share their key with another; those of them that must not stay are deleted. (Rows deleted by the transaction that
inserted them would make DuckDB write all the others twice; hence two.) Until the second transaction the batch stands in
raw.open_batches: warehouse.py removes what a killed run has left of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from dagster_project import routes
from dagster_project.contracts import Column, Table
from dagster_project.load import Batch, Expected, new_batch_id, stage, store, suspected_rows
from dagster_project.warehouse import remove_open_batches

# Above this share of rows that need a closer look, one look at all of them is faster; and for a file below this size,
# since one pass takes more statements.
MAXIMUM_SHARE = 0.05
MINIMUM_BYTES = 4 * 2**20
# About so many keys are sorted at a time, in memory that DuckDB's limit does not count.
SORTED_KEYS = 20_000_000
# What holds for so many rows at the beginning of a file is expected of all.
FIRST_ROWS = 20_000

# Row numbers, ascending from 1, and how many rows there are → the query that reads these rows of the file again, in
# this order.
RowsAt = Callable[[Sequence[int], int], str]


@dataclass(frozen=True)
class Inserted:
    """A batch of which the first half is done: how many of its rows stay as they are, and the numbers in their file of
    those in `incoming`, which do not."""

    batch_id: str
    settled: int
    numbers: list[int]


def is_insertable(table: Table, size: int) -> bool:
    """Whether a file of so many bytes is worth it, and one column, made of the time too, tells which rows can share
    their key."""
    return size >= MINIMUM_BYTES and table.is_event and bool(table.timed_keys)


def insert(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    rows: str,
    rows_at: RowsAt,
    source: str,
    retention_days: int | None,
    maximum_routes: int,
) -> Inserted | None:
    """Insert and commit all rows; None, with nothing stored, if too many of them need a closer look.

    Whatever is raised here or before settle() has ended: remove_open_batches() then.
    """
    batch_id = new_batch_id()
    at = connection.sql("select now()::timestamp").fetchone()[0]
    # The time lets DuckDB skip what is stored already.
    condition = f"loaded_at = timestamp '{at}' and batch_id = '{batch_id}'"
    names = ", ".join(column.name for column in table.columns)
    expected = _first_look(connection, rows)
    values = ", ".join(_stored(table, column, expected) for column in table.columns)
    query = suspected_rows(connection, table, rows, source, retention_days, expected)
    connection.execute("begin transaction")
    try:
        (read,) = connection.execute(
            f"insert into {table.qualified_name} ({names}, loaded_at, batch_id) "
            f"select {values}, timestamp '{at}', '{batch_id}' from ({query})"
        ).fetchone()
        connection.execute("insert into raw.open_batches values (?, ?)", [batch_id, table.name])
        _find_contested(connection, table, condition, read)
        # Rows stand in the order of the file; the commit moves them all together.
        connection.execute(f"""
            create or replace temp table unsettled as
            select
                rowid - (select min(rowid) from {table.qualified_name} where {condition}) + 1 as number,
                service is null as is_suspect
            from {table.qualified_name}
            where {condition} and (service is null or {table.timed_keys[0]} in (from contested))
            order by number
        """)
        connection.execute("drop table contested")
        (unsettled,) = connection.sql("select count(*) from unsettled").fetchone()
        if unsettled > MAXIMUM_SHARE * read or not routes.have_room(
            connection, table, maximum_routes, f"{table.qualified_name} where {condition}"
        ):
            connection.execute("rollback")
            return None
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")
    numbers = _take_out(connection, table, rows_at, source, retention_days, condition, read)
    examined = "select service, route from incoming where reason is null"
    if not routes.have_room(
        connection, table, maximum_routes, f"(select service, route from new_routes union all {examined})"
    ):
        remove_open_batches(connection)
        return None
    return Inserted(batch_id, read - len(numbers), numbers)


def _first_look(connection: duckdb.DuckDBPyConnection, rows: str) -> Expected:
    """What the first rows tell of all: each column and field costs time in every row, and so does each text that might
    be of no characters and have to become NULL."""
    first = f"from (from ({rows}) limit {FIRST_ROWS})"
    names = connection.sql(first).columns
    looks = ", ".join(f"count({name}), count_if(cast({name} as varchar) = '')" for name in names)
    found = connection.sql(f"select {looks} {first}").fetchone()
    counts = list(zip(names, found[::2], found[1::2], strict=True))
    return Expected(
        absent=[name for name, values, _ in counts if not values],
        present=[name for name, values, _ in counts if values],
        never_blank=[name for name, values, blanks in counts if values and not blanks],
    )


def _stored(table: Table, column: Column, expected: Expected) -> str:
    """What is stored of a column before the suspects are examined. Their free texts may be anything, an address of a
    person too: nothing of them. So a row without a service, which every event has, is a suspect."""
    if column.type != "text":
        return column.name
    if column.allowed:
        return f"try_cast({column.name} as {table.stored_type(column)})"
    # What no row brings is empty or the name of the source. Conditions on all texts took an eighth of the insert.
    is_brought = column.name in expected.present or any(
        column.name in field.becomes for field in table.fields if field.name in expected.present
    )
    return f"case when not is_suspect then {column.name} end" if is_brought else column.name


def _find_contested(connection: duckdb.DuckDBPyConnection, table: Table, condition: str, read: int) -> None:
    """Fill `contested` with hashes in the key that several of the new rows have, or a stored row: at least those of all
    contested keys."""
    key, time = table.timed_keys[0], table.event_time
    connection.execute(f"create or replace temp table contested ({key} ubigint)")
    new = f"from {table.qualified_name} where {condition}"
    first, last = connection.sql(f"select min({time}), max({time}) {new} and service is not null").fetchone()
    # Apart from the new rows: with an `or` DuckDB would not skip the rows of other times.
    of_its_time = f"{time} between timestamp '{first}' and timestamp '{last}' and not ({condition})"
    stored = f"from {table.qualified_name} where {'false' if first is None else of_its_time}"
    parts = (read + connection.sql(f"select count(*) {stored}").fetchone()[0]) // SORTED_KEYS + 1
    for part in range(parts):
        # Sorted by numpy and neither grouped nor joined by DuckDB: a quarter of the time.
        of_part = f" and {key} % {parts} = {part}" if parts > 1 else ""
        query = f"select {key} {new}{of_part} union all select {key} {stored}{of_part}"
        keys = connection.sql(query).fetchnumpy()[key]
        keys.sort()
        connection.register("repeated", pa.table({key: keys[1:][keys[1:] == keys[:-1]]}))
        connection.execute("insert into contested from repeated")
        connection.unregister("repeated")


def _take_out(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    rows_at: RowsAt,
    source: str,
    retention_days: int | None,
    condition: str,
    read: int,
) -> list[int]:
    """Fill `incoming` with the rows that need a closer look, in the order of the file; returns their numbers."""
    (first,) = connection.sql(f"select min(rowid) from {table.qualified_name} where {condition}").fetchone()
    connection.execute(
        "create or replace temp table unsettled as "
        f"select number - 1 + {first} as row, * from unsettled order by number"
    )
    suspects = connection.sql("select number from unsettled where is_suspect order by number").fetchall()
    stage(connection, table, rows_at([number for (number,) in suspects], read), source, retention_days)
    # A suspect was keyed without what was not read of it; now it may share its key with a row that seemed settled.
    connection.execute(f"""
        insert into unsettled by name
        select rowid as row, rowid - {first} + 1 as number, false as is_suspect
        from {table.qualified_name}
        where {condition} and {table.timed_keys[0]} in (select {table.timed_keys[0]} from incoming where reason is null)
            and rowid not in (select row from unsettled)
    """)
    numbers = [number for (number,) in connection.sql("select number from unsettled order by number").fetchall()]
    names = ", ".join(column.name for column in table.columns)
    connection.execute(f"""
        create or replace temp table numbered as
        select number, {names}, null::varchar as reason, null::varchar as fields
        from unsettled join {table.qualified_name} as stored on stored.rowid = row where not is_suspect
        union all
        from (select number from unsettled where is_suspect order by number) positional join incoming
    """)
    connection.execute(
        "create or replace temp table incoming as select * exclude (number) from numbered order by number; "
        "drop table numbered"
    )
    return numbers


def settle(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    inserted: Inserted,
    *,
    source: str,
    origin: str,
    places: Callable[[Sequence[int]], Sequence[str]],
) -> Batch:
    """The second half, inside a transaction: after it the batch is as load() would have left it."""
    connection.execute(
        f"delete from {table.qualified_name} where rowid in (select row from unsettled where is_suspect)"
    )
    # What need not go stays where it is: a few rows behind a file make DuckDB write a hundred thousand others again.
    connection.execute("""
        create temp table standing as
        select * exclude (is_suspect)
        from (select row_number() over (order by number) - 1 as row, row as stored_row, is_suspect from unsettled)
        where not is_suspect
    """)
    routes.keep(connection, table)
    batch = store(
        connection,
        table,
        source=source,
        origin=origin,
        places=lambda numbers: places([inserted.numbers[number - 1] for number in numbers]),
        batch_id=inserted.batch_id,
        stored_before=inserted.settled,
    )
    connection.execute("delete from raw.open_batches where batch_id = ?", [batch.batch_id])
    connection.execute("drop table unsettled; drop table standing")
    return batch
