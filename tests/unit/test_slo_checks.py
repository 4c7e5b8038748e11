"""What Dagster shows of SLOs, and what `plumbline slo check` finds beyond a file's own faults."""

from __future__ import annotations

import duckdb
import pytest
from dagster import AssetSelection, AssetSpec, Definitions, define_asset_job
from test_slo_definitions import SLO

from dagster_project.assets.slos import STATUS, installed_slos, slo_checks
from dagster_project.installation import Installation
from dagster_project.slo.backtest import Backtest
from dagster_project.slo.check import check


@pytest.fixture
def slos(settings, monkeypatch):
    """The folder of definitions of an installation, with one valid definition."""
    monkeypatch.setenv("PLUMBLINE_CONFIG", str(settings.config_file))
    folder = settings.reference_dir / "slos"
    folder.mkdir()
    (folder / "api-fast.yaml").write_text(SLO, encoding="utf-8")
    return folder


def test_each_slo_is_a_check_that_warns_and_stops_nothing(settings, slos):
    (slos / "api-calm.yaml").write_text(SLO.replace("name: api-fast", "name: api-calm"), encoding="utf-8")
    settings.data_dir.mkdir(exist_ok=True)
    with duckdb.connect(settings.warehouse_file) as connection:
        connection.execute("create schema marts")
        connection.execute(
            "create table marts.slo_status as select * from (values "
            "('api-fast', 1, 'good', 'exhausted', 'none', 0.9::double, -0.5::double), "
            "('api-calm', 1, 'good', 'healthy', 'none', 1, 1)) "
            "as status (slo, objective, objective_name, state, verdict, attainment_rate, budget_remaining_rate)"
        )
    definitions = Definitions(
        assets=[AssetSpec(STATUS)],
        asset_checks=slo_checks(installed_slos()),
        jobs=[define_asset_job("checks", AssetSelection.all_asset_checks())],
        resources={"installation": Installation()},
    )
    result = definitions.resolve_job_def("checks").execute_in_process()
    assert result.success
    shown = {each.check_name: (each.passed, each.severity.value) for each in result.get_asset_check_evaluations()}
    assert shown == {"slo_api_fast": (False, "WARN"), "slo_api_calm": (True, "WARN")}


def test_without_definitions_there_is_no_check(settings, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CONFIG", str(settings.config_file))
    assert slo_checks(installed_slos()) == []


def found(settings, *files) -> list[str]:
    return [line.split(" ", 1)[1] for line in check(settings, files)[0]]


def test_a_valid_installation_has_no_problem(settings, slos):
    assert found(settings) == []


def test_a_target_that_can_never_alert_is_found(settings, slos):
    (slos / "api-fast.yaml").write_text(SLO.replace("0.99", "0.9"), encoding="utf-8")
    (line,) = found(settings)
    assert line.startswith(
        "line 33: spec.objectives[0].target: can never alert: with everything bad the budget burns 10"
    )
    # 2 % of 30 days in an hour is 14.4 times as fast as allowed; 1 ÷ (1 − 0.93056) is just above it.
    thirty_days = SLO.replace("28d", "30d")
    (slos / "api-fast.yaml").write_text(thirty_days.replace("0.99", "0.9305"), encoding="utf-8")
    assert "a page needs more than 14.4 over 30d" in found(settings)[0]
    (slos / "api-fast.yaml").write_text(thirty_days.replace("0.99", "0.93056"), encoding="utf-8")
    assert found(settings) == []


def test_a_definition_that_counts_what_another_does_is_found(settings, slos, tmp_path):
    copy = tmp_path / "again.yaml"
    copy.write_text(SLO.replace("name: api-fast", "name: again"), encoding="utf-8")
    (line,) = found(settings, copy)
    assert line.startswith("line 12: spec.indicator: counts exactly what api-fast.yaml counts on the same days")
    copy.write_text(SLO.replace("name: api-fast", "name: again").replace("lt, value: 500", "lt, value: 400"), "utf-8")
    assert found(settings, copy) == []


def test_two_definitions_may_count_the_same_one_after_the_other(settings, slos, tmp_path):
    def dated(name: str, key: str, day: str) -> str:
        return SLO.replace("name: api-fast", f"name: {name}").replace(
            "  annotations:\n", f'  annotations:\n    {key}: "{day}"\n'
        )

    (slos / "api-fast.yaml").write_text(dated("api-fast", "valid-to", "2026-03-01"), encoding="utf-8")
    copy = tmp_path / "again.yaml"
    copy.write_text(dated("again", "valid-from", "2026-03-01"), encoding="utf-8")
    assert found(settings, copy) == []
    copy.write_text(dated("again", "valid-from", "2026-02-28"), encoding="utf-8")
    assert "counts exactly what api-fast.yaml counts on the same days" in found(settings, copy)[0]


def test_only_the_given_files_are_judged(settings, slos, tmp_path):
    (slos / "broken.yaml").write_text(SLO.replace("name: api-fast", "name: Broken One"), encoding="utf-8")
    copy = tmp_path / "other.yaml"
    copy.write_text(SLO.replace("name: api-fast", "name: other").replace("500", "400"), encoding="utf-8")
    assert found(settings, copy) == []
    assert len(found(settings)) == 1


@pytest.mark.parametrize(
    ("baseline", "target", "suggested", "milestone"),
    [
        (0.98, 0.99, 0.98, 0.985),
        (0.9912345, 0.99, 0.9912, 0.99),
        (0.5, 0.9, 0.5, 0.7),
        (1.0, 0.999, 0.9999, 0.999),
        (None, 0.99, None, None),
    ],
)
def test_a_target_and_a_milestone_are_suggested_from_the_baseline(baseline, target, suggested, milestone):
    tried = Backtest("good", target, 90, "2026-01-01", "2026-03-31", 1000, 0.9, 0.1, 0.1, 0, baseline)
    assert (tried.suggested_target, tried.milestone) == (pytest.approx(suggested), pytest.approx(milestone))
