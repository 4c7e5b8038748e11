"""Attacks on what is published of scores: each fails against the guard, and each succeeds without it."""

from __future__ import annotations

from datetime import date
from itertools import combinations
from random import Random
from statistics import mean, pstdev

import pytest
from attacker import datasets, feasible, left_by_output, share_given_away, sums_of_bands

from dagster_project.guard.bands import MEAN_BANDS, mean_band, share_band
from dagster_project.guard.feasible import Knowledge, Statement
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
    knowledge = Knowledge(
        [
            Statement(frozenset(scores), ((above, above),)),
            Statement(frozenset(scores) - {"l"}, ((below, below),)),
        ]
    )
    assert knowledge.feasible_scores({}, "l") == {scores["l"]}


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
    statements = [Statement(frozenset("abcdefg"), ((before, before),)), Statement(frozenset(scores), ((after, after),))]
    assert Knowledge(statements).feasible_scores({}, "h") == {scores["h"]}


def test_bands_alone_do_not_stop_the_attack_on_those_who_left():
    """Three of eight left and three joined, as the membership rule demands; the mean fell from 3.5 to 2.5. If nobody's
    score changed, the two who left and had a 2 know that the third had at least a 4. So the guard counts."""
    old = Cell(QUARTERS[0], "shop", frozenset("abcdefgh"), (3.5,), is_published=True)
    new = Cell(QUARTERS[1], "shop", frozenset("defghijk"), None)
    knowledge = Knowledge([old.statement, Cell(QUARTERS[1], "shop", new.people, (2.5,)).statement])
    assert knowledge.feasible_scores({"a": 2, "b": 2}, "c") == {4, 5}
    assert 2.5 not in publishable_bands(new, [old])
    assert 3.5 in publishable_bands(new, [old])


def betrays(knowledge: Knowledge, scores: dict[str, int]) -> bool:
    """Whether any two people who know their own scores leave somebody else fewer than three."""
    return any(
        len(knowledge.feasible_scores({one: scores[one], other: scores[other]}, victim)) < 3
        for one, other in combinations(sorted(knowledge.group_of), 2)
        for victim in {group: name for name, group in knowledge.group_of.items() if name not in (one, other)}.values()
    )


def moves(random: Random) -> list[tuple[dict[str, str], dict[str, int]]]:
    """Quarters of two teams whose people join, leave and move in groups, and keep their scores all the time."""
    names = iter(f"p{number:03}" for number in range(1000))
    teams = {next(names): random.choice(["shop", "desk"]) for _ in range(random.randint(10, 13))}
    scores = random_scores(teams, random)
    found = []
    for _ in range(3):
        found.append((dict(teams), {name: scores[name] for name in teams}))
        for _ in range(random.choice([0, 1, 1, 2])):
            group = random.sample(sorted(teams), min(len(teams), random.choice([1, 3, 3, 4])))
            change = random.choice(["leave", "move", "replace"])
            for name in group:
                team = teams.pop(name)
                if change == "move":
                    teams[name] = "desk" if team == "shop" else "shop"
                if change == "replace":
                    new = next(names)
                    teams[new], scores[new] = team, random.randint(1, 5)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_all_publications_of_a_year_together_leave_three_possible_scores_to_everybody(seed):
    """The worst attacker: it knows that no score has changed, and keeps every publication."""
    history = moves(Random(seed))
    _, cells = released(history, {"shop": None, "desk": None})
    scores = {name: score for _, given in history for name, score in given.items()}
    knowledge = Knowledge([cell.statement for cell in cells if cell.bands is not None])
    assert knowledge.is_possible()
    assert not betrays(knowledge, scores)


def test_without_the_guard_the_publications_of_a_year_give_scores_away():
    given_away = 0
    for seed in range(6):
        history = moves(Random(seed))
        statements = []
        for teams, scores in history:
            for team in ("shop", "desk"):
                members = [name for name in scores if teams[name] == team]
                total = sum(scores[name] for name in members)
                if len(members) >= 5:
                    statements.append(Statement(frozenset(members), ((total, total),)))
        scores = {name: score for _, given in history for name, score in given.items()}
        given_away += betrays(Knowledge(statements), scores)
    assert given_away >= 3
