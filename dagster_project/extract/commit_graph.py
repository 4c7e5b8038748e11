"""Questions about a commit graph that need the graph alone: never a date, since clocks are skewed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from heapq import heappop, heappush
from sys import maxsize

# Position of a commit in a line that never reaches it.
UNREACHED = maxsize


class CommitGraph:
    """Commits and their parents.

    parents: commit → its parents, the first parent first, in any order of commits. A parent that is no commit of the
        graph is ignored. Raises ValueError that names a commit if the graph has a cycle.
    """

    def __init__(self, parents: Mapping[str, Sequence[str]]) -> None:
        self.parents = parents
        self._children_first = self._sort()

    def _sort(self) -> list[str]:
        pending_children = dict.fromkeys(self.parents, 0)
        for parents in self.parents.values():
            for parent in parents:
                if parent in pending_children:
                    pending_children[parent] += 1
        order = [commit for commit, pending in pending_children.items() if not pending]
        for commit in order:
            for parent in self.parents[commit]:
                if parent in pending_children:
                    pending_children[parent] -= 1
                    if not pending_children[parent]:
                        order.append(parent)
        if len(order) < len(self.parents):
            raise ValueError(f"commit {self._on_cycle(set(order))} is its own ancestor; a commit graph has no cycles")
        return order

    def _on_cycle(self, sorted_commits: set[str]) -> str:
        # Every commit left over has a child left over, so a walk over children must end on a cycle.
        child_of = {
            parent: commit
            for commit, parents in self.parents.items()
            if commit not in sorted_commits
            for parent in parents
        }
        commit = next(commit for commit in self.parents if commit not in sorted_commits)
        walked = set()
        while commit not in walked:
            walked.add(commit)
            commit = child_of[commit]
        return commit

    @cached_property
    def generation(self) -> dict[str, int]:
        """Length of the longest line from a commit down to a root: above that of every ancestor, whatever is added."""
        generation: dict[str, int] = {}
        for commit in reversed(self._children_first):
            below = 0
            for parent in self.parents[commit]:
                below = max(below, generation.get(parent, 0))
            generation[commit] = below + 1
        return generation

    def first_parent_line(self, tip: str) -> list[str]:
        """The commits from a root to `tip` along first parents."""
        line = [tip]
        while (parents := self.parents[line[-1]]) and parents[0] in self.parents:
            line.append(parents[0])
        return line[::-1]

    def earliest_reaching(self, commits: Sequence[str]) -> dict[str, int]:
        """For every commit that any of `commits` is or descends from: the position of the first of them that does."""
        return {commit: position for commit, (position,) in self.earliest_reaching_each([commits]).items()}

    def earliest_reaching_each(self, lines: Sequence[Sequence[str]]) -> dict[str, tuple[int, ...]]:
        """For every commit that any line reaches: its position by `earliest_reaching` in each line, else UNREACHED.

        One pass over the graph for all lines. Commits that are reached alike share one tuple: it is made at a commit of
        a line, or where branches fork, and handed down from there.
        """
        unreached = (UNREACHED,) * len(lines)
        shared = {unreached: unreached}
        of_commit: dict[str, list[int]] = {}
        for number, line in enumerate(lines):
            for position, commit in enumerate(line):
                positions = of_commit.setdefault(commit, list(unreached))
                positions[number] = min(positions[number], position)
        earliest = {commit: tuple(positions) for commit, positions in of_commit.items()}
        for commit in self._children_first:
            positions = earliest.get(commit)
            if positions is None:
                continue
            for parent in self.parents[commit]:
                if parent not in self.parents:
                    continue
                known = earliest.get(parent)
                if known is None:
                    earliest[parent] = positions
                elif known is not positions:
                    least = tuple(map(min, known, positions))
                    earliest[parent] = shared.setdefault(least, least)
        return earliest

    def latest_ancestor(self, commit: str, candidates: Collection[str]) -> str | None:
        """The candidate of the highest generation among the strict ancestors of `commit`; of equals, the least hash.

        Walks from the commit down, no further than the generation of the candidates.
        """
        candidates = {candidate for candidate in candidates if candidate in self.parents}
        lowest = min((self.generation[candidate] for candidate in candidates), default=None)
        if lowest is None:
            return None
        queue = [(-self.generation[commit], commit)]
        seen = {commit}
        while queue:
            _, reached = heappop(queue)
            if reached in candidates and reached != commit:
                return reached
            for parent in self.parents[reached]:
                if parent not in seen and self.generation.get(parent, 0) >= lowest:
                    seen.add(parent)
                    heappush(queue, (-self.generation[parent], parent))
        return None

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        """Whether `ancestor` is a strict ancestor of `commit`."""
        return self.latest_ancestor(commit, (ancestor,)) is not None
