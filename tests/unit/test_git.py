"""The git source, on small repositories made commit by commit."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dagster_project.errors import ConfigurationError, PlumblineError
from dagster_project.extract import git
from dagster_project.extract.commit_graph import CommitGraph
from dagster_project.extract.git_repository import Repository
from dagster_project.people import People
from dagster_project.settings import Settings, load_settings
from dagster_project.warehouse import Warehouse, create_tables

START = datetime(2024, 1, 1, tzinfo=UTC)
TAGS = r"v(?P<timestamp>\d+)"
FUTURE = datetime.now(UTC) + timedelta(days=400)


class Clone:
    """A repository whose commits, tags and branches a test sets one by one; times are minutes after START."""

    def __init__(self, path: Path, bare: bool = True) -> None:
        self.path = path
        self.git_dir = path if bare else path / ".git"
        path.mkdir(parents=True)
        self._run("init", "-q", "-b", "main", *(["--bare"] if bare else []), str(path), git_dir=False)
        self.now = 0
        self.empty = self._run("mktree")

    def _run(self, *arguments: str, stdin: bytes = b"", git_dir: bool = True, **environment: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", *([f"--git-dir={self.git_dir}"] if git_dir else []), *arguments]
        clean = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(command, input=stdin, capture_output=True, check=True, env=kept | clean | environment)
        return done.stdout.decode(errors="replace").strip()

    def git(self, *arguments: str) -> str:
        return self._run(*arguments, GIT_COMMITTER_NAME="Tagger", GIT_COMMITTER_EMAIL="tagger@example.org")

    def commit(
        self,
        *parents: str,
        message: str | bytes = "change",
        at: float | None = None,
        authored: float | datetime | None = None,
        author: str = "ada@example.org",
        files: dict[str, bytes] | None = None,
    ) -> str:
        """A new commit; without a time, one minute after the last one."""
        self.now = self.now + 1 if at is None else at
        return self._run(
            *("commit-tree", self.tree(files or {}), *(part for parent in parents for part in ("-p", parent))),
            stdin=message.encode() if isinstance(message, str) else message,
            GIT_AUTHOR_NAME="Ada Author",
            GIT_AUTHOR_EMAIL=author,
            GIT_AUTHOR_DATE=_date(self.now if authored is None else authored),
            GIT_COMMITTER_NAME="Carl Committer",
            GIT_COMMITTER_EMAIL="carl@example.org",
            GIT_COMMITTER_DATE=_date(self.now),
        )

    def tree(self, files: dict[str, bytes]) -> str:
        """A tree of files by path."""
        folders: dict[str, dict[str, bytes]] = {}
        for path, content in files.items():
            folder, _, rest = path.partition("/")
            folders.setdefault(folder, {})[rest] = content
        entries = [
            f"040000 tree {self.tree(inside)}\t{name}"
            if "" not in inside
            else f"100644 blob {self._run('hash-object', '-w', '--stdin', stdin=inside[''])}\t{name}"
            for name, inside in folders.items()
        ]
        return self._run("mktree", stdin="".join(f"{entry}\n" for entry in entries).encode()) if entries else self.empty

    def line(self, count: int, *parents: str) -> list[str]:
        """Commits in a row."""
        commits = list(parents)
        for _ in range(count):
            commits.append(self.commit(*commits[-1:]))
        return commits[len(parents) :]

    def branch(self, name: str, commit: str) -> None:
        self.git("update-ref", f"refs/heads/{name}", commit)

    def tag(self, name: str, target: str) -> None:
        self.git("update-ref", f"refs/tags/{name}", target)

    def deploy(self, commit: str, at: float) -> str:
        """A tag that TAGS matches; returns the deployment's id."""
        name = f"v{START + timedelta(minutes=at):%Y%m%d%H%M%S}"
        self.tag(name, commit)
        return f"web:production:{name}"


def _date(at: float | datetime) -> str:
    moment = at if isinstance(at, datetime) else START + timedelta(minutes=at)
    return f"@{int(moment.timestamp())} +0000"


def time(at: float) -> datetime:
    return (START + timedelta(minutes=at)).replace(tzinfo=None)


@pytest.fixture
def clone(tmp_path) -> Clone:
    return Clone(tmp_path / "shop.git")


def configure(clone: Clone | Path, *sources: dict, **options) -> Settings:
    """An installation with one source a dictionary; without any, one for `web` whose deployments TAGS gives."""
    path = clone.path if isinstance(clone, Clone) else clone
    default = {"service": "web", "deployments": {"tags": TAGS, "environment": "production"}}
    entries = [{"kind": "git", "repository": str(path)} | default | options | source for source in (sources or ({},))]
    file = path.parent / "plumbline.yaml"
    file.write_text(json.dumps({"data_dir": "data", "sources": entries}), encoding="utf-8")
    return load_settings(file)


def new_warehouse() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    create_tables(connection)
    People(b"a salt for tests").use_in(connection)
    return connection


@pytest.fixture
def warehouse():
    with new_warehouse() as connection:
        yield connection


def extract(settings: Settings, connection) -> list[git.Batch]:
    return [batch for source in settings.sources for batch in git.extract(source, settings, connection)]


def column(connection, table: str, key: str, value: str) -> dict:
    return dict(connection.sql(f"select {key}, {value} from raw.{table}").fetchall())


def changes(connection, value: str) -> dict:
    return column(connection, "changes", "commit_sha", value)


def shipped(connection) -> dict[str, set[str]]:
    result: dict[str, set[str]] = {}
    for deployment, commit in connection.sql("select deployment_id, commit_sha from raw.deployment_changes").fetchall():
        result.setdefault(deployment, set()).add(commit)
    return result


def quarantine(connection) -> dict[str, str]:
    return dict(connection.sql("select place, reason from raw.quarantine").fetchall())


def content(connection) -> dict[str, list]:
    """All that the raw tables hold, but for when and by which batch it was loaded."""
    return {
        table: sorted(connection.sql(f"select * exclude ({without}) from raw.{table}").fetchall(), key=repr)
        for table, without in (
            ("deployments", "loaded_at, batch_id"),
            ("changes", "loaded_at, batch_id"),
            ("change_paths", "loaded_at, batch_id"),
            ("deployment_changes", "loaded_at, batch_id"),
            ("quarantine", "quarantined_at, batch_id"),
        )
    }


def fresh(settings: Settings) -> dict[str, list]:
    with new_warehouse() as connection:
        extract(settings, connection)
        return content(connection)


# Deployments


@pytest.mark.parametrize(
    ("name", "finished_at"),
    [
        ("p-2024-02-29", "2024-02-29 00:00:00"),
        ("p-2024-02-29--23-59", "2024-02-29 23:59:00"),
        ("p-20240229T235958Z", "2024-02-29 23:59:58"),
        ("p", "2024-01-01 00:01:00"),
    ],
)
def test_the_time_stands_in_the_tags_name_or_else_is_the_commits_own(clone, warehouse, name, finished_at):
    [commit] = clone.line(1)
    clone.branch("main", commit)
    clone.tag(name, commit)
    rule = {"tags": r"p(-(?P<timestamp>[-\dTZ]+))?", "environment": "production"}
    extract(configure(clone, deployments=rule), warehouse)
    rows = warehouse.sql("select * exclude (loaded_at, batch_id), finished_at::varchar from raw.deployments")
    [row] = [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]
    assert row.pop("CAST(finished_at AS VARCHAR)") == finished_at
    assert {key: value for key, value in row.items() if value is not None and key != "finished_at"} == {
        "source": "shop",
        "deployment_id": f"web:production:{name}",
        "service": "web",
        "environment": "production",
        "status": "success",
        "commit_sha": commit,
        "version": name,
        "commit_relation": "new",
    }


def test_an_annotated_tag_has_the_taggers_date_and_leads_to_its_commit_through_other_tags(clone, warehouse):
    [commit] = clone.line(1)
    clone.branch("main", commit)
    for name, target, at in (("inner", commit, 5), ("outer", "inner", 9)):
        clone._run(
            *("tag", "-a", "-m", "text", name, target),
            GIT_COMMITTER_NAME="Tagger",
            GIT_COMMITTER_EMAIL="tagger@example.org",
            GIT_COMMITTER_DATE=_date(at),
        )
    extract(configure(clone, deployments={"tags": "inner|outer", "environment": "staging"}), warehouse)
    rows = warehouse.sql("select version, finished_at, commit_sha, environment from raw.deployments order by 1")
    assert rows.fetchall() == [("inner", time(5), commit, "staging"), ("outer", time(9), commit, "staging")]


def test_a_tag_without_a_real_time_or_commit_is_quarantined_and_its_neighbours_arrive(clone, warehouse):
    first, second = clone.line(2)
    clone.branch("main", second)
    good = clone.deploy(first, 5)
    for name in ("v20240230", "v2024013", f"v{FUTURE:%Y%m%d%H%M%S}"):
        clone.tag(name, second)
    clone.tag("v20240401", clone._run("hash-object", "-w", "--stdin", stdin=b"no commit"))
    undated = clone._run(
        "hash-object", "-w", "-t", "tag", "--stdin", stdin=f"object {second}\ntype commit\ntag v\n\nold\n".encode()
    )
    clone.tag("v", undated)
    settings = configure(clone, deployments={"tags": r"v(?P<timestamp>\d+)?", "environment": "production"})
    deployments, *_ = extract(settings, warehouse)
    assert quarantine(warehouse) == {
        "tag v": "finished_at: the tag has no date",
        "tag v2024013": "finished_at: no date of 8, 12 or 14 digits",
        "tag v20240230": "finished_at: no date of 8, 12 or 14 digits",
        "tag v20240401": "points at no commit",
        f"tag v{FUTURE:%Y%m%d%H%M%S}": "finished_at: in the future",
    }
    assert (deployments.read, deployments.loaded, deployments.quarantined) == (6, 1, 5)
    assert shipped(warehouse) == {good: {first}}
    assert changes(warehouse, "merge_commit_sha") == {first: first, second: second}


def test_a_repository_of_rejected_tags_alone_still_gives_its_changes(clone, warehouse):
    [commit] = clone.line(1)
    clone.branch("main", commit)
    clone.tag("v1", commit)
    assert [batch.loaded for batch in extract(configure(clone), warehouse)] == [0, 1, 0, 0]


def test_every_first_parent_commit_of_a_release_branch_is_a_deployment(clone, warehouse):
    first, second, third = clone.line(3)
    release = clone.commit(first, second, at=60)
    latest = clone.commit(release, third, at=90)
    clone.branch("main", third)
    clone.branch("release/web", latest)
    rule = {"release_branch": "release/web", "environment": "production"}
    extract(configure(clone, deployments=rule), warehouse)
    rows = warehouse.sql("select deployment_id, finished_at, commit_sha, version from raw.deployments order by 1")
    ids = [f"web:production:{n:07}-{commit}" for n, commit in enumerate((first, release, latest), start=1)]
    assert rows.fetchall() == [
        (ids[0], time(1), first, None),
        (ids[1], time(60), release, None),
        (ids[2], time(90), latest, None),
    ]
    assert shipped(warehouse) == {ids[0]: {first}, ids[1]: {second, release}, ids[2]: {third, latest}}


@pytest.mark.parametrize("minutes", [(9, 9, 9, 9, 9, 9), (9, 7, 8, 30, 20, 31)])
def test_commits_of_a_release_branch_keep_their_order_whatever_their_clocks_say(clone, warehouse, minutes):
    commits: list[str] = []
    for at in minutes:
        commits.append(clone.commit(*commits[-1:], at=at, message=f"at {at}"))
    clone.branch("main", commits[-1])
    extract(configure(clone, deployments={"release_branch": "main", "environment": "production"}), warehouse)
    assert set(column(warehouse, "deployments", "deployment_id", "commit_relation").values()) == {"new"}
    assert [commits for _, commits in sorted(shipped(warehouse).items())] == [{commit} for commit in commits]


def test_a_release_commit_in_the_future_is_quarantined_and_moves_no_other(clone, warehouse):
    first = clone.commit()
    second = clone.commit(first, at=(FUTURE - START).total_seconds() / 60)
    third = clone.commit(second, at=3)
    clone.branch("main", third)
    extract(configure(clone, deployments={"release_branch": "main", "environment": "production"}), warehouse)
    assert set(column(warehouse, "deployments", "commit_sha", "finished_at").values()) == {time(1), time(3)}
    refused = warehouse.sql("select place, reason from raw.quarantine where table_name = 'deployments'").fetchall()
    assert refused == [(f"commit {second}", "finished_at: in the future")]


def test_a_deployment_is_related_to_those_before_it(clone, warehouse):
    line = clone.line(4)
    side = clone.commit(line[0])
    clone.branch("main", line[-1])
    steps = [
        (line[1], "new"),
        (line[2], "new"),
        (line[2], "same"),
        (line[0], "ancestor"),
        (side, "new"),
        (line[2], "returned"),
        (line[3], "new"),
        (line[1], "ancestor"),
        (line[1], "same"),
    ]
    expected = {clone.deploy(commit, 10 + at): relation for at, (commit, relation) in enumerate(steps)}
    extract(configure(clone), warehouse)
    assert column(warehouse, "deployments", "deployment_id", "commit_relation") == expected


def test_each_commit_is_shipped_by_the_first_deployment_that_holds_it(clone, warehouse):
    """Two roots, a criss-cross merge, an octopus merge, and clocks that run backwards."""
    root = clone.commit(at=900)
    a1, b1 = clone.commit(root, at=800), clone.commit(root, at=810)
    a2, b2 = clone.commit(a1, b1, at=700), clone.commit(b1, a1, at=710)
    import_root = clone.commit(at=600, message="another root")
    imported = clone.commit(import_root, at=590)
    octopus = clone.commit(a2, b2, imported, at=500)
    unshipped = clone.commit(octopus, at=400)
    clone.branch("main", unshipped)
    last, first, middle = clone.deploy(octopus, 1003), clone.deploy(b1, 1001), clone.deploy(b2, 1002)
    extract(configure(clone), warehouse)
    assert shipped(warehouse) == {
        first: {root, b1},
        middle: {a1, b2},
        last: {a2, import_root, imported, octopus},
    }
    assert set(changes(warehouse, "is_merge").items()) >= {(a2, True), (octopus, True), (root, False)}


def test_deployments_of_one_instant_are_in_the_order_of_their_ids(clone, warehouse):
    first, second = clone.line(2)
    clone.branch("main", second)
    clone.tag("b-20240101", first)
    clone.tag("a-20240101", second)
    rule = {"tags": r"[ab]-(?P<timestamp>\d+)", "environment": "production"}
    extract(configure(clone, deployments=rule), warehouse)
    assert column(warehouse, "deployments", "version", "commit_relation") == {
        "a-20240101": "new",
        "b-20240101": "ancestor",
    }


def test_one_tag_may_deploy_to_two_environments_and_the_first_of_two_patterns_of_one_counts(clone, warehouse):
    [commit] = clone.line(1)
    clone.branch("main", commit)
    clone.tag("v20240102", commit)
    rules = [
        {"tags": TAGS, "environment": "production"},
        {"tags": "v.*", "environment": "production"},
        {"tags": "v.*", "environment": "staging"},
    ]
    extract(configure(clone, deployments=rules), warehouse)
    assert column(warehouse, "deployments", "deployment_id", "finished_at") == {
        "web:production:v20240102": datetime(2024, 1, 2),
        "web:staging:v20240102": time(1),
    }
    assert quarantine(warehouse) == {}


HOTFIX = {"tag": r"v\d+-urgent", "subject": r"(?i)^hotfix\b", "branch": r"hotfix/.*"}


@pytest.mark.parametrize(
    ("subject", "is_hotfix"),
    [
        ("Merge branch 'hotfix/login'", True),
        ("Merge branch 'hotfix/login' into 'main'", True),
        ("Merge remote-tracking branch 'origin/hotfix/login'", True),
        ("Merge pull request #1 from acme/hotfix/login", True),
        ("Merged in hotfix/login (pull request #12)", True),
        ("Hotfix: login (#3)", True),
        ("hotfixes page", False),
        ("Merge branch 'feature/hotfix/login'", False),
        ("Merge pull request #1 from hotfix/login", False),
        ("fix: Merge branch 'hotfix/login'", False),
    ],
)
def test_a_hotfix_is_what_its_subject_or_the_branch_it_merges_says(clone, warehouse, subject, is_hotfix):
    first = clone.commit()
    second = clone.commit(first, message=f"{subject}\n\nHotfix: in the body it is not asked for")
    last = clone.commit(second)
    clone.branch("main", last)
    clone.deploy(first, 10)
    hotfix = clone.deploy(last, 20)
    extract(configure(clone, deployments={"tags": TAGS, "environment": "production", "hotfix": HOTFIX}), warehouse)
    assert column(warehouse, "deployments", "deployment_id", "is_hotfix")[hotfix] is is_hotfix


def test_a_hotfix_is_the_deployment_that_ships_it_first_and_along_first_parents(clone, warehouse):
    old = clone.commit(message="hotfix: before the record")
    first = clone.commit(old)
    inside = clone.commit(first, message="hotfix: inside of a feature")
    feature = clone.commit(first, inside, message="Merge branch 'feature'")
    hotfix = clone.commit(feature, message="hotfix: it")
    later = clone.commit(hotfix)
    clone.branch("main", later)
    for minute, commit in enumerate([first, feature, hotfix, later, hotfix]):
        clone.deploy(commit, minute)
    clone.tag("v20240102-urgent", later)
    rule = {"tags": r"v(?P<timestamp>\d+)(-urgent)?", "environment": "production"}
    extract(configure(clone, deployments=rule), warehouse)
    assert set(column(warehouse, "deployments", "deployment_id", "is_hotfix").values()) == {None}
    settings = configure(clone, deployments=rule | {"hotfix": HOTFIX})
    extract(settings, warehouse)
    flags = warehouse.sql("select is_hotfix from raw.deployments order by finished_at").fetchall()
    assert flags == [(False,), (False,), (True,), (False,), (False,), (True,)]
    assert content(warehouse) == fresh(settings)


def test_the_first_deployment_is_a_hotfix_by_the_commit_that_it_deploys_alone(clone, warehouse):
    commit = clone.commit(message="hotfix: it")
    clone.branch("main", commit)
    clone.branch("production", commit)
    rule = {"release_branch": "production", "environment": "production", "hotfix": {"subject": "^hotfix"}}
    extract(configure(clone, deployments=rule), warehouse)
    assert warehouse.sql("select is_hotfix from raw.deployments").fetchall() == [(True,)]


# Several services in one repository


def monorepo(clone: Clone, *services: str) -> Settings:
    tags = {"web": TAGS, "api": r"(api-|v)(?P<timestamp>\d+)"}
    sources = [
        {"service": service, "deployments": {"tags": tags[service], "environment": "production"}}
        for service in services
    ]
    return configure(clone, *sources)


def test_services_of_one_repository_keep_each_others_deployments(clone, warehouse):
    first, second, third = clone.line(3)
    clone.branch("main", second)
    shared = clone.deploy(first, 10)
    clone.tag("api-20240102", third)
    settings = monorepo(clone, "web", "api")
    expected = {
        shared: {first},
        shared.replace("web", "api"): {first},
        "api:production:api-20240102": {second, third},
    }
    for source in (*settings.sources, *settings.sources):
        git.extract(source, settings, warehouse)
        assert shipped(warehouse) == expected
    assert set(changes(warehouse, "repository")) == {first, second, third}


def test_a_service_that_leaves_the_configuration_takes_its_deployments_along(clone, warehouse):
    first, second = clone.line(2)
    clone.branch("main", first)
    shared = clone.deploy(first, 10)
    clone.tag("api-20240102", second)
    extract(monorepo(clone, "api", "web"), warehouse)
    settings = monorepo(clone, "web")
    extract(settings, warehouse)
    assert shipped(warehouse) == {shared: {first}}
    assert content(warehouse) == fresh(settings)


def write_rules(clone: Clone, **paths: str) -> None:
    """services.csv with one row for each service and its path rules."""
    seeds = clone.path.parent / "seeds"
    seeds.mkdir(exist_ok=True)
    rows = "".join(f"{service},shop,worker,{globs}\n" for service, globs in paths.items())
    (seeds / "services.csv").write_text(f"service,team,component_kind,paths\n{rows}", encoding="utf-8")


def test_files_are_read_for_path_rules_and_what_none_may_match_is_left_out(clone, warehouse):
    root = clone.commit(files={"web/index.js": b"1", "api/naïve name": b"1", "README": b"1"})
    renamed = clone.commit(root, files={"web/index.js": b"1", "api/b": b"1", "README": b"1"})
    shared = clone.commit(renamed, files={"web/index.js": b"2", "api/b": b"2", "README": b"1"})
    readme = clone.commit(shared, files={"web/index.js": b"2", "api/b": b"2", "README": b"2"})
    merge = clone.commit(readme, root, files={"web/index.js": b"2", "api/b": b"2", "README": b"3"})
    clone.branch("main", merge)
    web = clone.deploy(merge, 10)
    api = web.replace("web", "api")
    settings = monorepo(clone, "web", "api")
    everything = {root, renamed, shared, readme, merge}

    write_rules(clone, web="", api="")
    extract(settings, warehouse)
    assert warehouse.sql("from raw.change_paths").fetchall() == []
    assert shipped(warehouse) == {web: everything, api: everything}

    write_rules(clone, web="", api="api/** **/*.md")
    extract(settings, warehouse)
    paths = warehouse.sql("select commit_sha, path from raw.change_paths").fetchall()
    assert set(paths) == {
        *((root, path) for path in ("web/index.js", "api/naïve name", "README")),
        *((renamed, path) for path in ("api/naïve name", "api/b")),
        *((shared, path) for path in ("web/index.js", "api/b")),
        (readme, "README"),
    }
    assert len(paths) == 8
    assert shipped(warehouse) == {web: everything, api: everything - {merge}}

    write_rules(clone, web="web/**/*.js web/*", api="api/**")
    extract(settings, warehouse)
    assert shipped(warehouse) == {web: {root, shared}, api: {root, renamed, shared}}
    assert content(warehouse) == fresh(settings)


def test_a_service_without_rules_at_some_time_is_left_all_changes(clone, warehouse):
    commit = clone.commit(files={"web/index.js": b"1"})
    clone.branch("main", commit)
    api = clone.deploy(commit, 10).replace("web", "api")
    write_rules(clone, api="api/**")
    with (clone.path.parent / "seeds/services.csv").open("a", encoding="utf-8") as file:
        file.write("api,shop,worker,\n")
    extract(monorepo(clone, "api"), warehouse)
    assert shipped(warehouse) == {api: {commit}}


def test_all_lines_of_a_repository_take_one_pass_over_its_graph(clone, warehouse, monkeypatch):
    line = clone.line(4)
    clone.branch("main", line[-1])
    for minute, commit in enumerate(line):
        clone.deploy(commit, minute)
    walk, walked = CommitGraph.earliest_reaching_each, []

    def record(self, lines):
        walked.append(len(lines))
        return walk(self, lines)

    monkeypatch.setattr(CommitGraph, "earliest_reaching_each", record)
    extract(monorepo(clone, "web", "api"), warehouse)
    # The other pass is along the default branch.
    assert sorted(walked) == [1, 2]


# Changes


def test_a_commit_is_merged_by_the_first_commit_of_the_default_branch_that_contains_it(clone, warehouse):
    base, pushed = clone.line(2)
    side = clone.line(2, base)
    merge = clone.commit(pushed, side[-1], message="Merge pull request #12 from ada/side\n\nTitle")
    later = clone.commit(merge, side[0])
    open_branch = clone.commit(merge, message="not merged")
    clone.branch("main", later)
    clone.deploy(open_branch, 30)
    extract(configure(clone), warehouse)
    assert changes(warehouse, "merge_commit_sha") == {
        base: base,
        pushed: pushed,
        side[0]: merge,
        side[1]: merge,
        merge: merge,
        later: later,
        open_branch: None,
    }
    assert changes(warehouse, "mainline_position") == {
        base: 1,
        pushed: 2,
        side[0]: 3,
        side[1]: 3,
        merge: 3,
        later: 4,
        open_branch: None,
    }
    merged_at = changes(warehouse, "merged_at")
    assert (merged_at[side[0]], merged_at[open_branch]) == (time(5), None)
    assert changes(warehouse, "committed_at")[side[0]] == time(3)


def test_commits_of_a_merged_pull_request_have_its_number_unless_they_have_their_own(clone, warehouse):
    base = clone.commit(message="first (#1)")
    side = clone.commit(base, message="work")
    picked = clone.commit(side, message="picked (#7)")
    merge = clone.commit(base, picked, message="Merge pull request #12 from ada/side\n\nTitle (#99)")
    other = clone.commit(base, message="more work")
    gitlab = clone.commit(merge, other, message="Merge branch 'x' into 'main'\n\nTitle\n\nSee merge request a/b!31")
    local = clone.commit(base, message="local work")
    unnamed = clone.commit(gitlab, local, message="Merge branch 'local'")
    clone.branch("main", unnamed)
    clone.deploy(unnamed, 30)
    extract(configure(clone), warehouse)
    assert changes(warehouse, "pull_request_number") == {
        base: 1,
        side: 12,
        picked: 7,
        merge: 12,
        other: 31,
        gitlab: 31,
        local: None,
        unnamed: None,
    }


@pytest.mark.parametrize(
    ("subject", "body", "number", "change_type", "reverted_subject", "reverted_commit"),
    [
        ("feat(cart)!: add a total (#120)", "", 120, "feat", None, None),
        ("Fix: rounding", "", None, "fix", None, None),
        ("jane: add a total", "", None, None, None, None),
        ("fixes a bug (#0)", "", None, None, None, None),
        ("a number too long (#12345678901234567890)", "", None, None, None, None),
        ("see (#12) for more", "", None, None, None, None),
        ("Merge pull request #12 from a/b-(#13)", "", 12, None, None, None),
        ("Merge branch 'x'", "Title\n\nSee merge request group/sub/project!31", 31, None, None, None),
        ('Revert "feat: total (#12)" (#15)', "", 15, None, "feat: total", None),
        ('Revert "feat: total (#12)"', "", None, None, "feat: total", None),
        ('Revert "Revert "total" (#1)" (#2)', "", 2, None, 'Revert "total"', None),
        ("revert: feat: total", "", None, "revert", "feat: total", None),
        ("Undo the total", "Why not.\n\nThis reverts commit 0123abcd.", None, None, None, "0123abcd"),
        ("Undo", "Perhaps this reverts commit 0123abcd.", None, None, None, None),
        ("", "", None, None, None, None),
    ],
)
def test_a_message_is_reduced_to_what_is_derived_from_it(
    subject, body, number, change_type, reverted_subject, reverted_commit
):
    message = git.read_message(subject, body)
    assert message[1:] == (number, change_type, reverted_subject, reverted_commit)


def test_a_revert_leads_to_the_commit_that_it_names_or_quotes(clone, warehouse):
    commits: dict[str, str] = {}

    def add(name, message, *parents, **options):
        commits[name] = clone.commit(*(commits[parent] for parent in parents), message=message, **options)

    add("root", "start")
    add("early", "feat: total (#3)", "root", at=50)
    add("late", "feat: total (#4)", "early", at=40)
    add("named", f"Undo\n\nThis reverts commit {commits['early']}.", "late")
    add("short", f"Undo\n\nThis reverts commit {commits['early'][:9]}, reversing it.", "named")
    add("quoted", 'Revert "feat: total (#4)" (#5)', "short")
    add("again", 'Revert "Revert "feat: total (#4)" (#5)" (#6)', "quoted")
    add("elsewhere", "fix: crash", "root")
    add("picked", f'Revert "feat: total"\n\nThis reverts commit {commits["quoted"]}.', "early")
    add("squash", f"feat: all of it (#9)\n\n* work\n\nThis reverts commit {commits['elsewhere']}.", "again")
    add("unknown", 'Revert "fix: crash"', "squash")
    clone.branch("main", commits["unknown"])
    clone.branch("side", commits["picked"])
    clone.deploy(commits["picked"], 90)
    clone.tag("v20240202", commits["elsewhere"])
    extract(configure(clone), warehouse)
    names = {commit: name for name, commit in commits.items()}
    reverts = changes(warehouse, "reverts_commit_sha")
    assert {names[commit]: names[reverted] for commit, reverted in reverts.items() if reverted} == {
        "named": "early",
        "short": "early",
        "quoted": "late",
        "again": "quoted",
        "picked": "early",
    }
    is_revert = changes(warehouse, "is_revert")
    assert {names[commit] for commit, flag in is_revert.items() if flag} == {
        *("named", "short", "quoted", "again", "picked", "unknown")
    }


def test_sizes_are_counted_on_request_with_renames_as_one_file(clone, warehouse):
    text = b"".join(b"line %d\n" % number for number in range(40))
    root = clone.commit(files={"a": text, "picture": b"\0\1"})
    renamed = clone.commit(root, files={"b": text + b"more\n", "picture": b"\0\2"})
    cut = clone.commit(renamed, files={"b": text})
    empty = clone.commit(cut, files={"b": text})
    merge = clone.commit(empty, root, files={"b": text})
    clone.branch("main", merge)
    clone.deploy(merge, 30)
    extract(configure(clone), warehouse)
    assert set(changes(warehouse, "files_changed").values()) == {None}
    assert warehouse.sql("from raw.change_paths").fetchall() == []
    extract(configure(clone, change_size=True), warehouse)
    assert set(warehouse.sql("select commit_sha, path from raw.change_paths").fetchall()) == {
        *((root, "a"), (root, "picture"), (cut, "b"), (cut, "picture")),
        *((renamed, "a"), (renamed, "b"), (renamed, "picture")),
    }
    rows = warehouse.sql("select commit_sha, (files_changed, lines_added, lines_deleted) from raw.changes").fetchall()
    assert dict(rows) == {
        root: (2, 40, 0),
        renamed: (2, 1, 0),
        cut: (2, 0, 1),
        empty: (0, 0, 0),
        merge: (None, None, None),
    }


def test_a_commit_with_an_impossible_time_is_quarantined_and_its_neighbours_arrive(clone, warehouse):
    first = clone.commit()
    ahead = clone.commit(first, authored=FUTURE)
    far = clone._run(
        *("hash-object", "-w", "-t", "commit", "--stdin", "--literally"),
        stdin=(
            f"tree {clone.empty}\nparent {ahead}\nauthor A <a@example.org> 99999999999999 +0000\n"
            f"committer C <c@example.org> {int(START.timestamp())} +0000\n\nfar\n"
        ).encode(),
    )
    last = clone.commit(far)
    clone.branch("main", last)
    shipping = clone.deploy(last, 30)
    _, batch, *_ = extract(configure(clone), warehouse)
    assert (batch.read, batch.loaded, batch.quarantined) == (4, 2, 2)
    assert quarantine(warehouse) == {
        f"commit {ahead}": "authored_at: in the future",
        f"commit {far}": "authored_at: in the future",
    }
    assert shipped(warehouse) == {shipping: {first, ahead, far, last}}


def test_names_and_messages_in_odd_encodings_do_no_harm(clone, warehouse):
    root = clone.commit(author="zo\u00eb@example.org", message=b"fix: caf\xe9 \xff (#3)\n")
    windows = clone.commit(root, message=f"Undo\r\n\r\nThis reverts commit {root}.\r\n")
    merge = clone.commit(windows, root, message="Merge branch\r\n\r\nTitle\r\n\r\nSee merge request a/b!4\r\n")
    empty = clone.commit(merge, message="", author="")
    clone.branch("main", empty)
    clone._run("pack-refs", "--all")
    with (clone.git_dir / "packed-refs").open("ab") as packed:
        packed.write(f"{root} refs/tags/v20240102-".encode() + b"caf\xe9\n")
    settings = configure(clone, deployments={"tags": r"v(?P<timestamp>\d+)-.*", "environment": "production"})
    extract(settings, warehouse)
    assert list(column(warehouse, "deployments", "version", "commit_sha")) == ["v20240102-caf\ufffd"]
    assert changes(warehouse, "pull_request_number") == {root: 3, windows: None, merge: 4, empty: None}
    assert changes(warehouse, "reverts_commit_sha")[windows] == root
    assert changes(warehouse, "author_key")[empty] is None
    assert quarantine(warehouse) == {}


def test_no_person_and_no_text_of_a_commit_reaches_a_file(clone):
    secret = clone.commit(
        author="Grace.Hopper@example.org",
        message="fix: wordplay (#2)\n\nReported-by: Alan <turing@example.org>\n\nThis reverts commit 0123abc.",
    )
    revert = clone.commit(secret, message='Revert "fix: wordplay (#2)"', author="grace.hopper@EXAMPLE.org ")
    ahead = clone.commit(revert, authored=FUTURE, author="quarantined@example.org")
    clone.branch("main", ahead)
    clone.deploy(ahead, 30)
    settings = configure(clone)
    with Warehouse(settings).connect() as connection:
        extract(settings, connection)
        keys = changes(connection, "author_key")
        assert keys[secret] == keys[revert]
        assert len(keys[secret]) == 64
        assert quarantine(connection) == {f"commit {ahead}": "authored_at: in the future"}
    files = [file for file in settings.data_dir.rglob("*") if file.is_file()]
    assert settings.warehouse_file in files
    for file in files:
        stored = file.read_bytes().lower()
        for word in (b"hopper", b"turing", b"carl", b"ada@", b"ada author", b"wordplay", b"example.org"):
            assert word not in stored, (file, word)


# Reading again


@pytest.fixture
def read_commits(monkeypatch):
    """The commits whose content is read."""
    read: list[str] = []
    fields = Repository._fields

    def record(self, shas, *names):
        read.extend(shas)
        return fields(self, shas, *names)

    monkeypatch.setattr(Repository, "_fields", record)
    return read


def test_nothing_is_read_again_while_nothing_is_new(clone, warehouse, read_commits, monkeypatch):
    line = clone.line(3)
    clone.branch("main", line[-1])
    clone.deploy(line[1], 30)
    settings = configure(clone)
    extract(settings, warehouse)
    before = content(warehouse)
    read_commits.clear()
    clone.tag("unrelated", line[0])
    monkeypatch.setattr(Repository, "graph", lambda *_: pytest.fail("the graph was read again"))
    assert extract(settings, warehouse) == []
    assert read_commits == []
    assert content(warehouse) == before


def test_only_new_commits_are_read_and_few_rows_touched(clone, warehouse, read_commits):
    line = clone.line(5)
    clone.branch("main", line[-1])
    clone.deploy(line[1], 30)
    settings = configure(clone)
    extract(settings, warehouse)
    read_commits.clear()
    new = clone.line(2, line[-1])
    clone.branch("main", new[-1])
    clone.deploy(new[0], 40)
    deployments, commits, _, deployment_changes = extract(settings, warehouse)
    assert set(read_commits) == set(new)
    assert (deployments.loaded, commits.loaded, deployment_changes.loaded) == (1, 2, 4)
    assert content(warehouse) == fresh(settings)


def test_a_stored_commit_that_is_merged_later_is_corrected(clone, warehouse, read_commits):
    base = clone.commit()
    side = clone.line(2, base)
    clone.branch("main", base)
    clone.deploy(side[-1], 30)
    settings = configure(clone)
    extract(settings, warehouse)
    assert changes(warehouse, "merge_commit_sha") == {base: base, side[0]: None, side[1]: None}
    read_commits.clear()
    merge = clone.commit(base, side[-1], message="Merge pull request #5 from a/b")
    clone.branch("main", merge)
    extract(settings, warehouse)
    assert set(read_commits) == {*side, merge}
    assert changes(warehouse, "pull_request_number") == {base: None, side[0]: 5, side[1]: 5, merge: 5}
    assert content(warehouse) == fresh(settings)


def test_a_late_quoted_revert_finds_a_commit_read_long_ago(clone, warehouse):
    target = clone.commit(message="feat: total (#1)")
    clone.branch("main", target)
    clone.deploy(target, 30)
    settings = configure(clone)
    extract(settings, warehouse)
    revert = clone.commit(target, message='Revert "feat: total (#1)" (#2)')
    clone.branch("main", revert)
    extract(settings, warehouse)
    assert changes(warehouse, "reverts_commit_sha") == {target: None, revert: target}


def test_a_new_tag_without_a_real_time_is_noticed_though_it_is_no_deployment(clone, warehouse):
    line = clone.line(1)
    clone.branch("main", line[-1])
    clone.deploy(line[-1], 30)
    settings = configure(clone)
    extract(settings, warehouse)
    clone.tag("v20241301", line[-1])
    extract(settings, warehouse)
    assert quarantine(warehouse) == {"tag v20241301": "finished_at: no date of 8, 12 or 14 digits"}


def test_a_quarantined_commit_of_a_known_merge_stays_in_quarantine(clone, warehouse):
    base = clone.commit()
    ahead = clone.commit(base, authored=FUTURE)
    merge = clone.commit(base, ahead, message="Merge pull request #5 from a/b")
    clone.branch("main", merge)
    clone.deploy(merge, 30)
    settings = configure(clone)
    extract(settings, warehouse)
    clone.branch("main", clone.commit(merge))
    extract(settings, warehouse)
    assert quarantine(warehouse) == {f"commit {ahead}": "authored_at: in the future"}
    assert content(warehouse) == fresh(settings)


def test_a_new_reading_of_commits_reads_all_of_them_again(clone, warehouse, read_commits, monkeypatch):
    line = clone.line(3)
    clone.branch("main", line[-1])
    clone.deploy(line[1], 30)
    settings = configure(clone)
    extract(settings, warehouse)
    read_commits.clear()
    monkeypatch.setattr(git, "READING_VERSION", git.READING_VERSION + 1)
    extract(settings, warehouse)
    assert set(read_commits) == set(line)


def test_a_failed_load_leaves_nothing_behind_and_is_made_good(clone, warehouse, monkeypatch):
    line = clone.line(3)
    clone.branch("main", line[-1])
    clone.deploy(line[1], 30)
    settings = configure(clone)
    load = git.load

    def break_off(connection, table, *arguments, **options):
        if table.name == "deployment_changes":
            raise PlumblineError("the disk is full")
        return load(connection, table, *arguments, **options)

    monkeypatch.setattr(git, "load", break_off)
    with pytest.raises(PlumblineError):
        extract(settings, warehouse)
    assert not any(content(warehouse).values())
    monkeypatch.setattr(git, "load", load)
    extract(settings, warehouse)
    assert content(warehouse) == fresh(settings)


@st.composite
def histories(draw):
    """Steps that grow or rewrite a history. Commits are named by the order in which they are made; the minute is
    that of a deployment. Subjects make reverts and pull requests likely."""
    messages = st.sampled_from(
        [
            "feat: a (#1)",
            "fix: b",
            'Revert "feat: a (#1)" (#4)',
            'Revert "fix: b"',
            "Merge pull request #3 from a/b",
            "Merge branch 'x'",
        ]
    )
    index = st.integers(0, 30)
    step = st.one_of(
        st.tuples(st.just("commit"), st.lists(index, max_size=3), messages, st.booleans()),
        st.tuples(st.just("commit"), st.lists(index, min_size=1, max_size=1), messages, st.just(True)),
        st.tuples(st.just("main"), index),
        st.tuples(st.just("deploy"), index, st.integers(0, 6)),
        st.tuples(st.just("undeploy"), st.integers(0, 6)),
        st.tuples(st.just("read")),
    )
    return draw(st.lists(step, min_size=4, max_size=16))


@given(histories())
@hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_reading_step_by_step_gives_what_reading_at_once_gives(tmp_path_factory, history):
    clone = Clone(tmp_path_factory.mktemp("history") / "shop.git")
    commits = [clone.commit(message="root")]
    clone.branch("main", commits[0])
    clone.deploy(commits[0], 1000)
    write_rules(clone, web="web/**")
    settings = configure(clone)
    with new_warehouse() as connection:
        for action, *details in [*history, ("read",)]:
            match action, details:
                case "commit", (parents, message, on_main):
                    unique = dict.fromkeys(commits[parent % len(commits)] for parent in parents)
                    folder = ("web", "api")[len(commits) % 2]
                    files = {f"{folder}/file": b"%d" % len(commits)}
                    commits.append(clone.commit(*unique, message=message, files=files))
                    if on_main:
                        clone.branch("main", commits[-1])
                case "main", (index,):
                    clone.branch("main", commits[index % len(commits)])
                case "deploy", (index, minute):
                    clone.deploy(commits[index % len(commits)], minute)
                case "undeploy", (minute,):
                    clone.git("update-ref", "-d", f"refs/tags/v{START + timedelta(minutes=minute):%Y%m%d%H%M%S}")
                case "read", _:
                    extract(settings, connection)
        assert content(connection) == fresh(settings)


# Repositories of every kind


def deployed(clone: Clone) -> list[str]:
    line = clone.line(2)
    clone.branch("main", line[-1])
    clone.deploy(line[-1], 30)
    return line


def test_a_work_tree_and_its_git_folder_and_a_linked_work_tree_read_alike(tmp_path, warehouse):
    clone = Clone(tmp_path / "shop", bare=False)
    line = deployed(clone)
    linked = tmp_path / "linked"
    clone.git("worktree", "add", "-q", "--detach", str(linked), "main")
    for path, name in ((clone.path, "shop"), (clone.git_dir, "shop"), (linked, "linked")):
        settings = configure(path, {})
        with new_warehouse() as connection:
            extract(settings, connection)
            assert changes(connection, "source") == dict.fromkeys(line, name)


def test_what_origin_has_comes_before_branches_of_the_clone(clone, tmp_path, warehouse):
    line = deployed(clone)
    copy = tmp_path / "copy"
    clone._run("clone", "-q", str(clone.path), str(copy), git_dir=False)
    newer = clone.commit(line[-1])
    clone.branch("main", newer)
    clone._run("-C", str(copy), "fetch", "-q", git_dir=False)
    for options in ({}, {"default_branch": "main"}, {"default_branch": "origin/main"}):
        with new_warehouse() as connection:
            extract(configure(copy, options), connection)
            assert changes(connection, "merge_commit_sha")[newer] == newer


def test_settings_of_users_and_replacements_change_nothing(clone, warehouse, monkeypatch, tmp_path):
    line = deployed(clone)
    renamed = clone.commit(line[-1], files={"a": b"text\n" * 30})
    clone.branch("main", renamed)
    expected = fresh(configure(clone, change_size=True))
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[log]\nshowSignature = true\ndecorate = full\n[color]\nui = always\n[format]\npretty = oneline\n"
        "[diff]\nnoprefix = true\nexternal = false\n[i18n]\nlogOutputEncoding = utf-16\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    other = clone.commit(message="a replacement", files={"x": b"x"})
    clone.git("replace", line[0], other)
    (clone.git_dir / "info/grafts").write_text(f"{line[1]}\n", encoding="ascii")
    assert fresh(configure(clone, change_size=True)) == expected


# What leads nowhere


def refuse(settings: Settings, error: type[PlumblineError], text: str) -> None:
    with new_warehouse() as connection:
        with pytest.raises(error) as caught:
            extract(settings, connection)
        assert type(caught.value) is error
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not any(content(connection).values())


def test_a_missing_folder_and_a_folder_inside_another_repository_are_no_repository(tmp_path):
    clone = Clone(tmp_path / "shop", bare=False)
    deployed(clone)
    inside = clone.path / "packages"
    inside.mkdir()
    (clone.path / "file").touch()
    refuse(configure(clone.path / "gone", {}), ConfigurationError, "no such folder")
    refuse(configure(clone.path / "file", {}), ConfigurationError, "no such folder")
    refuse(configure(inside, {}), ConfigurationError, "not a git repository")


def test_an_empty_repository_is_said_to_be_empty(clone):
    refuse(configure(clone), PlumblineError, "the repository is empty")
    refuse(configure(clone, default_branch="main"), PlumblineError, "the repository is empty")


def test_a_shallow_clone_is_refused_with_the_cure(clone, tmp_path):
    deployed(clone)
    shallow = tmp_path / "shallow"
    clone._run("clone", "-q", "--depth=1", f"file://{clone.path}", str(shallow), git_dir=False)
    refuse(configure(shallow, {}), PlumblineError, f"git -C {shallow} fetch --unshallow")


def test_a_partial_clone_gives_everything_but_sizes(clone, tmp_path, warehouse):
    line = deployed(clone)
    clone.git("config", "uploadpack.allowFilter", "true")
    partial = tmp_path / "partial"
    clone._run("clone", "-q", "--bare", "--filter=blob:none", f"file://{clone.path}", str(partial), git_dir=False)
    extract(configure(partial, {}), warehouse)
    assert set(changes(warehouse, "source")) == set(line)
    refuse(configure(partial, {"change_size": True}), ConfigurationError, "leave out change_size")


def test_a_pattern_without_tags_names_itself_and_some_tags(clone):
    line = deployed(clone)
    rule = {"tags": r"prod-(?P<timestamp>\d+)", "environment": "production"}
    refuse(configure(clone, deployments=rule), ConfigurationError, r"'prod-(?P<timestamp>\d+)' (web, production)")
    refuse(configure(clone, deployments=rule), ConfigurationError, "such as v20240101003000")
    clone.git("update-ref", "-d", "refs/tags/v20240101003000", line[-1])
    refuse(configure(clone), ConfigurationError, "the repository has no tags")


def test_unknown_branches_are_named_with_those_that_exist(clone):
    deployed(clone)
    rule = {"release_branch": "release", "environment": "production"}
    refuse(configure(clone, deployments=rule), ConfigurationError, "no branch 'release'; branches there: main")
    refuse(configure(clone, default_branch="trunk"), ConfigurationError, "no branch 'trunk'; branches there: main")
    clone.git("symbolic-ref", "HEAD", "refs/heads/master")
    refuse(configure(clone), ConfigurationError, "set default_branch; branches there: main")


def test_two_default_branches_of_one_repository_contradict_each_other(clone):
    deployed(clone)
    clone.branch("trunk", clone.commit())
    settings = configure(
        clone, {"service": "web", "default_branch": "main"}, {"service": "api", "default_branch": "trunk"}
    )
    refuse(settings, ConfigurationError, "default_branch is main and trunk")


def test_two_repositories_of_one_name_are_refused(tmp_path):
    first, second = tmp_path / "a/shop.git", tmp_path / "b/shop"
    with pytest.raises(ConfigurationError, match=r"sources\[1\]: .* both named shop"):
        configure(tmp_path / "x", {"repository": str(first)}, {"repository": str(second), "service": "api"})


def test_a_damaged_repository_is_reported_in_one_line(clone):
    line = deployed(clone)
    (clone.git_dir / "objects" / line[0][:2] / line[0][2:]).unlink()
    refuse(configure(clone), PlumblineError, "git rev-list: ")


def test_without_git_the_need_for_it_is_said(clone, monkeypatch):
    deployed(clone)
    settings = configure(clone)
    monkeypatch.setenv("PATH", "")
    refuse(settings, PlumblineError, "install git")


def test_a_circle_in_the_graph_is_reported_with_the_repository_and_a_commit_on_it(clone, warehouse, monkeypatch):
    first, second = clone.line(2)
    clone.branch("main", second)
    clone.deploy(first, 10)
    run = Repository._git

    def circular(self, *arguments, **options):
        if "--parents" in arguments:
            return f"1 {first} {second}\n1 {second} {first}\n".encode()
        return run(self, *arguments, **options)

    monkeypatch.setattr(Repository, "_git", circular)
    with pytest.raises(PlumblineError, match=rf"shop\.git: commit ({first}|{second}) is its own ancestor"):
        extract(configure(clone), warehouse)
    assert not any(content(warehouse).values())
