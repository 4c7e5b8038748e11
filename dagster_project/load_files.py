"""A file of many events into its table in one pass, without a table between.

All rows are inserted and committed at once, without any free text of those that may break the contract. Then the few
that need a closer look go through `incoming` as any other rows do: the suspects, read again from the file, and the rows
that share their key with another; those of them that must not stay are deleted. (Rows deleted by the transaction that
inserted them would make DuckDB write all the others twice; hence two.) Until the second transaction the batch stands in
raw.open_batches: warehouse.py removes what a killed run has left of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from dagster_project import contexts, routes
from dagster_project.contracts import Column, Table
from dagster_project.load import Batch, Expected, new_batch_id, signs_of_a_fault, stage, store, suspected_rows
from dagster_project.warehouse import remove_open_batches

# Above this share of rows that need a closer look, one look at all of them is faster; and for a file below this size,
# since one pass takes more statements.
MAXIMUM_SHARE = 0.05
MINIMUM_BYTES = 4 * 2**20
# About so many keys are sorted at a time, in memory that DuckDB's limit does not count.
SORTED_KEYS = 20_000_000
# Above so many combinations of texts in a context each file spends longer on making their lookup than it saves.
MAXIMUM_COMBINATIONS = 100_000
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
    sample: str,
    source: str,
    retention_days: int | None,
    maximum_routes: int,
) -> Inserted | None:
    """Insert and commit all rows; None, with nothing stored, if too many of them need a closer look.

    sample: rows from everywhere in the file, or all; a row with texts that neither one of these nor a stored one has
        needs a closer look.

    Whatever is raised here or before settle() has ended: remove_open_batches() then.
    """
    batch_id = new_batch_id()
    at = connection.sql("select now()::timestamp").fetchone()[0]
    # The time lets DuckDB skip what is stored already.
    condition = f"loaded_at = timestamp '{at}' and batch_id = '{batch_id}'"
    try:
        texts = _find_texts(connection, table, sample, source)
        if table.contexts and (not texts or _are_many(connection, table)):
            return None
        expected = _first_look(connection, table, rows, texts)
        values = {column.name: _stored(table, column, expected) for column in table.own_columns}
        values |= {context.name: f"case when not is_suspect then {context.name} end" for context in table.contexts}
        values |= {"loaded_at": f"timestamp '{at}'", "batch_id": f"'{batch_id}'"}
        query = suspected_rows(connection, table, rows, source, retention_days, expected)
        read = _insert_all(connection, table, values, query, batch_id, condition, maximum_routes)
    finally:
        # They may hold anything, an address of a person too.
        connection.execute("drop table if exists given_texts; drop table if exists texts")
    if read is None:
        return None
    _find_unsettled(connection, table, condition, read)
    (unsettled,) = connection.sql("select count(*) from unsettled").fetchone()
    if unsettled <= MAXIMUM_SHARE * read:
        numbers = _take_out(connection, table, rows_at, source, retention_days, condition, read)
        examined = "select service, route from incoming where reason is null"
        if routes.have_room(
            connection, table, maximum_routes, f"(select service, route from new_routes union all {examined})"
        ):
            return Inserted(batch_id, read - len(numbers), numbers)
    remove_open_batches(connection)
    return None


def _insert_all(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    values: dict[str, str],
    query: str,
    batch_id: str,
    condition: str,
    maximum_routes: int,
) -> int | None:
    """Insert and commit the values of all rows of a query, and the new combinations of `texts` that rows without
    suspicion have. Returns the number of rows; None, with nothing stored, if there are too many suspects or routes."""
    connection.execute("begin transaction")
    try:
        first_numbers = [contexts.number(connection, table, context, "from texts") for context in table.contexts]
        numbered = _with_numbers(connection, table, query)
        (read,) = connection.execute(
            f"insert into {table.stored_name} ({', '.join(values)}) "
            f"select {', '.join(values.values())} from ({numbered})"
        ).fetchone()
        connection.execute("insert into raw.open_batches values (?, ?)", [batch_id, table.name])
        numbers = ", ".join(context.name for context in table.contexts) or "true"
        connection.execute(f"""
            create or replace temp table settled as
            select {numbers}, count(*) as rows from {table.stored_name}
            where {condition} and not {_is_suspect(table)} group by {numbers}
        """)
        (settled,) = connection.sql("select coalesce(sum(rows), 0)::bigint from settled").fetchone()
        for context, first in zip(table.contexts, first_numbers, strict=True):
            contexts.forget_unused(connection, table, context, "settled", first)
        # Of a table without contexts the rows themselves; suspects have no route yet.
        routed = contexts.with_texts(table, "settled") if table.contexts else f"{table.stored_name} where {condition}"
        has_room = routes.have_room(connection, table, maximum_routes, routed)
        connection.execute("drop table settled")
        if has_room and read - settled <= MAXIMUM_SHARE * read:
            connection.execute("commit")
            return read
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("rollback")
    return None


def _find_texts(connection: duckdb.DuckDBPyConnection, table: Table, rows: str, source: str) -> list[str]:
    """Fill `given_texts` with the combinations of what the rows bring for the contexts, and `texts` with what of them
    keeps the contract, as it is stored; each once. Returns the columns and fields that the rows bring for them."""
    columns = table.context_columns
    fields = [item for item in table.fields if all(table.column(name) in columns for name in item.becomes)]
    brought = connection.sql(f"select * from ({rows}) limit 0").columns
    names = [item.name for item in (*columns, *fields) if item.name in brought]
    if names:
        alone = replace(table, key=(), event_time=None, columns=columns, rules=(), fields=tuple(fields), contexts=())
        connection.execute(
            f"create or replace temp table given_texts as select distinct {', '.join(names)} from ({rows})"
        )
        judged = suspected_rows(connection, alone, "from given_texts", source)
        # Many paths become one template.
        stored = ", ".join(column.name for column in columns)
        connection.execute(
            f"create or replace temp table texts as select distinct {stored} from ({judged}) where not is_suspect"
        )
    return names


def _are_many(connection: duckdb.DuckDBPyConnection, table: Table) -> bool:
    """Whether there are too many combinations to be looked up."""
    counts = ", ".join(f"(select count(*) from {table.context_table(context)})" for context in table.contexts)
    return connection.sql(f"select greatest({counts}) + count(*) > {MAXIMUM_COMBINATIONS} from texts").fetchone()[0]


def _with_numbers(connection: duckdb.DuckDBPyConnection, table: Table, query: str) -> str:
    """The query with the numbers of its rows' contexts; without one a row is a suspect."""
    for context in table.contexts:
        # What is stored may be older than the contract.
        signs = [sign for name in context.columns for sign in signs_of_a_fault(table.column(name))]
        contexts.make_lookup(connection, table, context, " or ".join(signs))
    looked_up = "".join(f", {contexts.looked_up(table, context)} as {context.name}" for context in table.contexts)
    is_suspect = " or ".join(["is_suspect", *(f"{context.name} is null" for context in table.contexts)])
    return f"select * replace ({is_suspect} as is_suspect) from (select *{looked_up} from ({query}))"


def _is_suspect(table: Table) -> str:
    """Whether a stored row is a suspect: it lacks what every other row has."""
    return f"({table.contexts[0].name if table.contexts else 'service'} is null)"


def _first_look(connection: duckdb.DuckDBPyConnection, table: Table, rows: str, texts: list[str]) -> Expected:
    """What the first rows tell of all: each column and field costs time in every row, and so does each text that might
    be of no characters and have to become NULL. Of `texts` the sample tells it."""
    first = f"(from ({rows}) limit {FIRST_ROWS})"
    names = connection.sql(f"from {first}").columns
    counts = []
    for source, looked_at in ((first, [name for name in names if name not in texts]), ("given_texts", texts)):
        looks = ", ".join(f"count({name}), count_if(cast({name} as varchar) = '')" for name in looked_at)
        if looks:
            found = connection.sql(f"select {looks} from {source}").fetchone()
            counts += zip(looked_at, found[::2], found[1::2], strict=True)
    return Expected(
        absent=[name for name, values, _ in counts if not values],
        present=[name for name, values, _ in counts if values],
        never_blank=[name for name, values, blanks in counts if values and not blanks],
        judged=[column.name for column in table.context_columns],
    )


def _stored(table: Table, column: Column, expected: Expected) -> str:
    """What is stored of a column before the suspects are examined. Their free texts may be anything, an address of a
    person too: nothing of them."""
    if column.type != "text":
        return column.name
    if column.allowed:
        return f"try_cast({column.name} as {table.stored_type(column)})"
    # What no row brings is empty or the name of the source. Conditions on all texts took an eighth of the insert.
    is_brought = column.name in expected.present or any(
        column.name in field.becomes for field in table.fields if field.name in expected.present
    )
    return f"case when not is_suspect then {column.name} end" if is_brought else column.name


def _find_unsettled(connection: duckdb.DuckDBPyConnection, table: Table, condition: str, read: int) -> None:
    """Fill `unsettled` with the rows that need a closer look: each row's id and its number in the file, and whether it
    is a suspect; else its key has the hash of another new row's, or of a stored one's."""
    key, time = table.timed_keys[0], table.event_time
    connection.execute(f"create or replace temp table contested ({key} ubigint)")
    new = f"from {table.stored_name} where {condition}"
    of_others = f"filter (where not {_is_suspect(table)})"
    first_row, first, last = connection.sql(
        f"select min(rowid), min({time}) {of_others}, max({time}) {of_others} {new}"
    ).fetchone()
    # Apart from the new rows: with an `or` DuckDB would not skip the rows of other times.
    of_its_time = f"{time} between timestamp '{first}' and timestamp '{last}' and not ({condition})"
    stored = f"from {table.stored_name} where {'false' if first is None else of_its_time}"
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
    # Rows stand in the order of the file.
    connection.execute(f"""
        create or replace temp table unsettled as
        select rowid as row, rowid - {first_row or 0} + 1 as number, {_is_suspect(table)} as is_suspect
        {new} and ({_is_suspect(table)} or {key} in (from contested))
        order by number
    """)
    connection.execute("drop table contested")


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
    suspects = connection.sql("select number from unsettled where is_suspect order by number").fetchall()
    stage(connection, table, rows_at([number for (number,) in suspects], read), source, retention_days)
    # A suspect was keyed without what was not read of it; now it may share its key with a row that seemed settled.
    connection.execute(f"""
        insert into unsettled by name
        select rowid as row, rowid - (select min(row - number) from unsettled) as number, false as is_suspect
        from {table.stored_name}
        where {condition} and {table.timed_keys[0]} in (select {table.timed_keys[0]} from incoming where reason is null)
            and rowid not in (select row from unsettled)
    """)
    numbers = [number for (number,) in connection.sql("select number from unsettled order by number").fetchall()]
    names = ", ".join(column.name for column in table.columns)
    standing = contexts.stored_rows(table, "rowid in (select row from unsettled where not is_suspect)")
    connection.execute(f"""
        create or replace temp table numbered as
        select number, {names}, null::varchar as reason, null::varchar as fields
        from {standing} as standing join unsettled on row = stored_row
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
    connection.execute(f"delete from {table.stored_name} where rowid in (select row from unsettled where is_suspect)")
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
