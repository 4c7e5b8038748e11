"""The build file and its lock."""

import subprocess
import sys

import duckdb
import pytest

from dagster_project.contexts import insert_rows
from dagster_project.contracts import DEPLOYMENTS, RUM_EVENTS
from dagster_project.errors import ConfigurationError, PlumblineError
from dagster_project.warehouse import Warehouse, stored_columns, transaction

HOLD = """
import sys
from pathlib import Path
from dagster_project.settings import load_settings
from dagster_project.warehouse import Warehouse
with Warehouse(load_settings(Path(sys.argv[1]))).lock():
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(settings):
    """Another process that holds the installation until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, settings.config_file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_is_told_who_holds_the_installation(settings, holder):
    warehouse = Warehouse(settings)
    with pytest.raises(PlumblineError, match=rf"another run holds .*process {holder.pid}, since"), warehouse.lock():
        pass
    assert f"process {holder.pid}" in warehouse.is_locked()


def test_the_lock_of_a_killed_run_is_gone_with_it(settings, holder):
    holder.kill()
    holder.wait()
    assert Warehouse(settings).is_locked() is None
    with Warehouse(settings).lock():
        pass


def test_asking_for_the_lock_makes_nothing(settings):
    assert Warehouse(settings).is_locked() is None
    assert not settings.data_dir.exists()


def test_a_column_added_to_a_contract_is_added_to_an_older_warehouse(settings):
    warehouse = Warehouse(settings)
    with warehouse.connect() as connection:
        connection.execute("alter table raw.deployments drop column version")
        connection.execute("insert into raw.deployments (source, deployment_id) values ('s', '1')")
    with warehouse.connect() as connection:
        columns = [name for name, *_ in connection.sql("describe raw.deployments").fetchall()]
        assert {column.name for column in DEPLOYMENTS.columns} <= set(columns)
        assert connection.sql("select deployment_id, version from raw.deployments").fetchall() == [("1", None)]


@pytest.mark.parametrize("older", ["varchar", "enum('page_view', 'vital')"])
def test_allowed_values_of_events_are_those_of_the_contract_in_an_older_warehouse(settings, older):
    warehouse = Warehouse(settings)
    with warehouse.connect() as connection:
        connection.execute(f"alter table {RUM_EVENTS.stored_name} alter event_type set data type {older}")
        insert_rows(connection, RUM_EVENTS, "select 's' as source, unnest(['vital', null]) as event_type")
    with warehouse.connect() as connection:
        assert connection.sql("select event_type::varchar from raw.rum_events order by 1").fetchall() == [
            ("vital",),
            (None,),
        ]
        # The next run has nothing to bring up to date.
        stored = {name: type_ for name, type_, *_ in connection.sql("describe raw.rum_events").fetchall()}
        assert {name: stored[name] for name in stored if stored[name].startswith("ENUM")} == {
            column.name: RUM_EVENTS.stored_type(column) for column in RUM_EVENTS.columns if column.allowed
        }
        allowed = RUM_EVENTS.column("event_type").allowed
        insert_rows(connection, RUM_EVENTS, f"select unnest({[*allowed]}) as event_type")
        with pytest.raises(duckdb.ConversionException):
            insert_rows(connection, RUM_EVENTS, "select 'pageview' as event_type")


def test_events_of_a_warehouse_that_stored_their_texts_with_each_are_kept(settings):
    """As versions before contexts did, and before batch ids were UUIDs."""
    warehouse = Warehouse(settings)
    columns = {column.name: RUM_EVENTS.stored_type(column) for column in RUM_EVENTS.columns if column.name != "step"}
    columns |= {"loaded_at": "TIMESTAMP", "batch_id": "VARCHAR"}
    with warehouse.connect() as connection:
        connection.execute("drop view raw.rum_events")
        for name in stored_columns(RUM_EVENTS):
            connection.execute(f"drop table {name}")
        connection.execute(f"create table raw.rum_events ({', '.join(f'{n} {t}' for n, t in columns.items())})")
        connection.execute(f"""
            insert into raw.rum_events by name
            select
                's' as source, range::ubigint as event_id, 'web' as service, ['/a', '/b', null][1 + range % 3] as route,
                'vital' as event_type, '{"0123456789abcdef" * 2}' as batch_id
            from range(9)
        """)
        # Of a run that was killed between its two commits.
        unjudged = "fedcba9876543210fedcba9876543210"
        connection.execute(f"insert into raw.rum_events (source, batch_id) values ('s', '{unjudged}')")
        for table in ("open_batches", "quarantine"):
            connection.execute(f"alter table raw.{table} alter batch_id set data type varchar")
        connection.execute(f"insert into raw.open_batches values ('{unjudged}', 'rum_events')")
        # Of dbt, which compares with it before it builds anything.
        connection.execute("create schema meta; create table meta.seen_batches (batch_id varchar)")
        before = connection.sql("from raw.rum_events where service = 'web' order by event_id").fetchall()
        names = connection.sql("from raw.rum_events").columns
    with warehouse.connect() as connection:
        after = connection.sql(f"select {', '.join(names)} from raw.rum_events order by event_id").fetchall()
        assert [row[:-1] for row in after] == [row[:-1] for row in before]
        assert {str(row[-1]).replace("-", "") for row in after} == {row[-1] for row in before}
        assert connection.sql("select count(step) from raw.rum_events").fetchall() == [(0,)]
        assert connection.sql("select count(*) from raw.rum_events_visits where service is null").fetchall() == [(0,)]
        types = connection.sql("select distinct data_type from duckdb_columns() where column_name = 'batch_id'")
        assert types.fetchall() == [("UUID",)]


def test_another_people_key_than_the_warehouse_was_made_with_is_refused(settings, monkeypatch):
    with Warehouse(settings).connect():
        pass
    monkeypatch.setenv("PLUMBLINE_PEOPLE_SALT", "another key than the one before")
    with pytest.raises(ConfigurationError, match="people key has changed"), Warehouse(settings).connect():
        pass


def test_a_failed_transaction_leaves_nothing(connection):
    def interrupted():
        with transaction(connection):
            connection.execute("insert into raw.source_state values ('s', '{}', now()::timestamp)")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert connection.sql("select count(*) from raw.source_state").fetchone() == (0,)


def test_a_batch_whose_counts_do_not_add_up_cannot_be_recorded(connection):
    with pytest.raises(Exception, match="CHECK constraint"):
        connection.execute("insert into raw.batches values (uuid(), 's', 'o', 't', now()::timestamp, 3, 1, 1, 0, 0)")


def test_a_file_that_is_no_database_is_named_with_what_to_do(settings):
    settings.data_dir.mkdir()
    settings.warehouse_file.write_text("not a database " * 1000, encoding="utf-8")
    with (
        pytest.raises(PlumblineError, match=r"warehouse\.duckdb: cannot be opened as a DuckDB database; restore it"),
        Warehouse(settings).connect(),
    ):
        pass


def test_a_build_file_opened_by_another_program_is_named(settings):
    with Warehouse(settings).connect():
        script = (
            "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.readline()"
        )
    with subprocess.Popen(
        [sys.executable, "-c", script, settings.warehouse_file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(PlumblineError, match="another program has the build file open"):
            Warehouse(settings).connect().__enter__()
        other.stdin.close()
