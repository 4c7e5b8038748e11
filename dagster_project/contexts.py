"""Rows of tables whose texts are stored in contexts (contracts.py): written, and read again as the contract has them.

The numbers of a context are those from 0 on, so that a join by them is a look into an array, which keeps DuckDB's
dictionaries: a model reads these texts as fast as if they stood in the rows.
"""

from __future__ import annotations

import duckdb

from dagster_project.contracts import Context, Table


def view(table: Table) -> str:
    """What follows `create view`."""
    return (
        f"{table.qualified_name} as select {', '.join(view_columns(table))} from {with_texts(table, table.stored_name)}"
    )


def view_columns(table: Table) -> list[str]:
    """The contract's columns, and when and by which batch a row was loaded."""
    return [*(column.name for column in table.columns), "loaded_at", "batch_id"]


def stored_rows(table: Table, condition: str = "true") -> str:
    """The rows that meet a condition over columns that are stored with each row, with their `rowid` as `stored_row`; to
    be selected from."""
    names = ", ".join([*(column.name for column in table.columns), "batch_id", "stored_row"])
    rows = f"select *, rowid as stored_row from {table.stored_name} where {condition}"
    return f"(select {names} from {with_texts(table, f'({rows})')})"


def with_texts(table: Table, rows: str) -> str:
    """Rows with numbers of contexts, and the columns of these; to be selected from."""
    return f"{rows} as stored {_joins(table)}"


def _joins(table: Table) -> str:
    return " ".join(
        f"inner join {table.context_table(context)} as {context.name}s "
        f"on stored.{context.name} = {context.name}s.{context.name}"
        for context in table.contexts
    )


def insert_rows(connection: duckdb.DuckDBPyConnection, table: Table, rows: str) -> None:
    """Insert the rows of a query with any of the contract's columns, loaded_at and batch_id. It runs several times and
    must give the same rows each time."""
    names = connection.sql(f"select * from ({rows}) limit 0").columns
    lacking = [column.name for column in table.context_columns if column.name not in names]
    rows = f"select *{''.join(f', null::varchar as {name}' for name in lacking)} from ({rows})"
    joins = []
    for context in table.contexts:
        number(connection, table, context, rows)
        same = " and ".join(f"new.{name} is not distinct from {context.name}s.{name}" for name in context.columns)
        joins.append(f"inner join {table.context_table(context)} as {context.name}s on {same}")
    texts = {column.name for column in table.context_columns}
    own = [name for name in view_columns(table) if name in names and name not in texts]
    stored = ", ".join([*own, *(context.name for context in table.contexts)])
    connection.execute(
        f"insert into {table.stored_name} ({stored}) select {stored} from ({rows}) as new {' '.join(joins)}"
    )


def number(connection: duckdb.DuckDBPyConnection, table: Table, context: Context, rows: str) -> int:
    """Store the combinations of a context that the rows of a query have and no row before had; returns the first number
    that is new."""
    name, texts = table.context_table(context), ", ".join(context.columns)
    (first,) = connection.sql(f"select coalesce(max({context.name}) + 1, 0) from {name}").fetchone()
    connection.execute(
        f"insert into {name} ({context.name}, {texts}) select {first - 1} + row_number() over (), {texts} from ("
        f"select distinct {texts} from ({rows}) except select {texts} from {name})"
    )
    return first


def forget_unused(
    connection: duckdb.DuckDBPyConnection, table: Table, context: Context, used: str, first: int = 0
) -> None:
    """Remove the combinations, of those from a number on, that no row of a table or view has."""
    connection.execute(
        f"delete from {table.context_table(context)} where {context.name} >= {first} and {context.name} not in "
        f"(select distinct {context.name} from {used} where {context.name} is not null)"
    )


def forget_all_unused(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Remove the combinations that no stored row has any more, so that what is corrected or forgotten is gone."""
    for context in table.contexts:
        forget_unused(connection, table, context, table.stored_name)


def make_lookup(connection: duckdb.DuckDBPyConnection, table: Table, context: Context, faulty: str) -> None:
    """Make the temporary ENUM of which looked_up() makes use, of the combinations that do not meet a condition."""
    type_, name = _lookup(table, context), table.context_table(context)
    connection.execute(f"drop type if exists {type_}")
    # The place of a value is its number. A number may have become free, and two combinations may have one hash: these
    # are not found.
    connection.execute(f"""
        create temp type {type_} as enum (
            select if(count(stored.{context.name}) over (partition by hashed) = 1, hashed, 'none ' || numbers.number)
            from range((select coalesce(max({context.name}), 0) + 1 from {name})) as numbers(number)
            left join (
                select {context.name}, cast({_hash(context)} as varchar) as hashed
                from {name} where case when {faulty} then false else true end
            ) as stored on stored.{context.name} = numbers.number
            order by numbers.number
        )
    """)


def looked_up(table: Table, context: Context) -> str:
    """The number of a row's combination, NULL if it has none. The only look into a table that keeps the order of the
    rows, which a join does not, takes as long for many combinations as for few, and is done where the row is read."""
    return f"enum_code(try_cast(cast({_hash(context)} as varchar) as {_lookup(table, context)}))::integer"


def _lookup(table: Table, context: Context) -> str:
    return f"{table.name}_{context.name}"


def _hash(context: Context) -> str:
    return f"hash({', '.join(context.columns)})"
