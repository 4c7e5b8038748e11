"""Which scores a person can have, for somebody who knows what is published and the scores of two people.

A statement says that the scores of some people add up to one of some sums. Two who put together what they know may have
had other scores each time, while those of all others have stayed: of the others each statement tells them the sums less
their own, and statements about the same people what all of these have in common.

Statements about two sets of people divide them into three groups: those in the first alone, in both, in the second
alone. The sum of a group may be any number from its size to five times its size, so that it is exact to count with sets
of sums. Sets are whole numbers with a bit a sum, and all of them at once are shifted, joined and intersected.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, product

from dagster_project.guard.bands import MEAN_SCORE, Measure, Sums

# Sums that statements about the same people allow, one each.
Told = tuple[tuple[Sums, ...], ...]
FIRST_ALONE, BOTH, SECOND_ALONE = range(3)


@dataclass(frozen=True)
class Statement:
    """The scores of these people add up to a number within one of these ranges."""

    people: frozenset[str]
    sums: tuple[Sums, ...]


def keeps_enough(statements: Iterable[Statement], measure: Measure = MEAN_SCORE) -> bool:
    """Whether everybody keeps enough feasible scores, whichever two others put any scores of theirs together.

    Each statement was made at another time. Statements about more than two different sets of people are not counted,
    and taken to tell too much.
    """
    told: dict[frozenset[str], list[tuple[Sums, ...]]] = defaultdict(list)
    for statement in statements:
        # Equal ones stay apart: the two may have had other scores each time.
        told[statement.people].append(statement.sums)
    if len(told) > 2:
        return False
    # Always in the same order, so that what has been counted before is found.
    (first, of_first), (second, of_second) = sorted(
        [*((people, tuple(sorted(sums))) for people, sums in told.items()), *[(frozenset(), ())] * (2 - len(told))],
        key=lambda each: (len(each[0]), each[1]),
    )
    sizes = (len(first - second), len(first & second), len(second - first))
    return _keeps_enough(sizes, of_first, of_second, measure)


@cache
def _keeps_enough(sizes: tuple[int, int, int], of_first: Told, of_second: Told, measure: Measure) -> bool:
    for pair in combinations_with_replacement((FIRST_ALONE, BOTH, SECOND_ALONE), 2):
        taken = Counter(pair)
        alone, both, other = (size - taken[group] for group, size in enumerate(sizes))
        if min(alone, both, other) < 0:
            continue
        firsts = {
            _left_for_both(sums, alone, measure)
            for sums in _told_of_others(of_first, taken[FIRST_ALONE] + taken[BOTH], measure)
        }
        seconds = {
            _left_for_both(sums, other, measure)
            for sums in _told_of_others(of_second, taken[SECOND_ALONE] + taken[BOTH], measure)
        }
        common = _bits(both * measure.lowest, both * measure.highest)
        victims = tuple(_bits(low, high) for low, high in _sums_with_a_victim(both, measure))
        for (first, first_victims), (second, second_victims) in product(firsts, seconds):
            told = first & second & common
            # A pair with scores that it cannot have learns nothing.
            if told and not (
                _are_enough(first_victims, second & common, measure)
                and _are_enough(second_victims, first & common, measure)
                and _are_enough(victims, first & second, measure)
            ):
                return False
    return True


def _are_enough(of_scores: tuple[int, ...], possible: int, measure: Measure) -> bool:
    """Whether enough of a victim's scores fit; where nobody is a victim, yes."""
    return not of_scores or sum(bool(each & possible) for each in of_scores) >= measure.fewest_feasible


@cache
def _told_of_others(told: Told, known: int, measure: Measure) -> tuple[int, ...]:
    """What statements about the same people can tell somebody who knows so many of them, of the sum of the others.

    Of those sets that hold a sum only the least are kept, since whoever knows more leaves others less.
    """
    own = range(known * measure.lowest, known * measure.highest + 1)
    found = {-1}
    for sums in told:
        allowed = sum(_bits(low, high) for low, high in sums)
        found = {each & (allowed >> score) for each in found for score in own} - {0}
    least: list[int] = []
    for each in sorted(found, key=int.bit_count):
        covered = 0
        for smaller in least:
            if smaller & each == smaller:
                covered |= smaller
        if each & ~covered:
            least.append(each)
    return tuple(least)


def _left_for_both(sums: int, alone: int, measure: Measure) -> tuple[int, tuple[int, ...]]:
    """Which sums of those in both statements fit one of these, together with so many who are in one alone; and the same
    for every score that one of the latter can have."""
    every = _less(sums, alone * measure.lowest, alone * measure.highest)
    return every, tuple(_less(sums, low, high) for low, high in _sums_with_a_victim(alone, measure))


def _sums_with_a_victim(size: int, measure: Measure) -> list[Sums]:
    """The sums of a group in which one has each of the scores; none where the group has nobody."""
    others = size - 1
    return [
        (others * measure.lowest + score, others * measure.highest + score)
        for score in range(measure.lowest, measure.highest + 1)
        if size
    ]


def _bits(low: int, high: int) -> int:
    return (1 << high + 1) - (1 << low)


def _less(sums: int, low: int, high: int) -> int:
    """All sums less any number from low to high."""
    sums >>= low
    done = 0
    while done < high - low:
        step = min(done + 1, high - low - done)
        sums |= sums >> step
        done += step
    return sums
