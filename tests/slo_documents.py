"""OpenSLO documents of tests and benchmarks: what all of them have stands here, so that each says what it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import yaml

from dagster_project.slo.definitions import ANNOTATIONS, Definition, read_definitions, reference_rows

FOUR_WEEKS = {"duration": "28d", "isRolling": True}


def condition(column: str, operator: str, value: Any) -> dict[str, Any]:
    return {"column": column, "operator": operator, "value": value}


def metric(spec: dict[str, Any]) -> dict[str, Any]:
    return {"metricSource": {"type": "plumbline", "spec": spec}}


def ratio(total: dict[str, Any], **part: dict[str, Any]) -> dict[str, Any]:
    """An indicator: of this total that part, `good` or `bad`."""
    return {"ratioMetric": {name: metric(spec) for name, spec in ({"total": total} | part).items()}}


def document(
    name: str,
    indicator: dict[str, Any],
    objectives: list[dict[str, Any]],
    *,
    window: dict[str, Any] = FOUR_WEEKS,
    method: str = "Occurrences",
    service: str = "api",
) -> dict[str, Any]:
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": name, "annotations": dict.fromkeys(ANNOTATIONS, "as agreed")},
        "spec": {
            "service": service,
            "indicator": {"spec": indicator},
            "timeWindow": [window],
            "budgetingMethod": method,
            "objectives": objectives,
        },
    }


def write(folder: Path, documents: list[dict[str, Any]]) -> list[Path]:
    """The documents as files of the folder, each under its name."""
    files = []
    for each in documents:
        file = folder / f"{each['metadata']['name']}.yaml"
        file.write_text(yaml.safe_dump(each), encoding="utf-8")
        files.append(file)
    return files


def definitions_of(folder: Path, documents: list[dict[str, Any]]) -> list[Definition]:
    """What is read of the documents, which have no problems."""
    definitions, problems = read_definitions(write(folder, documents))
    assert problems == []
    return definitions


def define(connection: duckdb.DuckDBPyConnection, definitions: list[Definition]) -> None:
    """Put the definitions in place of those in the reference tables."""
    for name, frame in reference_rows(definitions).items():
        connection.execute(f"delete from reference.{name}")
        connection.register("frame", frame.drop("line").to_arrow())
        connection.execute(f"insert into reference.{name} by name from frame")
