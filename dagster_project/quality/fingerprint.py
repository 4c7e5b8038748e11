"""What a table contains, in one checksum."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import duckdb


class TableFingerprint(NamedTuple):
    """Number of rows, and a checksum over column names, column types and rows."""

    rows: int
    checksum: str


def columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Column names and DuckDB types of a table, in order."""
    return {name: kind for name, kind, *_ in connection.execute(f"describe {table}").fetchall()}


def fingerprint(connection: duckdb.DuckDBPyConnection, table: str) -> TableFingerprint:
    """The fingerprint of a table, whatever the order of its rows, on a connection in UTC; the same in every process.

    A row counts as the two halves of the MD5 of its JSON, and a table as their sums: unlike with an exclusive or,
    equal rows do not cancel out.
    """
    columns = columns_of(connection, table)
    # DuckDB's order by makes 0.0 of -0.0; adding a zero does so everywhere.
    plus = {name: " + 0e0" if kind == "DOUBLE" else "" for name, kind in columns.items()}
    row = ", ".join(f"{_quoted(name, chr(39))}: {_quoted(name, chr(34))}{plus[name]}" for name in columns)
    rows, *sums = connection.execute(f"""
        select count(*), sum(cast(digest >> 64 as ubigint)), sum(cast(digest & 18446744073709551615 as ubigint))
        from (select md5_number(cast(to_json({{{row}}}) as varchar)) as digest from {table})
    """).fetchone()
    return TableFingerprint(rows, hashlib.md5(repr((columns, rows, sums)).encode(), usedforsecurity=False).hexdigest())


def _quoted(name: str, quote: str) -> str:
    return quote + name.replace(quote, quote * 2) + quote
