"""Every row read is loaded, a duplicate, or quarantined with its reasons; nothing else happens to it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import datetime, timedelta

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.contracts import DEPLOYMENTS, INCIDENT_EVENTS, PULL_REQUESTS, RAW_TABLES, RUM_EVENTS, Table
from dagster_project.load import Batch, Fingerprint, Rejected, checked_rows, forget_sources, load
from dagster_project.people import People
from dagster_project.warehouse import create_tables, transaction

DEPLOYMENT = {
    "deployment_id": "d1",
    "service": "web",
    "environment": "production",
    "status": "success",
    "finished_at": "2024-03-01T12:00:00Z",
}
VITAL = {
    "service": "web",
    "occurred_at": "2024-03-01T12:00:00Z",
    "event_type": "vital",
    "session_id": "s1",
    "metric_name": "LCP",
    "metric_value": "2500",
}


@pytest.fixture(scope="module")
def database():
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        create_tables(connection)
        People(b"a salt for tests").use_in(connection)
        yield connection


@pytest.fixture
def connection(database):
    """An empty warehouse in memory."""
    return emptied(database)


def emptied(connection):
    for schema, table in connection.sql("select schema_name, table_name from duckdb_tables()").fetchall():
        connection.execute(f"delete from {schema}.{table}")
    return connection


def put(connection, table: Table, *rows: dict, origin: str = "file", **options) -> Batch:
    """Load rows whose values are all texts."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    frame = pl.DataFrame(
        [[row.get(name) for name in names] for row in rows], dict.fromkeys(names, pl.String), orient="row"
    )
    with transaction(connection):
        return load(connection, table, frame, source="shop", origin=origin, **options)


def counts(batch: Batch) -> tuple[int, int, int, int]:
    return batch.read, batch.loaded, batch.duplicate, batch.quarantined


def reasons(connection) -> list[str]:
    return [reason for (reason,) in connection.sql("select reason from raw.quarantine order by rowid").fetchall()]


def one(connection, query: str):
    ((value,),) = connection.sql(query).fetchall()
    return value


def content(connection, table: Table) -> list[tuple]:
    names = ", ".join(column.name for column in table.columns)
    return connection.sql(f"select {names} from {table.qualified_name} order by all").fetchall()


# Versions of a row


def test_every_row_is_accounted_for(connection):
    batch = put(
        connection,
        DEPLOYMENTS,
        DEPLOYMENT,
        DEPLOYMENT,
        DEPLOYMENT | {"deployment_id": "d2"},
        DEPLOYMENT | {"deployment_id": "d3", "status": "great"},
        rejected=[Rejected("file:5", "not a JSON object", b"{")],
    )
    assert counts(batch) == (5, 2, 1, 2)
    stored = "select rows_read, rows_loaded, rows_duplicate, rows_quarantined, rows_removed from raw.batches"
    assert connection.sql(stored).fetchall() == [(5, 2, 1, 2, 0)]


def test_loading_the_same_rows_again_changes_nothing(connection):
    rows = DEPLOYMENT, DEPLOYMENT | {"deployment_id": "d2", "version": "2"}
    put(connection, DEPLOYMENTS, *rows)
    before = connection.sql("from raw.deployments order by all").fetchall()
    assert counts(put(connection, DEPLOYMENTS, *rows)) == (2, 0, 2, 0)
    assert connection.sql("from raw.deployments order by all").fetchall() == before


def test_a_corrected_row_replaces_the_stored_one(connection):
    put(connection, DEPLOYMENTS, DEPLOYMENT)
    assert counts(put(connection, DEPLOYMENTS, DEPLOYMENT | {"status": "failure"})) == (1, 1, 0, 0)
    assert connection.sql("select status from raw.deployments").fetchall() == [("failure",)]


def test_a_row_of_another_source_is_another_row(connection):
    put(connection, DEPLOYMENTS, DEPLOYMENT)
    assert counts(put(connection, DEPLOYMENTS, DEPLOYMENT | {"source": "elsewhere"})) == (1, 1, 0, 0)
    assert content(connection, DEPLOYMENTS)[0][0] == "elsewhere"
    assert content(connection, DEPLOYMENTS)[1][0] == "shop"


def test_the_newer_version_wins_whichever_comes_first(connection):
    old = DEPLOYMENT | {"status": "in_progress", "updated_at": "2024-03-01T11:00:00Z"}
    new = DEPLOYMENT | {"updated_at": "2024-03-01T12:00:00Z"}
    assert counts(put(connection, DEPLOYMENTS, new, old)) == (2, 1, 1, 0)
    assert counts(put(connection, DEPLOYMENTS, old)) == (1, 0, 1, 0)
    assert one(connection, "select status from raw.deployments") == "success"


def test_of_contradicting_rows_in_one_file_the_last_is_taken_and_the_others_are_quarantined(connection):
    rows = [DEPLOYMENT | {"version": version} for version in ("1", "2", "1")]
    assert counts(put(connection, DEPLOYMENTS, *rows)) == (3, 1, 1, 1)
    assert one(connection, "select version from raw.deployments") == "1"
    assert one(connection, "select place from raw.quarantine") == "row 2"
    assert reasons(connection) == ["another row further on has the same key and different content; that one was taken"]
    assert json.loads(one(connection, "select fields from raw.quarantine")) == {"source": "shop", "deployment_id": "d1"}


def test_a_row_without_its_time_of_change_does_not_replace_one_that_has_it(connection):
    versioned = DEPLOYMENT | {"updated_at": "2024-03-01T12:00:00Z"}
    assert counts(put(connection, DEPLOYMENTS, versioned, DEPLOYMENT)) == (2, 1, 0, 1)
    assert counts(put(connection, DEPLOYMENTS, DEPLOYMENT, origin="other")) == (1, 0, 0, 1)
    assert set(reasons(connection)) == {"updated_at: missing, while another row with the same key has it"}


def test_a_mirror_removes_what_its_source_no_longer_has(connection):
    rows = [DEPLOYMENT | {"deployment_id": f"d{n}"} for n in range(4)]
    put(connection, DEPLOYMENTS, *rows, mirror=True)
    put(connection, DEPLOYMENTS, DEPLOYMENT | {"source": "elsewhere"})
    batch = put(connection, DEPLOYMENTS, rows[0], rows[1] | {"version": "2"}, rows[2] | {"status": "odd"}, mirror=True)
    assert (*counts(batch), batch.removed) == (3, 1, 1, 1, 1)
    stored = connection.sql("select deployment_id, version from raw.deployments where source = 'shop' order by all")
    # d2 stays as it was: its new version is in quarantine, and it is not gone.
    assert stored.fetchall() == [("d0", None), ("d1", "2"), ("d2", None)]
    assert one(connection, "select count(*) from raw.deployments where source = 'elsewhere'") == 1


def test_a_mirror_takes_an_older_version_since_its_source_has_no_other(connection):
    newer = DEPLOYMENT | {"version": "2", "updated_at": "2024-02-02 10:00:00"}
    older = DEPLOYMENT | {"version": "1", "updated_at": "2024-02-01 10:00:00"}
    put(connection, DEPLOYMENTS, newer, mirror=True)
    batch = put(connection, DEPLOYMENTS, older, mirror=True)
    assert (batch.loaded, batch.duplicate, batch.removed) == (1, 0, 1)
    assert one(connection, "select version from raw.deployments") == "1"


def test_a_mirrored_source_that_is_configured_no_longer_is_forgotten_with_all_it_loaded(connection):
    put(connection, DEPLOYMENTS, DEPLOYMENT, DEPLOYMENT | {"source": "elsewhere"}, DEPLOYMENT | {"status": "odd"})
    with transaction(connection):
        load(connection, DEPLOYMENTS, pl.DataFrame([DEPLOYMENT]), source="landing", origin="file")
    connection.execute("insert into raw.source_state values ('shop', '{}', now()::timestamp)")
    assert forget_sources(connection, [DEPLOYMENTS], ["shop"]) == []
    assert forget_sources(connection, [DEPLOYMENTS], ["landing"]) == ["shop"]
    assert connection.sql("select source from raw.deployments").fetchall() == [("landing",)]
    assert one(connection, "select count(*) from raw.quarantine") == 0
    assert forget_sources(connection, [DEPLOYMENTS], ["landing"]) == []


def test_an_empty_frame_is_a_batch_without_rows(connection):
    put(connection, DEPLOYMENTS, DEPLOYMENT)
    with transaction(connection):
        empty = pl.DataFrame(schema={"deployment_id": pl.String})
        assert counts(load(connection, DEPLOYMENTS, empty, source="shop", origin="file")) == (0, 0, 0, 0)
    assert one(connection, "select count(*) from raw.deployments") == 1


def test_a_load_that_fails_leaves_nothing_behind(connection):
    bad = DEPLOYMENT | {"status": "great"}

    def fail(numbers):
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        put(connection, DEPLOYMENTS, DEPLOYMENT | {"deployment_id": "d2"}, bad, places=fail)
    assert content(connection, DEPLOYMENTS) == []
    assert one(connection, "select count(*) from raw.batches") == 0
    assert counts(put(connection, DEPLOYMENTS, DEPLOYMENT, bad)) == (2, 1, 0, 1)


# Quarantine


def test_every_reason_is_listed(connection):
    put(
        connection,
        DEPLOYMENTS,
        {"deployment_id": "d1", "environment": "moon", "status": "success", "started_at": "yesterday"}
        | {"updated_at": "2999-01-01T00:00:00Z", "version": "x" * 1001},
    )
    assert reasons(connection)[0].split("; ") == [
        "service: missing",
        "environment: not one of production, staging, testing, development, other",
        "started_at: not a time in ISO 8601",
        "version: longer than 1000 characters",
        "updated_at: in the future",
        "finished_at is missing for a finished deployment",
    ]


def test_a_rule_is_not_held_against_a_row_whose_value_is_at_fault_itself(connection):
    put(connection, DEPLOYMENTS, DEPLOYMENT | {"finished_at": "noon"})
    assert reasons(connection) == ["finished_at: not a time in ISO 8601"]


def test_an_impossible_order_of_times_is_refused(connection):
    put(connection, DEPLOYMENTS, DEPLOYMENT | {"started_at": "2024-03-01T12:00:01Z"})
    assert reasons(connection) == ["finished_at is before started_at"]


def test_values_that_break_the_contract_are_withheld(connection):
    put(
        connection, DEPLOYMENTS, DEPLOYMENT | {"status": "ada.lovelace", "started_at": "ada", "deployment_id": "7@home"}
    )
    fields = json.loads(one(connection, "select fields from raw.quarantine"))
    assert fields["status"] == fields["started_at"] == fields["deployment_id"] == "(withheld)"


def test_free_text_of_a_broken_row_is_withheld_and_what_its_contract_vouches_for_is_shown(connection):
    put(connection, DEPLOYMENTS, DEPLOYMENT | {"status": "odd", "trigger": "ada"})
    fields = json.loads(one(connection, "select fields from raw.quarantine"))
    assert fields["trigger"] == fields["service"] == "(withheld)"
    assert fields["version"] is None
    shown = {name: fields[name] for name in ("deployment_id", "environment", "finished_at")}
    assert shown == {"deployment_id": "d1", "environment": "production", "finished_at": "2024-03-01 12:00:00"}


def test_a_place_shows_no_address(connection):
    put(connection, DEPLOYMENTS, DEPLOYMENT, rejected=[Rejected("tag by-ada@example.com here", "torn")])
    assert one(connection, "select place from raw.quarantine") == "tag (withheld) here"


def test_a_person_is_hashed_also_in_quarantine(connection):
    row = {"event_id": "e1", "incident_id": "i1", "event_type": "triggered", "occurred_at": "2024-03-01T12:00:00Z"}
    put(connection, INCIDENT_EVENTS, row | {"responder_key": "Ada"}, row | {"event_id": "e2", "responder_key": "ada "})
    put(connection, INCIDENT_EVENTS, row | {"event_type": "panicked", "responder_key": "ada"}, origin="bad")
    stored = connection.sql("select distinct responder_key from raw.incident_events").fetchall()
    assert len(stored) == 1
    assert len(stored[0][0]) == 64
    assert json.loads(one(connection, "select fields from raw.quarantine"))["responder_key"] == stored[0][0]


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.com",
        "by Ada.L+x@mail.example.co.uk!",
        "/users/ada%40example.com/cart",
        "<ada@1und1.de>",
        "ådå@exämple.se",
    ],
)
def test_an_e_mail_address_is_refused_in_any_text_and_kept_nowhere(connection, text):
    assert counts(put(connection, DEPLOYMENTS, DEPLOYMENT | {"version": text})) == (1, 0, 0, 1)
    assert reasons(connection) == ["version: looks like an e-mail address"]
    assert text not in str(connection.sql("from raw.quarantine").fetchall())


@pytest.mark.parametrize(
    "text",
    [
        "@scope/package@1.2.3-beta.rc",
        "package@v2.0.0",
        "git@code.example.com:shop/web.git",
        "actions/checkout@v4",
        "a@b",
    ],
)
def test_other_texts_with_an_at_sign_are_loaded(connection, text):
    put(connection, DEPLOYMENTS, DEPLOYMENT | {"version": text})
    assert one(connection, "select version from raw.deployments") == text


def test_a_new_load_of_an_origin_replaces_what_it_had_in_quarantine(connection):
    put(connection, DEPLOYMENTS, DEPLOYMENT | {"status": "great"}, rejected=[Rejected("file:2", "torn", b"{")])
    put(connection, DEPLOYMENTS, DEPLOYMENT | {"status": "odd"}, origin="other file")
    put(connection, DEPLOYMENTS, DEPLOYMENT)
    assert one(connection, "select origin from raw.quarantine") == "other file"


def test_of_rejected_input_only_the_fingerprint_is_kept(connection):
    pieces = [Rejected("file:1", "torn", b"ada"), Rejected("file:2", "too long", Fingerprint(50, "0f"))]
    put(connection, DEPLOYMENTS, DEPLOYMENT, rejected=pieces)
    rows = connection.sql("select place, reason, fields, bytes, checksum from raw.quarantine order by place").fetchall()
    assert rows == [
        ("file:1", "torn", None, 3, Fingerprint.of(b"ada").checksum),
        ("file:2", "too long", None, 50, "0f"),
    ]


def test_places_name_the_right_rows_of_a_large_parallel_read(connection, tmp_path):
    file = tmp_path / "rows.csv"
    rows = pl.select(deployment_id=pl.int_range(300_000)).with_columns(
        pl.lit("web").alias("service"),
        pl.lit("production").alias("environment"),
        pl.when(pl.col("deployment_id") % 99_999 == 7)
        .then(pl.lit("odd"))
        .otherwise(pl.lit("in_progress"))
        .alias("status"),
    )
    rows.write_csv(file)
    with transaction(connection):
        query = f"from read_csv('{file}', all_varchar = true)"
        batch = load(connection, DEPLOYMENTS, query, source="shop", origin="file", places=lambda rows: map(str, rows))
    assert counts(batch) == (300_000, 299_997, 0, 3)
    found = connection.sql(
        "select place::int, (fields->>'deployment_id')::int from raw.quarantine order by 1"
    ).fetchall()
    assert found == [(n + 1, n) for n in (7, 100_006, 200_005)]


@pytest.mark.parametrize("table", RAW_TABLES, ids=lambda table: table.name)
def test_the_statement_of_every_table_keeps_the_order_of_the_rows(connection, table, tmp_path):
    """Places and “the row read last” depend on it; DuckDB keeps it unless there is a join in the plan."""
    names = [column.name for column in table.columns]
    pl.DataFrame({name: ["1"] for name in names}).write_csv(tmp_path / "rows.csv")
    checked = checked_rows(connection, table, f"from read_csv('{tmp_path}/rows.csv', all_varchar = true)", "shop", 90)
    (_, plan) = connection.sql(f"explain create temp table incoming as {checked}").fetchone()
    assert "BATCH_CREATE_TABLE_AS" in plan
    assert "JOIN" not in plan


# Types


def stored_value(connection, table: Table, row: dict, column: str):
    """What is stored for one value; None if the row was refused for it alone."""
    batch = put(connection, table, row)
    if batch.quarantined:
        assert [reason.split(":")[0] for reason in reasons(connection)] == [column]
        return None
    return one(connection, f"select {column} from {table.qualified_name}")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-03-01T12:00:00Z", "2024-03-01 12:00:00"),
        ("2024-03-01T12:00:00", "2024-03-01 12:00:00"),
        ("2024-03-01 12:00", "2024-03-01 12:00:00"),
        ("2024-03-01T12:00Z", "2024-03-01 12:00:00"),
        ("2024-03-01T12:00+05:30", "2024-03-01 06:30:00"),
        ("2024-03-01T12:00:00.123456789-0700", "2024-03-01 19:00:00.123456"),
        ("2024-03-01T00:30:00+02", "2024-02-29 22:30:00"),
        ("2024-03-01", None),
        ("1709294400", None),
        ("1709294400000", None),
        ("1.7e9", None),
        ("epoch", None),
        ("infinity", None),
        ("12:00", None),
        ("2024-3-1 12:00:00", None),
        ("24-03-01 12:00:00", None),
        ("2024-02-30T12:00:00Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_times_are_iso_8601_and_utc_unless_they_say_otherwise(connection, text, time):
    stored = stored_value(connection, DEPLOYMENTS, DEPLOYMENT | {"finished_at": text}, "finished_at")
    assert stored == (time and datetime.fromisoformat(time))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("1", 1), ("1.0", 1), ("007", 7), ("+5", 5)),
        *((text, None) for text in ("1.5", "1e3", "0x1F", "1_000", "0", "-1", "", "9223372036854775808", "one")),
    ],
)
def test_integers_are_whole_and_never_rounded(connection, text, number):
    row = {"repository": "web", "pull_request_number": text, "created_at": "2024-03-01T12:00:00Z"}
    assert stored_value(connection, PULL_REQUESTS, row, "pull_request_number") == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2500", 2500.0),
        ("0.1", 0.1),
        ("1e3", 1000.0),
        ("NaN", None),
        ("-Infinity", None),
        ("1e999", None),
        ("-1", None),
    ],
)
def test_numbers_are_finite(connection, text, number):
    assert stored_value(connection, RUM_EVENTS, VITAL | {"metric_value": text}, "metric_value") == number


@pytest.mark.parametrize(
    ("text", "truth"),
    [("true", True), ("False", False), ("1", True), ("0", False), ("no", False), ("2", None), ("maybe", None)],
)
def test_booleans_are_words_or_0_and_1(connection, text, truth):
    assert stored_value(connection, DEPLOYMENTS, DEPLOYMENT | {"is_rollback": text}, "is_rollback") == truth


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", '["a"]'])
def test_a_structure_is_no_text(connection, text):
    assert stored_value(connection, DEPLOYMENTS, DEPLOYMENT | {"version": text}, "version") is None
    assert reasons(connection) == ["version: not a text"]


@pytest.mark.parametrize(
    "text", ["[slug]", "{id}", "/shop/[...path]", "'; drop table raw.deployments; --", "né\U0001f600"]
)
def test_a_text_may_look_odd(connection, text):
    assert stored_value(connection, DEPLOYMENTS, DEPLOYMENT | {"version": text}, "version") == text


def test_a_structure_is_no_person(connection):
    row = {"event_id": "e1", "incident_id": "i1", "event_type": "triggered", "occurred_at": "2024-03-01T12:00:00Z"}
    put(connection, INCIDENT_EVENTS, row | {"responder_key": '{"login": "ada"}'})
    assert reasons(connection) == ["responder_key: not a text"]


def test_values_in_their_own_types_are_taken_as_they_are(connection):
    at = datetime(2024, 3, 1, 12)
    frame = pl.DataFrame(
        {
            "deployment_id": [1, 2],
            "service": pl.Series(["web", "web"], dtype=pl.Categorical),
            "environment": ["production"] * 2,
            "status": ["success"] * 2,
            "started_at": pl.Series([at, None], dtype=pl.Datetime("ns")),
            "finished_at": pl.Series([at, at]).dt.replace_time_zone("Europe/Berlin"),
            "is_rollback": [True, None],
            "version": [["1"], None],
        }
    )
    with transaction(connection):
        batch = load(connection, DEPLOYMENTS, frame, source="shop", origin="frame")
    assert counts(batch) == (2, 1, 0, 1)
    assert connection.sql("select deployment_id, finished_at, is_rollback from raw.deployments").fetchall() == [
        ("2", at - timedelta(hours=1), None)
    ]
    assert set(reasons(connection)[0].split("; ")) == {"version: not a text", "finished_at is before started_at"}


def test_blank_values_are_none(connection):
    put(connection, DEPLOYMENTS, DEPLOYMENT | {"version": "", "started_at": "", "is_hotfix": ""})
    query = "select version is null and started_at is null and is_hotfix is null from raw.deployments"
    assert one(connection, query)


def test_a_blank_person_is_nobody(connection):
    row = {"event_id": "e1", "incident_id": "i1", "event_type": "triggered", "occurred_at": "2024-03-01T12:00:00Z"}
    put(connection, INCIDENT_EVENTS, row | {"responder_key": "  "})
    assert connection.sql("select responder_key from raw.incident_events").fetchall() == [(None,)]


def test_events_beyond_the_retention_are_refused_and_other_rows_are_not(connection):
    old = {"occurred_at": "2020-01-01T00:00:00Z"}
    recent = {"occurred_at": f"{datetime.now():%Y-%m-%dT00:00:00Z}"}
    assert counts(put(connection, RUM_EVENTS, VITAL | old, VITAL | recent, retention_days=400)) == (2, 1, 0, 1)
    assert reasons(connection) == ["occurred_at: older than the retention of 400 days"]
    assert counts(put(connection, DEPLOYMENTS, DEPLOYMENT, retention_days=1)) == (1, 1, 0, 0)


# Keys of events


def test_an_event_without_an_id_is_known_by_its_content(connection):
    other = VITAL | {"metric_value": "2501"}
    assert counts(put(connection, RUM_EVENTS, VITAL, VITAL | {"metric_value": "2500.0"}, other)) == (3, 2, 1, 0)
    assert counts(put(connection, RUM_EVENTS, VITAL | {"occurred_at": "2024-03-01T13:00:00+01:00"})) == (1, 0, 1, 0)


def test_absent_parts_of_an_identity_keep_their_neighbours_apart(connection):
    rows = [VITAL | part for part in ({"page_view_id": "x"}, {"metric_id": "x"}, {"step": "x"}, {"step": "x|"})]
    assert counts(put(connection, RUM_EVENTS, *rows)) == (4, 4, 0, 0)


def test_an_event_with_an_id_is_known_by_it(connection):
    assert counts(put(connection, RUM_EVENTS, VITAL | {"event_id": "e1"}, VITAL | {"event_id": "e2"})) == (2, 2, 0, 0)
    assert counts(put(connection, RUM_EVENTS, VITAL | {"event_id": "e1", "route": "/"})) == (1, 1, 0, 0)
    assert one(connection, "select count(*) from raw.rum_events") == 2


# Against a slow reference

TIMES = ["2024-03-01T11:00:00Z", "2024-03-01T12:00:00Z", "2024-03-01T13:00:00Z"]

versioned_rows = st.fixed_dictionaries(
    {
        "deployment_id": st.sampled_from(["d1", "d2", "d3"]),
        "service": st.sampled_from(["web", "api"]),
        "environment": st.just("production"),
        "status": st.sampled_from(["success", "success", "failure", "odd"]),
        "finished_at": st.sampled_from(TIMES[:2]),
        "updated_at": st.sampled_from([None, *TIMES]),
    }
)
unversioned_rows = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["e1", "e2", "e3"]),
        "incident_id": st.sampled_from(["i1", "i2"]),
        "event_type": st.sampled_from(["triggered", "resolved", "resolved", "odd"]),
        "occurred_at": st.just(TIMES[0]),
    }
)


def reference(batches: list[list[dict]], key: str) -> tuple[dict[str, dict], list[tuple[int, int, int, int]]]:
    """Rows by key after all batches, and the counts of each batch, one row at a time."""
    stored: dict[str, dict] = {}
    results = []

    def against(row: dict, other: dict) -> str:
        if row == other:
            return "duplicate"
        mine, its = row.get("updated_at") or "", other.get("updated_at") or ""
        if its and not mine:
            return "quarantined"
        return "duplicate" if mine < its else "contested"

    for rows in batches:
        outcome = Counter(quarantined=sum("odd" in row.values() for row in rows))
        by_key = defaultdict(list)
        for row in rows:
            if "odd" not in row.values():
                by_key[row[key]].append(row)
        for name, versions in by_key.items():
            newest = max(row.get("updated_at") or "" for row in versions)
            position = max(i for i, row in enumerate(versions) if (row.get("updated_at") or "") == newest)
            winner = versions.pop(position)
            for row in versions:
                verdict = against(row, winner)
                outcome["quarantined" if verdict == "contested" else verdict] += 1
            verdict = against(winner, stored[name]) if name in stored else "contested"
            outcome["loaded" if verdict == "contested" else verdict] += 1
            if verdict == "contested":
                stored[name] = winner
        results.append((len(rows), outcome["loaded"], outcome["duplicate"], outcome["quarantined"]))
    return stored, results


@pytest.mark.parametrize(("table", "rows"), [(DEPLOYMENTS, versioned_rows), (INCIDENT_EVENTS, unversioned_rows)])
def test_any_batches_end_as_the_reference_says(database, table, rows):
    key = table.key[1]

    @settings(deadline=None, max_examples=25)
    @given(st.lists(st.lists(rows, min_size=1, max_size=8), min_size=1, max_size=3))
    def check(batches):
        connection = emptied(database)
        results = [counts(put(connection, table, *batch, origin=f"file {n}")) for n, batch in enumerate(batches)]
        stored, expected = reference(batches, key)
        assert results == expected
        columns = list(batches[0][0])
        loaded = {
            row[columns.index(key)]: row
            for row in connection.sql(f"select {', '.join(columns)} from {table.qualified_name}").fetchall()
        }
        assert loaded == {name: tuple(as_stored(row[column]) for column in columns) for name, row in stored.items()}
        assert one(connection, "select count(*) from raw.quarantine") == sum(quarantined for *_, quarantined in results)
        put(connection, table, *batches[-1], origin=f"file {len(batches) - 1}")
        again = connection.sql(f"select {', '.join(columns)} from {table.qualified_name}").fetchall()
        assert sorted(again, key=str) == sorted(loaded.values(), key=str)

    check()


def as_stored(text: str | None):
    return datetime.fromisoformat(text).replace(tzinfo=None) if text in TIMES else text


def test_the_order_in_which_versions_arrive_changes_nothing(database):
    versions = st.dictionaries(
        st.tuples(st.sampled_from(["d1", "d2"]), st.sampled_from(TIMES)), st.sampled_from(["1", "2"]), min_size=1
    )

    @settings(deadline=None, max_examples=20)
    @given(versions.flatmap(lambda some: st.tuples(st.just(some), st.permutations(list(some)), st.integers(1, 4))))
    def check(drawn):
        some, order, size = drawn
        connection = emptied(database)
        for start in range(0, len(order), size):
            rows = [
                DEPLOYMENT | {"deployment_id": name, "updated_at": time, "version": some[name, time]}
                for name, time in order[start : start + size]
            ]
            put(connection, DEPLOYMENTS, *rows, origin=f"file {start}")
        stored = connection.sql("select deployment_id, version, updated_at from raw.deployments").fetchall()
        newest = dict(sorted(some))
        assert sorted(stored) == sorted((name, some[name, time], as_stored(time)) for name, time in newest.items())
        assert one(connection, "select count(*) from raw.quarantine") == 0

    check()
