"""Attacks on published files: a small organisation from landing files to four publications, all kept by the attacker.

Three quarters are closed and published one after another; before the fourth publication scores, memberships, growth,
retrospectives and sessions of published quarters are corrected. The attacker reads every file, knows who was in which
team and who was assessed, knows the rules and their code, and puts the own scores of two people together.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from itertools import combinations
from pathlib import Path

import duckdb
import pytest
from attacker import left_by_sums, left_over_time, sums_of_bands
from candidate_marts import pass_gate
from dbt_models import models
from running import LANDING, SERVICES, TEAMS, land

from dagster_project.extract.landing import extract
from dagster_project.guard.bands import COUNT, MEAN_BANDS, mean_band
from dagster_project.guard.recount import FROZEN
from dagster_project.guard.recount import TEAMS as TEAM_ROWS
from dagster_project.guard.release import Cell, may_follow, pools, publishable_bands, release_closed_quarters
from dagster_project.guard.scan import scan
from dagster_project.publication import publish
from dagster_project.quality.gate import CANDIDATES
from dagster_project.reference import load_reference
from dagster_project.settings import load_settings
from dagster_project.warehouse import Warehouse

QUARTERS = (date(2025, 1, 1), date(2025, 4, 1), date(2025, 7, 1))
DIMENSIONS = ("business_impact", "technical_quality")
PARENTS = {"company": None} | dict.fromkeys(("own", "join", "red", "blue", "alike", "api", "restated"), "company")
PARENTS |= {"api": "platform", "platform": "company"}


def group(team: str, people: int) -> list[str]:
    return [f"{team}-{number}" for number in range(people)]


def teams_of(quarter: int) -> dict[str, str]:
    """Person → team. One joins `join`; one goes from `red` to `blue` and back in the last quarter, in which three of
    `red` and three of `blue` change places."""
    found = {
        person: team
        for team, people in {"own": 7, "join": 8, "red": 8, "blue": 8, "alike": 7, "api": 6, "restated": 7}.items()
        for person in group(team, people)
    }
    found["platform-0"] = "platform"
    if quarter == 0:
        del found["join-7"]
    if quarter == 1:
        found["red-7"] = "blue"
    if quarter == 2:
        found |= dict.fromkeys(group("red", 3), "blue") | dict.fromkeys(group("blue", 3), "red")
    return found


@dataclass(frozen=True)
class World:
    """Scores that people can have had, (quarter, person) → score, alike in both dimensions; and who shows growth."""

    scores: dict[tuple[int, str], int]
    growing: frozenset[str]
    # Scores of the first quarter that were corrected after it was published.
    corrected: dict[str, int] = field(default_factory=lambda: {"restated-0": 1})

    def at(self, quarter: int) -> dict[str, int]:
        return {person: score for (at, person), score in self.scores.items() if at == quarter}


@cache
def world() -> World:
    """Nobody's score changes but that of two in `own`, who move its mean over the end of a band."""
    usual = [3, 3, 4, 2, 3, 4, 3, 2]
    base = {person: usual[int(person[-1]) % 8] for person in teams_of(2)}
    base |= dict.fromkeys(group("alike", 7), 5) | dict.fromkeys(group("own", 7), 5) | {"own-0": 1, "own-1": 1}
    base |= {"restated-0": 5, "platform-0": 5, "join-7": 5, "red-0": 2, "red-1": 2, "red-2": 4}
    scores = {(quarter, person): base[person] for quarter in range(3) for person in teams_of(quarter)}
    scores |= {(1, "own-1"): 2, (2, "own-1"): 3}
    return World(scores, frozenset(person for person in base if int(person[-1]) in (1, 2, 5)))


# The path from landing files to published files


def rows_of(world: World, publication: int) -> Iterator[tuple[str, list[dict]]]:
    """What lands before a publication; the fourth has corrections of what is published."""
    quarter = min(publication, 2)
    first_day = QUARTERS[quarter]
    over = first_day + timedelta(days=95 + publication)
    stamp = {"updated_at": f"{over}T12:00:00Z"}
    yield (
        "deployments",
        [
            {"deployment_id": f"{day}", "service": "web", "environment": "production", "status": "success"}
            | {"finished_at": f"{day}T12:00:00Z", "version": f"v{day}"}
            for day in (first_day + timedelta(days=publication), over)
        ],
    )
    scores = world.at(quarter) if publication < 3 else world.corrected
    yield (
        "assessments",
        [
            {
                "person_key": person,
                "quarter": f"{first_day if publication < 3 else QUARTERS[0]}",
                "dimension": dimension,
            }
            | {"score": score, "assessor_role": "manager", "evidence_links": "https://wiki.example/1"}
            | {"assessor_group": "all of us", "assessor_key": f"lead-{sum(map(ord, person)) % 6}"}
            | {"assessed_at": f"{(first_day if publication < 3 else QUARTERS[0]) + timedelta(days=60)}T12:00:00Z"}
            | stamp
            for person, score in scores.items()
            for dimension in DIMENSIONS
        ],
    )
    yield (
        "growth_reviews",
        [
            {"person_key": person, "quarter": f"{first_day}", "current_level": "senior"}
            | {"growth_signal": "clear" if (person in world.growing) != (publication == 3) else "none"}
            | {"reviewed_at": f"{first_day + timedelta(days=60 + publication)}T12:00:00Z"}
            | stamp
            for person in teams_of(quarter)
        ],
    )
    yield (
        "calibration_sessions",
        [
            {"session_id": f"s{publication}", "quarter": f"{first_day}", "held_at": f"{over}T12:00:00Z"}
            | {"assessor_group": "all of us", "claims_reviewed": 60, "claims_challenged": 9, "claims_changed": 3}
        ],
    )
    # Of the late ones nobody of those invited was there.
    yield (
        "retrospectives",
        [
            {"retrospective_id": f"r{publication}-{number}", "team": "own"}
            | {"held_at": f"{first_day + timedelta(days=10 + number + 10 * publication)}T12:00:00Z"}
            | {"people_invited": 7, "people_present": 7 if publication < 3 else 0}
            for number in range(6)
        ],
    )
    yield "team_members", [row | stamp for row in memberships(publication)]


def memberships(publication: int) -> list[dict]:
    """Those that begin with the quarter, and the ends of those before; at last two of published quarters, in `own`."""
    if publication == 3:
        return [
            {"person_key": person, "team": "own", "valid_from": "2025-01-01"} for person in ("restated-6", "join-6")
        ]
    now, before = teams_of(publication), teams_of(publication - 1) if publication else {}
    rows = []
    for person, team in now.items():
        if before.get(person) != team:
            rows.append({"person_key": person, "team": team, "valid_from": f"{QUARTERS[publication]}"})
            if person in before:
                since = min(at for at in range(publication) if teams_of(at).get(person) == before[person])
                ended = {"valid_from": f"{QUARTERS[since]}", "valid_to": f"{QUARTERS[publication]}"}
                rows.append({"person_key": person, "team": before[person]} | ended)
    return rows


def publish_history(folder: Path, world: World) -> list[Path]:
    """The folders of four publications of an installation of its own."""
    (folder / "seeds").mkdir(parents=True)
    (folder / "seeds/services.csv").write_text(SERVICES + "web,own,frontend,web,,\n", encoding="utf-8")
    tree = "".join(f"{team},{parent or ''},UTC\n" for team, parent in PARENTS.items())
    (folder / "seeds/teams.csv").write_text(TEAMS + tree, encoding="utf-8")
    config = folder / "plumbline.yaml"
    config.write_text(f"data_dir: data\nsources:\n{LANDING}", encoding="utf-8")
    settings = load_settings(config)
    closed = "quarter,closed_at,closed_by_role\n"
    kept = []
    for publication in range(4):
        for table, rows in rows_of(world, publication):
            land(folder, table, f"{publication}.ndjson", rows)
        if publication < 3:
            closed += f"{QUARTERS[publication]},{QUARTERS[publication] + timedelta(days=94)}T00:00:00Z,head\n"
        (folder / "seeds/ov_quarters.csv").write_text(closed, encoding="utf-8")
        with Warehouse(settings).connect() as connection:
            load_reference(connection, settings.reference_dir)
            extract(settings.sources[0], settings, connection)
            assert connection.sql("select count(*) from raw.quarantine").fetchone() == (0,)
            assert release_closed_quarters(connection, 5) == []
            models().build(connection)
            connection.execute(f"""
                create schema if not exists meta;
                create or replace table meta.build as
                    select '{publication}' as build_id, timestamp '2025-12-01' as as_of, true as is_success
            """)
            tables = [
                name
                for (name,) in connection.sql(
                    "select table_name from duckdb_tables() where schema_name = 'marts' order by all"
                ).fetchall()
            ]
            found = scan(connection, CANDIDATES, tables, settings.published_file)
            assert {table: lines for table, lines in found.items() if lines} == {}
        pass_gate(settings, tables)
        publish(settings, tables)
        kept.append(folder / f"kept-{publication}")
        shutil.copytree(settings.published_dir, kept[-1])
    return kept


@pytest.fixture(scope="module")
def publications(tmp_path_factory) -> list[Path]:
    return publish_history(tmp_path_factory.mktemp("shop"), world())


# What the attacker reads, and makes of it


def table(publication: Path, name: str, columns: str, where: str = "true") -> list[tuple]:
    """Rows of a table, alike in the file of BI tools and in its Parquet copy."""
    query = f"select {columns} from {{}} where {where} order by all"
    rows = duckdb.sql(query.format(f"'{publication}/parquet/{name}.parquet'")).fetchall()
    with duckdb.connect(publication / "marts.duckdb", read_only=True) as connection:
        assert connection.sql(query.format(name)).fetchall() == rows
    return rows


def cells_of(publications: list[Path], dimension: str) -> list[Cell]:
    """What all rows tell, one that is missing by the rules alone."""
    shown = {}
    for publication in publications:
        for quarter, team, of, *row in table(publication, TEAM_ROWS, "quarter, team, dimension, status, mean_low"):
            if of == dimension:
                assert shown.setdefault((quarter, team), row) == row, "restated"
    cells: list[Cell] = []
    for number, quarter in enumerate(QUARTERS):
        members: dict[str, set[str]] = {}
        for person, team in teams_of(number).items():
            members.setdefault(team, set()).add(person)
        below = pools(members, PARENTS, 5)
        for team in sorted(PARENTS):
            people = frozenset(below[team][0])
            if len(people) < 5:
                continue
            cell = Cell(quarter, team, people, None)
            status, mean_low = shown[quarter, team]
            publishable = publishable_bands(cell, cells) if may_follow(people, cells) else frozenset()
            if status == "published":
                assert mean_low in publishable
                cells.append(replace(cell, bands=(mean_low,), is_published=True))
            elif publishable:
                cells.append(replace(cell, bands=tuple(band for band in MEAN_BANDS if band not in publishable)))
    return cells


def betrayed(cells: list[Cell], world: World, teams: tuple[str, ...]) -> set[tuple[str, str, str]]:
    """(one, other, victim): two people leave a third fewer than three scores, if nobody else's has changed since some
    quarter. People of these teams alone, all of whom are tried."""
    people = sorted({person for quarter in range(3) for person, team in teams_of(quarter).items() if team in teams})
    found = set()
    for since in QUARTERS:
        told = [cell for cell in cells if cell.quarter >= since and not cell.people.isdisjoint(people)]
        statements = [(cell.people, sums_of_bands(len(cell.people), cell.bands)) for cell in told]
        for pair in combinations(people, 2):
            known = [
                {name: world.scores[QUARTERS.index(cell.quarter), name] for name in pair if name in cell.people}
                for cell in told
            ]
            left = left_over_time(statements, known) if statements else {}
            found |= {(*pair, victim) for victim, scores in left.items() if len(scores) < 3 and victim not in pair}
    return found


def dashboard(world: World, publication: int) -> Iterator[tuple[int, frozenset[str], int]]:
    """What a dashboard without a guard would show at that time: of every team with those below it, from five people on,
    and every quarter so far, the exact mean and number of people, here (quarter, people, sum)."""
    for quarter in range(min(publication, 2) + 1):
        scores = world.at(quarter) | (world.corrected if publication == 3 and quarter == 0 else {})
        for team in PARENTS:
            members = frozenset(person for person, own in teams_of(quarter).items() if is_in(own, team))
            if len(members) >= 5:
                yield quarter, members, sum(scores[person] for person in members)


def is_in(team: str | None, above: str) -> bool:
    return team is not None and (team == above or is_in(PARENTS[team], above))


# The teams that an attack is about, two people who put their scores together, and whom it is after.
ATTACKS = {
    "own scores that change": (("own",), ("own-0", "own-1"), "own-2"),
    "joiners and leavers": (("join",), ("join-0", "join-1"), "join-7"),
    "team moves": (("red", "blue"), ("red-0", "blue-1"), "red-7"),
    "unanimous": (("alike",), ("alike-0", "alike-1"), "alike-2"),
    "differencing up the tree": (("api", "platform"), ("api-0", "api-1"), "platform-0"),
    "restatement": (("restated",), ("restated-1", "restated-2"), "restated-0"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_two_people_leave_three_scores_to_every_other(publications, attack):
    teams, *_ = ATTACKS[attack]
    # Who is in `platform` alone is too few for a row.
    with_rows = set(teams) - {"platform"}
    for dimension in DIMENSIONS:
        cells = cells_of(publications, dimension)
        assert with_rows <= {cell.team for cell in cells}, "a row that tells nothing is not attacked"
        shown = with_rows & {cell.team for cell in cells if cell.is_published}
        # Seven people who all have a 5 are never shown.
        assert shown == (set() if attack == "unanimous" else with_rows)
        assert betrayed(cells, world(), teams) == set()


@pytest.mark.parametrize("attack", ATTACKS)
def test_without_the_guard_the_same_attack_succeeds(attack):
    teams, pair, victim = ATTACKS[attack]
    inside = {person for quarter in range(3) for person, team in teams_of(quarter).items() if team in teams}

    def told(publication: int) -> list[tuple[frozenset[str], int]]:
        """Of the people whom the attack is about, less what the two know of themselves."""
        found = []
        for quarter, members, total in dashboard(world(), publication):
            if members <= inside:
                own = sum(world().scores[quarter, person] for person in members & set(pair))
                found.append((members - set(pair), total - own))
        return found

    statements = told(2)
    if attack == "restatement":
        # The score before and the one after are two unknowns.
        corrected = [
            (frozenset("after" if name == victim else name for name in people), total) for people, total in told(3)
        ]
        statements = [statements[0], corrected[0]]
    assert left_by_sums(statements, victim) == {world().scores[0 if attack == "restatement" else 2, victim]}


def test_what_is_published_stays_whatever_is_corrected(publications):
    """Among what landed before the last one: another score and team of somebody, other growth, retrospectives in which
    nobody took part, one more session."""
    for name, (columns, is_frozen) in FROZEN.items():
        before, after = (
            [row for row in table(publication, name, ", ".join(columns), is_frozen) if row[0] <= QUARTERS[2]]
            for publication in publications[2:]
        )
        assert set(before) <= set(after), name
        assert name == "metric_audit_quarterly" or before == after
    own = "team = 'own' and check_name = 'retrospective_participation'"
    told = [dict(table(publication, "metric_audit_quarterly", "quarter, finding", own)) for publication in publications]
    assert told[1][QUARTERS[1]] == told[3][QUARTERS[1]] == "not_found"


def test_two_counts_of_readiness_leave_both_answers_for_everybody_else(publications):
    """One joined and two showed growth before; the attacker runs the rules for what is not shown."""
    shown = dict(table(publications[3], "readiness_quarterly", "quarter, clear_growth_people"))
    cells: list[Cell] = []
    for number, quarter in enumerate(QUARTERS):
        cell = Cell(quarter, "all", frozenset(teams_of(number)), None, measure=COUNT)
        publishable = publishable_bands(cell, cells)
        possible = {shown[quarter]} if shown[quarter] is not None else set(range(len(cell.people) + 1)) - publishable
        if shown[quarter] is not None or publishable:
            cells.append(replace(cell, bands=tuple(sorted(possible)), is_published=shown[quarter] is not None))
    assert shown[QUARTERS[0]] == len(world().growing & set(teams_of(0)))
    told = [(cell.people, set(cell.bands)) for cell in cells]
    for pair in combinations(("own-0", "own-1", "own-2", "join-7"), 2):
        known = [{name: int(name in world().growing) for name in set(pair) & people} for people, _ in told]
        left = left_over_time(told, known, (0, 1))
        assert {person for person, answers in left.items() if answers != {0, 1}} == set()


def other_world() -> World:
    """One that all rows leave possible: scores moved on within each team, then one of each changed to another sum in
    the same band; and others show growth."""
    given = world()
    still = {"own-0", "own-1", "restated-0", "platform-0", "join-7", *group("red", 3), *group("blue", 3)}
    scores = dict(given.scores)
    for team in ("own", "join", "red", "blue", "alike", "api", "restated"):
        others = [person for person in group(team, 8) if person in teams_of(0) and person not in still]
        for quarter in range(3):
            for person, after in zip(others, [*others[1:], others[0]], strict=True):
                scores[quarter, person] = given.scores[quarter, after]
        changed = [scores | {(quarter, others[0]): score for quarter in range(3)} for score in (1, 2, 3, 4, 5)]
        scores = next((each for each in changed if each != scores and bands_of(each) == bands_of(scores)), scores)
    grown = [person for person in sorted(teams_of(0)) if person not in given.growing | still]
    return replace(
        given, scores=scores, growing=frozenset([*grown[: len(given.growing - still)], *given.growing & still])
    )


def bands_of(scores: dict[tuple[int, str], int]) -> list[float]:
    return [
        mean_band(sum(scores[quarter, person] for person in people), len(people))
        for quarter in range(3)
        for team in PARENTS
        if len(people := [person for person, own in teams_of(quarter).items() if own == team]) >= 5
    ]


def test_no_other_table_and_no_join_of_tables_tells_one_world_from_another(publications, tmp_path):
    """All tables of all publications are the same: of scores they tell the bands alone, of growth the count."""
    other = other_world()
    assert len({person for person in teams_of(0) if other.scores[0, person] != world().scores[0, person]}) > 20
    assert len([team for team in PARENTS if total(other, team) != total(world(), team)]) >= 4
    assert len(other.growing ^ world().growing) > 10
    for kept, again in zip(publications, publish_history(tmp_path / "other", other), strict=True):
        of_kept, of_again = (
            json.loads((folder / "manifest.json").read_text(encoding="utf-8")) for folder in (kept, again)
        )
        assert of_kept["tables"] == of_again["tables"]


def total(world: World, team: str) -> int:
    return sum(world.scores[0, person] for person, own in teams_of(0).items() if own == team)
