"""Files are taken once, whole, and in any of the allowed forms; what is not taken is said."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dagster_project.contracts import DEPLOYMENTS
from dagster_project.errors import ConfigurationError, PlumblineError
from dagster_project.extract import landing, landing_formats
from dagster_project.extract.landing import extract, list_files
from dagster_project.extract.landing_formats import LandedFile, readings
from dagster_project.load import load, stage, store
from dagster_project.people import People
from dagster_project.settings import LandingSource, load_settings
from dagster_project.warehouse import create_tables, transaction


def row(number: int, **fields) -> dict:
    return {
        "deployment_id": f"d{number}",
        "service": "web",
        "environment": "production",
        "status": "success",
        "finished_at": "2024-03-01T12:00:00Z",
        **fields,
    }


def ndjson(*rows: dict) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def folder(settings) -> Path:
    (settings.data_dir / "landing" / "deployments").mkdir(parents=True)
    return settings.data_dir / "landing"


@pytest.fixture
def source(folder) -> LandingSource:
    return LandingSource(kind="landing", location=str(folder), settle_seconds=0)


@pytest.fixture
def take(source, settings, connection):
    """Extract once; the counts (read, loaded, duplicate, quarantined) of each batch."""

    def run(source=source):
        batches = extract(source, settings, connection)
        return [(batch.read, batch.loaded, batch.duplicate, batch.quarantined) for batch in batches]

    return run


def write(folder: Path, name: str, content: bytes) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def deployments(connection) -> list[str]:
    query = "select deployment_id from raw.deployments order by all"
    return [name for (name,) in connection.sql(query).fetchall()]


def ledger(connection) -> dict[str, str]:
    return dict(connection.sql("select name, status from raw.landing_files").fetchall())


# The ledger


def test_a_file_is_taken_once(folder, take, connection):
    write(folder, "deployments/a.ndjson", ndjson(row(1), row(2)))
    assert take() == [(2, 2, 0, 0)]
    assert take() == []
    assert ledger(connection) == {"deployments/a.ndjson": "taken"}


def test_a_touched_file_is_not_loaded_again_and_then_not_even_read(folder, take, monkeypatch):
    file = write(folder, "deployments/a.ndjson", ndjson(row(1)))
    take()
    os.utime(file, (1, 1))
    assert take() == []
    monkeypatch.setattr(landing_formats, "survey", lambda *arguments: pytest.fail("read again"))
    assert take() == []


def test_a_changed_file_is_a_correction(folder, take, connection):
    write(folder, "deployments/a.ndjson", ndjson(row(1), row(2, status="odd")))
    assert take() == [(2, 1, 0, 1)]
    write(folder, "deployments/a.ndjson", ndjson(row(1, version="7"), row(2)))
    assert take() == [(2, 2, 0, 0)]
    assert connection.sql("select version from raw.deployments order by deployment_id").fetchall() == [("7",), (None,)]
    assert connection.sql("select count(*) from raw.quarantine").fetchone() == (0,)
    assert connection.sql("select count(*) from raw.landing_files").fetchone() == (1,)


def test_a_rewrite_of_equal_length_that_hides_its_time_is_seen(folder, take, connection):
    file = write(folder, "deployments/a.ndjson", ndjson(row(1)))
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    take()
    file.write_bytes(ndjson(row(2)))
    os.utime(file, ns=times)
    take()
    assert deployments(connection) == ["d1", "d2"]


def test_files_are_taken_in_the_order_of_their_names(folder, take, connection):
    for name in ("b", "c", "a"):
        write(folder, f"deployments/{name}.ndjson", ndjson(row(1, version=name)))
    take()
    assert connection.sql("select version from raw.deployments").fetchall() == [("c",)]


def test_an_installation_that_was_moved_does_not_take_its_files_again(
    folder, take, source, settings, connection, tmp_path
):
    write(folder, "deployments/a.ndjson", ndjson(row(1)))
    take()
    (tmp_path / "moved/data").mkdir(parents=True)
    moved = folder.rename(tmp_path / "moved/data/landing")
    settings = settings.model_copy(update={"config_file": tmp_path / "moved/plumbline.yaml"})
    assert extract(source.model_copy(update={"location": str(moved)}), settings, connection) == []


def test_rows_and_ledger_commit_together(folder, take, connection, monkeypatch):
    write(folder, "deployments/a.ndjson", ndjson(row(1)))

    def interrupted(*arguments, **options):
        store(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(landing, "store", interrupted)
        with pytest.raises(KeyboardInterrupt):
            take()
    assert deployments(connection) == []
    assert ledger(connection) == {}
    assert take() == [(1, 1, 0, 0)]


# Files that are not finished


def test_a_young_file_is_waited_for_once_however_many_there_are(folder, take, source):
    for name in "abcd":
        write(folder, f"deployments/{name}.ndjson", ndjson(row(ord(name))))
    waits = []
    patience = source.model_copy(update={"settle_seconds": 0.3})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", waits.append)
        assert len(take(patience)) == 4
    assert len(waits) == 1
    assert 0 < waits[0] <= 0.3


def test_a_file_dated_in_the_future_is_waited_for_no_longer(folder, take, source):
    file = write(folder, "deployments/a.ndjson", ndjson(row(1)))
    os.utime(file, (time.time() + 9999, time.time() + 9999))
    waits = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", waits.append)
        assert take(source.model_copy(update={"settle_seconds": 0.3})) == [(1, 1, 0, 0)]
    assert waits == [0.3]


def test_a_file_that_grows_while_it_is_waited_for_is_left_alone(folder, take, source, connection, caplog, monkeypatch):
    file = write(folder, "deployments/a.ndjson", ndjson(row(1)))
    write(folder, "deployments/b.ndjson", ndjson(row(2)))

    def grow(seconds):
        with file.open("ab") as out:
            out.write(ndjson(row(3)))

    monkeypatch.setattr(time, "sleep", grow)
    assert take(source.model_copy(update={"settle_seconds": 0.3})) == [(1, 1, 0, 0)]
    assert deployments(connection) == ["d2"]
    assert "deployments/a.ndjson: left alone for now, since it is still being written" in caplog.text
    assert take() == [(2, 2, 0, 0)]


def test_a_file_that_changes_while_it_is_read_leaves_nothing(folder, take, connection, caplog, monkeypatch):
    file = write(folder, "deployments/a.ndjson", ndjson(row(1)))

    def overtaken(*arguments, **options):
        with file.open("ab") as out:
            out.write(b'{"deployment_id": "d')
        return stage(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(landing, "stage", overtaken)
        assert take() == []
    assert deployments(connection) == []
    assert ledger(connection) == {}
    assert "deployments/a.ndjson: left alone for now, since it changed while it was read" in caplog.text
    assert connection.sql("select count(*) from raw.batches").fetchone() == (0,)


def test_a_file_that_vanishes_or_is_closed_to_us_is_left_alone(folder, take, monkeypatch, caplog):
    write(folder, "deployments/a.ndjson", ndjson(row(1)))
    write(folder, "deployments/b.ndjson", ndjson(row(2)))
    survey = landing_formats.survey

    def vanish(path, *arguments):
        if path.name == "a.ndjson":
            raise PermissionError(13, "Permission denied", str(path))
        return survey(path, *arguments)

    monkeypatch.setattr(landing_formats, "survey", vanish)
    assert take() == [(1, 1, 0, 0)]
    assert "deployments/a.ndjson: left alone, since it cannot be read: Permission denied" in caplog.text


@pytest.mark.parametrize(
    "name",
    [".a.ndjson", "_SUCCESS", "a.ndjson.tmp", "a.ndjson.part", "a.csv.partial", "_temporary/a.ndjson", ".git/a.csv"],
)
def test_names_of_unfinished_files_are_ignored_without_a_word(folder, take, caplog, name):
    write(folder, f"deployments/{name}", ndjson(row(1)))
    assert take() == []
    assert caplog.text == ""


# What is offered


def test_an_unknown_folder_ending_or_place_is_said_in_one_line_each(folder, take, caplog):
    write(folder, "deploymnts/a.ndjson", ndjson(row(1)))
    write(folder, "deploymnts/b.ndjson", ndjson(row(1)))
    write(folder, "deployments/a.xlsx", b"")
    write(folder, "deployments/a.parquet.gz", b"")
    write(folder, "stray.ndjson", b"")
    write(folder, "deployments/a\nb.ndjson", b"")
    assert take() == []
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 5
    assert any("deploymnts/" in line and "allowed: deployments, deployment_statuses" in line for line in lines)
    assert any("deployments/a.xlsx" in line and "allowed: .ndjson" in line for line in lines)
    assert any("deployments/a.parquet.gz" in line for line in lines)
    assert any("stray.ndjson" in line and "put it into the folder of its table" in line for line in lines)
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize("name", ["ada@example.com.ndjson", "user=ada%40example.com/a.ndjson"])
def test_a_file_whose_name_may_name_a_person_is_left_alone_and_not_named(folder, take, caplog, name):
    write(folder, f"deployments/{name}", ndjson(row(1)))
    assert take() == []
    assert "a file whose name has an @, as addresses have, is left alone; rename it" in caplog.text
    assert "ada" not in caplog.text


def test_a_location_that_is_not_there_is_a_wrong_configuration_and_is_not_made(settings, connection, tmp_path):
    source = LandingSource(kind="landing", location=str(tmp_path / "nowhere"))
    for read in (lambda: extract(source, settings, connection), lambda: list_files(source)):
        with pytest.raises(ConfigurationError, match="nowhere: no such folder; create it") as caught:
            read()
        assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "nowhere").exists()


def test_the_listing_holds_what_would_be_taken(folder, source):
    write(folder, "deployments/b.csv.gz", b"")
    write(folder, "changes/2024/03/a.jsonl", b"")
    write(folder, "changes/.hidden/a.jsonl", b"")
    assert [file.name for file in list_files(source)] == ["changes/2024/03/a.jsonl", "deployments/b.csv.gz"]


def test_two_locations_keep_their_quarantine_apart(folder, take, source, connection, tmp_path):
    write(folder, "deployments/a.ndjson", ndjson(row(1, status="odd")))
    write(tmp_path / "other", "deployments/a.ndjson", ndjson(row(2, status="odd")))
    take()
    take(source.model_copy(update={"location": str(tmp_path / "other")}))
    origins = connection.sql("select origin from raw.quarantine order by 1").fetchall()
    assert origins == [("data/landing/deployments/a.ndjson",), ("other/deployments/a.ndjson",)]


# Forms


ROWS = [row(1), row(2, version='a, "b"', is_rollback=True), row(3, service=" web", version="line\nbreak", trigger="né")]


def as_csv(rows) -> bytes:
    return pl.DataFrame(rows, infer_schema_length=None).write_csv().encode()


def as_parquet(rows) -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(file.name)
        return Path(file.name).read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ndjson", ndjson(*ROWS)),
        ("a.JSONL", ndjson(*ROWS).rstrip()),
        ("crlf.ndjson", ndjson(*ROWS).replace(b"\n", b"\r\n")),
        ("mark.ndjson", b"\xef\xbb\xbf" + ndjson(*ROWS)),
        ("blank.ndjson", b"\n" + ndjson(*ROWS).replace(b"\n", b"\n  \n\r\n")),
        ("a.ndjson.gz", gzip.compress(ndjson(*ROWS), mtime=0)),
        ("two.ndjson.gz", gzip.compress(ndjson(*ROWS[:1]), mtime=0) + gzip.compress(ndjson(*ROWS[1:]), mtime=0)),
        ("a.jsonl.zst", pa.compress(ndjson(*ROWS), "zstd", asbytes=True)),
        ("a.csv", as_csv(ROWS)),
        ("mark.csv", b"\xef\xbb\xbf" + as_csv(ROWS)),
        ("blank.csv", b"\n" + as_csv(ROWS) + b"\n  \n"),
        ("padded.csv", as_csv(ROWS).replace(b",", b" , ", 4)),
        ("a.csv.gz", gzip.compress(as_csv(ROWS), mtime=0)),
        ("a.csv.zst", pa.compress(as_csv(ROWS), "zstd", asbytes=True)),
        ("a.parquet", as_parquet(ROWS)),
        ("day=2024-03-01/version=9/a.parquet", as_parquet(ROWS)),
        ("day=2024-03-01/version=9/a.ndjson", ndjson(*ROWS)),
        ("it's [1] * ?.csv", as_csv(ROWS)),
        ("it's [1] * ?.ndjson", ndjson(*ROWS)),
        ("it's [1] * ?.parquet", as_parquet(ROWS)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_form_gives_the_same_rows(folder, take, connection, name, content):
    write(folder, f"deployments/{name}", content)
    write(folder, "deployments/1.csv", as_csv([row(9, version="of another file")]))
    assert take() == [(1, 1, 0, 0), (3, 3, 0, 0)]
    stored = connection.sql(
        "select deployment_id, trim(service), version, is_rollback, trigger, source, finished_at from raw.deployments "
        "where deployment_id <> 'd9' order by 1"
    ).fetchall()
    at = datetime(2024, 3, 1, 12)
    assert stored == [
        ("d1", "web", None, None, None, "landing", at),
        ("d2", "web", 'a, "b"', True, None, "landing", at),
        ("d3", "web", "line\nbreak", None, "né", "landing", at),
    ]


def test_windows_line_ends_in_csv(folder, take, connection):
    write(folder, "deployments/a.csv", as_csv([row(1), row(2)]).replace(b"\n", b"\r\n"))
    assert take() == [(2, 2, 0, 0)]
    assert deployments(connection) == ["d1", "d2"]


def test_a_row_may_name_its_own_source(folder, take, connection):
    write(folder, "deployments/a.ndjson", ndjson(row(1), row(1, source="spinnaker")))
    take()
    assert connection.sql("select source from raw.deployments order by 1").fetchall() == [("landing",), ("spinnaker",)]


def test_unknown_columns_are_ignored_and_named_once(folder, take, connection, caplog):
    rows = [row(number, colour="red", Shape="flat") | {"ada@example.com": "1"} for number in (1, 2)]
    write(folder, "deployments/a.csv", as_csv(rows))
    assert take() == [(2, 2, 0, 0)]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith(
        "deployments/a.csv: columns ignored, since raw.deployments has none: Shape, (withheld), colour"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"d1,web,production,success\nd2,web,production,success\n", "it names none of the columns of raw.deployments"),
        (b"deployment_id;service;status\nd1;web;success\n", "it names none of the columns of raw.deployments"),
        (b"deployment_id,service,deployment_id\nd1,web,d2\n", "it names the column deployment_id twice"),
        (b'deployment_id,"service\n', "its first row, the header, cannot be read"),
    ],
)
def test_a_csv_file_without_a_usable_header_is_refused(folder, take, connection, caplog, content, says):
    write(folder, "deployments/a.csv", content)
    assert take() == [(1, 0, 0, 1)]
    assert ledger(connection) == {"deployments/a.csv": "refused"}
    place, reason = connection.sql("select place, reason from raw.quarantine").fetchone()
    assert place == "deployments/a.csv"
    assert says in reason
    assert says in caplog.text
    assert take() == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ndjson", b"<!DOCTYPE html>\n<p>503</p>\n"),
        ("a.ndjson", b'[{"deployment_id": "d1"},\n{"deployment_id": "d2"}]\n'),
        ("a.ndjson", b'{\n  "deployment_id": "d1"\n}\n'),
        ("a.ndjson", gzip.compress(ndjson(row(1)), mtime=0)),
        ("a.ndjson.gz", ndjson(row(1))),
        ("a.csv.zst", as_csv([row(1)])),
        ("a.parquet", as_parquet([row(1)])[:-20]),
        ("a.parquet", ndjson(row(1))),
        ("a.ndjson.gz", gzip.compress(ndjson(row(1)), mtime=0)[:-6] + b"\0\0\0\0\0\0"),
    ],
)
def test_a_file_that_is_not_what_its_ending_says_is_refused_as_a_whole(folder, take, connection, name, content):
    write(folder, f"deployments/{name}", content)
    write(folder, "deployments/b.ndjson", ndjson(row(2)))
    assert take() == [(1, 0, 0, 1), (1, 1, 0, 0)]
    assert ledger(connection) == {f"deployments/{name}": "refused", "deployments/b.ndjson": "taken"}
    (entry,) = connection.sql("select place, reason like 'refused: %', bytes, checksum from raw.quarantine").fetchall()
    assert entry == (f"deployments/{name}", True, len(content), hashlib.sha256(content).hexdigest())


def test_a_parquet_file_damaged_within_is_refused(folder, take, connection):
    content = bytearray(as_parquet([row(number, version=f"v{number * 7919}") for number in range(2000)]))
    content[100:2000] = bytes(1900)
    write(folder, "deployments/a.parquet", bytes(content))
    assert take() == [(1, 0, 0, 1)]
    assert ledger(connection) == {"deployments/a.parquet": "refused"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ndjson", b""),
        ("a.parquet", b""),
        ("a.csv.gz", b""),
        ("a.ndjson.gz", gzip.compress(b"", mtime=0)),
        ("a.ndjson", b"\n \r\n"),
        ("a.ndjson", b"\xef\xbb\xbf"),
        ("a.csv", b"\n"),
        ("a.csv", b"deployment_id,service\n"),
        ("a.parquet", as_parquet(pl.DataFrame({"deployment_id": []}, schema={"deployment_id": pl.String}))),
    ],
)
def test_an_empty_file_is_said_to_be_empty(folder, take, connection, caplog, name, content):
    write(folder, f"deployments/{name}", content)
    assert take() == [(0, 0, 0, 0)]
    assert ledger(connection) == {f"deployments/{name}": "empty"}
    assert f"deployments/{name}: empty" in caplog.text


# Places


@pytest.mark.parametrize("torn", [b"", b'{"deployment_id": "d\n'], ids=["read by DuckDB", "read line by line"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_place_in_ndjson_is_line_and_byte(folder, take, connection, torn, packed):
    content = (
        torn
        + ndjson(row(1))
        + b"\n \n"
        + ndjson(row(2, version="né"))
        + ndjson(row(3, status="odd"), row(4, status="odd"))
    )
    write(
        folder,
        "deployments/a.ndjson.gz" if packed else "deployments/a.ndjson",
        gzip.compress(content) if packed else content,
    )
    take()
    query = "select place from raw.quarantine where reason like 'status%' order by fields->>'deployment_id'"
    for (place,), wanted in zip(connection.sql(query).fetchall(), ("d3", "d4"), strict=True):
        _, line, byte = place.replace(" (byte", ":").rstrip(")").split(":")
        assert json.loads(content.split(b"\n")[int(line) - 1])["deployment_id"] == wanted
        assert json.loads(content[int(byte) :].split(b"\n")[0])["deployment_id"] == wanted


@pytest.mark.parametrize("torn", [False, True])
def test_a_place_in_csv_is_the_row_below_the_header(folder, take, connection, torn):
    lines = as_csv([row(1, version="line\nbreak"), row(2), row(3, status="odd")]).splitlines(keepends=True)
    lines.insert(3, b"\n")
    if torn:
        lines.append(b"d4,web\n")
    write(folder, "deployments/a.csv", b"".join(lines))
    take()
    places = connection.sql("select place, reason from raw.quarantine order by 1").fetchall()
    assert [place for place, _ in places] == ["deployments/a.csv: row 3", "deployments/a.csv: row 4"][: 1 + torn]


def test_a_place_in_parquet_is_the_row(folder, take, connection):
    write(folder, "deployments/a.parquet", as_parquet([row(1), row(2, status="odd")]))
    take()
    assert connection.sql("select place from raw.quarantine").fetchall() == [("deployments/a.parquet: row 2",)]


# The careful way against the fast one

JSON_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["2024-03-01T12:00:00Z", "2024-03-01", "[a]", "{}", "", " x ", "a@b.example", "1.0", "true"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(), max_size=2),
)
JSON_ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["version", "trigger", "is_rollback", "started_at", "status", "unknown"]),
        JSON_VALUES,
        max_size=4,
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def database():
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        create_tables(connection)
        People(b"a salt for tests").use_in(connection)
        yield connection


def both_ways(database, path: Path, format_: str) -> list[tuple]:
    """What stands in the warehouse after each of the ways to read a file."""
    file = LandedFile(path, "origin", "name", DEPLOYMENTS, format_, "uncompressed", 2**20)
    results = []
    for reading in readings(file, database, path.parent):
        for table in ("deployments", "quarantine", "batches"):
            database.execute(f"delete from raw.{table}")
        with transaction(database):
            batch = load(
                database,
                DEPLOYMENTS,
                reading.rows,
                source="s",
                origin="o",
                places=reading.places,
                rejected=reading.rejected,
            )
        rows = database.sql("select * exclude (loaded_at, batch_id) from raw.deployments order by all").fetchall()
        refused = database.sql("select place, reason, fields from raw.quarantine order by all").fetchall()
        results.append((batch.read, rows, refused))
    return results


@hypothesis_settings(deadline=None, max_examples=30)
@given(JSON_ROWS)
def test_a_line_fares_the_same_whether_its_neighbours_are_good_or_not(database, tmp_path_factory, fields):
    path = tmp_path_factory.getbasetemp() / "rows.ndjson"
    path.write_bytes(ndjson(*(row(number) | some for number, some in enumerate(fields))))
    fast, careful = both_ways(database, path, "ndjson")
    assert fast == careful
    assert fast[0] == len(fields)


CSV_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=6)


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(CSV_TEXT, CSV_TEXT, st.sampled_from(["success", "odd", ""])), min_size=1, max_size=6))
def test_a_csv_row_fares_the_same_whether_its_neighbours_are_good_or_not(database, tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    rows = [
        row(n) | {"version": version, "trigger": trigger, "status": status}
        for n, (version, trigger, status) in enumerate(values)
    ]
    path.write_bytes(pl.DataFrame(rows).write_csv().encode())
    fast, careful = both_ways(database, path, "csv")
    assert fast == careful
    assert fast[0] == len(values)


@pytest.mark.parametrize(("codec", "ending"), [("gzip", "gz"), ("zstd", "zst")])
def test_wherever_a_compressed_file_breaks_off_the_complete_lines_before_arrive(
    folder, take, connection, codec, ending
):
    # zstd packs blocks of 128 KiB, so that only a file of several shows anything.
    lines = [ndjson(row(number, version=f"{number * 7919**3}")) for number in range(2000)]
    packed = pa.compress(b"".join(lines), codec, asbytes=True)
    seen = set()
    for part in range(1, 12, 2):
        write(folder, f"deployments/{part}.ndjson.{ending}", packed[: len(packed) * part // 12])
        ((read, loaded, duplicate, quarantined),) = take()
        assert (loaded + duplicate, quarantined) == (read - 1, 1)
        seen.add(read - 1)
    reasons = connection.sql("select distinct reason from raw.quarantine").fetchall()
    assert reasons == [("the compressed file breaks off here",)]
    assert deployments(connection) == sorted(f"d{number}" for number in range(max(seen)))
    assert len(seen) > 2
    if codec == "gzip":
        assert max(seen) > 1700


@pytest.mark.parametrize(
    "name", ["a.ndjson", "a.ndjson.gz", "a.ndjson.zst", "a.csv", "a.csv.gz", "a.csv.zst", "a.parquet"]
)
def test_a_file_without_errors_is_read_inside_duckdb(folder, take, monkeypatch, name):
    base, *packed = name.split(".", 1)[1].split(".")
    content = {"ndjson": ndjson, "csv": lambda *rows: as_csv(rows), "parquet": lambda *rows: as_parquet(rows)}[base](
        row(1), row(2)
    )
    if packed:
        content = pa.compress(content, {"gz": "gzip", "zst": "zstd"}[packed[0]], asbytes=True)
    write(folder, f"deployments/{name}", content)
    monkeypatch.setattr(landing_formats, "_careful", lambda *arguments: pytest.fail("read line by line"))
    assert take() == [(2, 2, 0, 0)]


def test_lines_up_to_the_maximum_arrive_and_longer_ones_do_not(folder, take, source, connection):
    def line(number: int, length: int) -> bytes:
        empty = json.dumps(row(number, unknown=""))
        return json.dumps(row(number, unknown="x" * (length - len(empty)))).encode() + b"\n"

    write(folder, "deployments/a.ndjson", line(1, 2048) + line(2, 1000))
    write(folder, "deployments/b.ndjson", line(3, 2049) + line(4, 1000))
    write(folder, "deployments/c.ndjson", line(5, 1000) + line(6, 5000).rstrip())
    assert take(source.model_copy(update={"maximum_line_bytes": 2048})) == [(2, 2, 0, 0), (2, 1, 0, 1), (2, 1, 0, 1)]
    assert deployments(connection) == ["d1", "d2", "d4", "d5"]
    refused = connection.sql("select place, reason, bytes from raw.quarantine order by 1").fetchall()
    assert refused == [
        ("deployments/b.ndjson:1 (byte 0)", "longer than 2,048 bytes", 2049),
        ("deployments/c.ndjson:2 (byte 1001)", "longer than 2,048 bytes", 5000),
    ]


# Object stores


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as listing and reading take. `served` counts the reads of each object."""

    objects: dict[str, bytes]
    served: list[str]
    closed = False

    def do_GET(self):
        url = urlsplit(self.path)
        key = unquote(url.path).removeprefix("/bucket").removeprefix("/")
        if self.closed:
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif not key:
            prefix = parse_qs(url.query).get("prefix", [""])[0]
            entries = "".join(
                f"<Contents><Key>{name}</Key><LastModified>2024-03-01T12:00:00.000Z</LastModified>"
                f'<ETag>"{hash(content)}"</ETag><Size>{len(content)}</Size></Contents>'
                for name, content in self.objects.items()
                if name.startswith(prefix)
            )
            self.answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode())
        else:
            self.served.append(key)
            self.answer(200, self.objects[key])

    def answer(self, status: int, body: bytes):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hash(body)}"')
        self.send_header("Last-Modified", "Fri, 01 Mar 2024 12:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def bucket(monkeypatch):
    handler = type("Handler", (Bucket,), {"objects": {}, "served": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-very-secret-key")
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The folder for temporary files, for this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


S3 = LandingSource(kind="landing", location="s3://bucket/landing/")


def test_objects_are_taken_once_and_again_when_they_change(bucket, take, connection, temporary):
    bucket.objects |= {
        "landing/deployments/a b.ndjson": ndjson(row(1), row(2, status="odd")),
        "landing/deployments/b.parquet": as_parquet([row(3)]),
        "landing/_SUCCESS": b"",
        "elsewhere/deployments/c.ndjson": ndjson(row(4)),
    }
    assert take(S3) == [(2, 1, 0, 1), (1, 1, 0, 0)]
    assert take(S3) == []
    assert len(bucket.served) == 2
    bucket.objects["landing/deployments/a b.ndjson"] = ndjson(row(1), row(2))
    assert take(S3) == [(2, 1, 1, 0)]
    assert deployments(connection) == ["d1", "d2", "d3"]
    assert ledger(connection) == {"deployments/a b.ndjson": "taken", "deployments/b.parquet": "taken"}


def test_a_copied_object_lies_in_a_private_folder_and_goes(bucket, take, settings, temporary, monkeypatch):
    bucket.objects["landing/deployments/a.ndjson"] = ndjson(row(1))
    seen = []

    def watch(path, *arguments):
        seen.append((path.parent.parent, path.parent.stat().st_mode & 0o777))
        return survey(path, *arguments)

    survey = landing_formats.survey
    monkeypatch.setattr(landing_formats, "survey", watch)
    take(S3)
    assert seen == [(temporary, 0o700)]
    assert list(temporary.iterdir()) == []
    assert not [path for path in settings.data_dir.rglob("*") if b"deployment_id" in path.name.encode()]


def test_what_a_killed_run_has_left_of_its_copies_is_removed(take, settings, temporary):
    with landing.private_folder(settings.data_dir) as left:
        (left / "a.ndjson").write_bytes(ndjson(row(1)))
        prefix = left.name[:-8]
    (temporary / f"{prefix}killed").mkdir()
    (temporary / f"{prefix}killed" / "a.ndjson").write_bytes(ndjson(row(1)))
    (temporary / "plumbline-of-another-installation").mkdir()
    take()
    assert [path.name for path in temporary.iterdir()] == ["plumbline-of-another-installation"]


def test_an_object_that_is_replaced_while_it_is_copied_is_left_alone(bucket, take, caplog, connection):
    bucket.objects["landing/deployments/a.ndjson"] = ndjson(row(1))
    answer = bucket.answer

    def replaced(self, status, body):
        bucket.objects["landing/deployments/a.ndjson"] = ndjson(row(2))
        answer(self, status, body)

    bucket.answer = replaced
    assert take(S3) == []
    assert "deployments/a.ndjson: left alone for now, since it changed" in caplog.text
    bucket.answer = answer
    assert take(S3) == [(1, 1, 0, 0)]


def test_a_refused_access_is_one_line_without_credentials(bucket, take, caplog):
    bucket.closed = True
    with pytest.raises(
        PlumblineError, match=r"s3://bucket/landing/: cannot be read \(HTTP status 403\); check the address"
    ) as caught:
        take(S3)
    told = str(caught.value) + caplog.text
    assert "AKIATESTKEY" not in told
    assert "a-very-secret-key" not in told
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_url_is_read_like_an_object_store(folder, take, connection):
    write(folder, "deployments/day=1/a.csv.gz", gzip.compress(as_csv([row(1)])))
    source = LandingSource(kind="landing", location=folder.as_uri())
    assert take(source) == [(1, 1, 0, 0)]
    assert take(source) == []


@pytest.mark.parametrize("location", ["ftp://host/landing", "file:///no/such/folder", "s3://"])
def test_a_url_that_no_store_answers_to_is_a_wrong_configuration(take, location):
    with pytest.raises(ConfigurationError, match="cannot be opened; a landing location is") as caught:
        take(LandingSource(kind="landing", location=location))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("location", ["s3://key:secret@bucket/landing", "https://host/landing?signature=secret"])
def test_credentials_in_a_url_are_refused_without_being_shown(settings, location):
    settings.config_file.write_text(f"data_dir: data\nsources: [{{kind: landing, location: '{location}'}}]\n")
    with pytest.raises(ConfigurationError, match=r"sources\[0\].location: holds a password or a query") as caught:
        load_settings(settings.config_file)
    assert "secret@" not in str(caught.value)
    assert "signature" not in str(caught.value)
