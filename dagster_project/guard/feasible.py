"""Which scores a person can have, for somebody who knows what is published and the scores of two people.

A statement says that the scores of some people add up to one of some sums. People who are in the same statements are
alike, so that a few groups stand for all people, and the sum of a group may be any number from its size to five times
its size. What is left is whether whole numbers exist that fit all statements: bounds are drawn together until nothing
moves, and where they leave a choice both halves are tried, so that the answer is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, product

from dagster_project.guard.bands import HIGHEST_SCORE, LOWEST_SCORE, SCORES, Sums

# Every other person keeps so many scores, whichever two put together what they know.
FEWEST_FEASIBLE_SCORES = 3

# Groups of a statement, by index, and the sums that it allows.
Condition = tuple[tuple[int, ...], tuple[Sums, ...]]


@dataclass(frozen=True)
class Statement:
    """The scores of these people add up to a number within one of these ranges."""

    people: frozenset[str]
    sums: tuple[Sums, ...]


class Knowledge:
    """What follows from statements that all hold of the same scores."""

    def __init__(self, statements: Iterable[Statement]) -> None:
        # Of the same people several statements are one: what all of them allow.
        merged: dict[frozenset[str], tuple[Sums, ...]] = {}
        for statement in statements:
            known = merged.get(statement.people)
            merged[statement.people] = _common(known, statement.sums) if known is not None else statement.sums
        together = list(merged)
        signatures: dict[str, tuple[int, ...]] = {}
        for index, people in enumerate(together):
            for person in people:
                signatures[person] = (*signatures.get(person, ()), index)
        groups = sorted(set(signatures.values()))
        self.group_of = {person: groups.index(signature) for person, signature in signatures.items()}
        sizes = Counter(self.group_of.values())
        self.sizes = tuple(sizes[group] for group in range(len(groups)))
        self.conditions: tuple[Condition, ...] = tuple(
            (tuple(group for group, signature in enumerate(groups) if index in signature), merged[people])
            for index, people in enumerate(together)
        )

    def is_possible(self) -> bool:
        """Whether any scores fit all statements."""
        return _is_possible(self.sizes, self.conditions, ())

    def feasible_scores(self, known: Mapping[str, int], person: str) -> set[int]:
        """The scores that the person can have, given those of others; every score where no statement is about them."""
        if person not in self.group_of:
            return set(SCORES)
        fixed = [(self.group_of[each], score) for each, score in known.items() if each in self.group_of]
        group = self.group_of[person]
        return {score for score in SCORES if _is_possible(self.sizes, self.conditions, (*fixed, (group, score)))}

    def keeps_enough(self) -> bool:
        """Whether every person keeps enough feasible scores, whichever two others put any scores together."""
        return _keeps_enough(self.sizes, self.conditions)


def _common(left: Sequence[Sums], right: Sequence[Sums]) -> tuple[Sums, ...]:
    ranges = [(max(one[0], other[0]), min(one[1], other[1])) for one, other in product(left, right)]
    return tuple(sorted((low, high) for low, high in ranges if low <= high))


@cache
def _keeps_enough(sizes: tuple[int, ...], conditions: tuple[Condition, ...]) -> bool:
    members = [(group, score) for group in range(len(sizes)) for score in SCORES]
    return all(
        _victims_keep_enough(sizes, conditions, pair)
        for pair in combinations_with_replacement(members, 2)
        if pair[0][0] != pair[1][0] or sizes[pair[0][0]] > 1
    )


def _victims_keep_enough(
    sizes: tuple[int, ...], conditions: tuple[Condition, ...], pair: tuple[tuple[int, int], ...]
) -> bool:
    """A pair with scores that it cannot have learns nothing."""
    taken = Counter(group for group, _ in pair)
    for group, size in enumerate(sizes):
        if size > taken[group]:
            feasible = _feasible(sizes, conditions, (*pair, (group, 0)))
            if 0 < feasible < FEWEST_FEASIBLE_SCORES:
                return False
    return True


def _feasible(sizes: tuple[int, ...], conditions: tuple[Condition, ...], fixed: tuple[tuple[int, int], ...]) -> int:
    """How many scores the last person can have; counted no further than needed."""
    *known, (group, _) = fixed
    found = 0
    # The ends are what gets lost first.
    for score in (3, 1, 5, 2, 4):
        found += _is_possible(sizes, conditions, (*known, (group, score)))
        if found == FEWEST_FEASIBLE_SCORES:
            break
    return found


def _is_possible(sizes: tuple[int, ...], conditions: tuple[Condition, ...], fixed: Sequence[tuple[int, int]]) -> bool:
    lows = [LOWEST_SCORE * size for size in sizes]
    highs = [HIGHEST_SCORE * size for size in sizes]
    for group, score in fixed:
        lows[group] += score - LOWEST_SCORE
        highs[group] += score - HIGHEST_SCORE
    return _solve(lows, highs, conditions)


def _solve(lows: list[int], highs: list[int], conditions: tuple[Condition, ...]) -> bool:
    """Whether there are sums within these bounds that fit all conditions."""
    moved = True
    while moved:
        moved = False
        for groups, sums in conditions:
            low, high = sum(lows[group] for group in groups), sum(highs[group] for group in groups)
            reachable = [range_ for range_ in sums if range_[0] <= high and range_[1] >= low]
            if not reachable:
                return False
            least, most = reachable[0][0], reachable[-1][1]
            for group in groups:
                lowest = max(lows[group], least - (high - highs[group]))
                highest = min(highs[group], most - (low - lows[group]))
                if lowest > highest:
                    return False
                if (lowest, highest) != (lows[group], highs[group]):
                    low, high = low + lowest - lows[group], high + highest - highs[group]
                    lows[group], highs[group] = lowest, highest
                    moved = True
    for groups, sums in conditions:
        low, high = sum(lows[group] for group in groups), sum(highs[group] for group in groups)
        if not any(least <= low and high <= most for least, most in sums):
            widest = max(groups, key=lambda group: highs[group] - lows[group])
            return any(_solve(*half, conditions) for half in _halves(lows, highs, widest))
    return True


def _halves(lows: list[int], highs: list[int], group: int) -> Iterator[tuple[list[int], list[int]]]:
    middle = (lows[group] + highs[group]) // 2
    yield list(lows), [*highs[:group], middle, *highs[group + 1 :]]
    yield [*lows[:group], middle + 1, *lows[group + 1 :]], list(highs)
