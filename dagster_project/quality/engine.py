"""Great Expectations inside DuckDB.

Its SQLAlchemy engine knows no DuckDB: it closes the connection before it has fetched, which loses DuckDB's result.
Hence one connection that stays open, and a data source of its own type that uses it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.datasource.fluent import SQLDatasource
from great_expectations.exceptions import GreatExpectationsError
from great_expectations.execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    MulticolumnMapExpectation,
)
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.validator.validator import calc_validation_statistics

from dagster_project.errors import ConfigurationError
from dagster_project.quality.record import ExpectationResult, describe_key
from dagster_project.quality.suites import CANDIDATES, SQL_EXPECTATION, Check, Suite

SAMPLE_ROWS = 5
# Expectations about each row on its own. How many rows fail them is counted for all of a table in one statement; which
# ones takes two more each.
OF_EACH_ROW = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
# Errors that speak of the SQL alone; others may quote the value that they failed on.
HARMLESS_ERROR = re.compile(r"(?:Binder|Catalog|Parser) Error: .*|The (?:unexpected_index_)?column .* does not exist.*")


class DuckDBExecutionEngine(SqlAlchemyExecutionEngine):
    @contextmanager
    def get_connection(self) -> Iterator[Any]:
        if self._connection is None:
            self._connection = self.engine.connect()
        yield self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        super().close()


class DuckDBDatasource(SQLDatasource):
    type: Literal["duckdb"] = "duckdb"

    @property
    def execution_engine_type(self) -> type[SqlAlchemyExecutionEngine]:
        return DuckDBExecutionEngine

    @property
    def schema_(self) -> str:
        return CANDIDATES


class Validator:
    """Validates candidate marts of one DuckDB file, which it keeps open read-only until the end of its `with` block."""

    def __init__(self, file: Path, docs_dir: Path, run_name: str, run_time: datetime) -> None:
        self._file = file
        self._docs_dir = docs_dir
        self._run = RunIdentifier(run_name=run_name, run_time=run_time)

    def __enter__(self) -> Validator:
        self._context = gx.get_context(mode="ephemeral", project_config=_context_config(self._docs_dir))
        self._source = self._context.data_sources.add_duckdb(
            self._file.stem,
            connection_string=f"duckdb:///{quote(str(self._file))}",
            create_temp_table=False,
            kwargs={"connect_args": {"read_only": True}, "isolation_level": "AUTOCOMMIT"},
        )
        self.execute("set TimeZone = 'UTC'")
        return self

    def __exit__(self, *_: object) -> None:
        self._source.get_execution_engine().close()
        self._source.get_engine().dispose()

    def execute(self, statement: str, *values: Any) -> None:
        """Run a statement in the session that the expectations see; it may make temporary tables for their SQL."""
        with self._source.get_execution_engine().get_connection() as connection:
            connection.exec_driver_sql(statement, values)

    def validate(
        self, table: str, suite: Suite, suite_file: Path, parameters: Mapping[str, Any]
    ) -> tuple[ExpectationResult, ...]:
        """Validate one table. Raises ConfigurationError for an expectation that Great Expectations does not know."""
        checks = {check.name: check for check in suite.checks()}
        expectations = {name: _expectation(check, suite_file) for name, check in checks.items()}
        asset = self._source.add_table_asset(table, table_name=table)
        batch = asset.add_batch_definition_whole_table("whole").get_batch()

        def look(names: list[str], result_format: dict[str, Any]) -> Any:
            chosen = gx.ExpectationSuite(name=table, expectations=[expectations[name] for name in names])
            return batch.validate(chosen, expectation_parameters=dict(parameters), result_format=result_format)

        counted = look(
            [name for name, each in expectations.items() if isinstance(each, OF_EACH_ROW) and each.mostly == 1],
            {"result_format": "BOOLEAN_ONLY"},
        )
        found = {_check_name(result): result for result in counted.results if result.success}
        for result in found.values():
            result.result = {"unexpected_count": 0, "unexpected_percent": 0.0}
        validation = look(
            [name for name in checks if name not in found],
            {
                "result_format": "COMPLETE",
                "unexpected_index_column_names": list(suite.key),
                "partial_unexpected_count": SAMPLE_ROWS,
                "return_unexpected_index_query": False,
            },
        )
        found |= {_check_name(result): result for result in validation.results}
        results = {name: _result(check, found[name]) for name, check in checks.items()}
        for name, result in results.items():
            _withhold_values(found[name], result)
        validation.results = [found[name] for name in checks]
        statistics = calc_validation_statistics(validation.results)
        validation.success = statistics.success
        validation.statistics = {name: getattr(statistics, name) for name in validation.statistics}
        self._context.suites.add(gx.ExpectationSuite(name=table, expectations=list(expectations.values())))
        validation.meta["run_id"] = self._run
        self._context.validation_results_store.set(
            ValidationResultIdentifier(ExpectationSuiteIdentifier(name=table), self._run, validation.batch_id),
            validation,
        )
        return tuple(results.values())

    def write_docs(self) -> None:
        """Write the Data Docs of this run in the place of those of the run before."""
        shutil.rmtree(self._docs_dir, ignore_errors=True)
        self._context.build_data_docs()


def _context_config(docs_dir: Path) -> DataContextConfig:
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
        data_docs_sites={
            "data_docs": {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    # An unescaped `$` would begin the name of a variable.
                    "base_directory": str(docs_dir).replace("$", r"\$"),
                },
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder", "show_cta_footer": False},
            }
        },
    )


def _expectation(check: Check, suite_file: Path) -> Any:
    arguments = dict(check.arguments)
    if query := arguments.get("unexpected_rows_query"):
        # Great Expectations formats the SQL, and complains on standard output where it does not name the batch.
        arguments["unexpected_rows_query"] = "/* {batch} */ " + query.replace("{", "{{").replace("}", "}}")
    try:
        return ExpectationConfiguration(
            type=check.type, kwargs=arguments, description=check.description, meta={"name": check.name}
        ).to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{suite_file}: {check.name}: {reason}") from None


def _check_name(result: Any) -> str:
    return result.expectation_config.meta["name"]


def _result(check: Check, result: Any) -> ExpectationResult:
    found = result.result or {}
    observed = found.get("observed_value")
    failing_rows = observed if check.type == SQL_EXPECTATION else found.get("unexpected_count")
    rows = (
        found.get("details", {}).get("unexpected_rows")
        or found.get("partial_unexpected_index_list")
        or found.get("partial_unexpected_list")
        or []
    )
    keys = [{name: str(row[name]) for name in check.key if name in row} for row in rows if isinstance(row, dict)]
    plain = ExpectationResult(
        name=check.name,
        type=check.type,
        column=check.column,
        description=check.description,
        passed=bool(result.success),
        observed=observed if isinstance(observed, int | float) else None,
        failing_rows=failing_rows,
        sample=tuple([key for i, key in enumerate(keys) if key and key not in keys[:i]][:SAMPLE_ROWS]),
        message="",
    )
    return plain.model_copy(update={"message": _message(plain, check, result)})


def _message(plain: ExpectationResult, check: Check, result: Any) -> str:
    if plain.passed:
        return "holds"
    if not result.result:
        return f"could not be evaluated: {_error(result.exception_info)}"
    why = f" ({check.description.rstrip('.')})" if check.description else ""
    if plain.failing_rows is None:
        limits = ", ".join(
            f"{name}={value}" for name, value in result.expectation_config.kwargs.items() if name != "batch_id"
        )
        return f"observed {plain.observed}, expected {limits}{why}"
    rows = "1 row fails" if plain.failing_rows == 1 else f"{plain.failing_rows:,} rows fail"
    sample = "; ".join(map(describe_key, plain.sample))
    return f"{rows}{why}, for example {sample}" if sample else f"{rows}{why}"


def _error(exception_info: dict[str, Any]) -> str:
    """Why an expectation could not be evaluated, without any value of the data."""
    infos = [exception_info] if "raised_exception" in exception_info else exception_info.values()
    for info in infos:
        if harmless := HARMLESS_ERROR.search(f"{info['exception_message']}\n{info['exception_traceback']}"):
            return harmless.group()
    return "DuckDB or Great Expectations raised an error"


def _withhold_values(result: Any, plain: ExpectationResult) -> None:
    """Leave counts and sample keys in a result, so that Data Docs show nothing else of a row."""
    found = result.result
    if not found:
        result.exception_info = {
            "raised_exception": True,
            "exception_message": plain.message,
            "exception_traceback": "",
        }
    # The pages compute with these three, and only where there is a share of rows.
    counts = {
        name: found[name] for name in ("element_count", "unexpected_count", "unexpected_percent") if name in found
    }
    result.result = {
        **(counts if "unexpected_percent" in counts else {"unexpected_count": 0}),
        "observed_value": plain.observed,
        "partial_unexpected_list": [describe_key(sample) for sample in plain.sample],
    }
