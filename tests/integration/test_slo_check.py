"""`plumbline slo check` on a history: what it would have been, worked out one day at a time, and slices too short."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
import yaml
from dbt_models import load_rows
from reference_slo import Reference, counts
from slo_documents import condition, document, ratio

from dagster_project.extract.demo import extract, write_installation
from dagster_project.settings import DemoSource, load_settings
from dagster_project.slo.check import check
from dagster_project.slo.indicators import SOURCES
from dagster_project.warehouse import Warehouse
from tests.unit.test_slo_definitions import EXAMPLES, completed, needs_examples

FIRST, DAYS, MINUTES = datetime(2026, 2, 1), 45, 10
LAST = FIRST + timedelta(days=DAYS) - timedelta(minutes=MINUTES)
WHERE = [condition("service", "eq", "api")]
PARTS = {
    "total": {"source": "synthetic_checks", "where": WHERE},
    "good": {"where": [condition("is_success", "eq", True)]},
}


def definition(method: str, **objective) -> dict:
    window = {"duration": "7d", "isRolling": True}
    return document("checks", ratio(**PARTS), [{"target": 0.99, **objective}], window=window, method=method)


@pytest.fixture
def history(settings):
    """A check every ten minutes; on the twentieth day one in three fails, else one in 144, once a day."""
    rows = []
    at, number = FIRST, 0
    while at <= LAST:
        is_bad_day = (at - FIRST).days == 20
        failed = number % 3 == 0 if is_bad_day else number % 144 == 5
        rows.append({"check_run_id": f"{number}", "service": "api", "occurred_at": at, "is_success": not failed})
        at, number = at + timedelta(minutes=MINUTES), number + 1
    with Warehouse(settings).connect() as connection:
        load_rows(connection, {"synthetic_checks": pl.DataFrame(rows)})
    return settings, [(row["occurred_at"], [row]) for row in rows]


def checked(settings, tmp_path, definition: dict):
    file = tmp_path / "checks.yaml"
    file.write_text(yaml.safe_dump(definition, sort_keys=False), encoding="utf-8")
    problems, (history,) = check(settings, [file])
    return [line.removeprefix(f"{file} ") for line in problems], history


def test_a_backtest_says_what_each_day_would_have_been(history, tmp_path):
    settings, units = history
    promised = definition("Occurrences")
    problems, tried = checked(settings, tmp_path, promised)
    assert problems == []
    (objective,) = promised["spec"]["objectives"]
    reference = Reference(promised, counts(promised, {"synthetic_checks": units}), LAST)
    days = [reference.judged(day, objective) for day in reference.days()]
    attained = sorted(day["attainment_rate"] for day in days)
    (found,) = tried.objectives
    assert (found.days, found.first_day, found.last_day) == (DAYS, "2026-02-01", "2026-03-17")
    assert found.events == DAYS * 144
    assert found.attainment == pytest.approx(days[-1]["attainment_rate"])
    assert found.budget_remaining == pytest.approx(1 - days[-1]["budget_consumed_rate"])
    assert found.worst_remaining == pytest.approx(1 - max(day["budget_consumed_rate"] for day in days))
    # The bad day stays in the window for seven.
    assert found.exhausted_days == sum(day["budget_consumed_rate"] >= 1 for day in days) == 7
    # Nine in ten of the 45 windows kept that of the fifth worst, 954 of 1008.
    assert found.baseline == pytest.approx(attained[4]) == pytest.approx(954 / 1008)
    assert found.suggested_target == pytest.approx(0.946)
    assert found.milestone == pytest.approx(round(found.baseline + (0.99 - found.baseline) / 2, 6))


def test_slices_shorter_than_the_time_between_two_events_are_found(history, tmp_path):
    settings, _ = history
    sliced = definition("Timeslices", timeSliceTarget=0.5, timeSliceWindow="5m")
    # As long as the time between two events, and no problem.
    sliced["spec"]["objectives"].append({"target": 0.98, "timeSliceTarget": 0.5, "timeSliceWindow": "10m"})
    (problem,), tried = checked(settings, tmp_path, sliced)
    assert tried.minutes_between_events == MINUTES
    assert problem.endswith(
        "spec.objectives[0].timeSliceWindow: 5m is shorter than the 10 minutes between its events, so that most slices "
        "are empty; make it longer"
    )


def test_the_definitions_of_the_demo_are_right_and_evaluate_on_every_source(tmp_path):
    settings = load_settings(write_installation(tmp_path, DemoSource(kind="demo", days=120)))
    with Warehouse(settings).connect() as connection:
        extract(settings.sources[0], settings, connection)
    problems, histories = check(settings, [])
    assert problems == []
    assert {history.definition.total.source for history in histories} == set(SOURCES)
    assert all(objective.events for history in histories for objective in history.objectives)


@needs_examples
def test_completed_openslo_examples_evaluate(settings, tmp_path):
    """A request every seven minutes for ten days, one in nine wrong and one in five slow, and one just before now."""
    last = datetime(2026, 3, 17, 16, 59, 30)
    rows = [
        {
            "request_id": f"{number}",
            "service": "api",
            "occurred_at": last - timedelta(minutes=7 * number),
            "status": 500 if number % 9 == 1 else 200,
            "duration_ms": 800.0 if number % 5 == 2 else 500.0 if number % 5 == 1 else 90.0,
        }
        for number in range(10 * 24 * 60 // 7)
    ]
    with Warehouse(settings).connect() as connection:
        load_rows(connection, {"requests": pl.DataFrame(rows)})
    minutes = {"requests": [(row["occurred_at"], [row]) for row in rows]}
    copies = {}
    for number, file in enumerate(EXAMPLES):
        content = completed(yaml.safe_load(file.read_text(encoding="utf-8")))
        content["metadata"]["name"] = f"example-{number}"
        copies[tmp_path / f"example-{number}.yaml"] = content
    for file, content in copies.items():
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
    _, histories = check(settings, list(copies))
    assert len(histories) == 4
    for history in histories:
        content = copies[history.definition.document.file]
        reference = Reference(content, counts(content, minutes), last)
        for found, objective in zip(history.objectives, content["spec"]["objectives"], strict=True):
            expected = reference.judged(reference.days()[-1], objective)
            assert found.events == len(rows)
            assert found.attainment == pytest.approx(expected["attainment_rate"])
            assert found.budget_remaining == pytest.approx(1 - expected["budget_consumed_rate"])
