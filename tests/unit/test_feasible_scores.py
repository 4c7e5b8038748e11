"""Feasible scores: exact, against a search of every assignment of scores."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.guard.bands import MEAN_BANDS, SCORES, mean_band, people_band, share_band, sums_of
from dagster_project.guard.feasible import FEWEST_FEASIBLE_SCORES, Knowledge, Statement

PEOPLE = "abcdef"


@st.composite
def statements(draw):
    """Up to four statements about any of six people, each with one or two ranges of sums."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        people = draw(st.sets(st.sampled_from(PEOPLE), min_size=1))
        ends = sorted(draw(st.sets(st.integers(len(people), 5 * len(people)), min_size=2, max_size=4)))
        ranges = [(ends[0], ends[1])] + ([(ends[2], ends[3])] if len(ends) == 4 else [])
        found.append(Statement(frozenset(people), tuple(ranges)))
    return found


def assignments(given: list[Statement]) -> list[dict[str, int]]:
    """Every way to give the six people scores that fits all statements."""
    fits = []
    for scores in product(SCORES, repeat=len(PEOPLE)):
        of = dict(zip(PEOPLE, scores, strict=True))
        totals = [(sum(of[person] for person in each.people), each.sums) for each in given]
        if all(any(low <= total <= high for low, high in sums) for total, sums in totals):
            fits.append(of)
    return fits


def test_what_is_feasible_is_what_a_search_of_every_assignment_finds():
    @settings(max_examples=40, deadline=None)
    @given(statements(), st.data())
    def check(given, data):
        knowledge, possible = Knowledge(given), assignments(given)
        assert knowledge.is_possible() == bool(possible)
        one, other, victim = data.draw(st.permutations(PEOPLE))[:3]
        known = {one: data.draw(st.sampled_from(SCORES)), other: data.draw(st.sampled_from(SCORES))}
        consistent = [of for of in possible if known.items() <= of.items()]
        expected = {of[victim] for of in consistent} if victim in knowledge.group_of else set(SCORES)
        assert knowledge.feasible_scores(known, victim) == expected

    check()


def test_enough_is_kept_exactly_if_a_search_finds_no_coalition_that_leaves_a_person_less():
    @settings(max_examples=25, deadline=None)
    @given(statements())
    def check(given):
        knowledge, possible = Knowledge(given), assignments(given)
        seen: dict[tuple, set[int]] = {}
        for of in possible:
            for one, other in combinations(knowledge.group_of, 2):
                for victim in set(knowledge.group_of) - {one, other}:
                    seen.setdefault((one, of[one], other, of[other], victim), set()).add(of[victim])
        assert knowledge.keeps_enough() == all(len(left) >= FEWEST_FEASIBLE_SCORES for left in seen.values())

    check()


@given(st.lists(st.sampled_from(SCORES), min_size=1, max_size=60))
def test_a_mean_lies_in_its_band(scores):
    total, people = sum(scores), len(scores)
    band = mean_band(total, people)
    low, high = sums_of(band, people)
    assert low <= total <= high
    assert band * people <= total
    assert total < (band + 0.5) * people or band == MEAN_BANDS[-1]


@pytest.mark.parametrize("people", [5, 6, 7, 11, 12, 31])
def test_the_bands_share_out_every_sum_once(people):
    sums = [each for band in MEAN_BANDS if (ends := sums_of(band, people)) for each in range(ends[0], ends[1] + 1)]
    assert sums == list(range(people, 5 * people + 1))


def test_bands_of_people_and_shares():
    assert [people_band(people) for people in (5, 7, 8, 11, 12, 400)] == ["5-7", "5-7", "8-11", "8-11", "12+", "12+"]
    assert [share_band(part, 10) for part in (4, 5, 7, 8, 10)] == ["<50%", "50-79%", "50-79%", "80%+", "80%+"]
