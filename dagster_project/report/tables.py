"""What the parts of the monthly report read from the published file: the tables there are, their rows and comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from dagster_project.report.layout import Row


def present(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}


def rows(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
    result = connection.execute(query, parameters)
    names = [name for name, *_ in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def comments(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str | None]:
    """What each column of a table means, in the order of columns; empty if there is no such table."""
    query = "select column_name, comment from duckdb_columns() where table_name = ? order by column_index"
    return dict(connection.execute(query, [table]).fetchall())


def definitions(
    connection: duckdb.DuckDBPyConnection, shown: Mapping[str, Sequence[str]]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """(table, [(column, what it means)]) of the shown columns of those tables that there are."""
    published = present(connection)
    meanings = {table: comments(connection, table) for table in shown if table in published}
    return [(table, [(name, of_table[name] or "") for name in shown[table]]) for table, of_table in meanings.items()]
