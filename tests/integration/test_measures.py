"""Every measure that a KPI may be of, on a month of one team that is worked out by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from dbt_models import frame, insert, load_rows, memory, models

from dagster_project.contracts import KPIS, MEASURES, TABLES
from dagster_project.reference import read_file
from dagster_project.settings import PROJECT_DIR

MONTH, DAYS = date(2025, 5, 1), 31
TRUTH = {"true": True, "false": False}
SHIPPED = [
    {name: TRUTH.get(value, value or None) for name, value in row.items()}
    for row in read_file(PROJECT_DIR / "seeds", KPIS).drop("line").iter_rows(named=True)
]
for row in SHIPPED:
    row |= {name: float(row[name]) if row[name] else None for name in ("practical_margin", "target")}


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2025, 5, day, hour, minute)


def rows(source: str, *given: dict) -> list[dict]:
    return [{"source": source, **row} for row in given]


def change(name: str, position: int, authored: datetime, merged: datetime) -> dict:
    return {
        "commit_sha": name,
        "repository": "web",
        "authored_at": authored,
        "merged_at": merged,
        "merge_commit_sha": name,
        "mainline_position": position,
        "is_merge": False,
    }


def build(name: str, commit: str, finished: datetime, status: str = "success") -> dict:
    return {
        "build_id": name,
        "repository": "web",
        "service": "web",
        "workflow": "ci",
        "commit_sha": commit,
        "status": status,
        "started_at": finished - timedelta(minutes=5),
        "finished_at": finished,
    }


def event(number: int, session: int, happened: datetime, kind: str, **given) -> dict:
    return {
        "event_id": number,
        "session_id": session,
        "service": "web",
        "occurred_at": happened,
        "event_type": kind,
        "device_class": "desktop",
        "route": "/",
        **given,
    }


def lcp(number: int, session: int, happened: datetime, value: float) -> dict:
    return event(number, session, happened, "vital", metric_name="LCP", metric_id=number, metric_value=value)


def planned(item: str, committed: datetime, completed: datetime | None) -> dict:
    return {
        "plan_id": "sprint",
        "item_id": item,
        "team": "shop",
        "starts_on": date(2025, 5, 19),
        "due_on": date(2025, 5, 30),
        "committed_at": committed,
        "completed_at": completed,
    }


# Two deployments of the month, after the first on record: the first ships one change, the second three.
GIVEN = {
    "services": [{"service": "web", "team": "shop", "component_kind": "frontend", "repository": "web"}],
    "teams": [{"team": "shop", "time_zone": "UTC"}],
    "degradation_indicators": [
        {"indicator": "failed_requests", "least_rise": 0.001},
        {"indicator": "slow_requests", "least_rise": 0.001, "objective_ms": 150},
    ],
    "journeys": [
        {
            "journey": "buy",
            "service": "web",
            "position": position,
            "step": step,
            "step_kind": "page_view",
            "route": route,
        }
        for position, (step, route) in enumerate((("view", "/"), ("cart", "/cart"), ("done", "/done")), 1)
    ],
    "deployments": [
        {
            "source": "git",
            "deployment_id": name,
            "service": "web",
            "environment": "production",
            "status": "success",
            "finished_at": finished,
            "commit_sha": commit,
            "commit_relation": "new",
        }
        for name, finished, commit in (
            ("first", datetime(2025, 4, 10), "c0"),
            ("one", at(5, 12), "c1"),
            ("two", at(20, 12), "c4"),
        )
    ],
    "changes": rows(
        "git",
        change("c0", 1, datetime(2025, 4, 9), datetime(2025, 4, 9)),
        change("c1", 2, at(4, 12), at(5, 6)),
        *(change(f"c{number}", number + 1, at(19), at(19, 12)) for number in (2, 3, 4)),
    ),
    "deployment_changes": rows(
        "git",
        {"deployment_id": "first", "commit_sha": "c0"},
        {"deployment_id": "one", "commit_sha": "c1"},
        *({"deployment_id": "two", "commit_sha": f"c{number}"} for number in (2, 3, 4)),
    ),
    # c2 changes what c1 shipped 15 days before, c3 what nobody did but c2 with it; of c4 no file is known.
    "change_paths": rows(
        "git",
        {"commit_sha": "c1", "path": "a.ts"},
        {"commit_sha": "c2", "path": "a.ts"},
        {"commit_sha": "c2", "path": "b.ts"},
        {"commit_sha": "c3", "path": "b.ts"},
    ),
    "builds": rows(
        "git",
        build("1", "c1", at(5, 9)),
        build("2", "c4", at(19, 23), "failure"),
        build("3", "c4", at(20)),
    ),
    "synthetic_checks": rows(
        "checks", {"check_run_id": 1, "service": "web", "occurred_at": at(5, 12, 30), "is_success": True}
    ),
    "incidents": rows(
        "git",
        {
            "incident_id": "i",
            "service": "web",
            "severity": "sev2",
            "deployment_id": "two",
            "started_at": at(20, 12, 10),
            "mitigated_at": at(20, 13),
            "resolved_at": at(20, 14, 10),
        },
    ),
    "post_incident_reviews": rows("git", {"review_id": "r", "incident_id": "i", "completed_at": at(22)}),
    "post_incident_actions": rows(
        "git",
        *(
            {
                "action_id": name,
                "incident_id": "i",
                "agreed_at": at(22),
                "due_on": date(2025, 5, 25),
                "closed_at": closed,
            }
            for name, closed in (("in time", at(25, 23)), ("late", at(26)), ("never", None))
        ),
    ),
    "rum_events": rows(
        "rum",
        event(1, 1, at(6, 10), "page_view"),
        lcp(2, 1, at(6, 10, 1), 2000),
        event(3, 1, at(6, 10, 2), "interaction"),
        event(10, 1, at(6, 10, 3), "route_change", route="/cart", is_success=True),
        event(4, 1, at(6, 10, 4), "route_change", route="/done", is_success=True),
        event(5, 2, at(6, 11), "page_view"),
        lcp(6, 2, at(6, 11, 1), 3000),
        event(7, 2, at(6, 11, 2), "error"),
        event(8, 3, at(7, 11), "page_view"),
        lcp(9, 3, at(7, 11, 1), 2400),
        event(11, 3, at(7, 11, 2), "route_change", route="/cart", is_success=True),
    ),
    "requests": rows(
        "edge",
        *(
            {
                "request_id": number,
                "service": "web",
                "occurred_at": at(6, number),
                "route": "/",
                "method": "GET",
                "status": 500 if number in (4, 8) else 200,
                "duration_ms": 10.0 * number,
            }
            for number in range(1, 21)
        ),
    ),
    # On the second day of tickets nobody knows the users.
    "active_users": rows("desk", {"service": "web", "day": date(2025, 5, 6), "users": 500}),
    "support_tickets": rows(
        "desk",
        *(
            {"ticket_id": f"{number}", "service": "web", "opened_at": opened}
            for number, opened in enumerate((at(6, 8), at(6, 9), at(7, 9)))
        ),
    ),
    "critical_path_coverage": rows(
        "ci",
        *(
            {
                "service": "web",
                "critical_path": "pay",
                "measured_at": measured,
                "lines_total": 100,
                "lines_covered": covered,
            }
            for measured, covered in ((at(1), 50), (at(20), 80))
        ),
    ),
    "escaped_defects": rows("desk", {"defect_id": "d", "service": "web", "found_at": at(7)}),
    "planned_items": rows(
        "plans",
        planned("in time", at(19, 9), at(30, 23)),
        planned("late", at(19, 9), at(31)),
        planned("open", at(19, 9), None),
        planned("taken on later", at(20, 9), at(21)),
    ),
}

# Measure → value, numerator, denominator, n, coverage.
EXPECTED = {
    "deployments_per_day": (2 / DAYS, 2, DAYS, DAYS, None),
    "lead_time_median_hours": (36, None, None, 4, 1),
    "commit_to_merge_median_hours": (12, None, None, 4, 1),
    "merge_to_build_median_hours": (12, None, None, 4, 1),
    "build_to_deploy_median_hours": (12, None, None, 4, 1),
    "deploy_to_success_median_hours": (1, None, None, 1, 1 / 2),
    "change_failure_rate": (1 / 2, 1, 2, 2, 1),
    "rework_rate": (0, 0, 2, 2, None),
    "recovery_median_hours": (50 / 60, None, None, 1, 1),
    "mttr_hours": (2, 2, 1, 1, 1),
    "flaky_build_rate": (1 / 2, 1, 2, 2, None),
    "file_churn_rate": (1 / 3, 1, 3, 3, 3 / 4),
    "good_lcp_rate": (2 / 3, 2, 3, 3, 2 / DAYS),
    "lcp_p75_ms": (3000, None, None, 3, 2 / DAYS),
    "error_free_session_rate": (2 / 3, 2, 3, 3, 2 / DAYS),
    "bounce_rate": (1 / 3, 1, 3, 3, 1),
    "journey_completion_rate": (1 / 3, 1, 3, 3, 2 / DAYS),
    "failed_request_rate": (2 / 20, 2, 20, 20, 1 / DAYS),
    "slow_request_rate": (5 / 20, 5, 20, 20, 1 / DAYS),
    "request_p95_ms": (190, None, None, 20, 1 / DAYS),
    "support_tickets_per_1000_active_users": (4, 2, 0.5, 0.5, 1 / DAYS),
    "critical_path_coverage_rate": (0.8, 80, 100, 100, None),
    "escaped_defects_per_deployment": (1 / 2, 1, 2, 2, None),
    "incident_review_rate": (1, 1, 1, 1, None),
    "actions_on_time_rate": (1 / 3, 1, 3, 3, None),
    "predictability_rate": (1 / 3, 1, 3, 3, None),
}


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    with memory() as connection:
        load_rows(connection, {name: frame(TABLES[name], given) for name, given in GIVEN.items()})
        insert(connection, KPIS, frame(KPIS, SHIPPED).with_columns(is_active=pl.lit(True)))
        models(as_of=datetime(2025, 7, 15)).build(connection, "int_monthly_measures", "scorecard_monthly")
        return {
            name: connection.sql(f"from {schema}.{name} where month = date '{MONTH}'").pl()
            for schema, name in (("intermediate", "int_monthly_measures"), ("marts", "scorecard_monthly"))
        }


@pytest.mark.parametrize("team", ["shop", "all"])
def test_every_measure_is_what_it_says_and_carries_what_it_rests_on(tables, team):
    columns = ["value", "numerator", "denominator", "n", "coverage_rate"]
    found = {row["measure"]: row for row in tables["int_monthly_measures"].filter(team=team).iter_rows(named=True)}
    assert tuple(EXPECTED) == MEASURES
    assert set(found) == set(MEASURES)
    for measure, expected in EXPECTED.items():
        assert tuple(found[measure][name] for name in columns) == pytest.approx(expected), measure


def test_every_measure_is_a_row_of_the_shipped_file_and_a_kpi_once_that_is_active(tables):
    assert {row["measure"] for row in SHIPPED} == set(MEASURES)
    scorecard = tables["scorecard_monthly"].filter(team="shop")
    assert sorted(scorecard["kpi"]) == sorted(row["kpi"] for row in SHIPPED)
    values = {row["kpi"]: (row["value"], row["pair_value"]) for row in scorecard.iter_rows(named=True)}
    measures = {row["kpi"]: row["measure"] for row in SHIPPED}
    for row in SHIPPED:
        expected = EXPECTED[row["measure"]][0], EXPECTED[measures[row["pair"]]][0]
        assert values[row["kpi"]] == pytest.approx(expected), row["kpi"]
