"""The guard on a warehouse: which scores count, what is refused and why, what is published stays."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest
from dbt_models import frame, insert

from dagster_project.contracts import (
    ASSESSMENTS,
    CALIBRATION_SESSIONS,
    EVIDENCE,
    GROWTH_REVIEWS,
    OV_DIMENSIONS,
    OV_QUARTERS,
    PULL_REQUESTS,
    RETROSPECTIVES,
    REVIEW_ACTIVITY,
    RUBRIC,
    SURVEY_RESPONSES,
    TABLES,
    TEAM_MEMBERS,
    TEAMS,
)
from dagster_project.errors import ConfigurationError, PlumblineError
from dagster_project.extract.demo import outcomes, write_installation
from dagster_project.guard.evidence import evidence_pack
from dagster_project.guard.release import freeze_published, release_closed_quarters
from dagster_project.guard.scan import scan
from dagster_project.load import load
from dagster_project.quality.gate import CANDIDATES
from dagster_project.reference import load_reference, read_file
from dagster_project.settings import DemoSource, load_settings, wrong_variable
from dagster_project.warehouse import Warehouse, scratch, transaction

Q1, Q2 = date(2025, 1, 1), date(2025, 4, 1)
PEOPLE = [f"person-{number}" for number in range(7)]
MART = """
    create schema if not exists marts;
    create or replace table marts.ov_team_quarterly as
        select * exclude (possible_bands, is_frozen) from restricted.ov_releases;
"""


def score(person: str, value: int, quarter: date = Q1, **other) -> dict:
    return {
        "person_key": person,
        "quarter": f"{quarter}",
        "dimension": "technical_quality",
        "score": value,
        "assessor_role": "manager",
        "evidence_links": "https://wiki.example/1",
        "assessed_at": f"{quarter.replace(month=quarter.month + 2)}T10:00:00Z",
    } | other


def member(person: str) -> dict:
    return {"person_key": person, "team": "shop", "valid_from": "2024-01-01"}


def take(connection, table, rows: list[dict], origin: str = "file"):
    with transaction(connection):
        return load(connection, table, pl.DataFrame(rows, infer_schema_length=None), source="hr", origin=origin)


@pytest.fixture
def warehouse(connection):
    """Seven people of one team, with scores of two closed quarters."""
    insert(connection, TEAMS, frame(TEAMS, [{"team": "shop", "time_zone": "UTC"}]))
    closed = [(Q1, "2025-04-10"), (Q2, "2025-07-10")]
    connection.executemany("insert into reference.ov_quarters values (?, ?, 'head')", closed)
    take(connection, TEAM_MEMBERS, [member(person) for person in PEOPLE])
    take(connection, ASSESSMENTS, [score(person, 3, quarter) for person in PEOPLE for quarter in (Q1, Q2)])
    return connection


def rows(connection, columns: str = "quarter, status, mean_low, people_band") -> list[tuple]:
    return connection.sql(f"select {columns} from restricted.ov_releases order by quarter").fetchall()


def reasons(connection) -> list[str]:
    return [reason for (reason,) in connection.sql("select reason from raw.quarantine").fetchall()]


# What counts


def test_a_closed_quarter_is_released_in_bands(warehouse):
    assert release_closed_quarters(warehouse, 5) == []
    assert rows(warehouse) == [(Q1, "published", 3.0, "5-7"), (Q2, "published", 3.0, "5-7")]


def test_the_panel_counts_before_the_manager_and_neither_oneself_nor_a_peer_does(warehouse):
    take(warehouse, ASSESSMENTS, [score(person, 2, assessor_role="calibration_panel") for person in PEOPLE], "panel")
    take(warehouse, ASSESSMENTS, [score(person, 5, assessor_role="self") for person in PEOPLE], "self")
    release_closed_quarters(warehouse, 5)
    assert rows(warehouse, "mean_low") == [(2.0,), (3.0,)]


def test_what_was_assessed_after_the_close_does_not_count(warehouse):
    late = [
        score(person, 5, assessor_role="calibration_panel", assessed_at="2025-05-01T00:00:00Z") for person in PEOPLE
    ]
    take(warehouse, ASSESSMENTS, late, "late")
    release_closed_quarters(warehouse, 5)
    assert rows(warehouse, "mean_low") == [(3.0,), (3.0,)]


def test_a_raised_minimum_holds_and_a_lowered_one_is_refused(warehouse):
    release_closed_quarters(warehouse, 8)
    assert rows(warehouse, "status") == [("suppressed",), ("suppressed",)]
    assert wrong_variable("ov_min_group_size", 4) == "ov_min_group_size: 4 is below 5; it may be raised, never lowered"
    assert wrong_variable("ov_min_group_size", 8) is None


# Bad input


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"score": 6}, "score: above 5"),
        ({"score": 0}, "score: below 1"),
        ({"dimension": "charisma"}, f"dimension: not one of {', '.join(OV_DIMENSIONS)}"),
        ({"evidence_links": None}, "a score without evidence"),
        ({"evidence_links": "trust me"}, "evidence_links hold no URL"),
        ({"quarter": "2025-02-01"}, "quarter is not the first day of a quarter"),
        ({"assessed_at": "2024-12-31T00:00:00Z"}, "assessed_at is before the quarter"),
    ],
)
def test_a_score_that_breaks_its_contract_is_quarantined_with_the_reason(warehouse, wrong, reason):
    take(warehouse, ASSESSMENTS, [score("person-8", 3), score("person-9", 3) | wrong], "bad")
    assert reasons(warehouse) == [reason]


def test_quarantine_shows_nothing_of_a_person_outside_the_schema_restricted(warehouse):
    take(warehouse, ASSESSMENTS, [score("person-9", 3, evidence_links=None)], "bad")
    assert warehouse.sql("select fields from raw.quarantine").fetchall() == [(None,)]
    kept = warehouse.sql("select fields ->> 'person_key' = person_key('person-9') from restricted.quarantine")
    assert kept.fetchall() == [(True,)]


@pytest.mark.parametrize(("refused", "shown"), [(0, 0), (1, None), (2, None), (3, 3), (4, 4), (5, None), (7, None)])
def test_refused_scores_are_counted_where_they_are_none_or_of_three_people_and_not_of_nearly_all(
    warehouse, refused, shown
):
    bad = [score(person, 3, Q2, evidence_links=None, assessor_role="calibration_panel") for person in PEOPLE[:refused]]
    if bad:
        take(warehouse, ASSESSMENTS, bad, "bad")
    release_closed_quarters(warehouse, 5)
    assert rows(warehouse, "refused_scores") == [(0,), (shown,)]


def test_a_refused_score_counts_once_and_not_if_it_came_with_evidence_or_after_the_close(warehouse):
    def refused(people: list[str], origin: str, **other) -> None:
        bad = [score(each, 3, Q2, evidence_links=None, assessor_role="calibration_panel") | other for each in people]
        take(warehouse, ASSESSMENTS, bad, origin)

    refused(PEOPLE[:4], "first week")
    refused(PEOPLE[:4], "second week")
    refused(PEOPLE[:1], "by the manager too", assessor_role="manager", source="other")
    refused(PEOPLE[4:6], "late", assessed_at="2025-07-11T00:00:00Z")
    mended = [score(PEOPLE[3], 3, Q2, assessor_role="calibration_panel")]
    take(warehouse, ASSESSMENTS, mended, "third week")
    release_closed_quarters(warehouse, 5)
    assert rows(warehouse, "refused_scores") == [(0,), (4,)]


def test_a_person_in_two_teams_at_once_counts_nowhere_and_nobody_is_named(warehouse):
    insert(warehouse, TEAMS, frame(TEAMS, [{"team": "cart", "time_zone": "UTC"}]))
    second = {"person_key": PEOPLE[0], "team": "cart", "valid_from": "2025-02-01", "valid_to": "2025-04-05"}
    take(warehouse, TEAM_MEMBERS, [second], "second")
    notes = release_closed_quarters(warehouse, 5)
    assert notes == [
        "quarter from 2025-01-01: people who are in two teams at once on its last day count nowhere (1): end one "
        "membership of each in team_members (valid_to) before the quarter is published"
    ]
    members = warehouse.sql(
        "select count(*) from restricted.ov_release_members where quarter = '2025-01-01'"
    ).fetchone()
    assert members == (6,)


def test_assessments_of_a_quarter_that_is_not_closed_wait(warehouse):
    take(warehouse, ASSESSMENTS, [score("person-1", 3, date(2025, 7, 1))], "open")
    assert release_closed_quarters(warehouse, 5) == [
        "assessments of the quarter from 2025-07-01 wait, since it is not closed: add it to ov_quarters.csv when it is"
    ]
    assert [quarter for (quarter,) in rows(warehouse, "quarter")] == [Q1, Q2]


def reference(folder: Path, name: str, text: str):
    folder.mkdir(exist_ok=True)
    (folder / "services.csv").write_text("service,team,component_kind\n", encoding="utf-8")
    (folder / "teams.csv").write_text("team,parent,time_zone\n", encoding="utf-8")
    (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    with scratch() as connection:
        load_reference(connection, folder)


def test_a_quarter_cannot_be_closed_before_it_is_over(tmp_path):
    text = "quarter,closed_at,closed_by_role\n2025-01-01,2025-03-31T12:00:00Z,head\n"
    with pytest.raises(ConfigurationError, match="line 2: closed_at lies before the end of the quarter"):
        reference(tmp_path, OV_QUARTERS.name, text)


def test_a_rubric_changes_on_the_first_day_of_a_quarter_only_and_leaves_no_level_without_words(tmp_path):
    shipped = read_file(tmp_path, RUBRIC).drop("line")
    reference(tmp_path, RUBRIC.name, shipped.write_csv())
    with pytest.raises(
        ConfigurationError, match="line 2: valid_to lies within a quarter, and one quarter is judged by one"
    ):
        reference(tmp_path, RUBRIC.name, shipped.with_columns(valid_to=pl.lit("2025-02-15")).write_csv())
    with pytest.raises(
        ConfigurationError, match="business_impact level 1 needs one descriptor at first; no line says it"
    ):
        reference(tmp_path, RUBRIC.name, shipped[1:].write_csv())
    ended = pl.concat([shipped[:-1], shipped[-1:].with_columns(valid_to=pl.lit("2025-04-01"))])
    with pytest.raises(
        ConfigurationError, match="growth_and_scope level 5 needs one descriptor on 2025-04-01; no line"
    ):
        reference(tmp_path, RUBRIC.name, ended.write_csv())


# Published once


def test_what_is_not_published_yet_is_decided_again(warehouse):
    release_closed_quarters(warehouse, 5)
    take(warehouse, ASSESSMENTS, [score(person, 2) for person in PEOPLE], "correction")
    release_closed_quarters(warehouse, 5)
    assert rows(warehouse, "mean_low") == [(2.0,), (3.0,)]


def test_a_correction_never_changes_a_published_quarter(warehouse):
    release_closed_quarters(warehouse, 5)
    freeze_published(warehouse)
    published = rows(warehouse, "*")
    take(warehouse, ASSESSMENTS, [score(person, 2, quarter) for person in PEOPLE for quarter in (Q1, Q2)], "correction")
    release_closed_quarters(warehouse, 5)
    assert rows(warehouse, "*") == published


def test_a_published_quarter_without_any_score_is_not_decided_again(warehouse):
    warehouse.execute("delete from restricted.assessments")
    release_closed_quarters(warehouse, 5)
    freeze_published(warehouse)
    take(warehouse, ASSESSMENTS, [score(person, 3) for person in PEOPLE], "late")
    release_closed_quarters(warehouse, 5)
    quarters = warehouse.sql("select quarter, is_frozen from restricted.ov_organisation_releases order by quarter")
    assert quarters.fetchall() == [(Q1, True), (Q2, True)]
    assert rows(warehouse) == []


# The gate


def faults(connection, tmp_path, table: str) -> list[str]:
    return scan(connection, CANDIDATES, [table], tmp_path / "none")[table]


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ("'x' as author_key", "column author_key names a person"),
        ("'x' as reviewer", "column reviewer names a person"),
        ("'x' as user_email", "column user_email names a person"),
        ("['x'] as authors", "column authors names a person"),
        ("'x' as author_id_hash", "column author_id_hash names a person"),
        ("'x' as merged_by", "column merged_by names a person"),
        ("['ada@example.com'] as notes", "column notes: 1 values look like an e-mail address"),
        ("{'by': person_key('person-1')} as note", "column note: 1 values hold the key of a person"),
        ("1 as team_rank", "column team_rank puts somebody in an order"),
        ("1 as lead_time_rank", "column lead_time_rank puts somebody in an order"),
        ("1 as lead_time_percentile_rank", "column lead_time_percentile_rank puts somebody in an order"),
        ("4 as ntile", "column ntile puts somebody in an order"),
        ("true as is_top_team", "column is_top_team puts somebody in an order"),
        ("1 as position", "column position puts somebody in an order"),
        ("3.5 as ov_score", "column ov_score is a composite score"),
        ("'ada@example.com' as note", "column note: 1 values look like an e-mail address"),
        ("person_key('person-1') as note", "column note: 1 values hold the key of a person"),
        ("'by ' || person_key('person-1') || '.' as note", "column note: 1 values hold the key of a person"),
        ("'Person-1 did it.' as note", "column note: 1 values hold the login or name of a person"),
        ("'services/person-1/index' as route", "column route: 1 values hold the login or name of a person"),
        ("['asked', 'person-1'] as notes", "column notes: 1 values hold the login or name of a person"),
        ("{'by': 'person-1'} as note", "column note: 1 values hold the login or name of a person"),
        ("'Praise for Ada Lovelace, again' as note", "column note: 1 values hold the login or name of a person"),
    ],
)
def test_a_table_that_names_or_orders_people_is_refused(warehouse, tmp_path, columns, fault):
    take(warehouse, TEAM_MEMBERS, [member("Ada Lovelace")], "more")
    warehouse.execute(f"create schema marts; create table marts.leak as select 'web' as service, {columns}")
    (found,) = faults(warehouse, tmp_path, "leak")
    assert found.startswith(fault)
    assert "ada" not in found.lower()
    assert "person-1" not in found


def test_counts_versions_and_commits_name_nobody(warehouse, tmp_path):
    warehouse.execute("""
        create schema marts;
        create table marts.fine as
        select 12 as people, 5 as active_users, '5-7' as people_band, '@scope/package@1.2.3' as version,
            repeat('a', 40) as commit_sha, repeat('b', 64) as image_digest, 0.5 as slowest_segment_share
    """)
    assert faults(warehouse, tmp_path, "fine") == []


def test_a_person_who_is_called_as_a_team_or_a_state_names_nobody(warehouse, tmp_path):
    take(warehouse, TEAM_MEMBERS, [member("shop"), member("healthy"), member("zoe")], "more")
    warehouse.execute("create schema marts; create table marts.fine as select 'shop' as team, 'healthy' as state")
    assert faults(warehouse, tmp_path, "fine") == []
    warehouse.execute("create table marts.leak as select 'zoe' as team, 'healthy' as state")
    (found,) = faults(warehouse, tmp_path, "leak")
    assert found.startswith("column team: 1 values hold the login or name of a person")


def test_every_person_on_record_is_known_also_one_whom_the_guard_alone_remembers(warehouse, tmp_path):
    release_closed_quarters(warehouse, 5)
    for table in ("assessments", "team_members"):
        warehouse.execute(f"delete from restricted.{table}")
    warehouse.execute("create schema marts; create table marts.leak as select 'person-1' as note")
    assert len(faults(warehouse, tmp_path, "leak")) == 1


def test_the_gate_counts_again_on_the_table_itself(warehouse, tmp_path):
    for person in PEOPLE:
        take(warehouse, ASSESSMENTS, [score(person, 5, Q2)], person)
    release_closed_quarters(warehouse, 5)
    warehouse.execute(MART)
    assert rows(warehouse, "status") == [("published",), ("suppressed",)]
    assert faults(warehouse, tmp_path, "ov_team_quarterly") == []
    warehouse.execute("""
        update marts.ov_team_quarterly
        set status = 'published', mean_low = 4.5, mean_high = 5, people_band = '5-7', value_quarter = quarter
        where quarter = '2025-04-01'
    """)
    (found,) = faults(warehouse, tmp_path, "ov_team_quarterly")
    assert found.startswith(
        "technical_quality of the quarter from 2025-04-01: two people who put their scores together"
    )
    warehouse.execute("delete from marts.ov_team_quarterly where quarter = '2025-04-01'")
    warehouse.execute("update marts.ov_team_quarterly set team = 'cart'")
    (found,) = faults(warehouse, tmp_path, "ov_team_quarterly")
    assert found.startswith("technical_quality of the quarter from 2025-01-01: a row of which the record does not know")


def test_the_gate_counts_all_rows_of_a_year_together(warehouse, tmp_path):
    """Either row is harmless alone. Who had a 1 and then a 2 knows that the mean was below 4, and is not any more: if
    nobody else has changed, everybody else has a 5."""
    given = dict.fromkeys(PEOPLE, 5) | {PEOPLE[0]: 1, PEOPLE[1]: 1}
    take(warehouse, ASSESSMENTS, [score(person, value) for person, value in given.items()], "first")
    take(
        warehouse, ASSESSMENTS, [score(person, value, Q2) for person, value in (given | {PEOPLE[1]: 2}).items()], "next"
    )
    release_closed_quarters(warehouse, 5)
    warehouse.execute(MART)
    assert rows(warehouse, "status, mean_low") == [("published", 3.5), ("suppressed", None)]
    assert faults(warehouse, tmp_path, "ov_team_quarterly") == []
    first_decided_alone = (
        "update restricted.ov_releases set possible_bands = '1.0 1.5 4.0 4.5' where quarter = '2025-04-01'"
    )
    warehouse.execute(first_decided_alone)
    (found,) = faults(warehouse, tmp_path, "ov_team_quarterly")
    assert found.startswith(
        "technical_quality of the quarter from 2025-04-01: two people who put their scores together"
    )
    warehouse.execute("delete from marts.ov_team_quarterly where quarter = '2025-01-01'")
    assert faults(warehouse, tmp_path, "ov_team_quarterly") == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("mean_high = 4", "a band that is none, or not of the people of the record"),
        ("mean_low = 3.1, mean_high = 3.6", "a band that is none, or not of the people of the record"),
        ("people_band = '12+'", "a band that is none, or not of the people of the record"),
        ("value_quarter = date '2024-10-01'", "a band that is none, or not of the people of the record"),
        ("status = 'suppressed'", "a row without a status that lets it has values"),
        ("status = 'in_teams_below'", "a row without a status that lets it has values"),
        (
            "status = 'carried_forward', value_quarter = '2025-01-01', mean_low = 2, mean_high = 2.5",
            "a row carried forward",
        ),
    ],
)
def test_the_gate_holds_every_value_of_a_row_against_the_record(warehouse, tmp_path, change, fault):
    release_closed_quarters(warehouse, 5)
    warehouse.execute(MART)
    warehouse.execute(f"update marts.ov_team_quarterly set {change} where quarter = '2025-04-01'")
    found = faults(warehouse, tmp_path, "ov_team_quarterly")
    assert [line.startswith(f"technical_quality of the quarter from 2025-04-01: {fault}") for line in found] == [True]


def test_a_raised_minimum_holds_for_what_is_not_published_yet(warehouse, tmp_path):
    release_closed_quarters(warehouse, 5)
    warehouse.execute(MART)

    def found() -> list[str]:
        return scan(warehouse, CANDIDATES, ["ov_team_quarterly"], tmp_path / "none", 8)["ov_team_quarterly"]

    assert [line.split(": ")[1] for line in found()] == [
        "a row about fewer than 8 people; this must not be published"
    ] * 2
    freeze_published(warehouse)
    assert found() == []


def test_a_row_whose_people_changed_by_fewer_than_three_does_not_pass_the_gate(warehouse, tmp_path):
    release_closed_quarters(warehouse, 5)
    warehouse.execute(MART)
    warehouse.execute(
        "update restricted.ov_release_members set person_key = person_key('stranger') "
        "where quarter = '2025-04-01' and person_key = person_key('person-1')"
    )
    found = faults(warehouse, tmp_path, "ov_team_quarterly")
    assert [line for line in found if "too few joined or left since an earlier row" in line]


@pytest.mark.parametrize(
    ("check", "people", "evidence", "is_told"),
    [
        ("silent_reviews", 4, "share of silent approvals rose", True),
        ("silent_reviews", 5, "share of silent approvals rose", False),
        ("retrospective_participation", 4, "share of those invited who take part fell", True),
        ("retrospective_participation", 5, "share of those invited who take part fell", False),
        ("uneven_workload", 4, "spread of the work: even", False),
        ("uneven_workload", 3, "spread of the work: even", True),
        ("perceived_speed", 4, "answers fell; lead_time worsening", True),
        ("perceived_speed", 5, "answers fell; lead_time worsening", False),
    ],
)
def test_an_audit_that_tells_of_few_people_is_refused(warehouse, tmp_path, check, people, evidence, is_told):
    """Each reviews a pull request of one author; each answers in every month."""
    given = [
        {
            "source": "git",
            "repository": "web",
            "pull_request_number": number + 1,
            "created_at": "2025-04-02T10:00:00Z",
            "author_key": "author",
        }
        for number in range(people)
    ]
    take(warehouse, PULL_REQUESTS, given)
    reviews = [
        {key: row[key] for key in ("source", "repository", "pull_request_number")}
        | {
            "review_id": f"{number}",
            "reviewer_key": f"reviewer-{number}",
            "submitted_at": "2025-04-02T11:00:00Z",
            "verdict": "approved",
            "comments": 0,
        }
        for number, row in enumerate(given)
    ]
    take(warehouse, REVIEW_ACTIVITY, reviews)
    answers = [
        {
            "response_id": f"{number}/{month}",
            "team": "shop",
            "answered_at": f"2025-0{month}-02T10:00:00Z",
            "question": "perceived_speed",
            "answer": 3,
        }
        for number in range(people)
        for month in (4, 5, 6)
    ]
    take(warehouse, SURVEY_RESPONSES, answers)
    retrospective = {"retrospective_id": "1", "team": "shop", "held_at": "2025-05-05T10:00:00Z"}
    take(warehouse, RETROSPECTIVES, [retrospective | {"people_invited": people, "people_present": 3}])
    kind = "perception" if check == "perceived_speed" else "safety"
    warehouse.execute(f"""
        create schema if not exists marts;
        create table marts.fct_pull_requests as
            select source, repository, pull_request_number, 'shop' as team, date '2025-04-02' as merged_on
            from raw.pull_requests;
        create table marts.metric_audit_quarterly as
            select date '2025-04-01' as quarter, 'shop' as team, '{kind}' as audit_kind, '{check}' as check_name,
                'found' as finding, '' as claim, '{evidence}' as evidence, '' as evidence_query
    """)
    found = faults(warehouse, tmp_path, "metric_audit_quarterly")
    told = f"{check} of the quarter from 2025-04-01: tells of fewer than 5 people; this must not be published"
    assert [line.split(":")[0] + ":" + line.split(":")[1] for line in found] == [told] * is_told
    found = scan(warehouse, CANDIDATES, ["metric_audit_quarterly"], tmp_path / "none", 6)["metric_audit_quarterly"]
    assert [line.split(";")[0] for line in found] == [told.split(";")[0].replace("5 people", "6 people")]
    freeze_published(warehouse)
    found = scan(warehouse, CANDIDATES, ["metric_audit_quarterly"], tmp_path / "none", 6)["metric_audit_quarterly"]
    assert len(found) == is_told


def test_a_published_quarter_that_has_changed_is_refused(warehouse, tmp_path):
    release_closed_quarters(warehouse, 5)
    warehouse.execute(MART)
    file = tmp_path / "marts.duckdb"
    with duckdb.connect(file) as published:
        published.register("rows", warehouse.sql("from marts.ov_team_quarterly").to_arrow_table())
        published.execute("create table ov_team_quarterly as from rows")
    assert scan(warehouse, CANDIDATES, ["ov_team_quarterly"], file) == {"ov_team_quarterly": []}
    warehouse.execute(
        "update marts.ov_team_quarterly set recent_evidence_band = 'over_half' where quarter = '2025-01-01'"
    )
    (found,) = scan(warehouse, CANDIDATES, ["ov_team_quarterly"], file)["ov_team_quarterly"]
    assert found.startswith("the quarter from 2025-01-01 has been published and is not what it was")
    warehouse.execute(MART)
    warehouse.execute(
        "insert into marts.ov_team_quarterly select * replace ('cart' as team) from marts.ov_team_quarterly limit 1"
    )
    assert len(scan(warehouse, CANDIDATES, ["ov_team_quarterly"], file)["ov_team_quarterly"]) == 2


def test_a_quarter_that_is_closed_out_of_order_never_carries_a_later_value(warehouse):
    """The first quarter is closed when the second is published already, and one person has changed."""
    warehouse.execute("delete from reference.ov_quarters where quarter = '2025-01-01'")
    release_closed_quarters(warehouse, 5)
    freeze_published(warehouse)
    warehouse.execute("insert into reference.ov_quarters values ('2025-01-01', '2025-08-01', 'head')")
    take(warehouse, TEAM_MEMBERS, [member(PEOPLE[6]) | {"valid_to": "2025-02-01"}], "left")
    take(warehouse, TEAM_MEMBERS, [member(PEOPLE[6]) | {"valid_from": "2025-04-01"}], "came back")
    release_closed_quarters(warehouse, 5)
    assert rows(warehouse, "quarter, status, value_quarter") == [(Q1, "suppressed", None), (Q2, "published", Q2)]


# Readiness


def next_level(person: str, quarter: int, number: int) -> dict:
    return {
        "evidence_id": f"{person}-{quarter}-{number}",
        "person_key": person,
        "occurred_at": f"2025-{3 * quarter - 1:02}-01T00:00:00Z",
        "evidence_kind": "outcome",
        "dimension": "business_impact",
        "project": f"project {quarter}",
        "stakeholder": f"stakeholder {quarter}",
        "is_next_level": True,
        "link": "https://wiki.example/1",
    }


def growth_review(person: str, quarter: date = Q2, signal: str = "clear") -> dict:
    return {"person_key": person, "quarter": f"{quarter}", "current_level": "senior", "growth_signal": signal} | {
        "reviewed_at": f"{quarter.replace(month=quarter.month + 2, day=20)}T00:00:00Z"
    }


COUNTS = "level_recorded_people, clear_growth_people, promotion_ready_people"


def counts(connection, columns: str = COUNTS) -> list[tuple]:
    return connection.sql(f"select {columns} from restricted.ov_organisation_releases order by quarter").fetchall()


@pytest.mark.parametrize(("ready", "shown"), [(2, None), (3, 3), (4, 4), (5, None)])
def test_readiness_is_counted_over_the_organisation_and_neither_few_nor_nearly_all_are_shown(warehouse, ready, shown):
    log = [next_level(person, quarter, 1) for person in PEOPLE[:ready] for quarter in (1, 2)]
    # Two quarters, but one project and one stakeholder.
    log += [next_level(PEOPLE[6], quarter, 1) | {"project": "one", "stakeholder": "one"} for quarter in (1, 2)]
    take(warehouse, EVIDENCE, log)
    take(warehouse, GROWTH_REVIEWS, [growth_review(person) for person in PEOPLE[:4]])
    release_closed_quarters(warehouse, 5)
    # All four with a review show growth: who knows who had one would know it of each.
    assert counts(warehouse) == [(None, None, None), (4, None, shown)]
    assert counts(warehouse, "people_band") == [("5-7",), ("5-7",)]


@pytest.mark.parametrize(("growing", "shown"), [(2, None), (3, 3), (4, 4), (5, None)])
def test_growth_is_counted_among_those_with_a_review(warehouse, growing, shown):
    reviews = [
        growth_review(person, Q2, "clear" if number < growing else "none") for number, person in enumerate(PEOPLE)
    ]
    take(warehouse, GROWTH_REVIEWS, reviews)
    release_closed_quarters(warehouse, 5)
    assert counts(warehouse)[1][:2] == (None, shown)


@pytest.mark.parametrize(("ready", "shown"), [(7, 7), (8, None), (10, None), (11, None), (13, None), (14, 14)])
def test_a_count_that_with_the_one_before_tells_of_a_joiner_is_not_shown(warehouse, tmp_path, ready, shown):
    """Ten of twenty are ready. One joins: if nobody else has changed, eleven would say that this one is; and if the two
    who put together what they know have changed, any number from eight to thirteen would tell."""
    first, joiner = [f"other-{number}" for number in range(20)], "joiner"
    warehouse.execute("delete from restricted.team_members; delete from restricted.assessments")
    take(warehouse, TEAM_MEMBERS, [member(person) for person in first], "others")
    take(warehouse, TEAM_MEMBERS, [member(joiner) | {"valid_from": "2025-05-01"}], "joiner")
    reviews = [
        growth_review(person, quarter, "clear" if number < growing else "none")
        for quarter, people, growing in ((Q1, first, 10), (Q2, [*first, joiner], ready))
        for number, person in enumerate(people)
    ]
    take(warehouse, GROWTH_REVIEWS, reviews)
    release_closed_quarters(warehouse, 5)
    assert [each for _, each, _ in counts(warehouse)] == [10, shown]
    warehouse.execute(f"""
        create schema marts;
        create table marts.readiness_quarterly as
            select quarter, people_band, {COUNTS} from restricted.ov_organisation_releases
    """)
    assert faults(warehouse, tmp_path, "readiness_quarterly") == []
    warehouse.execute("update marts.readiness_quarterly set clear_growth_people = 11 where quarter = '2025-04-01'")
    (found,) = faults(warehouse, tmp_path, "readiness_quarterly")
    assert found.startswith("clear_growth_people of the quarter from 2025-04-01: two people who know whether they are")


# Calibration


def session(number: int, reviewed: int, changed: int, quarter: date = Q1) -> dict:
    return {
        "session_id": f"{number}",
        "quarter": f"{quarter}",
        "held_at": "2025-04-02T10:00:00Z",
        "assessor_group": "shop",
        "claims_reviewed": reviewed,
        "claims_challenged": changed + 1,
        "claims_changed": changed,
        "changes_with_evidence": changed // 2,
    }


def test_claims_are_shown_from_fifty_on_and_stay_as_published(warehouse):
    columns = "sessions, claims_reviewed, claims_challenged, claims_changed, evidenced_change_rate"
    take(warehouse, CALIBRATION_SESSIONS, [session(1, 30, 3), session(2, 20, 1), session(3, 49, 4, Q2)])
    release_closed_quarters(warehouse, 5)
    published = counts(warehouse, columns)
    assert published == [(2, 50, 6, 4, 0.25), (1, None, None, None, None)]
    freeze_published(warehouse)
    take(warehouse, CALIBRATION_SESSIONS, [session(4, 7, 7), session(5, 7, 7, Q2)], "late")
    release_closed_quarters(warehouse, 5)
    assert counts(warehouse, columns) == published


def assessed(group: str, value: int, assessors: int) -> list[dict]:
    """Seven people of a team of that name, in all dimensions, by so many assessors."""
    return [
        score(f"{group}-{person}", value, dimension=dimension, assessor_group=group)
        | {"assessor_key": f"{group}-assessor-{(person + number) % assessors}"}
        for person in range(7)
        for number, dimension in enumerate(OV_DIMENSIONS)
    ]


@pytest.mark.parametrize(
    ("other", "assessors", "groups", "drift"),
    [(3, 5, 2, "under_half"), (2, 5, 2, "half_to_one"), (2, 4, 1, None), (5, 5, 1, None)],
)
def test_groups_of_five_assessors_are_compared_by_the_bands_that_are_published(
    warehouse, other, assessors, groups, drift
):
    """Of a group whose rows are suppressed, since everybody has a 5, nothing is told by the drift either."""
    for team in ("search", "cart"):
        insert(warehouse, TEAMS, frame(TEAMS, [{"team": team, "time_zone": "UTC"}]))
        take(warehouse, TEAM_MEMBERS, [member(f"{team}-{person}") | {"team": team} for person in range(7)], team)
    take(warehouse, ASSESSMENTS, assessed("search", 3, 5) + assessed("cart", other, assessors), "groups")
    release_closed_quarters(warehouse, 5)
    assert counts(warehouse, "assessor_groups, calibration_drift")[0] == (groups, drift)


def test_what_the_panel_has_evened_out_is_no_drift(warehouse):
    """Managers of one team gave a 3 and of the other a 2, for which the panel gave a 3: its scores count."""
    for team in ("search", "cart"):
        insert(warehouse, TEAMS, frame(TEAMS, [{"team": team, "time_zone": "UTC"}]))
        take(warehouse, TEAM_MEMBERS, [member(f"{team}-{person}") | {"team": team} for person in range(7)], team)
    panel = [row | {"score": 3, "assessor_role": "calibration_panel"} for row in assessed("cart", 2, 5)]
    take(warehouse, ASSESSMENTS, assessed("search", 3, 5) + assessed("cart", 2, 5) + panel, "groups")
    release_closed_quarters(warehouse, 5)
    assert counts(warehouse, "assessor_groups, calibration_drift")[0] == (2, "under_half")


# One person's own log


def test_the_evidence_pack_shows_one_log_with_its_gaps_and_leaves_a_record(warehouse):
    take(warehouse, EVIDENCE, [next_level(person, quarter, 1) for person in PEOPLE for quarter in (1, 2)])
    pack = evidence_pack(warehouse, " Person-1 ", "2025-Q2")
    assert pack.count("https://wiki.example/1") == 1
    assert "- 2025-05-01 outcome (project 2, for stakeholder 2, at the next level): https://wiki.example/1" in pack
    assert "- No evidence of technical quality." in pack
    assert "- Nothing from April." in pack
    assert "- Only one project is named." in pack
    access = "select person_key = person_key('person-1'), quarter from restricted.evidence_access"
    assert warehouse.sql(access).fetchall() == [(True, Q2)]
    with pytest.raises(PlumblineError, match="no evidence of this person in 2025-Q2"):
        evidence_pack(warehouse, "person-99", "2025-Q2")
    with pytest.raises(ConfigurationError, match="'2025-05' is no quarter; write it as 2026-Q2"):
        evidence_pack(warehouse, "person-1", "2025-05")


# The demo organisation


def test_what_is_planted_in_the_demo_is_found_and_nothing_else(tmp_path):
    source = DemoSource(kind="demo", sessions_per_day=10)
    settings = load_settings(write_installation(tmp_path, source))
    period = outcomes.Period(source.days)
    with Warehouse(settings).connect() as connection:
        load_reference(connection, settings.reference_dir)
        for name, given in outcomes.outcomes(period, source.seed).items():
            with transaction(connection):
                batch = load(connection, TABLES[name], frame(TABLES[name], given), source="demo", origin="demo")
            assert batch.quarantined == 0
        notes = release_closed_quarters(connection, 5)
        assert notes == []
        shown = connection.sql(
            "select quarter, team, status, recent_evidence_band from restricted.ov_releases"
        ).fetchall()
        by_status = {
            status: {(team, quarter.month) for quarter, team, each, _ in shown if each == status}
            for status in ("suppressed", "carried_forward")
        }
        assert {team for team, _ in by_status["suppressed"]} >= {outcomes.UNANIMOUS_TEAM}
        assert by_status["carried_forward"] == {(outcomes.CHANGED_TEAM, 1), (outcomes.CHANGED_TEAM, 4)}
        late = {team for _, team, _, band in shown if band == "over_half"}
        assert late == {outcomes.LATE_EVIDENCE_TEAM}
