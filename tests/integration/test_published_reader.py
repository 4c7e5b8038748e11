"""Readers of the published file: while it is swapped under them, and one DuckDB version behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from candidate_marts import TABLES, build, pass_gate

from dagster_project.publication import publish

SWAPS = 10
CACHE = Path(__file__).parents[2] / ".cache"
OLDER_DUCKDB = "1.4.4"

QUERY = "select count(*), min(number), max(number) from fct_deployments"

# Reads until its standard input closes, through one connection that it keeps, or through a new one each time.
READER = """
import json, select, sys
import duckdb
file, query, mode = sys.argv[1:]
seen = set()
connection = duckdb.connect(file, read_only=True)
print("reading", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    if mode == "new":
        connection.close()
        connection = duckdb.connect(file, read_only=True)
    seen.add(connection.execute(query).fetchone())
print(json.dumps(sorted(seen)))
"""


@pytest.fixture
def published(settings):
    """An installation that has published build `0`, where every number is 0."""
    publish_build(settings, 0)
    return settings


def publish_build(settings, number: int) -> None:
    build(settings, f"build-{number}", number)
    pass_gate(settings)
    publish(settings, TABLES)


def test_readers_in_other_processes_see_whole_publications_through_ten_swaps(published):
    readers = {
        mode: subprocess.Popen(
            [sys.executable, "-c", READER, published.published_file, QUERY, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for mode in ("kept", "new")
    }
    for reader in readers.values():
        assert reader.stdout.readline() == "reading\n"
    for number in range(1, SWAPS + 1):
        publish_build(published, number)
    seen = {mode: json.loads(reader.communicate("stop\n")[0]) for mode, reader in readers.items()}
    assert seen["kept"] == [[500, 0, 0]]
    assert len(seen["new"]) > 1
    assert all(count == 500 and low == high for count, low, high in seen["new"])


def test_a_reader_in_the_same_process_survives_ten_swaps_and_sees_the_last_when_it_opens_again(published):
    with duckdb.connect(published.published_file, read_only=True) as reader:
        for number in range(1, SWAPS + 1):
            publish_build(published, number)
            assert reader.execute(QUERY).fetchone() == (500, 0, 0)
    with duckdb.connect(published.published_file, read_only=True) as reader:
        assert reader.execute(QUERY).fetchone() == (500, SWAPS, SWAPS)


@pytest.mark.slow
def test_a_bi_tool_one_duckdb_version_behind_reads_tables_and_comments(published):
    packages = CACHE / f"duckdb-{OLDER_DUCKDB}"
    if not (packages / "duckdb").exists():
        install = subprocess.run(
            [
                *(Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--python", sys.executable),
                *("--target", packages, f"duckdb=={OLDER_DUCKDB}"),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        if install.returncode:
            pytest.skip(f"DuckDB {OLDER_DUCKDB} cannot be installed here: {install.stderr.strip().splitlines()[-1]}")
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import duckdb\n"
        "connection = duckdb.connect(sys.argv[2], read_only=True)\n"
        "comments = connection.sql('select comment from duckdb_tables() where comment is not null').fetchall()\n"
        "print(json.dumps([duckdb.__version__, connection.sql(sys.argv[3]).fetchone(), comments]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, packages, published.published_file, QUERY],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert json.loads(answer) == [
        OLDER_DUCKDB,
        [500, 0, 0],
        [["One attempt to put a team's version into production."]],
    ]
