"""Generated histories through the dbt models and through the reference in Python; and what must hold of any of them."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from math import isclose

import pytest
from dbt_models import Models, frame, insert, models
from delivery_histories import histories
from hypothesis import HealthCheck, given, settings
from reference_delivery import PERIODS, SEGMENTS, Delivery, History

from dagster_project.contracts import TABLES
from dagster_project.warehouse import scratch

# So low that generated deployments reach it.
BULK = {"bulk_import_minimum_changes": 3, "bulk_import_median_multiple": 2}
SETTINGS = {
    "defaults": BULK,
    "others": BULK
    | {
        "calendar_time_zone": "America/New_York",
        "week_start": "sunday",
        "rollback_blames": "first_after_restored",
        "incident_link_window_hours": 12,
        "incident_lowest_severity": "sev3",
        "hotfix_blame_window_days": 3,
        "frequency_counts_rollbacks_and_redeploys": True,
    },
}
KEYS = {
    "fct_deployments": ("deployment_key",),
    "fct_changes": ("service", "commit_sha"),
    "fct_deployment_failures": ("deployment_key", "cause"),
    "fct_incidents": ("incident_key",),
    "fct_pull_requests": ("source", "repository", "pull_request_number"),
    "delivery_daily": ("day", "service"),
    "delivery_weekly": ("week", "service"),
    "delivery_monthly": ("month", "service"),
    "delivery_quarterly": ("quarter", "service"),
    "team_delivery_monthly": ("month", "team"),
}
examples = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
many_examples = settings(examples, max_examples=300)


def marts_of(history: History, built: Models, backwards: bool = False) -> dict[str, list[dict]]:
    with scratch() as connection:
        # One thread: for so few rows, several only wait for each other.
        connection.execute("set threads = 1")
        for name, rows in history.items():
            insert(connection, TABLES[name], frame(TABLES[name], rows[::-1] if backwards else rows))
        return built.marts(connection)


def expected_marts(reference: Delivery) -> dict[str, list[dict]]:
    return {
        "fct_deployments": reference.deployments,
        "fct_changes": reference.changes,
        "fct_deployment_failures": reference.failures,
        "fct_incidents": reference.incidents,
        "fct_pull_requests": reference.pull_requests,
        "delivery_daily": reference.delivery("day"),
        "delivery_weekly": reference.delivery("week"),
        "delivery_monthly": reference.delivery("month"),
        "delivery_quarterly": reference.delivery("quarter"),
        "team_delivery_monthly": reference.team_delivery_monthly(),
    }


def keyed(mart: str, rows: list[dict]) -> dict[tuple, dict]:
    result = {tuple(row[name] for name in KEYS[mart]): row for row in rows}
    assert len(result) == len(rows), f"{mart}: a key twice"
    return result


def same(left, right) -> bool:
    if isinstance(left, float) and isinstance(right, int | float):
        return isclose(left, right, rel_tol=1e-9, abs_tol=2e-6)
    return left == right


def differences(mart: str, rows: list[dict], expected: list[dict], without: set[str] = frozenset()) -> list[str]:
    """Every column of every row that differs, and every row that only one of the two holds."""
    found, wanted = keyed(mart, rows), keyed(mart, expected)
    alone = [f"{mart} {key}: only the models have it" for key in found.keys() - wanted.keys()]
    alone += [f"{mart} {key}: the models do not have it" for key in wanted.keys() - found.keys()]
    return alone + [
        f"{mart} {key} {name}: {row[name]!r}, by the definitions {wanted[key][name]!r}"
        for key, row in found.items()
        if key in wanted
        for name in row
        if name not in without and not same(row[name], wanted[key][name])
    ]


def hold_against_the_reference(history: History, variables: dict) -> None:
    built = models(**variables)
    marts, expected = marts_of(history, built), expected_marts(Delivery(history, built.vars))
    found = [text for mart, rows in expected.items() for text in differences(mart, marts[mart], rows)]
    assert not found, "\n".join(found[:20])


@pytest.mark.parametrize("name", SETTINGS)
@examples
@given(history=histories())
def test_every_mart_is_what_the_definitions_give(name, history):
    hold_against_the_reference(history, SETTINGS[name])
