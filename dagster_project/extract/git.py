"""A local git clone → deployments, changes (commits) and which deployment shipped which commit first.

All entries of plumbline.yaml that name one repository (a monorepo with many services) are read as one, whichever of
them is asked for, and the clone is the record: what it no longer has leaves the raw tables.

A deployment's id is `service:environment:tag`, or `service:environment:position-sha` for a commit of a release branch
(its position on the branch keeps commits of one second in order). So one tag may deploy several services, or one
service to several environments. Where two patterns of one service and environment match a tag, the first one counts.

Nothing is read again while the deployments and the tip of the default branch stay as they are. When they move, the
graph is read whole (it is cheap), and the content of those commits alone that are new or reached the default branch
another way. When stored commits are gone (rewritten history), all are read again.

The files that commits touch are read with `change_size`, or if services.csv gives path rules to a service of the
repository. Which changes belong to a service is decided in dbt; but what touches no file under the literal beginning of
any of its rules is left out of deployment_changes here, or fifty services of one repository would mean fifty rows for
each commit.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, chain
from typing import NamedTuple

import duckdb
import polars as pl

from dagster_project.contracts import CHANGE_PATHS, CHANGES, DEPLOYMENT_CHANGES, DEPLOYMENTS
from dagster_project.errors import ConfigurationError
from dagster_project.extract.commit_graph import UNREACHED, CommitGraph
from dagster_project.extract.git_repository import Repository, Size, impersonal
from dagster_project.load import CLOCK_TOLERANCE, Batch, Rejected, load
from dagster_project.reference import path_rules
from dagster_project.settings import Deployments, GitSource, Hotfix, Settings
from dagster_project.warehouse import transaction

# Raise it when a commit is read in another way: all stored commits are then read again.
READING_VERSION = 2

TIMESTAMP_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}

TIMES = ("authored_at", "committed_at", "merged_at")

# Any other word before a colon may be a person's name. Those of conventional commits, and hotfix.
CHANGE_TYPES = ("build", "chore", "ci", "docs", "feat", "fix", "hotfix", "perf", "refactor", "revert", "style", "test")
CHANGE_TYPE = re.compile(rf"({'|'.join(CHANGE_TYPES)})(?:\([^)]*\))?!?:", re.IGNORECASE)

# Nine digits at most: what is longer is no pull request, and would not fit the column.
NUMBER = r"([1-9]\d{0,8})"
SQUASHED_NUMBER = re.compile(rf"\s*\(#{NUMBER}\)$")
PULL_REQUEST_NUMBERS = (
    (re.compile(rf"Merge pull request #{NUMBER} from "), "subject"),
    (re.compile(rf"^See merge request \S*!{NUMBER}$", re.MULTILINE), "body"),
    (SQUASHED_NUMBER, "subject"),
)
# What hosts and git itself write when they merge a branch.
MERGED_BRANCHES = (
    re.compile(r"Merge branch '([^']+)'"),
    re.compile(r"Merge remote-tracking branch '[^/']+/([^']+)'"),
    re.compile(r"Merge pull request #\d+ from [^/\s]+/(\S+)"),
    re.compile(r"Merged in (\S+) \(pull request #\d+\)"),
)
REVERTED_SUBJECT = re.compile(r'Revert "(?P<quoted>.+)"|revert(?:\([^)]*\))?!?:\s*(?P<typed>.+)', re.IGNORECASE)
REVERTED_COMMIT = re.compile(r"^This reverts commit ([0-9a-f]{7,64})\b", re.MULTILINE)


class Message(NamedTuple):
    """What is kept of a commit's message; `subject`, without a pull-request number, in memory alone."""

    subject: str
    pull_request_number: int | None
    change_type: str | None
    reverted_subject: str | None
    reverted_commit: str | None


class Commit(NamedTuple):
    """What is kept of a commit's content: `authored_at` in seconds since 1970, `author` an e-mail address."""

    authored_at: int | None
    author: str
    message: Message


@dataclass(frozen=True)
class Deployment:
    """One deployment. Times are seconds since 1970.

    `ordered_at` is `finished_at`, but on a release branch never before that of the commit's first parent, whatever
    the committers' clocks said. `hotfix` is the rule that says whether it is one.
    """

    deployment_id: str
    service: str
    environment: str
    finished_at: int
    ordered_at: int
    commit_sha: str
    version: str | None
    hotfix: Hotfix | None


@dataclass(frozen=True)
class Clone:
    """A repository, the tip of its default branch, and the deployments that the configured sources read from it.

    `rules` are the path rules of its services: the globs in each of a service's rows in services.csv.
    """

    repository: Repository
    tip: str
    deployments: list[Deployment]
    rejected: list[Rejected]
    change_size: bool
    rules: dict[str, list[list[str]]]

    @property
    def reads_paths(self) -> bool:
        return self.change_size or any(globs for rows in self.rules.values() for globs in rows)

    @property
    def beginnings(self) -> list[tuple[str, str]]:
        """(service, literal beginning of one of its globs) of the services that have path rules at all times."""
        return sorted(
            {
                (service, glob.partition("*")[0])
                for service, rows in self.rules.items()
                if all(rows)
                for globs in rows
                for glob in globs
            }
        )


def open_clone(source: GitSource, settings: Settings, connection: duckdb.DuckDBPyConnection) -> Clone:
    """Read what is cheap to read: refs and tags, no commit. Raises as `extract` does."""
    entries = [
        entry for entry in settings.sources if isinstance(entry, GitSource) and entry.repository == source.repository
    ]
    change_size = any(entry.change_size for entry in entries)
    repository = Repository(source.repository)
    if change_size and repository.is_partial():
        raise ConfigurationError(
            f"{repository.path}: partial clone, which lacks the content that change_size counts; "
            "make a full clone, or leave out change_size"
        )
    tip = repository.default_branch(_default_branch_name(entries))
    deployments, rejected = _deployments(repository, entries, _latest_time(connection))
    services = {entry.service for entry in entries}
    rules = {service: rows for service, rows in path_rules(settings.reference_dir).items() if service in services}
    return Clone(repository, tip, deployments, rejected, change_size, rules)


def extract(source: GitSource, settings: Settings, connection: duckdb.DuckDBPyConnection) -> list[Batch]:
    """Bring the tables of a clone up to date with it; returns [] if nothing is new.

    Raises ConfigurationError where the repository, a branch or a tag pattern leads nowhere, PlumblineError where the
    clone cannot be read or is incomplete.
    """
    clone = open_clone(source, settings, connection)
    repository, tip, deployments = clone.repository, clone.tip, clone.deployments

    reading = {"version": READING_VERSION, "change_size": clone.change_size, "paths": clone.reads_paths}
    fingerprint = hashlib.sha256(repr((tip, deployments, clone.rejected, clone.beginnings)).encode()).hexdigest()
    state = {"reading": reading, "fingerprint": fingerprint}
    before = _stored_state(connection, source.name)
    if before == state:
        return []

    graph, committed_at = repository.graph({tip, *(deployment.commit_sha for deployment in deployments)})
    stored = _stored_merge_commits(connection, source.name) if before.get("reading") == reading else {}
    if not stored.keys() <= graph.parents.keys():
        stored = {}
    changes = _new_changes(repository, source.name, graph, committed_at, tip, stored, clone.change_size)
    commits = changes["commit_sha"].to_list() if clone.reads_paths else []
    paths = pl.DataFrame(
        list(repository.paths([sha for sha in commits if len(graph.parents[sha]) < 2])),
        {"commit_sha": pl.String, "path": pl.String},
        orient="row",
    )
    lines = _lines(deployments)
    earliest = graph.earliest_reaching_each([[deployment.commit_sha for deployment in line] for line in lines])
    deployed = _deployed(graph, lines, earliest, _hotfixes(repository, graph, lines, earliest))
    with transaction(connection):
        batches = [
            load(
                connection,
                DEPLOYMENTS,
                deployed,
                source=source.name,
                origin=source.name,
                places=lambda rows: [f"deployment {deployed['deployment_id'][row - 1]}" for row in rows],
                rejected=clone.rejected,
                mirror=True,
            ),
            load(
                connection,
                CHANGES,
                changes,
                source=source.name,
                origin=source.name,
                places=lambda rows: [f"commit {changes['commit_sha'][row - 1]}" for row in rows],
                mirror=not stored,
            ),
            load(
                connection,
                CHANGE_PATHS,
                paths,
                source=source.name,
                origin=source.name,
                places=lambda rows: [f"commit {paths['commit_sha'][row - 1]}" for row in rows],
                mirror=not stored,
            ),
        ]
        shipped = _shipped(lines, earliest, _touched(connection, source.name, clone.beginnings))
        batches.append(
            load(connection, DEPLOYMENT_CHANGES, shipped, source=source.name, origin=source.name, mirror=True)
        )
        connection.execute("delete from raw.source_state where source = ?", [source.name])
        connection.execute(
            "insert into raw.source_state values (?, ?, now()::timestamp)", [source.name, json.dumps(state)]
        )
    return batches


def _default_branch_name(entries: Sequence[GitSource]) -> str | None:
    names = sorted({entry.default_branch for entry in entries if entry.default_branch})
    if len(names) > 1:
        raise ConfigurationError(
            f"{entries[0].repository}: default_branch is {' and '.join(names)} in different sources; name one"
        )
    return names[0] if names else None


def _latest_time(connection) -> float:
    """Seconds since 1970 from which a time is in the future."""
    return connection.sql(f"select epoch(timezone('UTC', now()) + {CLOCK_TOLERANCE})").fetchone()[0]


def _stored_state(connection, source: str) -> dict:
    row = connection.execute("select state from raw.source_state where source = ?", [source]).fetchone()
    return json.loads(row[0]) if row else {}


def _stored_merge_commits(connection, source: str) -> dict[str, str | None]:
    query = "select commit_sha, merge_commit_sha from raw.changes where source = ?"
    return dict(connection.execute(query, [source]).fetchall())


def _touched(connection, source: str, beginnings: Sequence[tuple[str, str]]) -> dict[str, pl.DataFrame]:
    """service → the commits that touch a file under one of its `beginnings`, for the services that have any."""
    schema = {"service": pl.String, "beginning": pl.String}
    connection.register("beginnings", pl.DataFrame(beginnings, schema, orient="row").to_arrow())
    touched = connection.execute(
        "select distinct service, commit_sha from raw.change_paths join beginnings on starts_with(path, beginning) "
        "where source = ?",
        [source],
    ).pl()
    connection.unregister("beginnings")
    return {service: touched.filter(service=service) for service, _ in beginnings}


# Deployments


def _deployments(
    repository: Repository, entries: Sequence[GitSource], latest: float
) -> tuple[list[Deployment], list[Rejected]]:
    found: dict[str, Deployment] = {}
    rejected: list[Rejected] = []
    for entry in entries:
        for rule in entry.deployments:
            read = _tagged if rule.tags is not None else _released
            for item in read(repository, entry.service, rule, latest):
                if isinstance(item, Rejected):
                    rejected.append(item)
                else:
                    found.setdefault(item.deployment_id, item)
    return list(found.values()), rejected


def _tagged(repository: Repository, service: str, rule: Deployments, latest: float) -> Iterator[Deployment | Rejected]:
    """The deployments that tags record."""
    pattern = re.compile(rule.tags)
    matches = [(tag, match) for tag in repository.tags if (match := pattern.fullmatch(tag.name))]
    if not matches:
        examples = ", ".join(impersonal(tag.name for tag in repository.tags)[-5:])
        raise ConfigurationError(
            f"{repository.path}: no tag matches deployments.tags '{rule.tags}' ({service}, {rule.environment}); "
            + (f"it must match a whole name, such as {examples}" if examples else "the repository has no tags")
        )
    commits = repository.peel([tag.object for tag, _ in matches])
    for (tag, match), commit in zip(matches, commits, strict=True):
        written = match.groupdict().get("timestamp")
        time = tag.created_at if written is None else _seconds(written)
        if commit is None:
            problem = "points at no commit"
        elif time is None:
            problem = (
                "finished_at: no date of 8, 12 or 14 digits"
                if written is not None
                else "finished_at: the tag has no date"
            )
        elif time > latest:
            problem = "finished_at: in the future"
        else:
            deployment_id = f"{service}:{rule.environment}:{tag.name}"
            yield Deployment(deployment_id, service, rule.environment, time, time, commit, tag.name, rule.hotfix)
            continue
        yield Rejected(f"tag {tag.name}", problem, tag.name.encode())


def _seconds(written: str) -> int | None:
    digits = re.sub(r"[^0-9]", "", written)
    try:
        return int(datetime.strptime(digits, TIMESTAMP_FORMATS[len(digits)]).replace(tzinfo=UTC).timestamp())
    except (KeyError, ValueError):
        return None


def _released(
    repository: Repository, service: str, rule: Deployments, latest: float
) -> Iterator[Deployment | Rejected]:
    """The deployments that a release branch records."""
    line = repository.first_parent_line(repository.branch(rule.release_branch))
    ordered_at = accumulate((time if time <= latest else 0 for _, time in line), max)
    for position, ((commit, time), order) in enumerate(zip(line, ordered_at, strict=True), start=1):
        if time > latest:
            yield Rejected(f"commit {commit}", "finished_at: in the future", commit.encode())
            continue
        deployment_id = f"{service}:{rule.environment}:{position:07}-{commit}"
        yield Deployment(deployment_id, service, rule.environment, time, order, commit, None, rule.hotfix)


def _lines(deployments: Iterable[Deployment]) -> list[list[Deployment]]:
    """The deployments of each service to each environment, in their order."""
    lines: dict[tuple[str, str], list[Deployment]] = defaultdict(list)
    for deployment in deployments:
        lines[deployment.service, deployment.environment].append(deployment)
    for line in lines.values():
        line.sort(key=lambda deployment: (deployment.ordered_at, deployment.deployment_id))
    return list(lines.values())


def _hotfixes(
    repository: Repository,
    graph: CommitGraph,
    lines: Sequence[Sequence[Deployment]],
    earliest: dict[str, tuple[int, ...]],
) -> dict[str, bool]:
    """deployment_id → whether it is a hotfix, for the deployments that have a rule for it."""
    ships: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        for position, deployment in enumerate(line):
            if not deployment.hotfix:
                continue
            shipped = ships[deployment.deployment_id] = []
            commit = deployment.commit_sha
            while commit in graph.parents and earliest[commit][number] == position:
                shipped.append(commit)
                # What lies below the first deployment predates the record.
                if position == 0 or not graph.parents[commit]:
                    break
                commit = graph.parents[commit][0]
    subjects = dict(repository.subjects(list(dict.fromkeys(chain.from_iterable(ships.values())))))
    return {
        deployment.deployment_id: _is_hotfix(
            deployment.hotfix, deployment.version, (subjects[commit] for commit in ships[deployment.deployment_id])
        )
        for deployment in chain.from_iterable(lines)
        if deployment.hotfix
    }


def _is_hotfix(rule: Hotfix, tag: str | None, subjects: Iterable[str]) -> bool:
    if rule.tag and tag and re.fullmatch(rule.tag, tag):
        return True
    for subject in subjects:
        if rule.subject and re.search(rule.subject, subject):
            return True
        branches = (match.group(1) for pattern in MERGED_BRANCHES if (match := pattern.match(subject)))
        if rule.branch and any(re.fullmatch(rule.branch, branch) for branch in branches):
            return True
    return False


def _deployed(
    graph: CommitGraph,
    lines: Sequence[Sequence[Deployment]],
    earliest: dict[str, tuple[int, ...]],
    hotfixes: dict[str, bool],
) -> pl.DataFrame:
    """Rows of deployments, with the relation of each commit to those before in its line."""
    rows = []
    for number, line in enumerate(lines):
        for position, deployment in enumerate(line):
            commit = deployment.commit_sha
            replaced = line[position - 1].commit_sha
            if earliest[commit][number] == position:
                relation = "new"
            elif commit == replaced:
                relation = "same"
            else:
                relation = "ancestor" if graph.is_ancestor(commit, replaced) else "returned"
            rows.append(
                (
                    deployment.deployment_id,
                    deployment.service,
                    deployment.environment,
                    "success",
                    deployment.finished_at,
                    commit,
                    deployment.version,
                    relation,
                    hotfixes.get(deployment.deployment_id),
                )
            )
    schema = {
        "deployment_id": pl.String,
        "service": pl.String,
        "environment": pl.String,
        "status": pl.String,
        "finished_at": pl.Int64,
        "commit_sha": pl.String,
        "version": pl.String,
        "commit_relation": pl.String,
        "is_hotfix": pl.Boolean,
    }
    return pl.DataFrame(rows, schema, orient="row").with_columns(pl.from_epoch("finished_at"))


def _shipped(
    lines: Sequence[Sequence[Deployment]],
    earliest: dict[str, tuple[int, ...]],
    touched: dict[str, pl.DataFrame],
) -> pl.DataFrame:
    """Rows of deployment_changes; of a service in `touched` those of its commits there."""
    # Commits that are reached alike, in few groups, are looked up once for each line.
    groups = {id(positions): positions for positions in earliest.values()}
    of_commits = [id(positions) for positions in earliest.values()]
    commits = pl.DataFrame({"commit_sha": list(earliest), "group": of_commits})
    shipped = [pl.DataFrame(schema={"deployment_id": pl.String, "commit_sha": pl.String})]
    for number, line in enumerate(lines):
        reached = {group: positions[number] for group, positions in groups.items() if positions[number] != UNREACHED}
        by_group = pl.DataFrame(
            {"group": list(reached), "deployment_id": [line[position].deployment_id for position in reached.values()]}
        )
        service = line[0].service
        of_service = commits.join(touched[service], on="commit_sha", how="semi") if service in touched else commits
        shipped.append(of_service.join(by_group, on="group").select("deployment_id", "commit_sha"))
    return pl.concat(shipped)


# Changes


def _new_changes(
    repository: Repository,
    name: str,
    graph: CommitGraph,
    committed_at: dict[str, int],
    tip: str,
    stored: dict[str, str | None],
    change_size: bool,
) -> pl.DataFrame:
    """Rows of changes that are not stored, or were merged by another commit than `stored` says."""
    line = graph.first_parent_line(tip)
    merge_commit = {sha: line[position] for sha, position in graph.earliest_reaching(line).items()}
    new = [sha for sha in graph.parents if sha not in stored or stored[sha] != merge_commit.get(sha)]
    # The pull request of a commit may stand in the message of its merge.
    wanted = list(dict.fromkeys([*new, *(merge_commit[sha] for sha in new if sha in merge_commit)]))
    commits = {
        commit.sha: Commit(commit.authored_at, commit.author, read_message(commit.subject, commit.body))
        for commit in repository.commits(wanted)
    }
    reverted = _reverted(repository, graph, commits)
    sizes = repository.sizes([sha for sha in wanted if len(graph.parents[sha]) < 2]) if change_size else {}
    positions = {sha: position for position, sha in enumerate(line, start=1)}
    return _rows_of_changes(name, graph, committed_at, merge_commit, positions, commits, sizes, reverted)


def read_message(subject: str, body: str) -> Message:
    """What is kept of a commit's message: numbers, a type from a fixed list, and what it says that it reverts."""
    number = None
    for pattern, part in PULL_REQUEST_NUMBERS:
        if match := pattern.search(subject if part == "subject" else body):
            number = int(match.group(1))
            break
    change_type = CHANGE_TYPE.match(subject)
    bare = without_number(subject)
    reverted = REVERTED_SUBJECT.fullmatch(bare)
    commit = REVERTED_COMMIT.search(body)
    return Message(
        subject=bare,
        pull_request_number=number,
        change_type=change_type.group(1).lower() if change_type else None,
        reverted_subject=without_number(reverted["quoted"] or reverted["typed"]) if reverted else None,
        reverted_commit=commit.group(1) if commit else None,
    )


def without_number(subject: str) -> str:
    """A subject without the pull-request number that a squash merge puts at its end."""
    return SQUASHED_NUMBER.sub("", subject)


def _reverted(repository: Repository, graph: CommitGraph, commits: dict[str, Commit]) -> dict[str, str]:
    """commit → the commit that it reverts: the one it names, else the latest of the subject it quotes.

    It must be an ancestor: a squash merge also quotes reverts within its branch, and a revert that was picked onto
    another branch names a commit of the first one. An ancestor is also one whatever is added to the history later.
    """
    reverted: dict[str, str] = {}
    quoting: dict[str, list[str]] = defaultdict(list)
    hashes: list[str] = []
    for sha, commit in commits.items():
        if prefix := commit.message.reverted_commit:
            hashes = hashes or sorted(graph.parents)
            start = bisect_left(hashes, prefix)
            named = hashes[start : bisect_left(hashes, prefix + "g", start)]
            if found := graph.latest_ancestor(sha, named):
                reverted[sha] = found
                continue
        if subject := commit.message.reverted_subject:
            quoting[subject].append(sha)
    if not quoting:
        return reverted
    others = repository.subjects([sha for sha in graph.parents if sha not in commits])
    candidates: dict[str, list[str]] = defaultdict(list)
    for sha, subject in chain(
        ((sha, commit.message.subject) for sha, commit in commits.items()),
        ((sha, without_number(subject)) for sha, subject in others),
    ):
        if subject in quoting:
            candidates[subject].append(sha)
    for subject, found in candidates.items():
        for sha in quoting[subject]:
            if ancestor := graph.latest_ancestor(sha, found):
                reverted[sha] = ancestor
    return reverted


def _rows_of_changes(
    name: str,
    graph: CommitGraph,
    committed_at: dict[str, int],
    merge_commit: dict[str, str],
    positions: dict[str, int],
    commits: dict[str, Commit],
    sizes: dict[str, Size],
    reverted: dict[str, str],
) -> pl.DataFrame:
    """Rows of changes for `commits`. A commit without a pull request of its own has that of its merge."""
    parts = list(commits.items())
    merges = [merge_commit.get(sha) for sha in commits]
    unmeasured = Size(None, None, None)
    return pl.DataFrame(
        {
            "commit_sha": list(commits),
            "repository": [name for _ in parts],
            "authored_at": [commit.authored_at for _, commit in parts],
            "committed_at": [committed_at[sha] for sha in commits],
            "merged_at": [committed_at[merge] if merge else None for merge in merges],
            "merge_commit_sha": merges,
            "mainline_position": [positions.get(merge) for merge in merges],
            "is_merge": [len(graph.parents[sha]) > 1 for sha in commits],
            "pull_request_number": [
                commit.message.pull_request_number or commits[merge_commit.get(sha, sha)].message.pull_request_number
                for sha, commit in parts
            ],
            "author_key": [commit.author for _, commit in parts],
            "change_type": [commit.message.change_type for _, commit in parts],
            "is_revert": [sha in reverted or commit.message.reverted_subject is not None for sha, commit in parts],
            "reverts_commit_sha": [reverted.get(sha) for sha in commits],
            "files_changed": [sizes.get(sha, unmeasured).files_changed for sha in commits],
            "lines_added": [sizes.get(sha, unmeasured).lines_added for sha in commits],
            "lines_deleted": [sizes.get(sha, unmeasured).lines_deleted for sha in commits],
        },
        schema_overrides=dict.fromkeys((*TIMES, "mainline_position"), pl.Int64),
    ).with_columns(pl.from_epoch(column) for column in TIMES)
