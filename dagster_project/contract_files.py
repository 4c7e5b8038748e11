"""The files that follow from contracts.py, for readers that cannot import Python: dbt, JSON Schema, people.

`make contracts` writes them; a test keeps them equal to the contracts.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from dagster_project.contracts import (
    MAXIMUM_TEXT_LENGTH,
    RAW_TABLES,
    REFERENCE_TABLES,
    SLO_TABLES,
    TABLES,
    Column,
    Table,
)
from dagster_project.settings import PROJECT_DIR
from dagster_project.warehouse import SCHEMAS, table_ddl

GENERATED = "Generated from dagster_project/contracts.py by `make contracts`; edit that."

JSON_TYPES = {
    "text": {"type": "string", "maxLength": MAXIMUM_TEXT_LENGTH},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "timestamp": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "hash": {"type": "string"},
}


def contract_files() -> dict[Path, str]:
    """Path in the checkout → content, for every generated file."""
    schemas = {
        PROJECT_DIR / f"docs/contracts/{table.name}.schema.json": json.dumps(json_schema(table), indent=2) + "\n"
        for table in RAW_TABLES
    }
    templates = {
        PROJECT_DIR / f"docs/contracts/templates/{table.name}.csv": _header(table)
        for table in (*RAW_TABLES, *REFERENCE_TABLES)
        # Rows of these come from OpenSLO files.
        if table not in SLO_TABLES
    }
    return {
        PROJECT_DIR / "dbt/models/staging/_sources.yml": dbt_sources(),
        PROJECT_DIR / "dbt/macros/create_source_tables.sql": dbt_create_tables(),
        PROJECT_DIR / "docs/contracts/README.md": contracts_page(),
        **schemas,
        **templates,
    }


def _header(table: Table) -> str:
    """The first line of a CSV file for the table."""
    return ",".join(column.name for column in table.columns) + "\n"


def write_contract_files() -> None:
    for path, content in contract_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def dbt_sources() -> str:
    """dbt source YAML for the schemas that are filled before dbt runs."""

    def source(name: str, description: str) -> dict:
        return {
            "name": name,
            "schema": name,
            "description": description,
            "tables": [
                {
                    "name": table.name,
                    "description": table.description,
                    "columns": [
                        {"name": column.name, "data_type": column.duckdb_type.lower(), "description": _full(column)}
                        for column in table.columns
                    ],
                }
                for table in TABLES.values()
                if table.schema == name
            ],
        }

    content = {
        "version": 2,
        "sources": [
            source("raw", "Canonical rows of every source, validated against their contract."),
            source("reference", "What the organisation states about itself."),
            source(
                "restricted",
                "Rows about one person each, and what the guard has decided on them. Never published; of these tables "
                "models may read the releases alone, and whole groups of at least five of the others.",
            ),
        ],
    }
    return f"# {GENERATED}\n" + yaml.safe_dump(content, sort_keys=False, width=118, allow_unicode=True)


def dbt_create_tables() -> str:
    """The macro that lets `dbt build` run before any extraction, on empty tables."""
    statements = [f"create schema if not exists {schema}" for schema in SCHEMAS]
    statements += [statement for table in TABLES.values() for statement in table_ddl(table)]
    body = "\n".join(f"    {statement};" for statement in statements)
    return f"{{# {GENERATED} #}}\n{{% macro create_source_tables() %}}\n{body}\n{{% endmacro %}}\n"


def json_schema(table: Table) -> dict:
    """JSON Schema (draft 2020-12) of one line of a landing file for a raw table."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": GENERATED,
        "title": table.name,
        "description": table.description,
        "type": "object",
        "properties": {column.name: _json_property(column) for column in table.columns},
        "required": [column.name for column in table.columns if column.required and column.name != "source"],
    }


def _json_property(column: Column) -> dict:
    shape = dict(JSON_TYPES[column.type])
    limits = {"enum": list(column.allowed) or None, "minimum": column.minimum, "maximum": column.maximum}
    shape |= {name: limit for name, limit in limits.items() if limit is not None}
    if not column.required:
        shape["type"] = [shape["type"], "null"]
        if column.allowed:
            shape["enum"] = [*column.allowed, None]
    return {**shape, "description": _full(column)}


def contracts_page() -> str:
    """The page for people who write landing files."""
    lines = [
        "# Contracts of the raw tables",
        "",
        f"{GENERATED}",
        "",
        "One folder a table under the landing location; NDJSON, CSV or Parquet. Times are ISO 8601, UTC where no",
        "offset is given. `source` defaults to the source's name. Unknown fields are ignored. A row that breaks its",
        "contract goes to `raw.quarantine` with every reason. Tables of schema `restricted` are about single people:",
        "they are never published, and `raw.quarantine` shows no field of them. [templates](templates) holds the",
        "header of a CSV file for each table.",
    ]
    for table in (*RAW_TABLES, *REFERENCE_TABLES):
        lines += ["", f"## {table.qualified_name}", "", table.description, "", f"Key: `{', '.join(table.key)}`.", ""]
        lines += ["| column | type | required | meaning |", "|---|---|---|---|"]
        lines += [
            f"| {column.name} | {column.type} | {'yes' if column.required else ''} | {_full(column)} |"
            for column in table.columns
        ]
        lines += [f"\nRule: {rule.message} is refused." for rule in table.rules]
    return "\n".join(lines) + "\n"


def _full(column: Column) -> str:
    allowed = f" One of: {', '.join(column.allowed)}." if column.allowed else ""
    person = " Give it in the clear; only its keyed hash is stored." if column.person else ""
    return column.description + allowed + person


if __name__ == "__main__":
    write_contract_files()
