"""Each contested choice of the delivery models changes a published figure; what it changes it to, other tests say."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from dbt_models import DEFAULTS, load_rows, memory, models
from dbt_models import profile as variables_of

from dagster_project.extract import demo
from dagster_project.quality.fingerprint import fingerprint
from dagster_project.reference import load_reference
from dagster_project.settings import COMPUTED, DemoSource, load_settings

# Variable → another value than its default.
OTHERS = {
    "as_of": "2026-05-15 00:00:00",
    "calendar_time_zone": "Pacific/Auckland",
    "week_start": "sunday",
    "lead_time_unit": "pull_request",
    "lead_time_start": "merged",
    "first_deployment": "ships_all",
    "incident_link_window_hours": None,
    "incident_link_boundary": "finished",
    "incident_lowest_severity": "sev2",
    "failure_causes": ["incident"],
    "rollback_blames": "first_after_restored",
    "hotfix_blame_window_days": 0,
    "recovery_start": "incident_started",
    "recovery_end": "resolved",
    "bake_window_minutes": 5,
    "frequency_counts_rollbacks_and_redeploys": True,
    "reported_frequency_unit": "deployment_days",
    "reported_failure_numerator": "incidents",
    "reported_failure_denominator": "attempts",
    "reported_duration_statistic": "mean",
    "trend_baseline_periods": 4,
    "trend_practical_margin": 5.0,
    "trend_practical_margin_of_rates": 1.0,
    "dora_report_year": 2019,
    "bulk_import_minimum_changes": 600,
    "bulk_import_median_multiple": 50,
}
MARTS = ("delivery_weekly", "delivery_monthly")
START = datetime(2026, 4, 1, 12)


def rare_rows() -> dict[str, pl.DataFrame]:
    """What the demo lacks: a rollback over two deployments, an incident while a deployment ran, one long after the
    last, and two large imports."""
    deployments = [
        # id, day, commit, relation, changes that it ships
        *(("1", 0, "c1", "new", 1), ("2", 1, "c2", "new", 1), ("3", 2, "c3", "new", 1), ("4", 3, "c1", "ancestor", 0)),
        *(("5", 30, "c5", "new", 25), ("6", 40, "c6", "new", 520)),
    ]
    shipped = [(name, f"{name}-{number}", day) for name, day, *_, size in deployments for number in range(size)]
    return {
        "deployments": pl.DataFrame(
            [
                {"deployment_id": name, "service": "rare", "environment": "production", "status": "success"}
                | {"started_at": START + timedelta(days=day, hours=-2), "finished_at": START + timedelta(days=day)}
                | {"commit_sha": commit, "commit_relation": relation}
                for name, day, commit, relation, _ in deployments
            ]
        ),
        "deployment_changes": pl.DataFrame([{"deployment_id": name, "commit_sha": sha} for name, sha, _ in shipped]),
        "changes": pl.DataFrame(
            [
                {"commit_sha": sha, "is_merge": False, "authored_at": START + timedelta(days=day, hours=-5)}
                for _, sha, day in shipped
            ]
        ),
        "incidents": pl.DataFrame(
            [
                {
                    "incident_id": f"day {day}",
                    "service": "rare",
                    "started_at": start,
                    "resolved_at": start + timedelta(hours=4),
                }
                for day in (1, 20)
                for start in [START + timedelta(days=day, hours=-1)]
            ]
        ),
    }


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """What the marts hold with these variables, on a demo organisation and some rare events."""
    folder = tmp_path_factory.mktemp("variables")
    settings = load_settings(demo.write_installation(folder, DemoSource(kind="demo", days=150, sessions_per_day=10)))
    with memory() as connection:
        load_reference(connection, settings.reference_dir)
        demo.extract(settings.sources[0], settings, connection)
        load_rows(connection, rare_rows())

        def figures(**variables) -> list[str]:
            models(**variables).build(connection, *MARTS)
            return [fingerprint(connection, f"marts.{mart}").checksum for mart in MARTS]

        yield figures


@pytest.fixture(scope="module")
def usual(figures) -> list[str]:
    return figures()


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_another_value_changes_a_figure(figures, usual, name):
    assert OTHERS[name] != DEFAULTS[name]
    assert figures(**{name: OTHERS[name]}) != usual


@pytest.mark.parametrize("profile", ["devlake", "four_keys", "gitlab"])
def test_whatever_a_profile_sets_is_among_them(profile):
    assert variables_of(profile).keys() - COMPUTED <= OTHERS.keys()
