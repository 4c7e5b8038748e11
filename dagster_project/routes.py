r"""Raw URLs and paths → route templates, in SQL; and a guard over how many of them a service may have.

A route is cut to its path (host, query string and fragment go). Then the first template of route_rules.csv that fits
decides; without one, each segment that is an id by the rules below becomes `:id`. What is a template already
(`:slug`, `{slug}`, `[slug]`, `*`) stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import duckdb

from dagster_project.contracts import Table

OTHER = "(other)"

# Most routes show none of this, and then no other expression is tried.
MAY_BE_RAW = "[?#;0-9@%]|//|./$"
# And most of those that do show none of this: nothing of them is cut.
MAY_BE_CUT = "[?#;]|//|./$"
# Also `/cart/` is cut, to `/cart`, and what session ids hide behind (`/cart;jsessionid=…`).
# The question mark of an optional parameter (`/users/:id?`) starts no query.
CUTS = (
    (r"(:\w+)\?(/|$)", r"\1\2"),
    (r"[?#;].*$", ""),
    (r"^([a-zA-Z][a-zA-Z0-9+.-]*:)?//[^/]*", ""),
    (r"/{2,}", "/"),
    (r"(.)/$", r"\1"),
    (r"^$", "/"),
)
# Numbers, hexadecimal hashes and UUIDs, anything with four digits in a row, a number behind a word (`order-17`), an
# address, percent-encoded text.
ID = "^[0-9]+$|^[0-9a-fA-F-]{8,}$|[0-9]{4}|[-_~][0-9]+$|@|%"
# Most ids are whole numbers; where nothing else may be one, no segment is looked at on its own.
MAY_HAVE_OTHER_IDS = "[0-9][^0-9/]|[^0-9/][0-9]|[@%]|(^|/)[a-fA-F-]{8,}(/|$)"
# A longer segment with a digit is a slug or a token; so is a shorter one of small and capital letters with a digit.
LONGEST_WORD = 19
LONGEST_MIXED_WORD = 7


class RouteRule(NamedTuple):
    """One row of route_rules.csv: a template, for one service or, without it, for all."""

    service: str | None
    template: str


@dataclass(frozen=True)
class Folded:
    """Routes of a service that became OTHER, since it has too many: how many, how many rows, and what would help."""

    service: str
    known: int
    routes: int
    rows: int
    template: str

    def __str__(self) -> str:
        return (
            f"{self.service}: {self.routes:,} routes beyond the first {self.known:,} became {OTHER} in {self.rows:,} "
            f"rows; most are of the form {self.template}: add that template to route_rules.csv and let the files land "
            "again, or raise maximum_routes"
        )


def use_in(connection: duckdb.DuckDBPyConnection, rules: Sequence[RouteRule] = ()) -> None:
    """Make route_template(service, route) known to the statements of a connection."""
    # As one function of the route, unless a rule asks for the service, DuckDB evaluates it once for each text in the
    # dictionary of a Parquet file, which takes a tenth off a whole insert.
    path = "route"
    for pattern, replacement in CUTS:
        path = f"regexp_replace({path}, '{pattern}', '{replacement}', 'g')"
    branches = " ".join(["when path is null then null", *map(_branch, rules)])
    connection.execute(f"""
        create or replace temp macro route_path(route) as {path};
        create or replace temp macro route_segment(segment) as case
            when ascii(segment) in ({", ".join(str(ord(mark)) for mark in ":{[*($")}) then segment
            when regexp_matches(segment, '{ID}') then ':id'
            when not regexp_matches(segment, '[0-9]') then segment
            when length(segment) > {LONGEST_WORD} then ':id'
            when length(segment) > {LONGEST_MIXED_WORD} and regexp_matches(segment, '[a-z]')
                and regexp_matches(segment, '[A-Z]') then ':id'
            else segment
        end;
        create or replace temp macro route_by_rules(service, path, otherwise) as case {branches} else otherwise end;
        create or replace temp macro route_by_segments(path) as array_to_string(
            list_transform(string_split(path, '/'), lambda segment: route_segment(segment)), '/'
        );
        create or replace temp macro route_without_ids(path) as case
            when regexp_matches(path, '{MAY_HAVE_OTHER_IDS}') then route_by_segments(path)
            else regexp_replace(path, '[0-9]+', ':id', 'g')
        end;
        create or replace temp macro route_template_of(service, route) as case
            when not regexp_matches(route, '{MAY_BE_RAW}') then route_by_rules(service, route, route)
            when regexp_matches(route, '{MAY_BE_CUT}')
                then route_by_rules(service, route_path(route), route_without_ids(route_path(route)))
            else route_by_rules(service, route, route_without_ids(route))
        end;
        create or replace temp macro route_template(service, route) as
            list_transform([route], lambda each: route_template_of(service, each))[1];
    """)


def _branch(rule: RouteRule) -> str:
    # The literal beginning sorts out nearly all rows before an expression has to be tried.
    beginning = re.split(r"[:*]", rule.template)[0]
    conditions = [f"service = {_quoted(rule.service)}"] if rule.service else []
    conditions += [f"starts_with(path, {_quoted(beginning)})", f"regexp_full_match(path, {_quoted(_expression(rule))})"]
    return f"when {' and '.join(conditions)} then {_quoted(rule.template)}"


def _expression(rule: RouteRule) -> str:
    """`:name` stands for one segment or the rest of one, a final `*` for any number of them."""
    parts = re.split(r"(:\w+|\*$)", rule.template)
    return "".join({":": "[^/]+", "*": ".*"}.get(part[:1], re.escape(part)) for part in parts)


def have_room(connection: duckdb.DuckDBPyConnection, table: Table, maximum_routes: int, rows: str) -> bool:
    """Whether hold() would leave all routes of these rows as they are."""
    if not _has_routes(table):
        return True
    _find_new_routes(connection, table, rows)
    return connection.sql(f"select count(*) = 0 from new_routes where place > {maximum_routes}").fetchone()[0]


def keep(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """The new routes for which have_room() has found room become known ones."""
    if _has_routes(table):
        connection.execute(f"insert into raw.routes select '{table.name}', service, route from new_routes")
        connection.execute("drop table new_routes")


def hold(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    maximum_routes: int,
    rows: str = "incoming where reason is null",
) -> list[Folded]:
    """Keep the routes of rows that are known or for which there is room, those of most rows first, as known ones; the
    others become OTHER in `incoming`. Call it in the transaction that stores the rows."""
    if not _has_routes(table):
        return []
    _find_new_routes(connection, table, rows)
    connection.execute(
        f"insert into raw.routes select '{table.name}', service, route from new_routes where place <= {maximum_routes}"
    )
    connection.execute(f"delete from new_routes where place <= {maximum_routes}")
    folded = connection.sql("""
        select service, any_value(known), count(*), sum(rows)::bigint, list(route order by route)[:1000]
        from new_routes group by service order by service
    """).fetchall()
    if folded:
        connection.execute(f"""
            update incoming set route = '{OTHER}'
            from new_routes where incoming.service = new_routes.service and incoming.route = new_routes.route
        """)
    connection.execute("drop table new_routes")
    return [
        Folded(service, max(known, maximum_routes), routes, rows, common_template(examples))
        for service, known, routes, rows, examples in folded
    ]


def _has_routes(table: Table) -> bool:
    return any(column.is_route for column in table.columns)


def _find_new_routes(connection: duckdb.DuckDBPyConnection, table: Table, rows: str) -> None:
    """The routes of rows that are not known yet, into the temporary table new_routes, each with its place."""
    connection.execute(f"""
        create or replace temp table new_routes as
        with seen as (
            select service, route, count(*) as rows from (from {rows})
            where route is not null and route <> '{OTHER}' group by all
        ), known as (
            select service, count(*) as routes from raw.routes where table_name = '{table.name}' group by all
        )
        select
            seen.service, seen.route, seen.rows, coalesce(known.routes, 0) as known,
            coalesce(known.routes, 0) + row_number() over (partition by service order by rows desc, route) as place
        from seen
        left join known using (service)
        anti join (from raw.routes where table_name = '{table.name}') as old using (service, route)
    """)


def common_template(routes: Sequence[str]) -> str:
    """The most frequent form of routes, the segment in which they differ most written as a parameter."""
    by_length: dict[int, list[list[str]]] = {}
    for route in routes:
        by_length.setdefault(route.count("/"), []).append(route.split("/"))
    alike = max(by_length.values(), key=len)
    variety = [len(set(values)) for values in zip(*alike, strict=True)]
    differing = variety.index(max(variety))
    return "/".join(
        ":name" if position == differing else max(sorted(set(values)), key=values.count)
        for position, values in enumerate(zip(*alike, strict=True))
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
