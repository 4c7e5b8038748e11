"""Landing files that hold objects as other systems send them → rows by table; a folder is named after its system.

Such a file brings rows of several tables. Logins are in its rows in memory alone: the loader hashes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from dagster_project.contracts import TABLES
from dagster_project.extract import github, gitlab, opsgenie, pagerduty, statuspage
from dagster_project.extract.landing_formats import (
    LandedFile,
    Line,
    Reading,
    Row,
    filled_lines,
    json_place,
    json_text,
    nothing,
    whole,
)
from dagster_project.extract.payloads import Names, Reader, UnknownPayload
from dagster_project.load import Rejected


class System(NamedTuple):
    """What reads the objects of a system, and the tables of its rows; what it refuses is shown with the first."""

    read: Reader
    tables: tuple[str, ...]


SYSTEMS = {
    "github": System(
        github.rows, ("deployments", "deployment_statuses", "pull_requests", "pull_request_events", "builds")
    ),
    "gitlab": System(gitlab.rows, ("deployments",)),
    "pagerduty": System(pagerduty.rows, ("incidents", "incident_events")),
    "opsgenie": System(opsgenie.rows, ("incidents", "incident_events")),
    "statuspage": System(statuspage.rows, ("incidents", "incident_events")),
}


@dataclass
class _Rows:
    """The rows of one table, and the place of each."""

    rows: list[Row] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def reading(self, table: str, rejected: list[Rejected]) -> Reading:
        if not self.rows:
            return nothing(rejected)
        schema = pa.schema([(name, pa.string()) for name in TABLES[table].given_names])
        batch = pa.record_batch([pa.array([row.get(name) for row in self.rows]) for name in schema.names], schema)
        return Reading(
            pa.RecordBatchReader.from_batches(schema, [batch]),
            lambda numbers: [self.places[number - 1] for number in numbers],
            rejected,
        )


def payload_readings(file: LandedFile, system: System, names: Names) -> dict[str, Reading]:
    """What the objects of a file say, by table; an object that brings no row is refused with the first table.

    Raises UnreadableError if the file is not what its ending says.
    """
    found = {table: _Rows() for table in system.tables}
    rejected: list[Rejected] = []
    lines = [whole(file)] if file.format == "json" else filled_lines(file)
    for line in lines:
        for place, content, item in _objects(file, line, rejected):
            try:
                rows = [(table, _texts(row)) for table, row in system.read(item, names)]
            except UnknownPayload as unknown:
                rejected.append(Rejected(place, str(unknown), content))
            except (AttributeError, KeyError, TypeError, ValueError):
                # Of the object itself nothing is told: it may hold anything.
                rejected.append(Rejected(place, "an object of another shape than its system documents", content))
            else:
                for table, row in rows:
                    found[table].rows.append(row)
                    found[table].places.append(place)
    first = system.tables[0]
    return {table: rows.reading(table, rejected if table == first else []) for table, rows in found.items()}


def _objects(file: LandedFile, line: Line, rejected: list[Rejected]) -> Iterator[tuple[str, bytes, dict]]:
    """The objects of a line, or of the array that it is, each with its place and bytes; fills `rejected`."""
    place = json_place(file, line)
    try:
        if line.problem:
            raise ValueError(line.problem)
        value = json.loads(line.content)
    except (ValueError, RecursionError) as error:
        # JSON's own errors quote nothing; what stands before the colon says enough.
        reason = line.problem or f"not JSON: {str(error).partition(':')[0]}"
        rejected.append(Rejected(place, reason, line.content))
        return
    is_array = isinstance(value, list)
    for number, item in enumerate(value if is_array else [value], start=1):
        its_place = f"{place}, item {number}" if is_array else place
        content = json.dumps(item).encode() if is_array else line.content
        if isinstance(item, dict):
            yield its_place, content, item
        else:
            rejected.append(Rejected(its_place, "not a JSON object", content))


def _texts(row: dict) -> Row:
    texts = {name: json_text(value) for name, value in row.items()}
    # Half a surrogate pair, which JSON can write and UTF-8 cannot.
    "".join(filter(None, texts.values())).encode()
    return texts
