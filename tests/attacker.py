"""An attacker: knows who is in which team, every published row, the rules of the guard, and the scores of two people.

Slow and independent of the guard: sums are sets of numbers, built up person by person.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import combinations, combinations_with_replacement
from math import factorial, prod

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

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


Statements = list[tuple[frozenset[str], set[int]]]


def left_over_time(
    statements: Statements, known: list[dict[str, int]], numbers: tuple[int, ...] = SCORES
) -> dict[str, set[int]]:
    """What two people can leave each of the others, if nobody else's score has changed; nobody, if one's has.

    statements: who a row is about, and the sums that it leaves possible; known: the pair's own scores at that time, a
    statement. What is about other people altogether is looked at apart.
    """
    pair = set().union(*known)
    told = [
        (people - pair, {total - sum(own[name] for name in people & set(own)) for total in sums})
        for (people, sums), own in zip(statements, known, strict=True)
    ]
    left: dict[str, set[int]] = {}
    while told:
        connected, people = [], told[0][0]
        while near := [each for each in told if each[0] & people]:
            connected += near
            told = [each for each in told if not each[0] & people]
            people = people.union(*(each[0] for each in near))
        if not connected:
            told = told[1:]
            continue
        found = _left(connected, numbers)
        if not found:
            return {}
        left |= found
    return left


def _left(statements: Statements, numbers: tuple[int, ...]) -> dict[str, set[int]]:
    """Everybody in the same statements is alike, so that the sums of a few groups stand for all people."""
    groups: dict[tuple[bool, ...], list[str]] = defaultdict(list)
    for person in sorted(set().union(*(people for people, _ in statements))):
        groups[tuple(person in people for people, _ in statements)].append(person)
    assert len(groups) <= 4, "too many kinds of people to try everything"
    lowest, highest = min(numbers), max(numbers)
    # One axis a group: every sum that it can have.
    sums = [np.arange(lowest * len(people), highest * len(people) + 1) for people in groups.values()]
    axes = np.ix_(*sums)
    fits = np.ones([len(each) for each in sums], dtype=bool)
    for place, (_, allowed) in enumerate(statements):
        total = sum(axis for axis, group in zip(axes, groups, strict=True) if group[place])
        fits &= np.isin(total, list(allowed))
    left: dict[str, set[int]] = {}
    for at, people in enumerate(groups.values()):
        possible = sums[at][fits.any(axis=tuple(axis for axis in range(len(sums)) if axis != at))]
        rest = len(people) - 1
        scores = {
            score for score in numbers if any(lowest * rest <= total - score <= highest * rest for total in possible)
        }
        left |= dict.fromkeys(people, scores)
    return left if fits.any() else {}


def left_by_sums(statements: list[tuple[frozenset[str], int]], person: str) -> set[int]:
    """The scores that a person can have, if the exact sums of some people are known; by whole-number programming."""
    names = sorted(set().union(*(people for people, _ in statements)))
    rows = np.array([[name in people for name in names] for people, _ in statements], dtype=float)
    totals = [total for _, total in statements]
    at = names.index(person)
    left = set()
    for score in SCORES:
        lowest, highest = np.full(len(names), 1.0), np.full(len(names), 5.0)
        lowest[at] = highest[at] = score
        found = milp(
            np.zeros(len(names)),
            integrality=np.ones(len(names)),
            bounds=Bounds(lowest, highest),
            constraints=LinearConstraint(rows, totals, totals),
        )
        left |= {score} if found.success else set()
    return left
