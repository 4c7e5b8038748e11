"""The gate: each kind of failure is found and named by keys alone. One failing and one passing run serve all tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import duckdb
import pytest

from dagster_project.errors import ConfigurationError, PlumblineError
from dagster_project.quality.gate import run_gate
from dagster_project.quality.record import GateRecord, gate_summary
from dagster_project.quality.suites import load_suite
from dagster_project.settings import load_settings

SUITES = {
    "deployments": """
        key: [source, deployment_id]
        expectations:
          - type: expect_column_values_to_be_between
            columns: [lead_time_hours, review_hours]
            min_value: 0
          - type: expect_column_values_to_be_between
            name: most_lead_times_are_long
            column: lead_time_hours
            min_value: 2
            mostly: 0.5
          - type: expect_column_values_to_be_in_set
            columns: [kind]
            value_set: [web]
          - type: expect_column_distinct_values_to_be_in_set
            columns: [kind]
            value_set: [web]
          - type: expect_column_values_to_not_be_null
            columns: [absent]
          - type: unexpected_rows_expectation
            name: rollbacks_restore_a_version
            description: A rollback names the version that it restores.
            unexpected_rows_query: select * from marts.deployments where regexp_matches(kind, '^secret-[0-9]{1,3}$')
          - type: unexpected_rows_expectation
            name: kinds_are_numbers
            unexpected_rows_query: select * from marts.deployments where cast(kind as integer) > 1
          - type: unexpected_rows_expectation
            name: sum_equals_raw
            unexpected_rows_query: select 1 as difference where 1 <> 2
          - type: unexpected_rows_expectation
            name: sources_are_fresh
            key: [system]
            unexpected_rows_query: |
              select source as system from source_freshness
              where expected_since between now()::timestamp - interval 25 hour and now()::timestamp - interval 24 hour
    """,
    "monthly": """
        key: [month]
        expectations:
          - type: unexpected_rows_expectation
            name: every_month_is_present
            unexpected_rows_query: |
              select month
              from (
                  select cast(unnest(generate_series(min(month), max(month), interval 1 month)) as date) as month
                  from marts.monthly
              ) as expected
              anti join marts.monthly using (month)
    """,
    "shrunken": "{key: [id], minimum_share_of_previous_rows: 0.5}",
    "fine": "{key: [id]}",
    "unbuilt": "{key: [id]}",
}
BUILD = """
create schema marts;
create schema meta;
create table meta.build as select '{build_id}' as build_id, timestamp '2024-05-01 12:00' as as_of, true as is_success;
create table marts.fine as select range as id from range(10);
"""
BROKEN = """
create table marts.deployments (
    source varchar, deployment_id varchar, lead_time_hours double, review_hours double, kind varchar
);
insert into marts.deployments
select 'git', 'd' || range, range, 1, 'web' from range(3, 20);
insert into marts.deployments values
    ('git', 'd1', 1, 1, 'web'), ('git', 'd1', 2, 1, 'web'), ('git', null, 1, 1, 'web'),
    ('git', 'late', -717273, 1, 'web'), ('git', 'odd', 1, 1, 'secret-42');
create table marts.monthly as from (values (date '2024-01-01'), ('2024-04-01')) as t(month);
create table marts.shrunken as select range as id from range(10);
create table marts.unguarded as select 1 as id;
"""
TABLES = ["deployments", "monthly", "shrunken", "fine", "unbuilt", "unguarded"]


def installation(folder: Path, build_id: str, statements: str = ""):
    """An installation with a build file that dbt might have left, and a landing source that promises news."""
    folder.mkdir()
    (folder / "seeds").mkdir()
    (folder / "plumbline.yaml").write_text(
        "{data_dir: data, sources: [{kind: landing, location: landing, freshness_hours: 24}]}", encoding="utf-8"
    )
    settings = load_settings(folder / "plumbline.yaml")
    settings.published_dir.mkdir(parents=True)
    with duckdb.connect(settings.warehouse_file) as connection:
        connection.execute(BUILD.format(build_id=build_id) + statements)
    return settings


def write_suites(folder: Path, *tables: str) -> Path:
    folder.mkdir(exist_ok=True)
    for table in tables:
        (folder / f"{table}.yaml").write_text(dedent(SUITES[table]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """An installation whose candidate marts break every kind of expectation, and the record of its gate run.

    Its folder's name holds what connection strings, SQL and templates treat as their own.
    """
    folder = tmp_path_factory.mktemp("broken")
    settings = installation(folder / "o'brien's 50%41 ${x} {y}", "broken-build", BROKEN)
    settings.manifest_file.write_text(json.dumps({"tables": {"shrunken": {"rows": 21}, "fine": {"rows": 11}}}))
    return settings, run_gate(settings, TABLES, write_suites(folder / "expectations", *SUITES))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    settings = installation(folder / "installation", "sound-build")
    return settings, run_gate(settings, ["fine"], write_suites(folder / "expectations", "fine"))


@pytest.fixture(scope="module")
def failures(broken):
    return {(table.table, result.name): result for table, result in broken[1].failures()}


@pytest.fixture(scope="module")
def held(broken):
    return {
        (table.table, result.name): result
        for table in broken[1].tables
        for result in table.expectations
        if result.passed
    }


@pytest.fixture(scope="module")
def of_deployments(broken):
    """What the suite of deployments says, in the order of the record."""
    (table,) = (table for table in broken[1].tables if table.table == "deployments")
    return [result for result in table.expectations if result.type != "guard_scan"]


def test_a_repeated_key_is_named(failures):
    result = failures["deployments", "expect_compound_columns_to_be_unique"]
    assert result.failing_rows == 2
    assert {"source": "git", "deployment_id": "d1"} in result.sample


def test_a_missing_key_is_counted(failures):
    assert failures["deployments", "expect_deployment_id_to_not_be_null"].failing_rows == 1


def test_a_value_out_of_range_is_named_by_the_key_of_its_row(failures):
    result = failures["deployments", "expect_lead_time_hours_to_be_between"]
    assert (result.column, result.failing_rows) == ("lead_time_hours", 1)
    assert result.sample == ({"source": "git", "deployment_id": "late"},)
    assert result.message == "1 row fails, for example source=git, deployment_id=late"


def test_a_value_that_is_not_accepted_is_named_by_the_key_of_its_row(failures):
    assert failures["deployments", "expect_kind_to_be_in_set"].sample == ({"source": "git", "deployment_id": "odd"},)


def test_rows_that_a_query_finds_are_named_by_their_keys_and_its_description(failures):
    result = failures["deployments", "rollbacks_restore_a_version"]
    assert result.message == (
        "1 row fails (A rollback names the version that it restores), for example source=git, deployment_id=odd"
    )


def test_a_query_without_key_columns_shows_the_number_of_rows_alone(failures):
    result = failures["deployments", "sum_equals_raw"]
    assert (result.failing_rows, result.sample, result.message) == (1, (), "1 row fails")


def test_a_missing_month_is_named(failures):
    result = failures["monthly", "every_month_is_present"]
    assert sorted(sample["month"] for sample in result.sample) == ["2024-02-01", "2024-03-01"]


def test_a_query_knows_which_sources_promised_news_and_may_name_keys_of_its_own(failures):
    assert failures["deployments", "sources_are_fresh"].message == "1 row fails, for example system=landing"


def test_fewer_rows_than_the_previous_publication_allows_fail(broken, failures):
    result = failures["shrunken", "expect_table_row_count_to_be_between"]
    assert result.observed == 10
    assert result.message.startswith("observed 10, expected min_value=11 (At least 50% of the rows published before; ")
    assert not [name for table, name in failures if table == "fine"]


def test_an_expectation_that_cannot_be_evaluated_fails_and_says_why(failures):
    message = failures["deployments", "expect_absent_to_not_be_null"].message
    assert message.startswith("could not be evaluated: ")
    assert "absent" in message
    assert failures["deployments", "kinds_are_numbers"].message == (
        "could not be evaluated: DuckDB or Great Expectations raised an error"
    )


def test_a_table_without_a_suite_and_a_suite_without_a_built_table_fail(failures):
    assert failures["unguarded", "suite_exists"].message == "no suite: write expectations/unguarded.yaml"
    assert failures["unbuilt", "table_exists"].message == "no table: dbt built no marts.unbuilt; check its model"


def test_an_expectation_that_holds_is_not_among_the_failures(held, failures):
    assert ("deployments", "expect_review_hours_to_be_between") in held
    assert ("deployments", "expect_source_to_not_be_null") in held
    assert held.keys().isdisjoint(failures)


def test_expectations_stand_in_the_order_of_their_suite_whether_they_hold_or_fail(of_deployments, tmp_path):
    suite = load_suite(write_suites(tmp_path / "expectations", "deployments") / "deployments.yaml")
    assert [result.name for result in of_deployments] == [check.name for check in suite.checks()]


def test_an_expectation_of_each_row_that_holds_fails_on_none(held):
    result = held["deployments", "expect_review_hours_to_be_between"]
    assert (result.failing_rows, result.sample, result.message) == (0, (), "holds")


def test_an_expectation_of_most_rows_that_holds_tells_on_how_many_it_fails(held):
    result = held["deployments", "most_lead_times_are_long"]
    assert (result.failing_rows, result.message) == (4, "holds")
    assert {"source": "git", "deployment_id": "late"} in result.sample


def test_the_summary_names_table_expectation_rows_and_keys(broken):
    text = gate_summary(broken[1])
    assert text.startswith("gate refused build broken-build: 14 of 31 expectations fail, on 5 of 6 tables")
    assert (
        "deployments: expect_lead_time_hours_to_be_between: 1 row fails, for example source=git, deployment_id=late"
    ) in text


def test_nothing_that_the_gate_writes_shows_a_value_of_a_failing_row(broken):
    settings, record = broken
    written = [file for file in settings.gate_dir.rglob("*") if file.suffix in (".json", ".html")]
    assert {"broken-build.json", "index.html", "warehouse-deployments.html"} <= {file.name for file in written}
    shown = "".join(file.read_text(encoding="utf-8") for file in written) + gate_summary(record)
    assert "deployment_id=late" in shown
    for value in ("717273", "717,273", "secret-42"):
        assert value not in shown


def test_data_docs_show_the_results_of_this_build(broken, of_deployments):
    docs = broken[0].gate_dir / "data_docs"
    assert "broken-build" in (docs / "index.html").read_text(encoding="utf-8")
    pages = {page.stem.removeprefix("warehouse-") for page in (docs / "validations").rglob("*.html")}
    assert pages == {"deployments", "monthly", "shrunken", "fine"}
    (page,) = (docs / "validations").rglob("*deployments.html")
    shown = re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8"))
    successful = sum(result.passed for result in of_deployments)
    for what, number in {"Evaluated": len(of_deployments), "Successful": successful}.items():
        assert re.search(rf"{what} Expectations\s+{number}\b", shown), what
    # Of the source of each row, the range of review_hours, the one value that is not among the accepted kinds.
    for observed in ("100% not null", "0% unexpected", "≈4.5455% unexpected"):
        assert observed in shown


def test_the_record_is_read_back_as_it_was_written(broken, sound):
    for settings, record in (broken, sound):
        assert GateRecord.load(settings.gate_dir / f"{record.build_id}.json") == record
    assert (broken[1].passed, sound[1].passed) == (False, True)


def test_marts_that_hold_pass(sound):
    _, record = sound
    assert record.failures() == []
    assert record.tables[0].fingerprint.rows == 10
    assert f"{record.as_of}" == "2024-05-01 12:00:00"
    assert gate_summary(record) == "gate passed: 4 expectations on 1 tables hold for build sound-build"


def test_the_build_file_is_free_for_writing_after_the_gate(sound):
    with duckdb.connect(sound[0].warehouse_file) as connection:
        connection.execute("create or replace table meta.scratch as select 1")


def test_without_a_finished_build_the_gate_says_what_to_run(tmp_path):
    settings = installation(tmp_path / "one", "a-build", "update meta.build set is_success = false")
    suites = write_suites(tmp_path / "expectations", "fine")
    with pytest.raises(PlumblineError, match=r"dbt build a-build failed: .* `dbt build`"):
        run_gate(settings, ["fine"], suites)
    with duckdb.connect(settings.warehouse_file) as connection:
        connection.execute("drop table meta.build")
    with pytest.raises(PlumblineError, match="holds no finished dbt build: run `dbt build`"):
        run_gate(settings, ["fine"], suites)
    settings.warehouse_file.unlink()
    with pytest.raises(PlumblineError, match=r"warehouse\.duckdb: no such file: run `dbt build`"):
        run_gate(settings, ["fine"], suites)


def test_a_suite_file_of_no_table_is_an_error(tmp_path):
    settings = installation(tmp_path / "one", "a-build")
    with pytest.raises(ConfigurationError, match=r"monthly\.yaml: there is no published table monthly"):
        run_gate(settings, ["fine"], write_suites(tmp_path / "expectations", "fine", "monthly"))


def test_an_expectation_that_great_expectations_does_not_know_is_an_error_with_its_file(tmp_path):
    settings = installation(tmp_path / "one", "a-build")
    suites = write_suites(tmp_path / "expectations", "fine")
    for entry, said in (
        ("{type: expect_wonders}", r"fine\.yaml: expect_wonders: .*expect_wonders"),
        ("{type: expect_column_values_to_be_between, columns: [id], least: 1}", r"fine\.yaml: expect_id_to_be_between"),
    ):
        (suites / "fine.yaml").write_text(f"{{key: [id], expectations: [{entry}]}}", encoding="utf-8")
        with pytest.raises(ConfigurationError, match=said):
            run_gate(settings, ["fine"], suites)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("expectations: []", "key: field required"),
        ("{key: [id], keys: [id]}", "keys: extra inputs are not permitted"),
        ("{key: []}", "key: tuple should have at least 1 item"),
        ("{key: [id], expectations: [{columns: [id]}]}", "expectations.0.type: field required"),
        ("key: [id", "not valid YAML"),
        ("", "the file: input should be a valid dictionary"),
        (
            "{key: [id], expectations: [{type: unexpected_rows_expectation, unexpected_rows_query: select 1}]}",
            "give this expectation a `name` of its own: unexpected_rows_expectation",
        ),
        (
            "{key: [id], expectations: [{type: expect_column_values_to_be_unique, columns: [id]}]}",
            "give this expectation a `name` of its own: expect_id_to_be_unique",
        ),
    ],
)
def test_a_wrong_suite_file_is_an_error_with_file_and_key(tmp_path, content, said):
    (tmp_path / "fine.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        load_suite(tmp_path / "fine.yaml")
    assert str(error.value).startswith(f"{tmp_path}/fine.yaml: {said}")


def test_great_expectations_is_not_imported_with_the_gate():
    code = (
        "import sys, dagster_project.publication, dagster_project.quality.gate\n"
        "sys.exit('great_expectations' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
