"""Feasible scores: exact, against a search of every assignment of scores."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.guard.bands import COUNT, MEAN_BANDS, MEAN_SCORE, Measure, mean_band, people_band, share_band
from dagster_project.guard.feasible import Statement, keeps_enough

SCORES = range(1, 6)


@st.composite
def statements(draw, people: str, most: int, measure: Measure):
    """A few statements about one or two sets of people, each with one or two ranges of sums; often the same again."""
    sets = draw(st.lists(st.sets(st.sampled_from(people), min_size=1), min_size=1, max_size=2))
    found = []
    for _ in range(draw(st.integers(1, most))):
        if found and draw(st.booleans()):
            found.append(draw(st.sampled_from(found)))
            continue
        some = draw(st.sampled_from(sets))
        sums = st.integers(measure.lowest * len(some), measure.highest * len(some))
        ends = sorted(draw(st.lists(sums, min_size=2, max_size=4)))
        ranges = [(ends[0], ends[1])] + ([(ends[2], ends[3])] if len(ends) == 4 and ends[2] > ends[1] + 1 else [])
        found.append(Statement(frozenset(some), tuple(ranges)))
    return found


def least_left(given: list[Statement], people: str, measure: Measure) -> int:
    """The fewest numbers that two people can leave somebody else; by a search of every assignment of the others and of
    all that the two may have had each time."""
    values = range(measure.lowest, measure.highest + 1)
    told_of = set().union(*(each.people for each in given))
    fewest = len(values)
    for pair in combinations(sorted(told_of), 2):
        others = [person for person in people if person not in pair]
        numbers = np.array(list(product(values, repeat=len(others))))
        totals = [numbers[:, [person in each.people for person in others]].sum(axis=1) for each in given]
        own = [{sum(each) for each in product(values, repeat=len(statement.people & set(pair)))} for statement in given]
        for known in product(*own):
            fits = np.ones(len(numbers), dtype=bool)
            for total, mine, statement in zip(totals, known, given, strict=True):
                fits &= np.any([(low <= total + mine) & (total + mine <= high) for low, high in statement.sums], axis=0)
            if fits.any():
                left = [len(np.unique(numbers[fits, at])) for at, person in enumerate(others) if person in told_of]
                fewest = min([fewest, *left])
    return fewest


@pytest.mark.parametrize(("measure", "people", "most"), [(MEAN_SCORE, "abcde", 3), (COUNT, "abcdef", 4)])
def test_enough_is_kept_exactly_if_a_search_finds_no_pair_that_leaves_a_person_less(measure, people, most):
    @settings(max_examples=60, deadline=None)
    @given(statements(people, most, measure))
    def check(given):
        assert keeps_enough(given, measure) == (least_left(given, people, measure) >= measure.fewest_feasible)

    check()


def test_statements_about_three_sets_of_people_are_taken_to_tell_too_much():
    """Each allows all sums, and so do any two."""
    told = [Statement(frozenset(people), ((len(people), 5 * len(people)),)) for people in ("abcde", "bcdef", "cdefg")]
    assert keeps_enough(told[:2])
    assert not keeps_enough(told)


@given(st.lists(st.sampled_from(SCORES), min_size=1, max_size=60))
def test_a_mean_lies_in_its_band(scores):
    total, people = sum(scores), len(scores)
    band = mean_band(total, people)
    low, high = MEAN_SCORE.sums_of(band, people)
    assert low <= total <= high
    assert band * people <= total
    assert total < (band + 0.5) * people or band == MEAN_BANDS[-1]


@pytest.mark.parametrize("people", [5, 6, 7, 11, 12, 31])
def test_the_bands_share_out_every_sum_once(people):
    sums = [
        each
        for band in MEAN_BANDS
        if (ends := MEAN_SCORE.sums_of(band, people))
        for each in range(ends[0], ends[1] + 1)
    ]
    assert sums == list(range(people, 5 * people + 1))


def test_bands_of_people_and_shares():
    assert [people_band(people) for people in (5, 7, 8, 11, 12, 400)] == ["5-7", "5-7", "8-11", "8-11", "12+", "12+"]
    assert [share_band(part, 10) for part in (4, 5, 7, 8, 10)] == ["<50%", "50-79%", "50-79%", "80%+", "80%+"]
