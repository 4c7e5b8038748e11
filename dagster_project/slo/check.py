"""`plumbline slo check`: what is wrong with definitions, and what they would have said of the history on record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import combinations
from pathlib import Path

from dagster_project.settings import Settings
from dagster_project.slo.backtest import History, backtest
from dagster_project.slo.definitions import Definition, read_definitions, slo_files, target_of

# The budget share of the fastest burning pair, 2 % in an hour: 14.4 times as fast as allowed over 30 days.
FASTEST_SHARE = 0.02
# Of a month, a quarter and a year, on the average.
AVERAGE_HOURS = {"M": 730.5, "Q": 2191.5, "Y": 8766}


def check(settings: Settings, files: Sequence[Path]) -> tuple[list[str], list[History]]:
    """Problems, a line each with file, line and key, and the backtests of the valid definitions among `files`.

    Names are compared with those of the reference folder, too, since that is where the files will go.
    """
    folder = slo_files(settings.reference_dir)
    chosen = {file.resolve() for file in files} or {file.resolve() for file in folder}
    others = [
        file for file in folder if file.resolve() not in chosen and file.name not in {each.name for each in chosen}
    ]
    definitions, problems = read_definitions([*others, *sorted(chosen)])
    problems = [line for line in problems if any(line.startswith(str(file)) for file in chosen)]
    checked = [definition for definition in definitions if definition.document.file in chosen]
    for definition in checked:
        problems += _deaf(definition)
    problems += _duplicates(definitions, checked)
    histories = backtest(settings, checked)
    for history in histories:
        problems += _empty_slices(history)
    return problems, histories


def _deaf(definition: Definition) -> Iterator[str]:
    """A burn rate is at most 1 / (1 - target), when everything is bad: it must be able to exceed what pages."""
    duration = definition.window.duration
    hours = duration.minutes / 60 if duration.minutes else duration.number * AVERAGE_HOURS[duration.unit]
    factor = round(FASTEST_SHARE * hours, 9)
    for position, objective in enumerate(definition.slo.spec.objectives):
        highest = round(1 / (1 - target_of(objective)), 9)
        if highest <= factor:
            key = "target" if objective.target is not None else "targetPercent"
            yield definition.place(
                ("spec", "objectives", position, key),
                f"can never alert: with everything bad the budget burns {highest:.4g} times as fast as allowed, and a "
                f"page needs more than {factor:.4g} over {duration}; raise the target or shorten the window",
            )


def _duplicates(definitions: Sequence[Definition], checked: Sequence[Definition]) -> Iterator[str]:
    for one, other in combinations(definitions, 2):
        same = (one.total, one.numerator, one.kind, one.slo.spec.budgeting_method) == (
            other.total,
            other.numerator,
            other.kind,
            other.slo.spec.budgeting_method,
        )
        if same and _overlap(one, other) and (one in checked or other in checked):
            later = other if other in checked else one
            earlier = one if later is other else other
            yield later.place(
                ("spec", "indicator"),
                f"counts exactly what {earlier.document.file.name} counts on the same days; keep one, or give the "
                "other an objective more",
            )


def _overlap(one: Definition, other: Definition) -> bool:
    first = max(each.dates["valid-from"] or date.min for each in (one, other))
    last = min(each.dates["valid-to"] or date.max for each in (one, other))
    return first < last


def _empty_slices(history: History) -> Iterator[str]:
    """Slices shorter than the time between two events are mostly empty, and empty ones are no slices at all."""
    for position, objective in enumerate(history.definition.slices):
        minutes = objective.time_slice_window.minutes
        if history.minutes_between_events and minutes < history.minutes_between_events:
            yield history.definition.place(
                ("spec", "objectives", position, "timeSliceWindow"),
                f"{objective.time_slice_window} is shorter than the {history.minutes_between_events:g} minutes between "
                "its events, so that most slices are empty; make it longer",
            )
