"""Generated histories through the dbt models and through the reference in Python; and what must hold of any of them."""

from __future__ import annotations

import re
from collections import defaultdict
from math import isclose

import pytest
from dbt_models import Models, frame, insert, load_rows, memory, models
from delivery_histories import histories, with_corrections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference_delivery import SEGMENTS, Delivery, History

from dagster_project.contracts import TABLES

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
        "lead_time_unit": "pull_request",
        "lead_time_start": "opened",
        "first_deployment": "ships_all",
        "incident_link_boundary": "finished",
        "failure_causes": ["incident", "degradation"],
        "recovery_start": "deployment_finished",
        "recovery_end": "resolved",
        "reported_frequency_unit": "deployment_days",
        "reported_failure_numerator": "incidents",
        "reported_failure_denominator": "attempts",
        "reported_duration_statistic": "mean",
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
# Experience, trend verdicts and bands are no part of the reference; test_trends.py has its own for the verdicts.
ELSEWHERE = re.compile(r".*lcp.*|.*_trend|dora_report_year|.*_band")
# What adds up over periods and services.
COUNTS = (
    *("deployments", "frequency_deployments", "rollbacks", "redeploys", "hotfixes", "unplanned_deployments"),
    *("failed_attempts", "failed_deployments", "evidenced_failed_deployments", "recovered_deployments"),
    *("changes", "shipping_deployments", "lead_time_changes", "covered_changes", "fully_covered_changes"),
    *("commit_to_merge_changes", "merge_to_build_changes", "build_to_deploy_changes"),
    *("incidents", "linked_incidents", "resolved_incidents"),
)

# Shrinking a history takes minutes, and the message names the row and the value.
PHASES = (Phase.explicit, Phase.generate)
examples = settings(
    max_examples=8, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=list(HealthCheck)
)
# Through the loader, whose generated statements take a second a history to plan; and what the reference shows as well.
few_examples = settings(examples, max_examples=4)
many_examples = settings(examples, max_examples=300)


def marts_of(history: History, built: Models) -> dict[str, list[dict]]:
    with memory() as connection:
        for name, rows in history.items():
            insert(connection, TABLES[name], frame(TABLES[name], rows))
        return built.marts(connection, *KEYS)


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
        # Means are rounded to microhours, so that the order of summation does not show.
        return isclose(left, right, rel_tol=1e-9, abs_tol=2e-6)
    return left == right


def differences(mart: str, rows: list[dict], expected: list[dict]) -> list[str]:
    """Every value that differs, and every row that only one of the two holds."""
    found, wanted = keyed(mart, rows), keyed(mart, expected)
    alone = [f"{mart} {key}: only the models have it" for key in found.keys() - wanted.keys()]
    alone += [f"{mart} {key}: the models do not have it" for key in wanted.keys() - found.keys()]
    return alone + [
        f"{mart} {key} {name}: {row[name]!r}, by the definitions {wanted[key][name]!r}"
        for key, row in found.items()
        if key in wanted
        for name in row
        if not ELSEWHERE.fullmatch(name) and not same(row[name], wanted[key][name])
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


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
@many_examples
@given(history=histories())
def test_every_mart_is_what_the_definitions_give_for_many_histories(name, history):
    hold_against_the_reference(history, SETTINGS[name])


def assert_sound(marts: dict[str, list[dict]]) -> None:
    """What must hold of the marts of any history."""
    for change in marts["fct_changes"]:
        spans = [change[f"{segment}_hours"] for segment in SEGMENTS]
        if None not in spans:
            assert same(sum(spans), change["lead_time_hours"])
        assert all(span is None or span >= 0 for span in (*spans, change["lead_time_hours"]))
    shipped = [(change["service"], change["commit_sha"]) for change in marts["fct_changes"]]
    assert len(shipped) == len(set(shipped))
    successes = {row["deployment_key"] for row in marts["fct_deployments"] if row["is_success"]}
    assert {row["deployment_key"] for row in marts["fct_deployment_failures"]} <= successes
    for mart in (
        "delivery_daily",
        "delivery_weekly",
        "delivery_monthly",
        "delivery_quarterly",
        "team_delivery_monthly",
    ):
        for row in marts[mart]:
            assert row["failed_deployments"] <= row["deployments"]
            assert row["linked_incidents"] <= row["incidents"]
            if row["deployments"]:
                low, rate, high = (row[f"change_failure_rate{end}"] for end in ("_low", "", "_high"))
                assert 0 <= low <= rate <= high <= 1
            else:
                assert row["change_failure_rate"] is None


def assert_rollups_equal_their_parts(marts: dict[str, list[dict]]) -> None:
    def sums(mart: str, *keys) -> dict:
        """Counts of a mart summed by what the keys make of a row."""
        total: dict = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
        for row in marts[mart]:
            group = tuple(key(row) for key in keys)
            for name in COUNTS:
                total[group][name] += row[name]
        return {group: counts for group, counts in total.items() if any(counts.values())}

    def service(row: dict) -> str:
        return row["service"]

    def month(row: dict):
        return (row.get("day") or row.get("month")).replace(day=1)

    def quarter(row: dict):
        first = row.get("day") or row.get("month") or row["quarter"]
        return first.replace(month=(first.month - 1) // 3 * 3 + 1, day=1)

    assert sums("delivery_daily", service, month) == sums("delivery_monthly", service, month)
    assert sums("delivery_daily", service, quarter) == sums("delivery_quarterly", service, quarter)
    assert sums("delivery_monthly", service, quarter) == sums("delivery_quarterly", service, quarter)
    assert sums("delivery_daily", service) == sums("delivery_weekly", service)
    # By day, since a service may change its team within a month; and what nobody owns is in no team's row.
    by_day = sums("delivery_daily", lambda row: row["team"], month)
    owned = {group: counts for group, counts in by_day.items() if group[0] is not None}
    assert owned == sums("team_delivery_monthly", lambda row: row["team"], month)


@few_examples
@given(history=histories())
def test_segments_sum_to_the_whole_and_rollups_to_their_parts(history):
    marts = marts_of(history, models(**BULK))
    assert_sound(marts)
    assert_rollups_equal_their_parts(marts)


def loaded(built: Models, *batches: History) -> dict[str, list[dict]]:
    """The marts after loading one batch after the other through the loader."""
    with memory() as connection:
        for number, batch in enumerate(batches):
            frames = {name: frame(TABLES[name], rows) for name, rows in batch.items()}
            load_rows(connection, frames, origin=f"batch {number}")
        return {name: keyed(name, rows) for name, rows in built.marts(connection, *KEYS).items()}


@few_examples
@given(history=histories(most_deployments=12), random=st.randoms(use_true_random=False))
def test_the_order_in_which_rows_arrive_changes_nothing(history, random):
    built = models(**BULK)
    shuffled = {name: random.sample(rows, len(rows)) for name, rows in history.items()}
    assert loaded(built, shuffled) == loaded(built, history)


@few_examples
@given(batches=with_corrections())
def test_a_late_or_corrected_row_gives_the_same_marts_as_if_it_had_come_in_time(batches):
    first, second, complete = batches
    built = models(**BULK)
    assert loaded(built, first, second) == loaded(built, complete)
