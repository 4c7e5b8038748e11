"""The audit of the metrics: what is planted in the demo is found and nothing else; each check on rows made by hand."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from functools import cache
from itertools import combinations_with_replacement, product

import duckdb
import numpy as np
import polars as pl
import pytest
from dbt_models import dbt, frame, load_rows, memory, models
from scipy.stats import betabinom, nbinom
from scorecard_series import kpi as kpi_row

from dagster_project.contracts import TABLES
from dagster_project.extract.demo import PLANTED, extract, write_installation
from dagster_project.reference import load_reference
from dagster_project.settings import DemoSource, load_settings
from dagster_project.warehouse import Warehouse

BEFORE, NOW, END = date(2025, 1, 1), date(2025, 4, 1), datetime(2025, 7, 15)
FOUND = "finding = 'found' and audit_kind in ('gaming', 'safety', 'perception')"


# The demo organisation


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    settings = load_settings(write_installation(folder, DemoSource(kind="demo", sessions_per_day=60)))
    with Warehouse(settings).connect() as connection:
        extract(settings.sources[0], settings, connection)
        load_reference(connection, settings.reference_dir)
        models(as_of=settings.vars["as_of"]).build(
            connection, "metric_audit_quarterly", "system_notes", "oncall_weekly", "fct_decisions", "decision_map"
        )
        yield connection


def test_every_planted_team_is_found_and_no_clean_one_is_flagged(demo):
    found = set(
        demo.sql(f"select team, quarter, check_name from marts.metric_audit_quarterly where {FOUND}").fetchall()
    )
    before, last = date(2026, 1, 1), date(2026, 4, 1)
    assert found == {
        (PLANTED["gamed"].team, last, "more_smaller_failing_deployments"),
        (PLANTED["gamed"].team, last, "changes_split"),
        (PLANTED["silent"].team, before, "silent_reviews"),
        (PLANTED["silent"].team, before, "retrospective_participation"),
        (PLANTED["over_reported"].team, last, "over_reported_improvement"),
        (PLANTED["perception_gap"].team, last, "perceived_speed"),
        (PLANTED["concentrated"].team, before, "uneven_workload"),
    }


def test_what_is_found_is_said_in_a_sentence(demo):
    said = dict(demo.sql(f"select check_name, claim from marts.metric_audit_quarterly where {FOUND}").fetchall())
    assert said["perceived_speed"] == "Answers to perceived speed moved, and no KPI of delivery speed moved with them."
    assert said["changes_split"] == (
        "Pull requests are more and smaller than in the quarter before, and bring no more lines together."
    )


def test_a_finding_leads_to_the_rows_behind_it(demo):
    queries = demo.sql("""
        select check_name, finding, evidence_query from marts.metric_audit_quarterly where evidence_query is not null
    """).fetchall()
    for check, finding, query in queries:
        rows = demo.sql(query).fetchall()
        assert rows or finding != "found" or check == "unused_kpi", query
    without = demo.sql("""
        select distinct check_name from marts.metric_audit_quarterly
        where evidence_query is null and audit_kind = 'safety'
    """).fetchall()
    # Their rows are about single people.
    assert {name for (name,) in without} == {
        *("silent_reviews", "retrospective_participation", "uneven_workload", "uniform_answers")
    }


def test_what_stands_out_is_what_was_planted(demo):
    notes = demo.sql("""
        select quarter, note_kind, subject, team, evidence_query from marts.system_notes where quarter >= '2026-01-01'
    """).fetchall()
    before, last = date(2026, 1, 1), date(2026, 4, 1)
    slow, flaky, risky = (PLANTED[name] for name in ("slow_review", "over_reported", "risky_module"))
    # Its reviews are slow before it improves.
    improving = PLANTED["improvement"].service
    concentrated = PLANTED["concentrated"].team
    assert {tuple(note) for *note, _ in notes} == {
        (before, "long_reviews", f"demo/{slow.service}", "merchant-tools"),
        (last, "long_reviews", f"demo/{slow.service}", "merchant-tools"),
        (before, "long_reviews", f"demo/{improving}", "discovery"),
        (last, "recurring_build_failures", f"demo/{flaky.service} ci", flaky.team),
        (before, "module_at_risk", f"demo/{risky.service} {risky.component}", "discovery"),
        (last, "module_at_risk", f"demo/{risky.service} {risky.component}", "discovery"),
        (before, "concentrated_workload", concentrated, concentrated),
    }
    assert all(demo.sql(query).fetchall() for *_, query in notes)


def test_kpis_of_the_organisation_are_those_of_all_its_events(demo):
    """Medians and means against the events themselves: those of teams do not add up to them."""
    found = demo.sql("""
        select kpi, value, n from marts.scorecard_quarterly
        where team = 'all' and quarter = '2026-04-01' and kpi in ('lead_time', 'mttr', 'deployment_frequency')
        order by kpi
    """).fetchall()
    during = "between date '2026-04-01' and date '2026-06-30' and team is not null"
    events = demo.sql(f"""
        select 'deployment_frequency', count(*) / 91, 91 from marts.fct_deployments
        where is_success and not is_rollback and not is_redeploy and deployed_on {during}
        union all
        select 'lead_time', median(lead_time_hours), count(lead_time_hours) from marts.fct_changes
        where deployed_on {during}
        union all
        select 'mttr', avg(alert_to_resolution_hours), count(alert_to_resolution_hours) from marts.fct_incidents
        where not is_false_positive and not is_merged and started_on {during}
        order by 1
    """).fetchall()
    assert [name for name, *_ in found] == [name for name, *_ in events]
    for (_, *figures), (_, *expected) in zip(found, events, strict=True):
        assert figures == pytest.approx(expected, rel=1e-6)
    assert demo.sql("select count(distinct kpi) from marts.scorecard_quarterly where team = 'all'").fetchone() == (12,)


def test_decisions_outside_the_map_and_kpis_without_any_are_found_in_the_demo(demo):
    found = demo.sql("""
        select check_name, kpi from marts.metric_audit_quarterly
        where quarter = '2026-04-01' and audit_kind = 'use' and finding = 'found'
    """).fetchall()
    assert set(found) == {("decision_outside_map", "change_failure_rate"), ("unused_kpi", "slow_requests")}


# Rows made by hand: two quarters of the team shop, whose metrics can be judged by the first


def day_of(quarter: date, number: int, of: int) -> datetime:
    """The middle of one of so many equal parts of a quarter."""
    return datetime.combine(quarter, datetime.min.time()) + timedelta(days=90 * (number + 0.5) / of)


def deployments(quarter: date, count: int) -> list[dict]:
    return [
        {
            "source": "ci",
            "deployment_id": f"{quarter}-{number}",
            "service": "web",
            "environment": "production",
            "status": "success",
            "finished_at": day_of(quarter, number, count),
        }
        for number in range(count)
    ]


def audit(**tables: list[dict]) -> dict[tuple[str, str, str], dict]:
    """(team, check, KPI) → row of the second quarter."""
    given = {
        "services": [{"service": "web", "team": "shop", "component_kind": "frontend", "repository": "web"}],
        "teams": [{"team": "shop", "time_zone": "UTC"}],
        "degradation_indicators": [{"indicator": "failed_requests", "least_rise": 0.001}],
        "deployments": deployments(BEFORE, 30) + deployments(NOW, 30),
        "ov_quarters": [{"quarter": NOW, "closed_at": datetime(2025, 7, 10), "closed_by_role": "head"}],
    } | tables
    with memory() as connection:
        load_rows(connection, {name: frame(TABLES[name], rows) for name, rows in given.items()})
        rows = models(as_of=END).marts(connection, "metric_audit_quarterly")["metric_audit_quarterly"]
    return {(row["team"], row["check_name"], row["kpi"]): row for row in rows if row["quarter"] == NOW}


def finding(check: str, team: str = "shop", **tables: list[dict]) -> str:
    return audit(**tables)[team, check, "all"]["finding"]


def test_a_team_that_starts_later_is_not_judged_against_the_time_before_it():
    later = [
        row | {"service": "api", "deployment_id": f"api-{number}"} for number, row in enumerate(deployments(NOW, 30))
    ]
    found = audit(
        services=[
            {"service": "web", "team": "shop", "component_kind": "frontend", "repository": "web"},
            {"service": "api", "team": "later", "component_kind": "node_service", "repository": "api"},
        ],
        teams=[{"team": "shop", "time_zone": "UTC"}, {"team": "later", "time_zone": "UTC"}],
        # Of 91 days 60, and so the first is 31 days after the quarter before.
        deployments=deployments(BEFORE, 30) + deployments(NOW, 30) + later[10:],
    )
    assert found["later", "more_smaller_failing_deployments", "all"]["finding"] == "not_judged"


def incidents(quarter: date, count: int, late: int = 0) -> dict[str, list[dict]]:
    """Incidents and their logs; the log of the first `late` ones begins two days after the incident."""
    rows = [
        {
            "source": "pager",
            "incident_id": f"{quarter}-{number}",
            "service": "web",
            "started_at": day_of(quarter, number, count),
        }
        for number in range(count)
    ]
    events = [
        {
            "source": "pager",
            "event_id": row["incident_id"],
            "incident_id": row["incident_id"],
            "event_type": "triggered",
            "occurred_at": row["started_at"] + timedelta(days=2 if number < late else 0),
        }
        for number, row in enumerate(rows)
    ]
    return {"incidents": rows, "incident_events": events}


def both(one: dict[str, list[dict]], other: dict[str, list[dict]]) -> dict[str, list[dict]]:
    return {name: one[name] + other[name] for name in one}


def requests(quarter: date, failed: int, count: int = 2000) -> list[dict]:
    return [
        {
            "source": "edge",
            "request_id": 10_000 * quarter.month + number,
            "service": "web",
            "occurred_at": day_of(quarter, number, count),
            "route": "/",
            "method": "GET",
            "status": 500 if number < failed else 200,
            "duration_ms": 5.0,
        }
        for number in range(count)
    ]


def answers(quarter: date, *given: int, months: int = 3, question: str = "perceived_speed") -> list[dict]:
    """The same answer of each person in every month."""
    return [
        {
            "source": "pulse",
            "response_id": 10_000 * (3 * quarter.month + month) + person,
            "team": "shop",
            "answered_at": datetime(quarter.year, quarter.month + month, 5) + timedelta(minutes=person),
            "question": question,
            "answer": answer,
        }
        for month in range(months)
        for person, answer in enumerate(given)
    ]


@pytest.mark.parametrize(("late", "found"), [(12, "found"), (1, "not_found")])
def test_incidents_that_are_recorded_late(late, found):
    rows = both(incidents(BEFORE, 20), incidents(NOW, 20, late))
    assert finding("incidents_recorded_late", **rows) == found


@pytest.mark.parametrize(
    ("incidents_now", "failed_now", "found"), [(2, 400, "found"), (30, 400, "not_found"), (2, 20, "not_found")]
)
def test_fewer_incidents_are_a_sign_only_while_errors_rise(incidents_now, failed_now, found):
    rows = both(incidents(BEFORE, 30), incidents(NOW, incidents_now))
    rows["requests"] = requests(BEFORE, 20) + requests(NOW, failed_now)
    by_check = audit(**rows)
    for check in ("fewer_incidents_more_errors", "reporting_drops"):
        assert by_check["shop", check, "all"]["finding"] == found, check


def test_without_any_error_on_record_nobody_knows_whether_incidents_are_hidden():
    rows = both(incidents(BEFORE, 30), incidents(NOW, 2))
    assert finding("fewer_incidents_more_errors", **rows) == "not_judged"


def reviewed(quarter: date, given: list[int], silent: int = 0) -> dict[str, list[dict]]:
    """So many reviews by each of some people, the first ones silent, each of a pull request of somebody else."""
    reviewers = [person for person, count in enumerate(given) for _ in range(count)]
    requests = [
        {
            "source": "git",
            "repository": "web",
            "pull_request_number": 1000 * quarter.month + number,
            "created_at": day_of(quarter, number, len(reviewers)),
            "closed_at": day_of(quarter, number, len(reviewers)),
            "author_key": "author",
        }
        for number in range(len(reviewers))
    ]
    reviews = [
        {
            "source": "git",
            "review_id": f"{row['pull_request_number']}",
            "repository": "web",
            "pull_request_number": row["pull_request_number"],
            "reviewer_key": f"reviewer-{reviewer}",
            "submitted_at": row["created_at"],
            "verdict": "approved",
            "comments": 0 if number < silent else 2,
        }
        for number, (row, reviewer) in enumerate(zip(requests, reviewers, strict=True))
    ]
    return {"pull_requests": requests, "review_activity": reviews}


@pytest.mark.parametrize(
    ("reviewers", "silent", "found"), [(5, 40, "found"), (5, 12, "not_found"), (4, 40, "not_judged")]
)
def test_silent_reviews_are_told_of_five_reviewers_or_more(reviewers, silent, found):
    rows = both(
        reviewed(BEFORE, [50 // reviewers] * reviewers, 10), reviewed(NOW, [50 // reviewers] * reviewers, silent)
    )
    assert finding("silent_reviews", **rows) == found


@pytest.mark.parametrize(
    ("given", "found", "word"),
    [
        ([10, 10, 10, 10, 10], "not_found", "even"),
        ([40, 15, 10, 5, 5], "not_found", "uneven"),
        ([90, 3, 3, 2, 2], "found", "concentrated"),
        ([90, 3, 3, 4], "not_judged", None),
    ],
)
def test_the_spread_of_work_is_one_word(given, found, word):
    row = audit(**reviewed(NOW, given))["shop", "uneven_workload", "all"]
    assert (row["finding"], row["evidence"]) == (found, f"spread of the work: {word}" if word else "not judged")


# Shipped KPIs have no verdict yet after two quarters: they need seven months.
LONG_AGO = [row for quarter in ("2024-07-01", "2024-10-01") for row in deployments(date.fromisoformat(quarter), 30)]
STEADY = LONG_AGO + deployments(BEFORE, 30) + deployments(NOW, 30)
SPEED = [kpi_row("frequency", layer="delivery_speed", measure="deployments_per_day", direction="higher", pair=None)]


@pytest.mark.parametrize(
    ("given", "deployed", "found", "evidence"),
    [
        ([2] * 8, 30, "found", "answers fell; frequency inconclusive"),
        ([4] * 8, 30, "not_found", "answers stayed; frequency inconclusive"),
        ([5, 1, 2, 5, 4, 1, 5, 5], 30, "not_found", "answers stayed; frequency inconclusive"),
        ([2] * 8, 10, "not_found", "answers fell; frequency worsening"),
        ([2] * 4, 30, "not_judged", "not judged"),
    ],
)
def test_answers_that_move_without_the_data_are_a_gap(given, deployed, found, evidence):
    row = audit(
        survey_responses=answers(BEFORE, *[4] * 8) + answers(NOW, *given),
        # All of April, and then no more but one on the last day.
        deployments=LONG_AGO + deployments(BEFORE, 30) + deployments(NOW, 30)[:deployed] + deployments(NOW, 30)[-1:],
        kpis=SPEED,
    )["shop", "perceived_speed", "all"]
    assert (row["finding"], row["evidence"]) == (found, evidence)


def test_a_team_that_is_not_asked_every_month_is_not_judged():
    moved = answers(BEFORE, *[4] * 8) + answers(NOW, *[2] * 8, months=2)
    assert finding("perceived_speed", survey_responses=moved, kpis=SPEED, deployments=STEADY) == "not_judged"


@pytest.mark.parametrize(
    ("question", "data", "evidence"),
    [
        ("perceived_speed", {"kpis": SPEED, "deployments": STEADY}, ["answers fell", "answers stayed"]),
        ("perceived_speed", {"kpis": SPEED}, ["not judged"] * 2),
        ("psychological_safety", {}, ["not judged"] * 2),
    ],
)
def test_a_late_answer_changes_no_word_of_what_is_not_judged(question, data, evidence):
    """Of five people two answered 5 throughout, and know that: one late answer that moves the mean is then a 5."""
    given = answers(BEFORE, *[5] * 5, question=question) + answers(NOW, 5, 5, 3, 3, 3, question=question)
    late = given[-1] | {"response_id": 1, "answer": 5}
    rows = [audit(survey_responses=rows, **data)["shop", question, "all"] for rows in (given, [*given, late])]
    assert [row["evidence"].split(";")[0] for row in rows] == evidence
    assert evidence[0] != "not judged" or rows[0] == rows[1]


@pytest.mark.parametrize("closed", [True, False])
def test_before_a_quarter_is_closed_nothing_is_told_of_people(closed):
    rows = both(reviewed(BEFORE, [10] * 5, 10), reviewed(NOW, [90, 3, 3, 2, 2], 80))
    rows |= {"survey_responses": moved_answers("psychological_safety", 5)}
    rows |= {"retrospectives": retrospectives(BEFORE, [8] * 6, [8] * 6) + retrospectives(NOW, [8] * 6, [2] * 6)}
    by_check = audit(**rows, **({} if closed else {"ov_quarters": []}))
    about_people = {"silent_reviews", "retrospective_participation", "uneven_workload", "psychological_safety"}
    found = {check for (_, check, _), row in by_check.items() if check in about_people and row["finding"] == "found"}
    assert found == (about_people if closed else set())
    if not closed:
        assert {by_check["shop", check, "all"]["evidence"] for check in about_people} == {"the quarter is not closed"}
    assert by_check["shop", "more_smaller_failing_deployments", "all"]["evidence"].startswith("deployments 30 to 30")


def moved_answers(question: str, now: int) -> list[dict]:
    return answers(BEFORE, *[4] * 8, question=question) + answers(NOW, *[now] * 8, question=question)


@pytest.mark.parametrize(
    ("now", "silent", "found", "word"),
    [
        (2, 10, "found", "stayed"),
        (2, 45, "not_found", "rose"),
        (5, 45, "found", "rose"),
        (4, 45, "not_found", "rose"),
    ],
)
def test_answers_about_safety_are_held_against_silence(now, silent, found, word):
    rows = both(reviewed(BEFORE, [10] * 5, 10), reviewed(NOW, [10] * 5, silent))
    row = audit(survey_responses=moved_answers("psychological_safety", now), **rows)[
        "shop", "psychological_safety", "all"
    ]
    assert row["finding"] == found
    assert f"share of silent approvals {word}; share of those invited who take part unknown" in row["evidence"]
    assert row["evidence_query"] is None


@pytest.mark.parametrize(("now", "nights", "found"), [(2, 1, "found"), (2, 30, "not_found"), (5, 30, "found")])
def test_answers_about_workload_are_held_against_interruptions_out_of_business_hours(now, nights, found):
    rows = both(incidents(BEFORE, 2), incidents(NOW, nights))
    for event in rows["incident_events"]:
        event["occurred_at"] = event["occurred_at"].replace(hour=2)
    given = audit(survey_responses=moved_answers("sustainable_workload", now), **rows)
    row = given["shop", "sustainable_workload", "all"]
    assert row["finding"] == found
    word = "rose" if nights > 1 else "stayed"
    assert row["evidence"].endswith(f"; interruptions out of business hours {word}")


@pytest.mark.parametrize("question", ["psychological_safety", "sustainable_workload"])
def test_answers_that_nothing_can_be_held_against_are_not_judged(question):
    assert finding(question, survey_responses=moved_answers(question, 2)) == "not_judged"


def retrospectives(quarter: date, invited: list[int], present: list[int]) -> list[dict]:
    return [
        {
            "source": "calendar",
            "retrospective_id": f"{quarter}-{number}",
            "team": "shop",
            "held_at": day_of(quarter, number, len(invited)),
            "people_invited": people,
            "people_present": here,
        }
        for number, (people, here) in enumerate(zip(invited, present, strict=True))
    ]


@pytest.mark.parametrize(
    ("invited", "present", "found", "word"),
    [(8, 2, "found", "fell"), (8, 7, "not_found", "stayed"), (4, 1, "not_judged", None)],
)
def test_participation_is_told_where_at_least_five_were_invited_each_time(invited, present, found, word):
    """One retrospective of four would tell of these four, however many the others were."""
    rows = retrospectives(BEFORE, [8] * 6, [8] * 6)
    rows += retrospectives(NOW, [8] * 5 + [invited], [present] * 6 if invited > 4 else [2] * 5 + [present])
    row = audit(retrospectives=rows)["shop", "retrospective_participation", "all"]
    evidence = f"share of those invited who take part {word}" if word else "not judged"
    assert (row["finding"], row["evidence"]) == (found, evidence)


def test_no_number_is_told_of_what_people_do_or_say():
    rows = both(reviewed(BEFORE, [10] * 5, 10), reviewed(NOW, [20, 10, 7, 3, 2], 20))
    rows |= {"survey_responses": moved_answers("psychological_safety", 2)}
    rows |= {"retrospectives": retrospectives(BEFORE, [8] * 6, [8] * 6) + retrospectives(NOW, [8] * 6, [2] * 6)}
    for (_, check, _), row in audit(**rows).items():
        if row["audit_kind"] in ("safety", "perception") and check != "reporting_drops":
            assert not any(sign.isdigit() for sign in row["evidence"]), row


@pytest.mark.parametrize("told", [("not_found", "share of silent approvals stayed"), ("not_judged", "not judged")])
def test_what_has_been_published_of_people_stays_whatever_lands_later(told):
    """Five reviewers of whom one's reviews come late: what they change would be told of that one."""
    published = {
        "quarter": NOW,
        "team": "shop",
        "audit_kind": "safety",
        "check_name": "silent_reviews",
        "finding": told[0],
        "claim": "as claimed then",
        "evidence": told[1],
    }
    rows = both(reviewed(BEFORE, [10] * 5, 10), reviewed(NOW, [10] * 5, 45))
    found = audit(**rows)["shop", "silent_reviews", "all"]
    assert (found["finding"], found["evidence"]) == ("found", "share of silent approvals rose")
    stays = audit(audit_releases=[published], **rows)["shop", "silent_reviews", "all"]
    assert {name: stays[name] for name in published} == published


@pytest.mark.parametrize(("positive", "found"), [(130, "found"), (115, "not_found")])
def test_answers_that_turn_uniformly_positive_are_told_of_the_organisation_alone(positive, found):
    def given(quarter: date, positive: int) -> list[dict]:
        return answers(quarter, *[5] * positive, *[2] * (140 - positive))

    by_check = audit(survey_responses=given(BEFORE, 100) + given(NOW, positive))
    assert by_check["all", "uniform_answers", "all"]["finding"] == found
    assert ("shop", "uniform_answers", "all") not in by_check


def test_uniform_answers_are_held_against_the_quarter_before_and_no_earlier_one():
    given = answers(date(2024, 10, 1), *[2] * 140) + answers(NOW, *[5] * 140)
    assert finding("uniform_answers", "all", survey_responses=given) == "not_judged"


def test_few_uniform_answers_are_not_judged():
    given = answers(BEFORE, *[2] * 30) + answers(NOW, *[5] * 30)
    assert finding("uniform_answers", "all", survey_responses=given) == "not_judged"


@pytest.mark.parametrize(("kpis", "found"), [(12, "not_found"), (13, "found")])
def test_more_than_twelve_kpis_are_a_warning(kpis, found):
    rows = [kpi_row(f"kpi-{number}", measure="change_failure_rate") for number in range(kpis)]
    # What is no KPI is not counted.
    rows.append(kpi_row("ready", measure="change_failure_rate", is_active=False))
    row = audit(kpis=rows)["all", "too_many_kpis", "all"]
    assert (row["finding"], row["evidence"]) == (found, f"KPIs {kpis}")


def test_the_decision_log_is_held_against_the_map_of_kpis():
    def decision(day: str, metric: str, kind: str) -> dict:
        return {
            "decided_on": date.fromisoformat(day),
            "metric": metric,
            "decision_kind": kind,
            "decision": "do it",
            "decided_by_role": "head",
        }

    given = {
        "kpis": [
            kpi_row("used", measure="rework_rate", decisions="improve_delivery  audit_metrics "),
            kpi_row("used_before", measure="rework_rate", decisions="improve_delivery"),
            kpi_row("unused", measure="rework_rate", decisions="improve_delivery"),
            kpi_row("new", measure="rework_rate", decisions="improve_delivery", valid_from=date(2025, 5, 1)),
            kpi_row("idle", measure="rework_rate", decisions="improve_delivery", is_active=False),
            kpi_row("ended", measure="rework_rate", decisions="improve_delivery", valid_to=date(2025, 5, 1)),
        ],
        "decision_log": [
            decision("2025-06-30", "used", "audit_metrics"),
            decision("2025-01-01", "used_before", "improve_delivery"),
            decision("2024-12-31", "unused", "improve_delivery"),
            decision("2025-06-01", "new", "improve"),
            decision("2025-07-01", "new", "plan_capacity"),
            decision("2025-06-01", "idle", "plan_capacity"),
            decision("2025-06-01", "ended", "improve_delivery"),
            decision("2025-06-02", "ended", "improve_delivery"),
        ],
    }
    rows = audit(**given)
    unused = {kpi: row["finding"] for (_, check, kpi), row in rows.items() if check == "unused_kpi"}
    assert unused == {"used": "not_found", "used_before": "not_found", "unused": "found", "new": "not_judged"}
    outside = {kpi: row["finding"] for (_, check, kpi), row in rows.items() if check == "decision_outside_map"}
    # A kind that only begins like an allowed one is another.
    assert outside == dict.fromkeys(("used", "used_before", "unused"), "not_found") | dict.fromkeys(
        ("new", "idle", "ended"), "found"
    )
    assert rows["all", "decision_outside_map", "ended"]["evidence"] == (
        "decisions outside the map 2; may inform nothing at the end of the quarter"
    )
    with memory() as connection:
        load_rows(connection, {name: frame(TABLES[name], rows) for name, rows in given.items()})
        published = models(as_of=END).marts(connection, "fct_decisions", "decision_map")
    log = {(row["decided_on"], row["kpi"]): (row["team"], row["is_in_map"]) for row in published["fct_decisions"]}
    assert log == {
        (date(2025, 6, 30), "used"): ("all", True),
        (date(2025, 1, 1), "used_before"): ("all", True),
        (date(2024, 12, 31), "unused"): ("all", True),
        (date(2025, 6, 1), "new"): ("all", False),
        (date(2025, 7, 1), "new"): ("all", False),
        (date(2025, 6, 1), "idle"): ("all", False),
        (date(2025, 6, 1), "ended"): ("all", False),
        (date(2025, 6, 2), "ended"): ("all", False),
    }
    listed = {(row["kpi"], row["decision_kind"]) for row in published["decision_map"]}
    assert listed == {
        *(("used", kind) for kind in ("improve_delivery", "audit_metrics")),
        *((kpi, "improve_delivery") for kpi in ("used_before", "unused", "new", "idle", "ended")),
    }


def test_questions_stand_with_their_answers_and_those_of_a_pilot_with_the_data():
    def answer(question: str, team: str | None, given: str) -> dict:
        return {
            "quarter": NOW,
            "question": question,
            "team": team,
            "answer": given,
            "why": "We looked.",
            "answered_by_role": "head",
            "answered_on": date(2025, 7, 10),
        }

    rows = audit(
        audit_answers=[answer("gamed", None, "no"), answer("reviews_more_actionable", "shop", "partly")],
        **both(reviewed(BEFORE, [10] * 5, 10), reviewed(NOW, [10] * 5, 5)),
    )
    shown = {(team, check): (row["finding"], row["evidence"]) for (team, check, _), row in rows.items()}
    assert shown["all", "gamed"] == ("no", "head: We looked.")
    assert shown["all", "measures_business_value"] == ("unanswered", "Nobody has answered.")
    assert shown["shop", "reviews_more_actionable"] == (
        "partly",
        "head: We looked. Data: share of silent approvals stayed.",
    )
    assert shown["shop", "metrics_predictive"] == (
        "unanswered",
        "Nobody has answered. Data: of 0 verdicts of the quarter before 0 held.",
    )


# What chance gives


def test_a_figure_seldom_shifts_by_chance_even_if_it_varies_three_times_as_much(tmp_path):
    random = np.random.default_rng(6)
    counts = nbinom.rvs(40 / 2, 1 / 3, size=(20_000, 2), random_state=random)
    weight = 79 / 2 - 1
    parts = betabinom.rvs(80, 0.2 * weight, 0.8 * weight, size=(20_000, 2), random_state=random)
    shifts = "{{ has_risen(count_shift('a', '91', 'b', '91')) }}, {{ has_risen(share_shift('c', '80', 'd', '80')) }}"
    (compiled,) = dbt(tmp_path / "warehouse.duckdb", "compile", "--inline", f"select {shifts}")
    given = pl.DataFrame({"a": counts[:, 0], "b": counts[:, 1], "c": parts[:, 0], "d": parts[:, 1]})
    with duckdb.connect() as connection:
        connection.register("given", given.to_arrow())
        query = compiled.node.compiled_code.removeprefix("select ")
        one, other = connection.sql(f"select {query} from given").pl().mean().row(0)
    # One in a hundred of a normal distribution; what is counted in whole numbers only comes near it.
    assert 0.004 < one < 0.015
    assert 0.004 < other < 0.015


# What a row tells of single answers


@cache
def reachable(answers: int) -> set[tuple[int, int]]:
    """Sum and sum of squares of every way to give so many answers."""
    if answers == 0:
        return {(0, 0)}
    return {(total + each, squares + each**2) for total, squares in reachable(answers - 1) for each in range(1, 6)}


def ways(known: tuple[int, ...]) -> pl.DataFrame:
    """What 15 answers, three of each of five people, can look like if these are among them."""
    found = sorted(reachable(15 - len(known)))
    frame = pl.DataFrame(found, ["total", "squares"], orient="row") + pl.DataFrame(
        {"total": [sum(known)], "squares": [sum(each**2 for each in known)]}
    ).select(pl.all().repeat_by(len(found)).explode())
    mean = pl.col("total") / 15
    return frame.select(mean=mean, variance=(pl.col("squares") - 15 * mean**2) / 14, people_who_answer=5)


def test_who_knows_all_of_two_people_and_which_way_answers_moved_keeps_three_for_every_other(tmp_path):
    """Of five people asked every month; of more, or whose answers are less extreme, others can be more."""
    (compiled,) = dbt(tmp_path / "warehouse.duckdb", "compile", "--inline", "{{ movement('answers', 'earlier') }}")
    query = f"select distinct {compiled.node.compiled_code} from now as answers cross join before as earlier"
    extremes = [(one,) * 3 + (other,) * 3 for one, other in combinations_with_replacement((1, 3, 5), 2)]
    with duckdb.connect() as connection:
        for now, before in product(extremes, repeat=2):
            connection.register("before", ways(before).to_arrow())
            left = Counter()
            for answer in range(1, 6):
                connection.register("now", ways((*now, answer)).to_arrow())
                left.update(movement for (movement,) in connection.sql(query).fetchall())
            assert min(left.values()) >= 3, (now, before, left)
