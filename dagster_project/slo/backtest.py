"""Definitions tried on the history on record: by the models themselves, on a copy of the events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path

import duckdb

from dagster_project.contexts import insert_rows
from dagster_project.errors import PlumblineError
from dagster_project.profiles import dbt_vars
from dagster_project.settings import DBT_DIR, Settings
from dagster_project.slo.definitions import Definition, reference_rows, target_of
from dagster_project.slo.indicators import SOURCES
from dagster_project.warehouse import open_beside, open_published

# A baseline says little before four weeks.
BASELINE_DAYS = 28
# Below a tenth of the way the milestone is the target itself.
NEAR = 0.1
# No history proves more.
HIGHEST_SUGGESTION = 0.9999


@dataclass(frozen=True)
class Backtest:
    """One objective over the whole history. Rates are None without events."""

    name: str
    target: float
    days: int
    first_day: str
    last_day: str
    events: int
    attainment: float | None
    budget_remaining: float | None
    worst_remaining: float | None
    exhausted_days: int
    baseline: float | None

    @property
    def suggested_target(self) -> float | None:
        """What nine in ten windows of the history kept, rounded down to two digits of the bad share."""
        if self.baseline is None:
            return None
        unit = 10.0 ** (len(f"{1 / max(1 - self.baseline, 1e-6):.0f}") + 1)
        return min(floor(round(self.baseline * unit, 6)) / unit, HIGHEST_SUGGESTION)

    @property
    def milestone(self) -> float | None:
        """Half the way from the baseline to the target; the target, once that is near or reached."""
        if self.baseline is None:
            return None
        gap = self.target - self.baseline
        return self.target if gap < NEAR * (1 - self.target) else round(self.baseline + gap / 2, 6)

    def __str__(self) -> str:
        if self.attainment is None:
            return f"{self.name}: no event in a window that ends one of {self.days} days, so that nothing can be said"
        promised = (
            f"of the windows nine in ten kept {self.baseline:.6g}; suggested target {self.suggested_target:.6g}, next "
            f"milestone {self.milestone:.6g}"
            if self.baseline is not None
            else f"no suggestion before {BASELINE_DAYS} days with events"
        )
        return (
            f"{self.name}: {self.events:,} events in {self.days} days up to {self.last_day}; attainment "
            f"{self.attainment:.6g} against {self.target:.6g}, {self.budget_remaining:.1%} of the budget left "
            f"(worst day {self.worst_remaining:.1%}), exhausted on {self.exhausted_days} days; {promised}"
        )


@dataclass(frozen=True)
class History:
    """A definition and what it would have said."""

    definition: Definition
    minutes_between_events: float | None
    objectives: tuple[Backtest, ...]


def backtest(settings: Settings, definitions: Sequence[Definition]) -> list[History]:
    """Attainment and budget of each definition over all events in the warehouse; nothing without a warehouse."""
    if not definitions or not settings.warehouse_file.exists():
        return []
    with tempfile.TemporaryDirectory(dir=settings.data_dir) as folder:
        file = Path(folder) / "backtest.duckdb"
        variables = dbt_vars(settings) | _copy_events(settings, definitions, file)
        _build(file, variables)
        with open_published(file) as connection:
            return [_history(connection, definition) for definition in definitions]


def _copy_events(settings: Settings, definitions: Sequence[Definition], file: Path) -> dict[str, str]:
    """The events that the definitions count, and the definitions as if they had always held; returns the var as_of."""
    tables = {SOURCES[count.source].table for each in definitions for count in (each.total, each.numerator)}
    with open_beside(settings.warehouse_file, file) as connection:
        for table in tables:
            insert_rows(connection, table, f"from warehouse.{table.qualified_name}")
        for name, frame in reference_rows(definitions).items():
            connection.register("frame", frame.drop("line").to_arrow())
            connection.execute(f"insert into reference.{name} by name from frame")
        connection.execute("update reference.slos set valid_from = null, valid_to = null")
        (is_built,) = connection.sql(
            "select count(*) = 1 from duckdb_tables() where database_name = 'warehouse' and table_name = 'int_as_of'"
        ).fetchone()
        if not is_built:
            return {}
        (as_of,) = connection.sql("select max(as_of) from warehouse.intermediate.int_as_of").fetchone()
        return {"as_of": str(as_of)} if as_of else {}


def _build(file: Path, variables: dict) -> None:
    command = [
        Path(sys.executable).with_name("dbt"),
        *("run", "--quiet", "--select", "+slo_attainment_daily", "--vars", json.dumps(variables, default=str)),
        *("--target-path", file.parent / "target", "--log-path", file.parent / "logs"),
    ]
    environment = {**os.environ, "PLUMBLINE_WAREHOUSE": str(file), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    built = subprocess.run(command, cwd=DBT_DIR, env=environment, capture_output=True, text=True, check=False)
    if built.returncode:
        raise PlumblineError(f"dbt cannot build the backtest: {built.stdout.strip() or built.stderr.strip()}")


def _history(connection: duckdb.DuckDBPyConnection, definition: Definition) -> History:
    (gap,) = connection.execute(
        "select median(gap) from (select date_diff('minute', lag(slot_starts_at) over (order by slot_starts_at), "
        "slot_starts_at) as gap from intermediate.int_slo_counts inner join staging.stg_slos using (definition_number) "
        "where definition = ?)",
        [definition.name],
    ).fetchone()
    objectives = []
    for position, objective in enumerate(definition.slo.spec.objectives, 1):
        days, first, last, events, attainment, remaining, worst, exhausted, baseline_days, baseline = (
            connection.execute(
                """
            select
                count(*),
                min(day),
                max(day),
                sum(total),
                arg_max(attainment_rate, day) filter (where attainment_rate is not null),
                arg_max(budget_remaining_rate, day) filter (where budget_remaining_rate is not null),
                min(budget_remaining_rate),
                count(*) filter (where state = 'exhausted'),
                count(*) filter (where attainment_rate is not null),
                quantile_disc(attainment_rate, 0.1)
            from marts.slo_attainment_daily
            where definition = ? and objective = ?
            """,
                [definition.name, position],
            ).fetchone()
        )
        objectives.append(
            Backtest(
                name=objective.display_name or f"objective {position}",
                target=target_of(objective),
                days=days,
                first_day=str(first),
                last_day=str(last),
                events=events or 0,
                attainment=attainment,
                budget_remaining=remaining,
                worst_remaining=worst,
                exhausted_days=exhausted,
                baseline=baseline if baseline_days >= BASELINE_DAYS else None,
            )
        )
    return History(definition, gap, tuple(objectives))
