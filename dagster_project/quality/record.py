"""What one gate run found, kept by build id."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, computed_field

from dagster_project.durable import write_durably
from dagster_project.quality.fingerprint import TableFingerprint


class Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class ExpectationResult(Record):
    """One expectation of one table. `failing_rows` and `sample` (keys of some of them) only where it looks at rows."""

    name: str
    type: str
    column: str | None = None
    description: str | None = None
    passed: bool
    observed: int | float | None = None
    failing_rows: int | None = None
    sample: tuple[dict[str, str], ...] = ()
    message: str


class TableResult(Record):
    """One table; `fingerprint` is None if the build file does not hold it."""

    table: str
    fingerprint: TableFingerprint | None
    expectations: tuple[ExpectationResult, ...]

    @property
    def passed(self) -> bool:
        return all(expectation.passed for expectation in self.expectations)


class GateRecord(Record):
    """One gate run; times are UTC."""

    build_id: str
    as_of: datetime | None
    checked_at: datetime
    tables: tuple[TableResult, ...]

    @computed_field
    @property
    def passed(self) -> bool:
        return all(table.passed for table in self.tables)

    def failures(self) -> list[tuple[TableResult, ExpectationResult]]:
        return [(table, result) for table in self.tables for result in table.expectations if not result.passed]

    def save(self, gate_dir: Path) -> None:
        write_durably(record_file(gate_dir, self.build_id), self.model_dump_json(indent=1))

    @classmethod
    def load(cls, file: Path) -> GateRecord:
        return cls.model_validate_json(file.read_text(encoding="utf-8"))


def record_file(gate_dir: Path, build_id: str) -> Path:
    return gate_dir / f"{build_id}.json"


def gate_summary(record: GateRecord) -> str:
    """A line for the whole, and one a failing expectation: table, expectation, what failed, keys of some rows."""
    failures = record.failures()
    total = sum(len(table.expectations) for table in record.tables)
    if not failures:
        return f"gate passed: {total} expectations on {len(record.tables)} tables hold for build {record.build_id}"
    lines = [f"  {table.table}: {result.name}: {result.message}" for table, result in failures]
    tables = len({table.table for table, _ in failures})
    first = f"gate refused build {record.build_id}: {len(failures)} of {total} expectations fail, on {tables} of "
    return "\n".join([f"{first}{len(record.tables)} tables; published marts stay as they were", *lines])


def describe_key(sample: Mapping[str, str]) -> str:
    """A row's key for a person: `source=storefront, deployment_id=17`."""
    return ", ".join(f"{name}={value}" for name, value in sample.items())
