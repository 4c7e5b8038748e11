"""Attacks on what is published of scores: each fails against the guard, and each succeeds without it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import combinations, product
from random import Random
from statistics import mean, pstdev

import pytest
from attacker import (
    Statements,
    datasets,
    feasible,
    left_by_output,
    left_by_sums,
    left_over_time,
    share_given_away,
    sums_of_bands,
)

from dagster_project.guard.bands import COUNT, MEAN_BANDS, mean_band, share_band
from dagster_project.guard.feasible import keeps_enough
from dagster_project.guard.release import Cell, Quarter, judge, pools, publishable_bands, team_releases

QUARTERS = [date(2025, 1, 1), date(2025, 4, 1), date(2025, 7, 1), date(2025, 10, 1), date(2026, 1, 1)]
# Most people are scored in the middle of a rubric.
CHANCES = {1: 0.02, 2: 0.13, 3: 0.5, 4: 0.3, 5: 0.05}
FLAT = {"shop": None}


def released(quarters: list[tuple[dict[str, str], dict[str, int]]], parents: dict[str, str | None] = FLAT):
    """What is published of successive quarters of one dimension, each (person → team, person → score)."""
    rows, cells = [], []
    for first_day, (teams, scores) in zip(QUARTERS, quarters, strict=False):
        new_rows, new_cells = team_releases(Quarter(first_day, teams, {"d": scores}), "d", parents, 5, list(cells))
        rows.append({row["team"]: row for row in new_rows})
        cells += new_cells
    return rows, cells


def people(names: str, team: str = "shop") -> dict[str, str]:
    return dict.fromkeys(names, team)


def random_scores(names, random: Random) -> dict[str, int]:
    """Of many kinds: ordinary, extreme, unanimous."""
    chances = random.choice(
        [list(CHANCES.values()), [1, 1, 1, 1, 1], [0, 0, 0, 1, 9], [9, 1, 0, 0, 0], [0, 0, 1, 0, 0]]
    )
    return {name: random.choices(range(1, 6), chances)[0] for name in names}


# One publication


@pytest.mark.parametrize("size", [5, 6, 7, 8, 9, 10, 12])
def test_who_knows_two_scores_and_the_rules_keeps_three_possible_ones_for_everybody_else(size):
    """Over every way in which so many people can be scored, and all that a row, or its absence, tells of it."""
    cell = Cell(QUARTERS[0], "shop", frozenset(map(str, range(size))), None)
    outputs = {scores: judge(cell, mean_band(sum(scores), size), []).bands for scores in datasets(size)}
    shown = {output for output in outputs.values() if len(output) == 1}
    assert shown, "nothing is ever published"
    assert min(len(left) for left in left_by_output(outputs).values()) >= 3


@pytest.mark.parametrize("size", [5, 8, 12, 20, 33])
def test_a_row_leaves_three_possible_scores_by_a_slow_count_of_sums(size):
    publishable = publishable_bands(Cell(QUARTERS[0], "shop", frozenset(map(str, range(size))), None), [])
    withheld = [band for band in MEAN_BANDS if band not in publishable]
    for bands in [*([band] for band in publishable), *([withheld] if sums_of_bands(size, withheld) else [])]:
        sums = sums_of_bands(size, bands)
        for one in range(1, 6):
            for other in range(one, 6):
                left = feasible(size, sums, (one, other))
                assert not left or len(left) >= 3, (size, bands, one, other)


def test_rare_and_unanimous_cells_are_not_shown():
    for scores in ((5, 5, 5, 5, 5, 5, 5), (1, 1, 1, 1, 1, 1, 1), (5, 5, 5, 5, 5, 5, 4)):
        rows, _ = released([(people("abcdefg"), dict(zip("abcdefg", scores, strict=True)))])
        assert rows[0]["shop"]["status"] == "suppressed"
        assert "mean_low" not in rows[0]["shop"]


def test_fewer_people_than_the_minimum_are_not_shown():
    rows, cells = released([(people("abcd"), dict.fromkeys("abcd", 3))])
    assert (rows[0]["shop"]["status"], cells) == ("suppressed", [])


def test_without_the_guard_mean_and_deviation_of_five_people_give_away_one_score_in_seven():
    outputs = {scores: (mean(scores), pstdev(scores)) for scores in datasets(5)}
    assert share_given_away(outputs, CHANCES) == pytest.approx(1 / 7, abs=0.015)
    guarded = {
        scores: judge(Cell(QUARTERS[0], "shop", frozenset("abcde"), None), mean_band(sum(scores), 5), []).bands
        for scores in datasets(5)
    }
    assert share_given_away(guarded, CHANCES) == 0


def test_without_suppression_a_band_gives_away_scores_too():
    outputs = {scores: mean_band(sum(scores), 5) for scores in datasets(5)}
    assert share_given_away(outputs, CHANCES) > 0
    assert min(len(left) for left in left_by_output(outputs).values()) == 1


def test_suppression_where_only_a_betraying_row_is_withheld_betrays_by_withholding():
    """Of 20 people only the lowest band is unsafe; withheld alone, its absence would say the same."""
    twenty = Cell(QUARTERS[0], "shop", frozenset(map(str, range(20))), None)
    assert 1.0 not in publishable_bands(twenty, [])
    assert min(len(feasible(20, sums_of_bands(20, [1.0]), pair)) for pair in ((4, 5), (5, 5))) < 3
    withheld = [band for band in MEAN_BANDS if band not in publishable_bands(twenty, [])]
    assert len(withheld) > 1


# Up the tree


TREE = {"company": None, "shop": "company", "search": "shop", "cart": "shop", "desk": "company"}


def test_nobody_is_in_two_cells_so_that_no_cell_is_the_difference_of_others():
    random = Random(1)
    for _ in range(200):
        names = [f"p{number}" for number in range(random.randint(5, 40))]
        teams = {name: random.choice(list(TREE)) for name in names}
        rows, cells = released([(teams, random_scores(names, random))], TREE)
        for one, other in combinations(cells, 2):
            assert one.people.isdisjoint(other.people)
        for cell in cells:
            assert len(cell.people) >= 5
        assert set(rows[0]) == set(TREE)


def test_small_teams_are_shown_in_the_team_above_them_alone():
    members = {"search": {"a", "b", "c", "d", "e"}, "cart": {"f", "g"}, "shop": {"h", "i", "j"}, "desk": {"k"}}
    assert {team: "".join(sorted(found)) for team, (found, _) in pools(members, TREE, 5).items()} == {
        "search": "abcde",
        "cart": "fg",
        "shop": "fghij",
        "desk": "k",
        "company": "k",
    }


def test_who_was_assessed_is_a_share_of_the_same_teams_as_the_score():
    """Six of six of the team, and one of four of the small team below that it is shown with."""
    teams = dict.fromkeys("abcdef", "shop") | dict.fromkeys("ghij", "cart")
    quarter = Quarter(QUARTERS[0], teams, {"scope": dict.fromkeys("abcdefg", 3) | {"a": 2, "b": 4}})
    rows, _ = team_releases(quarter, "scope", TREE, 5, [])
    (shop,) = [row for row in rows if row["team"] == "shop"]
    assert (shop["status"], shop["assessed_share_band"]) == ("published", share_band(7, 10))


def test_a_team_whose_people_are_all_in_rows_below_it_has_no_values():
    teams = people("abcdef", "search") | people("ghijkl", "cart")
    rows, _ = released([(teams, dict.fromkeys(teams, 3))], TREE)
    assert [rows[0][team]["status"] for team in ("search", "cart", "shop")] == [
        "published",
        "published",
        "in_teams_below",
    ]


def test_without_the_guard_a_team_is_the_difference_of_the_team_above_and_its_other_teams():
    """Exact means of twelve and of eleven people give away the twelfth."""
    scores = random_scores("abcdefghijkl", Random(3))
    above, below = sum(scores.values()), sum(score for name, score in scores.items() if name != "l")
    assert left_by_sums([(frozenset(scores), above), (frozenset(scores) - {"l"}, below)], "l") == {scores["l"]}


# Over time


@pytest.mark.parametrize(("left", "joined"), [("", "h"), ("a", ""), ("a", "h"), ("ab", "hij"), ("abc", "hi")])
def test_a_row_whose_people_changed_by_fewer_than_three_is_carried_forward(left, joined):
    before, after = people("abcdefg"), people([name for name in "abcdefg" + joined if name not in left])
    rows, cells = released([(before, dict.fromkeys(before, 3)), (after, dict.fromkeys(after, 4))])
    assert rows[1]["shop"] == {"quarter": QUARTERS[1], "dimension": "d", "team": "shop"} | {
        "possible_bands": None,
        "status": "carried_forward",
        "value_quarter": QUARTERS[0],
    }
    assert cells[1].bands is None


def test_the_same_people_are_shown_again():
    rows, _ = released([(people("abcdefg"), dict.fromkeys("abcdefg", score)) for score in (3, 2)])
    assert [row["shop"]["status"] for row in rows] == ["published", "published"]
    assert [row["shop"]["mean_low"] for row in rows] == [3.0, 2.0]


def test_without_the_guard_one_who_joins_is_the_difference_of_two_quarters():
    scores = random_scores("abcdefgh", Random(5))
    before = sum(scores[name] for name in "abcdefg")
    after = sum(scores.values())
    assert left_by_sums([(frozenset("abcdefg"), before), (frozenset(scores), after)], "h") == {scores["h"]}


def test_bands_alone_do_not_stop_the_attack_on_those_who_left():
    """Three of eight left and three joined, as the membership rule demands; the mean fell from 3.5 to 2.5. If nobody's
    score changed, the two who left and had a 2 know that the third had at least a 4. So the guard counts."""
    old = Cell(QUARTERS[0], "shop", frozenset("abcdefgh"), (3.5,), is_published=True)
    new = Cell(QUARTERS[1], "shop", frozenset("defghijk"), None)
    told = [(old.people, sums_of_bands(8, [3.5])), (new.people, sums_of_bands(8, [2.5]))]
    assert left_over_time(told, [{"a": 2, "b": 2}, {}])["c"] == {4, 5}
    assert 2.5 not in publishable_bands(new, [old])
    assert 3.5 in publishable_bands(new, [old])


def betrayed(statements: Statements, pair: tuple[str, str], known: list[dict[str, int]]) -> list[str]:
    """Whom two people leave fewer than three scores, who know their own of the time of each statement."""
    left = left_over_time(statements, known) if statements else {}
    return [person for person, scores in left.items() if len(scores) < 3 and person not in pair]


def moves(random: Random) -> tuple[list[tuple[dict[str, str], dict[str, int]]], tuple[str, str]]:
    """Quarters of two teams whose people join, leave and move in groups; and two of them, whose scores alone change."""
    names = iter(f"p{number:03}" for number in range(1000))
    teams = {next(names): random.choice(["shop", "desk"]) for _ in range(random.randint(10, 13))}
    scores = random_scores(teams, random)
    pair = tuple(random.sample(sorted(teams), 2))
    found = []
    for _ in range(4):
        found.append((dict(teams), {name: scores[name] for name in teams}))
        scores |= {name: random.choice([1, 2, 3, 4, 5]) for name in pair}
        for _ in range(random.choice([0, 0, 1])):
            others = sorted(set(teams) - set(pair))
            change = random.choice(["leave", "move", "replace"])
            for name in random.sample(others, min(len(others), random.choice([1, 3, 3, 4]))):
                team = teams.pop(name)
                if change == "move":
                    teams[name] = "desk" if team == "shop" else "shop"
                if change == "replace":
                    new = next(names)
                    teams[new], scores[new] = team, random.randint(1, 5)
    return found, pair


def own_scores(history, pair: tuple[str, str], quarters: list[int]) -> list[dict[str, int]]:
    return [{name: history[quarter][1][name] for name in pair if name in history[quarter][1]} for quarter in quarters]


TWO_TEAMS = {"shop": None, "desk": None}


def test_all_publications_of_a_year_together_leave_three_possible_scores_to_everybody():
    """The worst attackers: their own scores change, they know that nobody else's does, and they keep every file."""
    told = 0
    for seed in range(30):
        history, pair = moves(Random(seed))
        _, cells = released(history, TWO_TEAMS)
        cells = [cell for cell in cells if cell.bands is not None]
        statements = [(cell.people, sums_of_bands(len(cell.people), cell.bands)) for cell in cells]
        known = own_scores(history, pair, [QUARTERS.index(cell.quarter) for cell in cells])
        assert betrayed(statements, pair, known) == [], seed
        told += sum(len(cell.bands) == 1 for cell in cells)
    assert told > 30, "hardly anything is published"


def exact_sums(history, pair: tuple[str, str]) -> list[tuple[frozenset[str], int]]:
    """Of every team of at least five in every quarter, as a dashboard would show them, less what two people know."""
    statements = []
    for teams, scores in history:
        for team in set(teams.values()):
            members = frozenset(name for name in scores if teams[name] == team)
            total = sum(scores[name] for name in members - set(pair))
            if len(members) >= 5:
                statements.append((members - set(pair), total))
    return statements


def test_without_the_guard_the_publications_of_a_year_give_scores_away():
    given_away = 0
    for seed in range(30):
        history, pair = moves(Random(seed))
        statements = exact_sums(history, pair)
        everybody = sorted(set().union(*(members for members, _ in statements)))
        given_away += any(len(left_by_sums(statements, person)) < 3 for person in everybody)
    assert given_away >= 15


# Seven people, of whom five have a 5 all the time; the scores of the two others move the mean over an end of a band.
CHANGING = [(people("abcdefg"), dict.fromkeys("abcdefg", 5) | {"a": 1, "b": own}) for own in (1, 2)]


def test_two_whose_own_scores_change_learn_nothing_from_a_row_that_is_not_shown_any_more():
    rows, cells = released(CHANGING)
    assert [row["shop"]["status"] for row in rows] == ["published", "suppressed"]
    statements = [(cell.people, sums_of_bands(7, cell.bands)) for cell in cells]
    assert betrayed(statements, ("a", "b"), own_scores(CHANGING, ("a", "b"), [0, 1])) == []


def test_if_each_quarter_were_counted_alone_the_same_two_would_know_all_others():
    alone = Cell(QUARTERS[1], "shop", frozenset("abcdefg"), None)
    withheld = [band for band in MEAN_BANDS if band not in publishable_bands(alone, [])]
    statements = [(alone.people, sums_of_bands(7, [3.5])), (alone.people, sums_of_bands(7, withheld))]
    known = own_scores(CHANGING, ("a", "b"), [0, 1])
    assert {name: {5} for name in "cdefg"} == left_over_time(statements, known)


# The same band twice, of the same 21 people, whose first two had a 1 each and then a 4; then five others take turns.
UNCHANGED = dict(zip([f"b{number:02}" for number in range(16)], [5] * 8 + [4] * 8, strict=True))
REPEATED = [
    (people(scores), scores)
    for scores in (
        UNCHANGED | {"a0": own, "a1": own, "a2": 1, "a3": 1, "a4": 1} if own else UNCHANGED | dict.fromkeys("cde", 5)
        for own in (1, 4, None)
    )
]


def test_the_same_band_shown_twice_tells_more_to_two_whose_own_scores_change():
    rows, cells = released(REPEATED)
    assert [row["shop"]["mean_low"] for row in rows[:2]] == [3.5, 3.5]
    known = own_scores(REPEATED, ("a0", "a1"), [0, 1, 2])
    told = [(cell.people, sums_of_bands(len(cell.people), cell.bands)) for cell in cells if cell.bands]
    assert betrayed(told, ("a0", "a1"), known[: len(told)]) == []


def test_if_the_same_band_counted_once_the_same_two_would_know_who_left_and_who_came():
    first, _, last = (frozenset(teams) for teams, _ in REPEATED)
    shown = Cell(QUARTERS[0], "shop", first, (3.5,), is_published=True)
    publishable = publishable_bands(Cell(QUARTERS[2], "shop", last, None), [shown])
    assert publishable, "the band before hides the last row altogether"
    withheld = [band for band in MEAN_BANDS if band not in publishable]
    assert mean_band(sum(REPEATED[2][1].values()), len(last)) in withheld
    told = [(first, sums_of_bands(21, [3.5]))] * 2 + [(last, sums_of_bands(19, withheld))]
    known = own_scores(REPEATED, ("a0", "a1"), [0, 1, 2])
    assert betrayed(told, ("a0", "a1"), known) == ["a2", "a3", "a4", "c", "d", "e"]


def test_a_row_of_which_any_value_would_tell_too_much_shows_the_one_before():
    """Of five people a first row leaves just three scores; any other beside it within a year would leave fewer."""
    rows, _ = released([(people("abcde"), dict.fromkeys("abcde", 3))] * 2)
    assert [row["shop"]["status"] for row in rows] == ["published", "carried_forward"]
    assert rows[1]["shop"]["value_quarter"] == QUARTERS[0]


def test_a_team_of_thirty_that_three_leave_and_join_every_quarter_is_shown_twice_and_stands_for_the_rest_of_the_year():
    names = [f"p{number:02}" for number in range(42)]
    quarters = [people(names[3 * number : 3 * number + 30]) for number in range(5)]
    rows, _ = released([(teams, dict.fromkeys(teams, 3)) for teams in quarters])
    assert [row["shop"]["status"] for row in rows] == ["published"] * 2 + ["carried_forward"] * 3


# Closed out of order


def test_a_quarter_that_is_closed_late_is_judged_with_the_later_ones_too():
    """As above, but the quarter with the low scores is the second to be closed."""
    shop = people("abcdefg")
    _, cells = team_releases(Quarter(QUARTERS[1], shop, {"d": CHANGING[0][1]}), "d", FLAT, 5, [])
    _, late = team_releases(Quarter(QUARTERS[0], shop, {"d": CHANGING[1][1]}), "d", FLAT, 5, cells)
    statements = [(cell.people, sums_of_bands(7, cell.bands)) for cell in [*cells, *late] if cell.bands]
    known = [CHANGING[0][1], CHANGING[1][1]][: len(statements)]
    assert betrayed(statements, ("a", "b"), [{name: own[name] for name in "ab"} for own in known]) == []


def test_a_late_quarter_never_carries_what_a_later_one_showed():
    later, _ = released([(people("abcdefg"), dict.fromkeys("abcdefg", 3))])
    assert later[0]["shop"]["status"] == "published"
    _, cells = team_releases(
        Quarter(QUARTERS[1], people("abcdefg"), {"d": dict.fromkeys("abcdefg", 3)}), "d", FLAT, 5, []
    )
    rows, _ = team_releases(
        Quarter(QUARTERS[0], people("abcdef"), {"d": dict.fromkeys("abcdef", 3)}), "d", FLAT, 5, cells
    )
    assert [row["status"] for row in rows] == ["suppressed"]


# Counts of the organisation


def counted(quarters: list[dict[str, int]]) -> list[Cell]:
    """What is told of successive quarters, each person → counted or not."""
    cells: list[Cell] = []
    for first_day, answers in zip(QUARTERS, quarters, strict=True):
        cell = Cell(first_day, "all", frozenset(answers), None, measure=COUNT)
        verdict = judge(cell, sum(answers.values()), cells)
        cells.append(replace(cell, bands=verdict.bands, is_published=verdict.is_published))
    return cells


@pytest.mark.parametrize(("left", "joined"), [(0, 0), (0, 1), (1, 0), (2, 4)])
def test_two_counts_of_an_organisation_leave_both_answers_for_everybody_else(left, joined):
    """Over every pair of counts, whatever two people were and are themselves, if nobody else has changed."""
    before = frozenset(map(str, range(12)))
    after = frozenset(map(str, range(left, 12 + joined)))
    shown = 0
    for first in range(13):
        cell = Cell(QUARTERS[0], "all", before, None, measure=COUNT)
        verdict = judge(cell, first, [])
        cells = [Cell(QUARTERS[0], "all", before, verdict.bands, verdict.is_published, COUNT)]
        for second in range(len(after) + 1):
            verdict_after = judge(Cell(QUARTERS[1], "all", after, None, measure=COUNT), second, cells)
            shown += verdict.is_published and verdict_after.is_published
            told = [(before, set(verdict.bands)), (after, set(verdict_after.bands or range(len(after) + 1)))]
            for pair in (("5", "6"), ("0", "5"), ("5", "12"), ("0", "12"), ("12", "13")):
                own = [[name for name in pair if name in people] for people, _ in told]
                for answers in product((0, 1), repeat=len(own[0]) + len(own[1])):
                    known = [
                        dict(zip(own[0], answers, strict=False)),
                        dict(zip(own[1], answers[len(own[0]) :], strict=True)),
                    ]
                    for person, possible in left_over_time(told, known, (0, 1)).items():
                        assert possible == {0, 1}, (first, second, pair, known, person)
    assert shown


# Seven people, of whom five are ready all the time; two of these leave with p0, and three others come. Who attacks, p0
# and p5, is ready in the second quarter alone, and p5 in the third and fourth.
READY = [
    dict.fromkeys(("p1", "p2", "p3", "p4", "p6"), 1) | {"p0": 0, "p5": 0},
    dict.fromkeys(("p1", "p2", "p3", "p4", "p6"), 1) | {"p0": 1, "p5": 1},
    *(dict.fromkeys(("p3", "p4", "p6", "p7"), 1) | {"p8": 0, "p9": 0, "p5": own} for own in (1, 1, 0)),
]


def told_of_counts(cells: list[Cell]) -> list[dict[str, set[int]]]:
    """What p0 and p5 leave each of the others by the counts since each quarter."""
    found = []
    for since in QUARTERS:
        told = [cell for cell in cells if cell.bands is not None and cell.quarter >= since]
        ready = [READY[QUARTERS.index(cell.quarter)] for cell in told]
        known = [{name: each[name] for name in ("p0", "p5") if name in each} for each in ready]
        statements = [(cell.people, set(cell.bands)) for cell in told]
        found.append(left_over_time(statements, known, (0, 1)) if told else {})
    return found


def test_the_same_counts_withheld_twice_tell_more_to_two_whose_own_answers_change():
    cells = counted(READY)
    assert cells[0].bands == cells[1].bands == (0, 1, 2, 5, 6, 7)
    assert all(answers == {0, 1} for left in told_of_counts(cells) for answers in left.values())


def test_if_the_same_counts_were_counted_once_the_same_two_would_know_who_is_ready():
    withheld = (0, 1, 2, 5, 6, 7)
    cells = [
        Cell(quarter, "all", frozenset(ready), withheld if sum(ready.values()) in withheld else (4,), measure=COUNT)
        for quarter, ready in zip(QUARTERS, READY, strict=True)
    ]
    assert [len(cell.bands) for cell in cells] == [6, 6, 6, 6, 1]
    assert keeps_enough({cell.statement for cell in cells}, COUNT)
    assert not keeps_enough([cell.statement for cell in cells], COUNT)
    left = told_of_counts(cells)[0]
    assert {name for name, answers in left.items() if answers == {1}} == {"p1", "p2", "p3", "p4", "p6"}


def test_a_count_of_forty_people_whom_one_joins_every_quarter_is_shown_once_in_a_year():
    names = [f"p{number:02}" for number in range(44)]
    for ready in (4, 12, 20):
        cells = counted([{name: int(name < f"p{ready:02}") for name in names[: 40 + number]} for number in range(5)])
        assert [cell.is_published for cell in cells] == [True, False, False, False, False]


def test_without_the_guard_one_more_who_is_ready_and_one_who_joined_are_the_same():
    before, after = frozenset("abcdefghij"), frozenset("abcdefghijk")
    told = [(before, {4}), (after, {5})]
    assert left_over_time(told, [{"a": 0, "b": 1}] * 2, (0, 1))["k"] == {1}
