"""Texts of events stored once for each combination."""

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project import contexts
from dagster_project.contracts import RUM_EVENTS, Column, Context, Table
from dagster_project.warehouse import create_tables, stored_columns, table_ddl

VISIT, PLACE = RUM_EVENTS.contexts
STORED = [*stored_columns(RUM_EVENTS)]
TEXTS = [*VISIT.columns, *PLACE.columns]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as connection:
        create_tables(connection)
        yield connection


def put(connection, rows: list[dict]) -> None:
    values = ", ".join(
        f"({number}, {', '.join(literal(row.get(name)) for name in TEXTS)})" for number, row in enumerate(rows)
    )
    contexts.insert_rows(connection, RUM_EVENTS, f"from (values {values}) as given(event_id, {', '.join(TEXTS)})")


def literal(text: str | None) -> str:
    return "null::varchar" if text is None else "'" + text.replace("'", "''") + "'"


def emptied(connection) -> None:
    for name in STORED:
        connection.execute(f"delete from {name}")


def numbers(connection, context: Context) -> list[int]:
    name = RUM_EVENTS.context_table(context)
    return [number for (number,) in connection.sql(f"select {context.name} from {name} order by 1").fetchall()]


rows = st.lists(
    st.dictionaries(st.sampled_from(TEXTS), st.sampled_from([None, "", "a", "b", "o'clock", "\x1f"])), max_size=8
)


@given(st.lists(rows.filter(bool), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_rows_are_read_as_they_were_written_and_each_combination_is_stored_once(connection, batches):
    emptied(connection)
    for batch in batches:
        put(connection, batch)
    read = connection.sql(f"select event_id, {', '.join(TEXTS)} from raw.rum_events").fetchall()
    written = [(number, *(row.get(name) for name in TEXTS)) for batch in batches for number, row in enumerate(batch)]
    assert sorted(read, key=str) == sorted(written, key=str)
    for context in RUM_EVENTS.contexts:
        combinations = {tuple(row.get(name) for name in context.columns) for batch in batches for row in batch}
        assert numbers(connection, context) == list(range(len(combinations)))


@given(st.lists(st.sampled_from("abcdef"), min_size=1), st.sets(st.sampled_from("abcdef")))
@settings(max_examples=50, deadline=None)
def test_the_lookup_tells_the_number_of_each_known_combination_and_of_no_other(connection, known, used):
    emptied(connection)
    put(connection, [{"component": text} for text in known])
    # Numbers become free, and the places of the others stay what they are.
    connection.execute("create or replace temp table used (place integer)")
    connection.execute(
        f"insert into used select place from raw.rum_events_places where list_contains({[*used]}::varchar[], component)"
    )
    contexts.forget_unused(connection, RUM_EVENTS, PLACE, "used")
    contexts.make_lookup(connection, RUM_EVENTS, PLACE, "component = 'f'")
    looked_up = connection.sql(f"""
        select component, {contexts.looked_up(RUM_EVENTS, PLACE)}
        from (select {", ".join(f"null::varchar as {name}" for name in PLACE.columns if name != "component")},
            unnest(['a', 'b', 'c', 'd', 'e', 'f']) as component)
    """).fetchall()
    stored = dict(connection.sql("select component, place from raw.rum_events_places").fetchall())
    assert dict(looked_up) == dict.fromkeys("abcdef") | stored | {"f": None}
    assert set(stored) == used & set(known)


def test_what_no_row_has_any_more_is_forgotten(connection):
    emptied(connection)
    put(connection, [{"component": "a", "service": "web"}, {"component": "b", "service": "web"}])
    connection.execute("delete from raw.rum_events_stored where event_id = 0")
    contexts.forget_all_unused(connection, RUM_EVENTS)
    assert connection.sql("select component from raw.rum_events_places").fetchall() == [("b",)]
    assert connection.sql("select service from raw.rum_events_visits").fetchall() == [("web",)]
    (kept,) = numbers(connection, PLACE)
    put(connection, [{"component": "c"}])
    assert numbers(connection, PLACE) == [kept, kept + 1]
    assert connection.sql("select component from raw.rum_events order by all").fetchall() == [("b",), ("c",)]


def test_combinations_that_share_a_hash_are_not_looked_up(connection, monkeypatch):
    emptied(connection)
    put(connection, [{"component": "a"}, {"component": "b"}, {"component": "longer"}])
    monkeypatch.setattr(contexts, "_hash", lambda context: "strlen(component)")
    contexts.make_lookup(connection, RUM_EVENTS, PLACE, "false")
    looked_up = contexts.looked_up(RUM_EVENTS, PLACE)
    found = dict(connection.sql(f"select component, {looked_up} from raw.rum_events_places").fetchall())
    stored = dict(connection.sql("select component, place from raw.rum_events_places").fetchall())
    assert found == {"a": None, "b": None, "longer": stored["longer"]}


def test_a_table_without_contexts_is_a_table():
    table = Table("t", "One t.", key=("a",), columns=(Column("a", "text", "A."),))
    assert table_ddl(table) == ["create table if not exists raw.t (a VARCHAR, loaded_at TIMESTAMP, batch_id UUID)"]
