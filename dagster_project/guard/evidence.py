"""One person's own evidence pack: material for a narrative, for the person and whoever writes with them.

It shows one log, in order of time and dimension, and names what is missing. It compares with nobody, shows no score,
goes into no table, and leaves a record of who asked.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from datetime import date

import duckdb

from dagster_project.contracts import OV_DIMENSIONS
from dagster_project.errors import ConfigurationError, PlumblineError

LOG = """
    select dimension, occurred_at, evidence_kind, project, stakeholder, is_next_level, link
    from restricted.evidence
    where person_key = person_key($person)
        and occurred_at >= $first_day
        and occurred_at < $first_day + interval 3 month
    order by occurred_at, evidence_id
"""


def first_day_of(quarter: str) -> date:
    """`2026-Q2` → its first day. Raises ConfigurationError for any other form."""
    year, _, number = quarter.upper().partition("-Q")
    if not (len(year) == 4 and year.isdigit() and number in ("1", "2", "3", "4")):
        raise ConfigurationError(f"--quarter: {quarter!r} is no quarter; write it as 2026-Q2")
    return date(int(year), 3 * int(number) - 2, 1)


def evidence_pack(connection: duckdb.DuckDBPyConnection, person: str, quarter: str) -> str:
    """The pack as Markdown. `connection` is open for writing, since the access is recorded before anything is shown.

    Raises PlumblineError if the log holds nothing of this person in the quarter.
    """
    first_day = first_day_of(quarter)
    values = {"person": person, "first_day": first_day}
    connection.execute(
        "insert into restricted.evidence_access select person_key($person), $first_day, $reader, now()::timestamp",
        values | {"reader": getpass.getuser()},
    )
    entries = connection.execute(LOG, values).fetchall()
    if not entries:
        raise PlumblineError(
            f"no evidence of this person in {quarter}: check the spelling (as the evidence log has it) and the quarter"
        )
    return "\n".join(_lines(quarter, first_day, entries)) + "\n"


def _lines(quarter: str, first_day: date, entries: list[tuple]) -> Iterator[str]:
    yield f"# Evidence of {quarter}"
    yield ""
    yield "Your own log, as material for your narrative. It is no score and compares you with nobody."
    for dimension in OV_DIMENSIONS:
        own = [entry for entry in entries if entry[0] == dimension]
        yield ""
        yield f"## {dimension.replace('_', ' ').capitalize()}"
        yield ""
        if not own:
            yield "Nothing logged. If there was something, add it with its link while the quarter is open."
        for _, at, kind, project, stakeholder, is_next_level, link in own:
            about = ", ".join(
                [
                    *filter(None, (project, stakeholder and f"for {stakeholder}")),
                    *["at the next level"] * bool(is_next_level),
                ]
            )
            yield f"- {at:%Y-%m-%d} {kind.replace('_', ' ')}{f' ({about})' if about else ''}: {link}"
    yield ""
    yield "## Gaps"
    yield ""
    yield from _gaps(first_day, entries) or ["- None that the log shows."]


def _gaps(first_day: date, entries: list[tuple]) -> list[str]:
    gaps = [
        f"- No evidence of {dimension.replace('_', ' ')}."
        for dimension in OV_DIMENSIONS
        if all(entry[0] != dimension for entry in entries)
    ]
    for month in range(first_day.month, first_day.month + 3):
        if all(entry[1].month != month for entry in entries):
            gaps.append(f"- Nothing from {date(first_day.year, month, 1):%B}.")
    if 2 * sum(entry[1].month == first_day.month + 2 for entry in entries) > len(entries):
        gaps.append("- More than half is from the last month; what came before is easily forgotten.")
    for place, what in ((3, "project"), (4, "stakeholder")):
        named = {entry[place] for entry in entries if entry[place]}
        if len(named) < 2:
            gaps.append(f"- Only one {what} is named." if named else f"- No {what} is named.")
    return gaps
