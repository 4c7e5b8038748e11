"""expectations/<table>.yaml: what must hold for a table before it is published."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dagster_project.errors import ConfigurationError

# The schema of the candidate marts in the build file.
CANDIDATES = "marts"
# The one expectation that has no arguments to be named after.
SQL_EXPECTATION = "unexpected_rows_expectation"
# The suite parameter that holds the least number of rows that a table may have.
MINIMUM_ROWS = "minimum_rows"


@dataclass(frozen=True)
class Check:
    """One expectation of one table: a Great Expectations type with its arguments, and a name unique in its suite.

    `key` names the columns that identify a failing row; nothing else of one is ever shown.
    """

    name: str
    type: str
    key: tuple[str, ...]
    arguments: dict[str, Any]
    description: str | None = None

    @property
    def column(self) -> str | None:
        return self.arguments.get("column")


class Entry(BaseModel):
    """One item under `expectations`; what is not named here is an argument of the expectation.

    columns: stands for the same expectation on each of several columns.
    key: columns that identify a row of an SQL expectation, where they are not those of the table.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    name: str | None = None
    description: str | None = None
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()

    def checks(self, table_key: tuple[str, ...]) -> list[Check]:
        arguments = self.model_extra or {}
        each = [{"column": column, **arguments} for column in self.columns] or [arguments]
        return [
            Check(self.name or _name(self.type, one), self.type, self.key or table_key, one, self.description)
            for one in each
        ]


class Suite(BaseModel):
    """What must hold for one table.

    key: columns that identify a row; not null and unique together, and all that is shown of a failing row.
    minimum_share_of_previous_rows: share of the rows of the previous publication below which a table is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: tuple[str, ...] = Field(min_length=1)
    minimum_share_of_previous_rows: float = Field(default=0.9, ge=0, le=1)
    expectations: tuple[Entry, ...] = ()

    def checks(self) -> list[Check]:
        """Every expectation: those that `key` and the row count stand for, then the listed ones."""
        unique = (
            Entry(type="expect_compound_columns_to_be_unique", column_list=list(self.key))
            if len(self.key) > 1
            else Entry(type="expect_column_values_to_be_unique", columns=self.key)
        )
        standard = (
            Entry(type="expect_column_values_to_not_be_null", columns=self.key),
            unique,
            Entry(
                type="expect_table_row_count_to_be_between",
                min_value={"$PARAMETER": MINIMUM_ROWS},
                description=f"At least {self.minimum_share_of_previous_rows:.0%} of the rows published before; "
                "where fewer are right, delete published/manifest.json.",
            ),
        )
        return [check for entry in (*standard, *self.expectations) for check in entry.checks(self.key)]


def load_suites(directory: Path, tables: Sequence[str]) -> dict[str, Suite]:
    """The suites of the given tables; a table without a file is left out.

    Raises ConfigurationError for a file that belongs to no table, or that is wrong, with file and key.
    """
    files = {file.stem: file for file in sorted(directory.glob("*.yaml"))}
    if strays := [file for table, file in files.items() if table not in tables]:
        raise ConfigurationError(
            f"{strays[0]}: there is no published table {strays[0].stem}; rename the file after its table, or remove it"
        )
    return {table: load_suite(file) for table, file in files.items()}


def load_suite(file: Path) -> Suite:
    """Read one suite file. Raises ConfigurationError with file and key."""
    try:
        suite = Suite.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        item = error.errors()[0]
        key = ".".join(str(part) for part in item["loc"]) or "the file"
        raise ConfigurationError(f"{file}: {key}: {item['msg'][:1].lower()}{item['msg'][1:]}") from None
    seen: set[str] = set()
    for check in suite.checks():
        if check.name in seen or check.name == SQL_EXPECTATION:
            raise ConfigurationError(f"{file}: give this expectation a `name` of its own: {check.name}")
        seen.add(check.name)
    return suite


def _name(type_: str, arguments: dict[str, Any]) -> str:
    """expect_column_values_to_be_between on lead_time_hours → expect_lead_time_hours_to_be_between."""
    return re.sub("column(_values)?", arguments["column"], type_, count=1) if "column" in arguments else type_
