"""Malformed input, from the landing folder to the raw tables: the bad is refused with a reason, the good arrives."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from dagster_project.contracts import RAW_TABLES
from dagster_project.extract.landing import extract
from dagster_project.settings import LandingSource
from dagster_project.warehouse import Warehouse

INCIDENT = {
    "incident_id": "i1",
    "service": "web",
    "severity": "sev2",
    "started_at": "2024-03-01T12:00:00Z",
    "resolved_at": "2024-03-01T13:00:00Z",
}
TOMORROW = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"


def line(**fields) -> bytes:
    return json.dumps(INCIDENT | fields).encode() + b"\n"


GOOD = [line(incident_id="before"), line(incident_id="after")]

# What stands between two good lines, and the reason for which it is refused.
BAD = {
    "truncated line": (line(incident_id="bad")[:40] + b"\n", "not a JSON object: the line breaks off"),
    "text that is cut": (b'{"incident_id": "b\n', "not a JSON object: the line breaks off"),
    "two objects on one line": (line(incident_id="bad").strip() + line(), "not a JSON object: Extra data at character"),
    "not JSON": (b"incident bad\n", "not a JSON object: Expecting value at character 1"),
    "an array": (b'["bad"]\n', "not a JSON object"),
    "a number": (b"17\n", "not a JSON object"),
    "a key given twice": (
        b'{"incident_id": "bad", "incident_id": "worse"}\n',
        "incident_id: stands twice in the object",
    ),
    "a lone surrogate": (b'{"incident_id": "\\ud800"}\n', "not a JSON object: half a surrogate pair"),
    "nested without end": (b'{"incident_id":' + b"[" * 100_000 + b"\n", "not a JSON object: "),
    "invalid UTF-8": (b'{"incident_id": "b\xff"}\n', "invalid UTF-8 at byte 19 of the line"),
    "UTF-16": ('{"incident_id": "bad"}'.encode("utf-16-le") + b"\n", "not a JSON object"),
    "NUL bytes": (b"\0\0\0\0\n", "not a JSON object: Expecting value at character 1"),
    "a line of 50 MB": (b'{"x": "' + b"x" * 50_000_000 + b'"}\n', "longer than 8,388,608 bytes"),
    "wrong type": (line(incident_id="bad", started_at="noon"), "started_at: not a time in ISO 8601"),
    "a bare number for a time": (line(incident_id="bad", started_at=1709294400), "started_at: not a time in ISO 8601"),
    "an object for a text": (line(incident_id="bad", alert_key={"a": 1}), "alert_key: not a text"),
    "missing key": (json.dumps({**INCIDENT, "incident_id": None}).encode() + b"\n", "incident_id: missing"),
    "an empty object": (b"{}\n", "incident_id: missing; service: missing; started_at: missing"),
    "null": (b"null\n", "incident_id: missing"),
    "unknown enum": (
        line(incident_id="bad", severity="catastrophic"),
        "severity: not one of sev1, sev2, sev3, sev4, sev5",
    ),
    "impossible order of times": (
        line(incident_id="bad", resolved_at="2024-03-01T11:59:59Z"),
        "resolved_at is before started_at",
    ),
    "time in the future": (line(incident_id="bad", resolved_at=TOMORROW), "resolved_at: in the future"),
    "an e-mail address": (line(incident_id="ada@example.com"), "incident_id: looks like an e-mail address"),
}


@pytest.fixture
def folder(settings) -> Path:
    (settings.data_dir / "landing").mkdir(parents=True)
    return settings.data_dir / "landing"


@pytest.fixture
def take(folder, settings, connection):
    def run():
        source = LandingSource(kind="landing", location=str(folder), settle_seconds=0)
        return [
            (batch.read, batch.loaded, batch.duplicate, batch.quarantined)
            for batch in extract(source, settings, connection)
        ]

    return run


def land(folder: Path, name: str, content: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def incidents(connection) -> list[str]:
    return [name for (name,) in connection.sql("select incident_id from raw.incidents order by 1").fetchall()]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_a_bad_line_is_refused_with_its_reason_and_its_neighbours_arrive(folder, take, connection, bad, reason, packed):
    content = GOOD[0] + bad + GOOD[1]
    land(
        folder,
        "incidents/a.ndjson.gz" if packed else "incidents/a.ndjson",
        gzip.compress(content, 1) if packed else content,
    )
    lines = bad.count(b"\n")
    assert take() == [(2 + lines, 2, 0, lines)]
    assert incidents(connection) == ["after", "before"]
    place, told = connection.sql("select place, reason from raw.quarantine order by place").fetchall()[0]
    assert place.split(":")[1] == f"2 (byte {len(GOOD[0])})"
    assert told.startswith(reason)


def test_a_refused_line_is_kept_by_length_and_checksum_alone(folder, take, connection):
    land(folder, "incidents/a.ndjson", GOOD[0] + BAD["a line of 50 MB"][0] + BAD["truncated line"][0])
    take()
    kept = connection.sql("select fields, bytes, length(checksum) from raw.quarantine order by bytes").fetchall()
    assert kept == [(None, 40, 64), (None, 50_000_009, 64)]


def test_a_line_of_50_mb_is_never_held_as_a_whole(folder, take):
    land(folder, "incidents/a.ndjson", GOOD[0] + BAD["a line of 50 MB"][0] + GOOD[1])
    tracemalloc.start()
    try:
        assert take() == [(3, 2, 0, 1)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000


def test_many_bad_lines_among_many_good_ones_cost_no_good_one(folder, take, connection):
    lines = [line(incident_id=f"i{n}") if n % 100 else line(incident_id=f"i{n}")[:50] + b"\n" for n in range(20_000)]
    land(folder, "incidents/a.ndjson", b"".join(lines))
    assert take() == [(20_000, 19_800, 0, 200)]
    assert connection.sql("select count(*) from raw.incidents").fetchone() == (19_800,)


def test_a_last_line_that_breaks_off_is_refused(folder, take, connection):
    land(folder, "incidents/a.ndjson", b"".join(GOOD) + line()[:30])
    assert take() == [(3, 2, 0, 1)]


def test_of_one_key_with_different_content_the_last_row_is_taken(folder, take, connection):
    land(folder, "incidents/a.ndjson", line(severity="sev1") + line(severity="sev3") + line(severity="sev3"))
    assert take() == [(3, 1, 1, 1)]
    assert connection.sql("select severity from raw.incidents").fetchall() == [("sev3",)]
    ((reason,),) = connection.sql("select reason from raw.quarantine").fetchall()
    assert "the same key and different content" in reason


def test_an_empty_file_is_no_error_and_does_not_keep_others_from_arriving(folder, take, connection):
    land(folder, "incidents/a.ndjson", b"")
    land(folder, "incidents/b.ndjson", GOOD[0])
    assert take() == [(0, 0, 0, 0), (1, 1, 0, 0)]
    assert connection.sql("select status from raw.landing_files order by name").fetchall() == [("empty",), ("taken",)]


CSV_BAD = {
    "too few fields": (b"bad,web\n", "2 fields under 3 columns"),
    "too many fields": (b"bad,web,2024-03-01T12:00:00Z,more\n", "4 fields under 3 columns"),
    "a stray quote": (b'bad,"web,2024-03-01T12:00:00Z\n', "not CSV: "),
    "text behind a quote": (b'bad,"web"x,2024-03-01T12:00:00Z\n', "not CSV: "),
    "invalid UTF-8": (b"b\xff,web,2024-03-01T12:00:00Z\n", "invalid UTF-8"),
    "a line of 50 MB": (b"bad," + b"x" * 50_000_000 + b",\n", "longer than 8,388,608 bytes"),
    "a field of 1 MB": (b"bad," + b"x" * 1_000_000 + b",\n", ""),
    "wrong type": (b"bad,web,noon\n", "started_at: not a time in ISO 8601"),
    "missing key": (b",web,2024-03-01T12:00:00Z\n", "incident_id: missing"),
}


@pytest.mark.parametrize(("bad", "reason"), CSV_BAD.values(), ids=CSV_BAD)
def test_a_bad_csv_row_is_refused_with_its_reason_and_its_neighbours_arrive(folder, take, connection, bad, reason):
    header, good = b"incident_id,service,started_at\n", b"%s,web,2024-03-01T12:00:00Z\n"
    land(folder, "incidents/a.csv", header + good % b"before" + bad + good % b"after" + good % b"last")
    assert take() == [(4, 3, 0, 1)]
    assert incidents(connection) == ["after", "before", "last"]
    ((place, told),) = connection.sql("select place, reason from raw.quarantine").fetchall()
    assert place == "incidents/a.csv: row 2"
    assert told.startswith(reason)


# People

PEOPLE = ("ada.lovelace@example.com", "Grace Hopper", "linus-login", "alan%40example.com", "barbara@example.org")
SHOWN = "release-canary"


def commit(number: int, **fields) -> dict:
    return {
        "commit_sha": f"{number:040x}",
        "authored_at": "2024-03-01T12:00:00Z",
        "is_merge": False,
        "author_key": PEOPLE[number % 3],
        **fields,
    }


def as_csv(rows: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def test_no_person_of_any_row_good_or_bad_stands_anywhere_but_in_the_landing_files(folder, settings, caplog):
    caplog.set_level("DEBUG")
    good = [commit(number, repository=SHOWN) for number in range(6)]
    bad = [
        commit(10, authored_at="never"),
        commit(11, change_type=PEOPLE[0]),
        commit(12, repository=f"https://{PEOPLE[0]}/web"),
        commit(13, repository=f"/users/{PEOPLE[3]}/web"),
        commit(14, commit_sha=PEOPLE[4]),
        commit(15, is_merge=PEOPLE[1]),
        commit(16, pull_request_number=PEOPLE[2]),
        commit(17, author_key={"login": PEOPLE[2], "name": PEOPLE[1]}),
        commit(18, files_changed=-1, unknown=PEOPLE[1], author_name=PEOPLE[1]),
        commit(0, repository="another"),
    ]
    torn = [
        json.dumps(commit(20)).encode()[:-20],
        json.dumps(commit(21)).encode() + b"\xff",
        b'{"author_key": "' + PEOPLE[1].encode() + b'", "author_key": "' + PEOPLE[2].encode() + b'"}',
        PEOPLE[0].encode(),
    ]
    ndjson = [json.dumps(row).encode() for row in good + bad]
    land(folder, "changes/clean.ndjson", b"\n".join(ndjson))
    land(folder, "changes/torn.ndjson.gz", gzip.compress(b"\n".join(ndjson + torn)))
    land(folder, "changes/breaks off.ndjson.gz", gzip.compress(b"\n".join(ndjson * 50))[:-300])
    rows = as_csv([*good, commit(30)]).replace(b"false", b"")
    shifted = rows + PEOPLE[1].encode() + b",2024,,\n" + PEOPLE[0].encode() + b"\n"
    land(folder, "changes/shifted.csv", shifted)
    land(folder, "changes/no header.csv", b"\n".join(person.encode() for person in PEOPLE))
    land(folder, "changes/table.parquet", parquet([*good, commit(40, repository=PEOPLE[0])]))
    land(folder, "changes/list.ndjson", json.dumps([commit(50)], indent=1).encode())

    source = LandingSource(kind="landing", location=str(folder), settle_seconds=0)
    with Warehouse(settings).connect() as connection:
        extract(source, settings, connection)
        assert {"warehouse.duckdb", "warehouse.duckdb.wal"} <= {path.name for path in settings.data_dir.iterdir()}
        assert SHOWN in in_files(settings.data_dir), "the log is not readable in this way"
        assert persons_in(in_files(settings.data_dir)) == []
        read, quarantined = connection.sql("select sum(rows_read), sum(rows_quarantined) from raw.batches").fetchone()
        assert quarantined > 20
        assert read - quarantined > 6
        # The file may hold texts packed, and so is asked as well.
        tables = [table.qualified_name for table in RAW_TABLES]
        tables += [f"raw.{name}" for name in ("quarantine", "batches", "landing_files", "source_state")]
        stored = "".join(str(connection.sql(f"from {table}").fetchall()) for table in tables)
        assert SHOWN in stored
        assert persons_in(stored) == []
    assert persons_in(in_files(settings.data_dir)) == []
    assert persons_in(caplog.text) == []


def parquet(rows: list[dict]) -> bytes:
    content = io.BytesIO()
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(content)
    return content.getvalue()


def in_files(data_dir: Path) -> str:
    landing = data_dir / "landing"
    files = [path for path in data_dir.rglob("*") if path.is_file() and landing not in path.parents]
    return "".join(path.read_bytes().decode("latin-1") for path in files)


def persons_in(text: str) -> list[str]:
    return [person for person in PEOPLE if person.lower() in text.lower()]
