"""A git clone, read through git's plumbing commands."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from shutil import which
from tempfile import TemporaryFile
from typing import NamedTuple

from dagster_project.errors import ConfigurationError, PlumblineError
from dagster_project.extract.commit_graph import CommitGraph

# Commits whose messages are held in memory at once.
COMMITS_PER_READ = 20_000

# Last second of the year 9999: a later time is as wrong, but is no date.
LAST_SECOND = 253_402_300_799

PROMISOR = re.compile(rb"remote\..*\.promisor=true")
COUNTS = re.compile(rb"(\d+) (file|insertion|deletion)")


def impersonal(names: Iterable[str]) -> list[str]:
    """The names, each once, that may stand in a message: `login/topic` or an e-mail would name a person."""
    return [name for name in dict.fromkeys(names) if not re.search(r"[/@]", name)]


class Tag(NamedTuple):
    """A tag: `created_at` is the tagger's time or, of a lightweight tag, the commit's, in seconds since 1970."""

    name: str
    object: str
    created_at: int | None


class Commit(NamedTuple):
    """Content of a commit: `authored_at` in seconds since 1970, `author` an e-mail address."""

    sha: str
    authored_at: int | None
    author: str
    subject: str
    body: str


class Size(NamedTuple):
    """Size of a commit against its parent; a renamed file counts once, a binary file without lines."""

    files_changed: int | None
    lines_added: int | None
    lines_deleted: int | None


class Repository:
    """A clone, bare or with a work tree. No setting of a user, graft or replacement changes what is read.

    Raises ConfigurationError if the path is none, PlumblineError if the clone is shallow or empty, or git fails.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not which("git"):
            raise PlumblineError("git is not installed, and git sources need it; install git")
        if not path.is_dir():
            raise ConfigurationError(f"{path}: no such folder; set repository to a local clone")
        try:
            shallow = self._git("rev-parse", "--is-shallow-repository").strip() == b"true"
        except PlumblineError as error:
            raise ConfigurationError(f"{error}; set repository to a local clone") from None
        if shallow:
            raise PlumblineError(
                f"{path}: shallow clone, whose history is incomplete; run `git -C {path} fetch --unshallow --tags`"
            )
        if not self._git("for-each-ref", "--count=1"):
            raise PlumblineError(f"{path}: the repository is empty; fetch into it, or remove the source")

    def _git(self, *arguments: str, lines: Iterable[str] = ()) -> bytes:
        """Output of a git command that reads `lines`."""
        git_dir = self.path / ".git" if (self.path / ".git").exists() else self.path
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_FLUSH": "0",
            "GIT_GRAFT_FILE": os.devnull,
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }
        try:
            # Through a file, since subprocess feeds a pipe in pieces of 512 bytes.
            with TemporaryFile() as standard_input:
                standard_input.writelines(f"{line}\n".encode() for line in lines)
                standard_input.seek(0)
                done = subprocess.run(
                    ["git", f"--git-dir={git_dir}", *arguments],
                    stdin=standard_input,
                    capture_output=True,
                    env=environment,
                    check=True,
                )
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[0]
            raise PlumblineError(f"{self.path}: git {arguments[0]}: {reason.removeprefix('fatal: ')}") from None
        return done.stdout

    def is_partial(self) -> bool:
        """Whether the content of files is still at the remote (`git clone --filter`)."""
        return any(PROMISOR.fullmatch(line) for line in self._git("config", "--list").splitlines())

    # References

    def branch(self, name: str) -> str:
        """Tip of a branch. That of `origin` comes before the clone's own branch, which may be behind."""
        for reference in (f"refs/remotes/origin/{name}", f"refs/heads/{name}", f"refs/remotes/{name}"):
            if tip := self._commit(reference):
                return tip
        raise ConfigurationError(f"{self.path}: no branch {name!r}; {self._branches()}")

    def default_branch(self, name: str | None) -> str:
        """Tip of the default branch: the one named, else that of `origin`, else HEAD."""
        if name:
            return self.branch(name)
        tip = self._commit("refs/remotes/origin/HEAD") or self._commit("HEAD")
        if not tip:
            raise ConfigurationError(f"{self.path}: HEAD has no commit; set default_branch; {self._branches()}")
        return tip

    def _commit(self, reference: str) -> str | None:
        return self.peel([reference])[0]

    def _branches(self) -> str:
        names = self._git("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes").decode().split()
        names = impersonal(name.removeprefix("origin/") for name in names)
        return f"branches there: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}"

    @cached_property
    def tags(self) -> list[Tag]:
        """All tags by name."""
        tags = []
        output = self._git("for-each-ref", "--format=%(objectname) %(creatordate:unix) %(refname:strip=2)", "refs/tags")
        for line in output.decode(errors="replace").splitlines():
            object_, created_at, name = line.split(" ", 2)
            tags.append(Tag(name, object_, int(created_at) if created_at else None))
        return tags

    def peel(self, objects: Sequence[str]) -> list[str | None]:
        """The commit that each reference or object leads to, through any chain of tags; None where it is no commit."""
        output = self._git("cat-file", "--batch-check", lines=(f"{object_}^{{commit}}" for object_ in objects))
        answers = (line.split() for line in output.decode().splitlines())
        return [sha if kind == "commit" else None for sha, kind, *_ in answers]

    # History

    def graph(self, tips: Iterable[str]) -> tuple[CommitGraph, dict[str, int]]:
        """All commits that `tips` reach, and their committer times."""
        parents: dict[str, list[str]] = {}
        committed_at: dict[str, int] = {}
        for line in self._git("rev-list", "--parents", "--timestamp", "--stdin", lines=tips).decode().splitlines():
            time, sha, *parents[sha] = line.split()
            committed_at[sha] = min(int(time), LAST_SECOND)
        try:
            return CommitGraph(parents), committed_at
        except ValueError as error:
            raise PlumblineError(f"{self.path}: {error}; clone it anew") from None

    def first_parent_line(self, tip: str) -> list[tuple[str, int]]:
        """Commits from a root to `tip` along first parents, with their committer times."""
        output = self._git("rev-list", "--first-parent", "--reverse", "--timestamp", tip).decode()
        return [(sha, int(time)) for time, sha in (line.split() for line in output.splitlines())]

    def commits(self, shas: Sequence[str]) -> Iterator[Commit]:
        """Content of the given commits."""
        for sha, authored_at, author, subject, body in self._fields(shas, "%at", "%ae", "%s", "%b"):
            yield Commit(sha, min(int(authored_at), LAST_SECOND) if authored_at else None, author, subject, body)

    def subjects(self, shas: Sequence[str]) -> Iterator[tuple[str, str]]:
        """(commit, subject) of the given commits."""
        yield from self._fields(shas, "%s")

    def _fields(self, shas: Sequence[str], *fields: str) -> Iterator[tuple[str, ...]]:
        """(commit, *fields) of the given commits, each field one of git's placeholders."""
        # A message may hold any byte but NUL.
        form = "--format=" + "".join(f"{field}%x00" for field in fields)
        for start in range(0, len(shas), COMMITS_PER_READ):
            some = shas[start : start + COMMITS_PER_READ]
            output = self._git("rev-list", "--no-walk=unsorted", "--stdin", "--encoding=UTF-8", form, lines=some)
            parts = output.decode(errors="replace").replace("\r", "").split("\0")
            for first in range(0, len(parts) - 1, len(fields)):
                # rev-list writes a line `commit <sha>` before the first field of each.
                header, _, value = parts[first].lstrip("\n").partition("\n")
                yield header.removeprefix("commit "), value, *parts[first + 1 : first + len(fields)]

    def sizes(self, shas: Sequence[str]) -> dict[str, Size]:
        """Sizes of commits that are no merges."""
        sizes = dict.fromkeys(shas, Size(0, 0, 0))
        output = self._git("diff-tree", "--stdin", "--root", "-r", "-M", "--shortstat", lines=shas)
        sha = ""
        for line in output.splitlines():
            if counts := {kind: int(number) for number, kind in COUNTS.findall(line)}:
                sizes[sha] = Size(counts[b"file"], counts.get(b"insertion", 0), counts.get(b"deletion", 0))
            elif line:
                sha = line.decode()
        return sizes

    def paths(self, shas: Sequence[str]) -> Iterator[tuple[str, str]]:
        """(commit, file that it touches) of commits that are no merges; a renamed file under both names."""
        commits = set(shas)
        output = self._git("diff-tree", "--stdin", "--root", "-r", "-z", "--name-only", "--no-renames", lines=shas)
        sha = ""
        for part in output.decode(errors="replace").split("\0")[:-1]:
            if part in commits:
                sha = part
            else:
                yield sha, part
