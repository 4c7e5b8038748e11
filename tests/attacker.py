"""An attacker: knows who is in which team, every published row, the rules of the guard, and the scores of two people.

Slow and independent of the guard: sums are sets of numbers, built up person by person.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import combinations, combinations_with_replacement
from math import factorial, prod

SCORES = (1, 2, 3, 4, 5)


@cache
def reachable(people: int) -> frozenset[int]:
    """Every sum of so many scores."""
    return frozenset(s + score for s in reachable(people - 1) for score in SCORES) if people else frozenset({0})


def feasible(people: int, sums: set[int], known: Iterable[int]) -> set[int]:
    """The scores that any one of the others can have, if the sum of all is one of these and some scores are known."""
    known = list(known)
    rest = reachable(people - len(known) - 1)
    return {score for score in SCORES if any(total - sum(known) - score in rest for total in sums)}


def sums_of_bands(people: int, bands: Iterable[float]) -> set[int]:
    """The sums whose mean lies in one of the bands."""
    return {
        total
        for total in range(people, 5 * people + 1)
        for low in bands
        if low <= total / people < low + 0.5 or (low == 4.5 and total == 5 * people)
    }


def datasets(people: int) -> list[tuple[int, ...]]:
    """Every way in which so many people can be scored, whoever has which score."""
    return list(combinations_with_replacement(SCORES, people))


def ways(scores: tuple[int, ...]) -> int:
    return factorial(len(scores)) // prod(factorial(count) for count in Counter(scores).values())


def left_by_output(outputs: dict[tuple[int, ...], object]) -> dict[tuple, set[int]]:
    """What two people can leave somebody else, from all that could have been published: the exact answer.

    outputs: what is published for every dataset. Returns (output, the pair's scores) → the scores left for the others.
    """
    left: dict[tuple, set[int]] = defaultdict(set)
    for scores, output in outputs.items():
        counts = Counter(scores)
        for pair in combinations_with_replacement(counts, 2):
            others = counts - Counter(pair)
            if sum(others.values()) == len(scores) - 2:
                left[output, tuple(sorted(pair))] |= set(others)
    return left


def share_given_away(outputs: dict[tuple[int, ...], object], chances: dict[int, float]) -> float:
    """Share of scores that a pair knows exactly, over all datasets, pairs and others, for independent scores."""
    left = left_by_output(outputs)
    given_away = weight = 0.0
    for scores, output in outputs.items():
        chance = ways(scores) * prod(chances[score] for score in scores)
        for pair in combinations(range(len(scores)), 2):
            key = output, tuple(sorted(scores[index] for index in pair))
            weight += chance
            given_away += chance * (len(left[key]) == 1)
    return given_away / weight
