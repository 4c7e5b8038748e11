"""The suites in expectations/ on marts that dbt built: they hold, and each notices what it is there for."""

from __future__ import annotations

import json
import shutil

import duckdb
import pytest
from running import build_here

from dagster_project.extract import demo
from dagster_project.publication import publish
from dagster_project.quality.gate import run_gate
from dagster_project.quality.record import gate_summary
from dagster_project.quality.suites import load_suite
from dagster_project.settings import EXPECTATIONS_DIR, DemoSource, load_settings
from dagster_project.warehouse import Warehouse

TABLES = sorted(file.stem for file in EXPECTATIONS_DIR.glob("*.yaml"))
LANDING = "- kind: landing\n  location: landing\n  freshness_hours: 1\n"
LANDED = """
insert into raw.batches by name
select
    uuid() as batch_id, 'landing' as source, 'file' as origin, 'incidents' as table_name,
    timezone('UTC', now()) as finished_at, 1 as rows_read, 1 as rows_loaded, 0 as rows_duplicate,
    0 as rows_quarantined, 0 as rows_removed
"""
# What goes wrong → the expectation that must say so.
DAMAGE = {
    "update marts.scorecard_monthly set n = n + 1 where team = 'all' and kpi = 'flaky_builds'": (
        "scorecard_monthly",
        "the_organisation_is_its_teams",
    ),
    "update marts.scorecard_quarterly set n = n + 1 where team = 'all' and kpi = 'mttr'": (
        "scorecard_quarterly",
        "the_organisation_is_its_teams",
    ),
    "update marts.ov_team_quarterly set met_slo_objectives = slo_objectives + 1": (
        "ov_team_quarterly",
        "no_more_objectives_are_met_than_there_are",
    ),
    "update marts.system_notes set limit_value = observed_value": ("system_notes", "what_is_noted_stands_out"),
    "update marts.system_notes set note_kind = 'slow_people'": (
        "system_notes",
        "expect_note_kind_to_be_in_set",
    ),
    "update marts.metric_audit_quarterly set finding = 'found' where check_name = 'uneven_workload'": (
        "system_notes",
        "concentrated_work_is_what_the_audit_found",
    ),
    "update marts.metric_audit_quarterly set finding = 'yes' where check_name = 'silent_reviews'": (
        "metric_audit_quarterly",
        "a_finding_is_one_of_its_kind",
    ),
    "update marts.metric_audit_quarterly set audit_kind = 'people' where check_name = 'too_many_kpis'": (
        "metric_audit_quarterly",
        "expect_audit_kind_to_be_in_set",
    ),
    "delete from marts.metric_audit_quarterly where check_name = 'perceived_speed' and team = 'checkout'": (
        "metric_audit_quarterly",
        "every_team_is_checked_alike",
    ),
    "delete from marts.metric_audit_quarterly where kpi = 'mttr' and team = 'all'": (
        "metric_audit_quarterly",
        "every_kpi_and_answer_of_the_reference_data_is_here",
    ),
    "update marts.ov_team_quarterly set refused_scores = 2 where team = 'checkout' and status = 'published'": (
        "ov_team_quarterly",
        "a_row_without_values_shows_none",
    ),
    "update marts.ov_team_quarterly set status = 'suppressed' where team = 'discovery' and status = 'published'": (
        "ov_team_quarterly",
        "rows_are_those_that_the_guard_has_decided",
    ),
    "update marts.readiness_quarterly set people_band = '8-11'": (
        "readiness_quarterly",
        "rows_are_those_that_the_guard_has_decided",
    ),
    "update marts.calibration_quarterly set claims_changed = claims_challenged + 1": (
        "calibration_quarterly",
        "a_part_is_no_more_than_its_whole",
    ),
    "update marts.calibration_quarterly set assessor_groups = assessor_groups + 1": (
        "calibration_quarterly",
        "rows_are_those_that_the_guard_has_decided",
    ),
    "delete from marts.decision_map where kpi = 'mttr'": ("decision_map", "it_is_the_map_of_the_kpis"),
    "update marts.fct_decisions set decision = 'another' where kpi = 'mttr'": (
        "fct_decisions",
        "every_decision_of_the_log_is_here",
    ),
    "update marts.slo_attainment_daily set attainment_rate = 1 where state = 'no_data'": (
        "slo_attainment_daily",
        "a_rate_is_there_only_where_there_were_events",
    ),
    "update marts.slo_attainment_daily set budget_consumed = budget_consumed + 1 where slo = 'payments-requests'": (
        "slo_attainment_daily",
        "budgets_add_up",
    ),
    "update marts.slo_attainment_daily set state = 'exhausted' where state = 'healthy'": (
        "slo_attainment_daily",
        "states_follow_from_the_figures",
    ),
    "delete from marts.slo_attainment_daily where day = date '2026-05-12'": (
        "slo_attainment_daily",
        "every_day_is_present",
    ),
    "update marts.slo_attainment_daily set total = total + 1 where slo = 'payments-requests'": (
        "slo_attainment_daily",
        "events_of_a_day_are_those_that_were_counted",
    ),
    "update marts.slo_attainment_daily set service = 'nobodys' where slo = 'cold-starts'": (
        "slo_attainment_daily",
        "every_service_is_in_the_reference_data",
    ),
    "delete from marts.slo_status where slo = 'cold-starts'": (
        "slo_status",
        "every_slo_that_holds_now_is_here",
    ),
    "update marts.slo_status set budget_remaining = budget_remaining + 1 where budget_total > 0": (
        "slo_status",
        "it_says_what_the_latest_day_says",
    ),
    "update marts.slo_status set state = 'burning', verdict = 'none' where slo = 'receipts-on-time'": (
        "slo_status",
        "a_burning_budget_has_a_verdict",
    ),
    "update marts.slo_review_monthly set exhausted_days = exhausted_days + 1 where slo = 'cold-starts'": (
        "slo_review_monthly",
        "its_days_are_those_of_the_daily_table",
    ),
    "update marts.slo_review_monthly set is_low_traffic = not is_low_traffic where slo = 'cold-starts'": (
        "slo_review_monthly",
        "a_finding_is_true",
    ),
    "delete from marts.fct_pull_requests where pull_request_number = 1": (
        "fct_pull_requests",
        "every_pull_request_in_raw_is_here",
    ),
    "update marts.fct_pull_requests set pickup_hours = pickup_hours + 1 where merge_method = 'squash'": (
        "fct_pull_requests",
        "stages_add_up_to_the_whole",
    ),
    "update marts.fct_pull_requests set deployed_at = deployed_at + interval 1 hour where merge_method = 'merge'": (
        "fct_pull_requests",
        "a_pull_request_ships_with_the_first_of_its_commits",
    ),
    "update raw.batches set finished_at = finished_at - interval 2 hour where source = 'landing'": (
        "fct_deployments",
        "sources_are_fresh",
    ),
    "delete from marts.fct_deployments where production_sequence = 4": (
        "fct_deployments",
        "every_production_deployment_in_raw_is_here",
    ),
    "update marts.fct_deployments set production_sequence = 7 where production_sequence = 6": (
        "fct_deployments",
        "successes_of_a_service_are_numbered_without_a_gap",
    ),
    "update marts.fct_deployments set is_failed = true where is_failed_attempt": (
        "fct_deployments",
        "an_attempt_that_failed_is_in_no_other_figure",
    ),
    "update marts.fct_deployments set failed_by_rollback = false": (
        "fct_deployments",
        "a_rollback_or_hotfix_blames_an_earlier_deployment",
    ),
    "update marts.fct_deployments set failed_by_hotfix = not failed_by_hotfix where is_first_on_record": (
        "fct_deployments",
        "failures_are_those_in_fct_deployment_failures",
    ),
    "update marts.fct_deployment_failures set pieces_of_evidence = pieces_of_evidence + 1 where cause = 'hotfix'": (
        "fct_deployment_failures",
        "evidence_is_that_of_the_facts",
    ),
    "update marts.fct_deployment_failures set failed_at = failed_at - interval 1 day where cause = 'rollback'": (
        "fct_deployment_failures",
        "only_a_success_fails_and_not_before_its_end",
    ),
    "update marts.fct_degradations set first_degraded_deployment_key = 'nowhere' where verdict = 'insufficient_data'": (
        "fct_degradations",
        "a_degraded_deployment_meets_every_condition",
    ),
    "update marts.fct_degradations set verdict = 'still_degraded' where verdict = 'insufficient_data'": (
        "fct_degradations",
        "whom_a_deployment_blames_is_degraded_and_earlier",
    ),
    "update marts.fct_degradations set bad_cases = cases + 1": (
        "fct_degradations",
        "intervals_hold_what_they_are_of",
    ),
    "update marts.fct_degradations set deployed_on = deployed_on - 1": (
        "fct_degradations",
        "deployments_are_successes_of_the_facts",
    ),
    "update marts.degradation_contributions set contribution = contribution + 1": (
        "degradation_contributions",
        "contributions_of_a_dimension_sum_to_the_change",
    ),
    "insert into marts.degradation_contributions "
    "select * replace ('nowhere' as deployment_key) from marts.degradation_contributions limit 1": (
        "degradation_contributions",
        "every_degraded_deployment_has_contributions_and_no_other",
    ),
    "update marts.fct_corrections set deployment_key = 'nowhere' where verdict = 'deployment_failed'": (
        "fct_corrections",
        "a_correction_names_what_is_on_record",
    ),
    "delete from marts.fct_corrections where verdict = 'deployment_not_failed'": (
        "fct_corrections",
        "every_correction_in_the_reference_data_is_here",
    ),
    "update marts.fct_deployments set changes = changes + 1 where production_sequence = 9": (
        "fct_deployments",
        "changes_are_those_in_fct_changes",
    ),
    "update marts.fct_deployments set status = 'sucess' where production_sequence = 3": (
        "fct_deployments",
        "expect_status_to_be_in_set",
    ),
    "update marts.fct_deployments set service = 'nobodys' where production_sequence = 11": (
        "fct_deployments",
        "every_service_is_in_the_reference_data",
    ),
    "update marts.fct_incidents set service = 'nobodys' where attribution is null": (
        "fct_incidents",
        "every_service_is_in_the_reference_data",
    ),
    "update marts.web_vitals_daily set service = 'nobodys' where device_class = 'tablet'": (
        "web_vitals_daily",
        "every_service_is_in_the_reference_data",
    ),
    "insert into marts.fct_changes from marts.fct_changes limit 1": (
        "fct_changes",
        "expect_compound_columns_to_be_unique",
    ),
    "delete from marts.fct_changes where is_revert": ("fct_changes", "changes_are_those_that_raw_ships"),
    "update marts.fct_changes set lead_time_hours = -lead_time_hours where commit_sha[1] = 'a'": (
        "fct_changes",
        "expect_lead_time_hours_to_be_between",
    ),
    "update marts.fct_changes set merge_to_build_hours = merge_to_build_hours + 1 where commit_sha[1] = 'b'": (
        "fct_changes",
        "segments_add_up_to_the_lead_time",
    ),
    "update marts.fct_changes set is_bulk_import = true where commit_sha[1] = 'c'": (
        "fct_changes",
        "bulk_imports_have_no_lead_time",
    ),
    "delete from marts.fct_incidents where severity = 'sev3'": ("fct_incidents", "every_incident_in_raw_is_here"),
    "delete from marts.fct_incidents where severity > 'sev2'": (
        "fct_incidents",
        "expect_table_row_count_to_be_between",
    ),
    "update marts.fct_incidents set service = 'another' where attribution = 'inferred'": (
        "fct_incidents",
        "a_link_leads_to_a_success_of_the_service",
    ),
    "delete from marts.delivery_daily where day = (select quantile_disc(day, 0.5) from marts.delivery_daily)": (
        "delivery_daily",
        "every_day_is_present",
    ),
    "update marts.delivery_daily set rollbacks = 1 where rollbacks = 0 and deployments = 1": (
        "delivery_daily",
        "counts_are_those_of_the_facts",
    ),
    "update marts.delivery_daily set failed_deployments = 2 where deployments = 1": (
        "delivery_daily",
        "a_part_is_no_more_than_its_whole",
    ),
    "delete from marts.delivery_weekly where week = (select quantile_disc(week, 0.5) from marts.delivery_weekly)": (
        "delivery_weekly",
        "every_week_is_present",
    ),
    "update marts.delivery_weekly set changes = changes + 1": ("delivery_weekly", "sums_are_those_of_the_days"),
    "delete from marts.delivery_monthly where month = (select quantile_disc(month, 0.5) from marts.delivery_monthly)": (
        "delivery_monthly",
        "every_month_is_present",
    ),
    "update marts.delivery_monthly set deployments = deployments + 1": (
        "delivery_monthly",
        "sums_are_those_of_the_days",
    ),
    "update marts.delivery_monthly set change_failure_rate = 1.5 where deployments > 1": (
        "delivery_monthly",
        "expect_change_failure_rate_to_be_between",
    ),
    "update marts.delivery_monthly set change_failure_rate_low = 0.9": (
        "delivery_monthly",
        "a_rate_lies_within_its_interval",
    ),
    "delete from marts.team_delivery_monthly where month = (select max(month) from marts.team_delivery_monthly)": (
        "team_delivery_monthly",
        "every_month_is_present",
    ),
    "update marts.team_delivery_monthly set failed_attempts = failed_attempts + 1": (
        "team_delivery_monthly",
        "counts_are_those_of_the_facts",
    ),
    "update marts.team_delivery_monthly set recovered_deployments = failed_deployments + 1": (
        "team_delivery_monthly",
        "a_part_is_no_more_than_its_whole",
    ),
    "update marts.team_delivery_monthly set change_failure_rate_low = 0.9": (
        "team_delivery_monthly",
        "a_rate_lies_within_its_interval",
    ),
    "delete from marts.delivery_quarterly where quarter = (select max(quarter) from marts.delivery_quarterly)": (
        "delivery_quarterly",
        "every_quarter_is_present",
    ),
    "update marts.delivery_quarterly set incidents = incidents + 1": (
        "delivery_quarterly",
        "sums_are_those_of_the_days",
    ),
    "delete from marts.oncall_weekly where week = (select quantile_disc(week, 0.5) from marts.oncall_weekly)": (
        "oncall_weekly",
        "every_week_is_present",
    ),
    "update marts.oncall_weekly set sleep_interruptions = sleep_interruptions + 1 where pages > 3": (
        "oncall_weekly",
        "a_part_is_no_more_than_its_whole",
    ),
    "update marts.oncall_weekly set incidents = incidents + 1": (
        "oncall_weekly",
        "every_incident_of_an_owned_service_is_counted_once",
    ),
    "update marts.oncall_weekly set response_quarter = date '2026-01-01' where response_quarter is null": (
        "oncall_weekly",
        "response_times_are_those_of_five_people_or_more",
    ),
    "update marts.monthly_trends set value = value + 1 where metric = 'deployments_per_day'": (
        "monthly_trends",
        "verdicts_are_those_of_delivery_monthly",
    ),
    "update marts.monthly_trends set baseline_mean = 1 where verdict = 'baselining'": (
        "monthly_trends",
        "a_verdict_follows_from_the_limits",
    ),
    "update marts.monthly_trends set is_trade = true where metric = 'mttr_hours'": (
        "monthly_trends",
        "a_trade_is_an_improvement_beside_a_worse_pair",
    ),
    "delete from marts.scorecard_monthly where kpi = 'mttr'": (
        "scorecard_monthly",
        "every_kpi_of_the_reference_data_is_here",
    ),
    "update marts.scorecard_monthly set value = value + 1 where kpi = 'deployment_frequency'": (
        "scorecard_monthly",
        "a_value_is_its_numerator_over_its_denominator",
    ),
    "update marts.scorecard_monthly set value = value + 1 where kpi = 'lead_time'": (
        "scorecard_monthly",
        "values_are_those_of_team_delivery_monthly",
    ),
    "update marts.scorecard_monthly set baseline_mean = 1 where verdict = 'baselining' and kpi = 'good_lcp'": (
        "scorecard_monthly",
        "a_verdict_follows_from_the_limits",
    ),
    "update marts.scorecard_monthly set pair_verdict = 'worsening' where kpi = 'flaky_builds'": (
        "scorecard_monthly",
        "a_trade_has_a_worse_pair",
    ),
    "update marts.scorecard_monthly set next_milestone = 7 where target is not null": (
        "scorecard_monthly",
        "a_milestone_lies_between_baseline_and_target",
    ),
    "update marts.scorecard_monthly set layer = 'people' where kpi = 'actions_on_time'": (
        "scorecard_monthly",
        "expect_layer_to_be_in_set",
    ),
    "update marts.scorecard_monthly set definition_version = null where kpi = 'lead_time'": (
        "scorecard_monthly",
        "a_value_is_its_numerator_over_its_denominator",
    ),
    "update marts.scorecard_quarterly set numerator = null where kpi = 'predictability'": (
        "scorecard_quarterly",
        "a_value_is_its_numerator_over_its_denominator",
    ),
    "delete from marts.scorecard_quarterly where kpi = 'actions_on_time'": (
        "scorecard_quarterly",
        "every_kpi_of_the_reference_data_is_here",
    ),
    "update marts.scorecard_quarterly set numerator = numerator + 1 where measure = 'deployments_per_day'": (
        "scorecard_quarterly",
        "sums_are_those_of_the_months",
    ),
    "update marts.scorecard_quarterly set denominator = denominator + 1 where kpi = 'good_lcp'": (
        "scorecard_quarterly",
        "a_value_is_its_numerator_over_its_denominator",
    ),
    "update marts.scorecard_quarterly set verdict = 'trade' where verdict = 'baselining'": (
        "scorecard_quarterly",
        "a_verdict_is_that_of_the_last_month",
    ),
    "update marts.dora_bands set lowest = highest where highest is not null": ("dora_bands", "a_band_has_an_end"),
    "delete from marts.dora_bands where report_year = 2018": (
        "dora_bands",
        "every_band_in_the_reference_data_is_here",
    ),
    "delete from marts.web_vitals_daily where day = (select min(day) from marts.web_vitals_daily)": (
        "web_vitals_daily",
        "every_measurement_in_raw_is_counted_once",
    ),
    "update marts.web_vitals_daily set good_page_views = good_page_views + 1 where rating = 'poor'": (
        "web_vitals_daily",
        "page_views_are_good_between_or_poor",
    ),
    "delete from marts.web_vitals_daily where route = 'all' and release <> 'all'": (
        "web_vitals_daily",
        "all_is_the_sum_of_its_parts",
    ),
    "delete from marts.web_vitals_rolling_28d where route = 'all' and device_class <> 'all'": (
        "web_vitals_rolling_28d",
        "all_is_the_sum_of_its_parts",
    ),
    "update marts.web_vitals_rolling_28d set measurements = measurements + 1": (
        "web_vitals_rolling_28d",
        "days_of_the_window_add_up",
    ),
    "update marts.web_vitals_rolling_28d set poor_page_views = poor_page_views + 1 where rating = 'good'": (
        "web_vitals_rolling_28d",
        "page_views_are_good_between_or_poor",
    ),
    "delete from marts.web_vitals_monthly where route <> 'all' and release = 'all'": (
        "web_vitals_monthly",
        "all_is_the_sum_of_its_parts",
    ),
    "update marts.web_vitals_monthly set measurements = measurements + 1": (
        "web_vitals_monthly",
        "days_of_the_month_add_up",
    ),
    "update marts.web_vitals_monthly set page_views = page_views - 1": (
        "web_vitals_monthly",
        "page_views_are_good_between_or_poor",
    ),
    "update marts.journey_daily set entered = entered + 1 where position = 2": (
        "journey_daily",
        "who_completes_a_step_enters_the_next",
    ),
    "update marts.journey_daily set is_broken_step = true": (
        "journey_daily",
        "at_most_one_step_of_a_day_is_the_broken_one",
    ),
    "delete from marts.journey_daily where position = 1": ("journey_daily", "every_step_in_the_reference_data_is_here"),
    "update marts.experience_daily set bounced_sessions = judged_sessions + 1": (
        "experience_daily",
        "parts_are_no_larger_than_the_whole",
    ),
    "update marts.experience_daily set page_views = 2 * page_views": (
        "experience_daily",
        "every_page_view_in_raw_is_in_a_session",
    ),
    "update marts.dim_services set valid_from = valid_from - 1 where valid_from > '1900-01-01'": (
        "dim_services",
        "a_service_has_one_owner_at_a_time",
    ),
    "delete from marts.dim_services where service = (select max(service) from marts.dim_services)": (
        "dim_services",
        "every_ownership_in_the_reference_data_is_here",
    ),
    "delete from marts.dim_teams where team = (select max(team) from marts.dim_teams)": (
        "dim_teams",
        "every_team_in_the_reference_data_is_here",
    ),
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A small demo organisation, built by dbt, and a landing folder that brought something within the hour."""
    folder = tmp_path_factory.mktemp("suites")
    config = demo.write_installation(folder, DemoSource(kind="demo", days=120, sessions_per_day=10))
    config.write_text(config.read_text(encoding="utf-8") + LANDING, encoding="utf-8")
    (folder / "landing").mkdir()
    settings = load_settings(config)
    build_here(settings)
    with Warehouse(settings).connect() as connection:
        connection.execute(LANDED)
    return settings


@pytest.fixture(scope="module")
def sound(settings):
    """The record of a gate run on the marts as they are, which were then published."""
    record = run_gate(settings, TABLES)
    assert record.passed, gate_summary(record)
    publish(settings, TABLES)
    return record


@pytest.fixture(scope="module")
def failures(settings, sound, tmp_path_factory):
    """What the gate finds after all damage at once, by table and expectation."""
    copy = settings.model_copy(update={"data_dir": tmp_path_factory.mktemp("damaged")})
    shutil.copytree(settings.published_dir, copy.published_dir)
    shutil.copy(settings.warehouse_file, copy.warehouse_file)
    with duckdb.connect(copy.warehouse_file) as connection:
        for statement in DAMAGE:
            (changed,) = connection.execute(statement).fetchone()
            assert changed, f"damages nothing: {statement}"
    return {(table.table, result.name): result for table, result in run_gate(copy, TABLES).failures()}


def test_the_marts_of_the_demo_hold(sound):
    assert {table.table for table in sound.tables} == set(TABLES)
    assert all(table.fingerprint.rows for table in sound.tables)


def test_a_review_of_the_demo_has_something_to_say(settings, sound):
    """Cold starts are rare, some budgets are hardly touched, one SLO was last reviewed long ago, and others match."""
    with duckdb.connect(settings.warehouse_file, read_only=True) as connection:
        found = connection.sql(
            "select bool_or(is_low_traffic), bool_or(is_never_at_risk), bool_or(is_stale), "
            "bool_or(finding = 'matches') from marts.slo_review_monthly where is_complete"
        ).fetchone()
    assert found == (True, True, True, True)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_noticed_by_the_expectation_that_is_there_for_it(failures, damage):
    assert failures[DAMAGE[damage]].message != "holds"


@pytest.mark.parametrize("damage", [damage for damage, (_, name) in DAMAGE.items() if not name.startswith("expect_")])
def test_an_expectation_in_sql_notices_its_damage_alone(settings, sound, damage):
    table, name = DAMAGE[damage]
    checks = load_suite(EXPECTATIONS_DIR / f"{table}.yaml").checks()
    (query,) = [check.arguments["unexpected_rows_query"] for check in checks if check.name == name]
    with duckdb.connect(settings.warehouse_file) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            "create temp table source_freshness as "
            "select 'landing' as source, now()::timestamp - interval 1 hour as expected_since"
        )
        assert connection.execute(query).fetchall() == []
        connection.execute("begin")
        connection.execute(damage)
        assert connection.execute(query).fetchall()
        connection.execute("rollback")


def test_no_expectation_fails_for_want_of_a_column(failures):
    assert not [key for key, result in failures.items() if "could not be evaluated" in result.message]


@pytest.mark.parametrize("table", TABLES)
def test_every_expectation_in_sql_says_what_it_holds(table):
    for entry in load_suite(EXPECTATIONS_DIR / f"{table}.yaml").expectations:
        assert entry.description or entry.columns, f"{table}: {entry.name} has no description"


def test_every_published_table_has_a_suite(settings, sound):
    manifest = json.loads(settings.manifest_file.read_text(encoding="utf-8"))
    with duckdb.connect(settings.warehouse_file, read_only=True) as connection:
        marts = connection.sql(
            "select table_name from duckdb_tables() where schema_name = 'marts' order by 1"
        ).fetchall()
    assert [table for (table,) in marts] == TABLES == list(manifest["tables"])
