"""The git source on the recorded history of a real storefront: 41,872 commits, 8,202 tags, eight years.

What it reads is compared with what the recorded rows say, walked through in the plainest way.
"""

from __future__ import annotations

import csv
import gzip
import re
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running import copy_of, installation, published, refresh_here

from dagster_project.extract import git
from dagster_project.extract.git_repository import Repository
from dagster_project.settings import Settings, load_settings
from dagster_project.warehouse import Warehouse

RECORDED = Path(__file__).resolve().parents[3] / "shared/real/storefront"
TAGS = r"production-{1,2}(?P<timestamp>\d{4}-\d{2}-\d{2}-{1,2}\d{2}-\d{2}(-\d{2})?)"


def history(folder: Path, repository: Path) -> Settings:
    """The settings of an installation whose one source is this repository."""
    source = f"  - kind: git\n    repository: {repository}\n    service: storefront-web\n"
    deployments = f"    deployments:\n      tags: '{TAGS}'\n      environment: production\n"
    return load_settings(installation(folder, source + deployments, "storefront-web,shop,frontend,storefront,,\n"))


@pytest.fixture(scope="module")
def settings(storefront, tmp_path_factory) -> Settings:
    return history(tmp_path_factory.mktemp("storefront"), storefront)


@pytest.fixture(scope="module")
def connection(settings):
    """The build file after one extraction."""
    with Warehouse(settings).connect() as connection:
        git.extract(settings.sources[0], settings, connection)
        yield connection


def rows_of(name: str) -> list[dict[str, str]]:
    with gzip.open(RECORDED / name, "rt", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def commits(storefront) -> dict[str, dict[str, str]]:
    """The recorded commits by number."""
    return {row["commit"]: row for row in rows_of("commits.csv.gz")}


@pytest.fixture(scope="module")
def deployments(storefront) -> list[tuple[str, str]]:
    """(tag, commit) of the recorded deployments to production, in their order."""
    tags = [(row["tag"], row["commit"]) for row in rows_of("tags.csv.gz") if row["tag"].startswith("production-")]
    return sorted(tags, key=lambda tag: re.sub(r"\D", "", tag[0]).ljust(14, "0"))


def reached_first(commits, tips: list[str]) -> dict[str, str]:
    """commit → the first of `tips` that reaches it."""
    reached: dict[str, str] = {}
    for tip in tips:
        waiting = [tip]
        while waiting:
            commit = waiting.pop()
            if commit not in reached:
                reached[commit] = tip
                waiting += commits[commit]["parents"].split()
    return reached


def is_pull_request_merge(row) -> bool:
    return " " in row["parents"] and bool(row["pull_request"])


def moment(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None)


def test_the_known_facts_are_found(connection):
    assert dict(connection.sql("select commit_relation, count(*) from raw.deployments group by all").fetchall()) == {
        "new": 1432,
        "ancestor": 24,
        "same": 22,
        "returned": 2,
    }
    assert connection.sql("""
        select count(*), count(*) filter (authored_at > finished_at)
        from raw.deployment_changes
        join raw.deployments using (source, deployment_id)
        join raw.changes on changes.commit_sha = deployment_changes.commit_sha
        where not is_merge and finished_at > (select min(finished_at) from raw.deployments)
    """).fetchall() == [(16_345, 0)]
    assert connection.sql("select count(*) from raw.quarantine").fetchone() == (0,)


def test_every_deployment_ships_what_a_plain_walk_finds(connection, commits, deployments):
    tag_of: dict[str, str] = {}
    for tag, commit in deployments:
        tag_of.setdefault(commit, tag)
    reached = reached_first(commits, [commit for _, commit in deployments])
    expected = Counter(tag_of[tip] for tip in reached.values())
    rows = connection.sql("""
        select version, count(*) from raw.deployment_changes
        join raw.deployments using (source, deployment_id) group by all
    """)
    assert dict(rows.fetchall()) == expected


def test_every_commit_has_its_recorded_times_merge_and_kind(connection, commits):
    line = [list(commits)[-1]]
    while parents := commits[line[-1]]["parents"].split():
        line.append(parents[0])
    merged_by = reached_first(commits, line[::-1])
    expected = Counter()
    for number, row in commits.items():
        own = None if row["reverts"] or is_pull_request_merge(row) else row["kind"] or None
        merge = merged_by.get(number)
        pull_request = row["pull_request"] or (commits[merge]["pull_request"] if merge else "")
        expected[
            moment(row["authored_at"]),
            moment(row["committed_at"]),
            moment(commits[merge]["committed_at"]) if merge else None,
            " " in row["parents"],
            int(pull_request) if pull_request else None,
            own,
            (bool(row["reverts"]) and not is_pull_request_merge(row)) or own == "revert",
        ] += 1
    columns = "authored_at, committed_at, merged_at, is_merge, pull_request_number, change_type, is_revert"
    assert Counter(connection.sql(f"select {columns} from raw.changes").fetchall()) == expected
    people = {row["author"] for row in commits.values()}
    assert connection.sql("select count(distinct author_key) from raw.changes").fetchone() == (len(people),)


def test_quoted_reverts_lead_to_the_recorded_commit(connection, commits):
    expected = Counter()
    for row in commits.values():
        target = commits.get(row["reverts"])
        if is_pull_request_merge(row) or not target or is_pull_request_merge(target):
            continue
        # The rebuilt subject quotes `change N`, which is the whole subject of a commit without a kind only.
        if not target["kind"] and not target["reverts"]:
            expected[moment(row["authored_at"]), moment(target["authored_at"])] += 1
    found = connection.sql("""
        select revert.authored_at, target.authored_at from raw.changes as revert
        join raw.changes as target on target.commit_sha = revert.reverts_commit_sha
    """)
    assert Counter(found.fetchall()) == expected
    assert expected.total() > 30


def test_reading_the_last_year_on_top_gives_what_reading_at_once_gives(storefront, connection, tmp_path, monkeypatch):
    clone = tmp_path / storefront.name

    def run_git(*arguments: str, stdin: str = "") -> str:
        command = ["git", "-C", str(clone), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout

    subprocess.run(["git", "clone", "-q", "--bare", "--shared", storefront, clone], check=True)
    [tip] = run_git("rev-parse", "main").split()
    late = [line for line in run_git("show-ref", "--tags").splitlines() if "refs/tags/production--2026" in line]
    run_git("update-ref", "--stdin", stdin="".join(f"delete {line.split()[1]}\n" for line in late))
    run_git("update-ref", "refs/heads/main", run_git("rev-list", "-1", "--before=2026-01-01", "main").strip())
    settings = history(tmp_path, clone)
    with Warehouse(settings).connect() as build:
        git.extract(settings.sources[0], settings, build)
        [known] = build.sql("select count(*) from raw.changes").fetchone()
        run_git("update-ref", "refs/heads/main", tip)
        run_git(
            "update-ref", "--stdin", stdin="".join(f"create {line.split()[1]} {line.split()[0]}\n" for line in late)
        )
        read: list[str] = []
        commits = Repository.commits
        monkeypatch.setattr(Repository, "commits", lambda self, shas: read.extend(shas) or commits(self, shas))
        git.extract(settings.sources[0], settings, build)
        assert 0 < len(read) < 2 * (41_872 - known)
        for table in ("deployments", "deployment_changes", "changes"):
            # Another installation has other keys of people.
            without = "loaded_at, batch_id" + (", author_key" if table == "changes" else "")
            query = f"select * exclude ({without}) from raw.{table} order by all"
            assert build.sql(query).fetchall() == connection.sql(query).fetchall()


def test_no_person_stands_in_the_warehouse_file(settings, connection):
    connection.execute("checkpoint")
    stored = settings.warehouse_file.read_bytes().lower()
    assert b"engineer" not in stored
    assert b"example.com" not in stored


def test_the_published_figures_are_those_of_the_record(settings, connection, tmp_path):
    connection.execute("checkpoint")
    config = copy_of(settings.config_file, tmp_path)
    refresh_here(config)
    totals = "sum(deployments), sum(rollbacks), sum(redeploys), sum(changes)"
    for period in ("daily", "weekly", "monthly", "quarterly"):
        assert published(config, f"select {totals} from delivery_{period}") == [(1480, 24, 22, 16345)]
    assert published(config, "select count(*) from fct_changes where lead_time_hours < 0") == [(0,)]
    ((august, bulk),) = published(
        config,
        "select lead_time_median_hours, changes from delivery_monthly where month = date '2021-08-01'",
    )
    assert august < 24
    assert bulk > 4870
    assert published(
        config,
        "select sum(changes) from fct_deployments "
        "where is_bulk_import and finished_at between '2021-08-01' and '2021-09-01'",
    ) == [(4870,)]
