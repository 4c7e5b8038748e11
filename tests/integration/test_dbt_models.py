"""`dbt build` by itself, as an analytics engineer runs it: on nothing, and on a small history worked out by hand."""

import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from dbt_models import built

from dagster_project.settings import DBT_DIR

MARTS = {
    "dim_services",
    "dim_teams",
    "fct_deployments",
    "fct_changes",
    "fct_pull_requests",
    "fct_incidents",
    "fct_deployment_failures",
    "fct_corrections",
    "fct_decisions",
    "fct_degradations",
    "decision_map",
    "degradation_contributions",
    "delivery_daily",
    "delivery_weekly",
    "delivery_monthly",
    "delivery_quarterly",
    "team_delivery_monthly",
    "monthly_trends",
    "dora_bands",
    "scorecard_monthly",
    "scorecard_quarterly",
    "metric_audit_quarterly",
    "system_notes",
    "slo_attainment_daily",
    "slo_status",
    "slo_review_monthly",
    "oncall_weekly",
    "web_vitals_daily",
    "ov_team_quarterly",
    "readiness_quarterly",
    "calibration_quarterly",
    "web_vitals_rolling_28d",
    "web_vitals_monthly",
    "journey_daily",
    "experience_daily",
}

# The front end ships 1, 2, 3, is rolled back to 2's version by 4 and repeats that by 5; services.csv has no mailer.
DEPLOYMENTS = [
    # id, service, environment, status, finished, commit, relation
    ("1", "shop", "production", "success", "2025-01-30 12:00:00", "c1", "new"),
    ("2", "shop", "production", "success", "2025-02-03 12:00:00", "c2", "new"),
    ("failed", "shop", "production", "failure", "2025-02-04 11:00:00", "c4", "new"),
    ("3", "shop", "production", "success", "2025-02-04 12:00:00", "c4", "new"),
    ("4", "shop", "production", "success", "2025-02-04 15:00:00", "c2", "ancestor"),
    ("5", "shop", "production", "success", "2025-02-05 12:00:00", "c2", "same"),
    ("staged", "shop", "staging", "success", "2025-02-06 12:00:00", "c5", "new"),
    ("6", "shop", "production", "success", "2025-04-02 12:00:00", "c5", "new"),
    ("7", "mailer", "production", "success", "2025-04-02 12:00:00", "c5", "new"),
]
CHANGES = [
    # commit, authored, merged, merge commit, is a merge
    ("c1", "2025-01-29 12:00:00", "2025-01-30 10:00:00", "c1", False),
    ("c2", "2025-02-02 12:00:00", "2025-02-03 06:00:00", "c2", False),
    ("c3", "2025-02-03 12:00:00", "2025-02-04 10:00:00", "c4", False),
    ("c4", "2025-02-04 10:00:00", "2025-02-04 10:00:00", "c4", True),
    ("c5", "2025-04-01 12:00:00", "2025-04-02 10:00:00", "c5", False),
]
DEPLOYMENT_CHANGES = [("1", "c1"), ("2", "c2"), ("3", "c3"), ("3", "c4"), ("staged", "c5"), ("6", "c5"), ("7", "c5")]


def raw_rows() -> dict[str, pl.DataFrame]:
    return {
        "deployments": pl.DataFrame(
            DEPLOYMENTS,
            ["deployment_id", "service", "environment", "status", "finished_at", "commit_sha", "commit_relation"],
            orient="row",
        ),
        "changes": pl.DataFrame(
            CHANGES, ["commit_sha", "authored_at", "merged_at", "merge_commit_sha", "is_merge"], orient="row"
        ).with_columns(author_key=pl.lit("Somebody")),
        "deployment_changes": pl.DataFrame(DEPLOYMENT_CHANGES, ["deployment_id", "commit_sha"], orient="row"),
        "builds": pl.DataFrame(
            {
                "build_id": ["1"],
                "repository": ["shop"],
                "commit_sha": ["c2"],
                "status": ["success"],
                "started_at": ["2025-02-03 06:00:00"],
                "finished_at": ["2025-02-03 07:00:00"],
            }
        ),
        "incidents": pl.DataFrame(
            {
                "incident_id": ["1", "2"],
                "service": ["shop", "shop"],
                "started_at": ["2025-02-03 14:00:00", "2025-02-04 13:00:00"],
                "resolved_at": ["2025-02-03 18:00:00", "2025-02-04 16:00:00"],
            }
        ),
        "rum_events": pl.DataFrame(
            {
                "service": ["shop"] * 4,
                "occurred_at": [f"2025-02-04 10:00:0{second}" for second in range(4)],
                "event_type": ["vital"] * 4,
                "session_id": ["a", "b", "c", "d"],
                "route": ["/"] * 4,
                "device_class": ["mobile"] * 4,
                "metric_name": ["LCP"] * 4,
                "metric_value": [1000.0, 2000.0, 3000.0, 5000.0],
                "sample_rate": [1 / 3] * 4,
            }
        ),
        "services": pl.DataFrame(
            [("shop", "old", None, "2025-03-01"), ("shop", "new", "2025-03-01", None)],
            ["service", "team", "valid_from", "valid_to"],
            orient="row",
        ).with_columns(component_kind=pl.lit("frontend")),
        "teams": pl.DataFrame({"team": ["old", "new"], "time_zone": ["UTC", "UTC"]}),
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with built(
        tmp_path_factory.mktemp("small"), raw_rows(), "build", "--exclude-resource-type", "unit_test"
    ) as connection:
        yield connection


def test_dbt_build_with_its_unit_tests_passes_on_a_warehouse_that_does_not_exist_yet(tmp_path):
    # As an analytics engineer starts it; all other tests have dbt in their own process.
    result = subprocess.run(
        [Path(sys.executable).with_name("dbt"), "build", "--target-path", tmp_path, "--log-path", tmp_path],
        cwd=DBT_DIR,
        env={**os.environ, "PLUMBLINE_WAREHOUSE": str(tmp_path / "warehouse.duckdb"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    with duckdb.connect(tmp_path / "warehouse.duckdb", read_only=True) as connection:
        tables = connection.sql("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()
        assert {name for (name,) in tables} == MARTS
        assert all(connection.sql(f"select count(*) from marts.{name}").fetchone() == (0,) for name in MARTS)
        assert connection.sql("select as_of, is_success from meta.build").fetchall() == [(None, True)]


def test_a_month_of_delivery_is_what_the_history_gives_by_hand(small):
    february = small.sql("from marts.delivery_monthly where month = '2025-02-01' and service = 'shop'").to_df()
    expected = {
        "team": "old",
        "deployments": 4,
        "frequency_deployments": 2,
        "rollbacks": 1,
        "redeploys": 1,
        "failed_attempts": 1,
        "changes": 2,
        # c2 took 24 h, c3 24 h; c4 is a merge.
        "lead_time_median_hours": 24.0,
        "merge_to_build_median_hours": 1.0,
        "build_to_deploy_median_hours": 5.0,
        "fully_covered_changes": 1,
        "slowest_segment": "commit_to_merge",
        # 2 by the first incident, 3 by the second and by the rollback.
        "failed_deployments": 2,
        "change_failure_rate": 0.5,
        # 2: 14:00 to 18:00; 3: 13:00 to the rollback at 15:00.
        "recovery_median_hours": 3.0,
        "mttr_hours": 3.5,
        "is_complete": True,
    }
    assert february[list(expected)].to_dict("records") == [expected]


def test_every_month_between_the_first_and_the_last_activity_is_there(small):
    months = small.sql(
        "select month, deployments, change_failure_rate, team from marts.delivery_monthly "
        "where service = 'shop' order by month"
    ).fetchall()
    assert months == [
        (date(2025, 1, 1), 1, 0.0, "old"),
        (date(2025, 2, 1), 4, 0.5, "old"),
        (date(2025, 3, 1), 0, None, "new"),
        (date(2025, 4, 1), 1, 0.0, "new"),
    ]


def test_a_team_has_the_months_in_which_it_owned_and_a_service_without_an_owner_is_in_none(small):
    months = small.sql(
        "select month, team, deployments, changes, change_failure_rate, mttr_hours "
        "from marts.team_delivery_monthly order by month"
    ).fetchall()
    assert months == [
        (date(2025, 1, 1), "old", 1, 0, 0.0, None),
        (date(2025, 2, 1), "old", 4, 2, 0.5, 3.5),
        (date(2025, 4, 1), "new", 1, 1, 0.0, None),
    ]


def test_the_first_deployment_on_record_ships_nothing(small):
    shipped = small.sql(
        "select service, commit_sha, deployment_key from marts.fct_changes order by commit_sha"
    ).fetchall()
    assert shipped == [("shop", "c2", "test/2"), ("shop", "c3", "test/3"), ("shop", "c5", "test/6")]


def test_a_service_without_reference_data_keeps_its_facts_and_has_no_team(small):
    assert small.sql("select team, deployments from marts.delivery_monthly where service = 'mailer'").fetchall() == [
        (None, 1)
    ]


def test_p75_is_a_nearest_rank_and_counts_are_page_views(small):
    vitals = small.sql(
        "select distinct p75_value, rating, measurements, page_views, good_rate from marts.web_vitals_daily"
    )
    assert vitals.fetchall() == [(3000.0, "needs_improvement", 4, 12.0, 0.5)]


def test_now_is_the_latest_event(small):
    assert small.sql("select as_of from meta.build").fetchall() == [(datetime(2025, 4, 2, 12),)]


def test_every_published_column_says_what_it_is_and_none_is_a_person_a_batch_or_a_load_time(small):
    columns = small.sql(
        "select table_name, column_name, comment from duckdb_columns() where schema_name = 'marts'"
    ).fetchall()
    assert [column for column in columns if not column[2]] == []
    names = {name for _, name, _ in columns}
    assert not {name for name in names if name.endswith("_key")} - {
        "deployment_key",
        "replaced_deployment_key",
        "blamed_deployment_key",
        "incident_key",
        "first_degraded_deployment_key",
        "first_evidence_key",
        "subject_key",
    }
    assert not names & {"loaded_at", "batch_id", "build_id", "updated_at"}


def test_the_order_in_which_rows_arrive_changes_nothing(small, tmp_path):
    with built(tmp_path, {name: frame.reverse() for name, frame in raw_rows().items()}, "run") as reversed_:
        for mart in sorted(MARTS):
            query = f"from marts.{mart} order by all"
            assert reversed_.sql(query).fetchall() == small.sql(query).fetchall(), mart
