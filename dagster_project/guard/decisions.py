"""What a published column may be used for: `meta.decisions` of its dbt model, or of the column where that differs.

Nothing else is allowed. No column may decide about pay, promotion or dismissal: a metric describes a system, and one
that decides about people is gamed by the next quarter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

DECISIONS = {
    "describe": "Name, place or time of a row; informs no decision.",
    "examine": "Look at the events behind a figure, and correct their record.",
    "improve_delivery": "Change how a team builds, reviews, tests or deploys.",
    "invest_in_reliability": "Spend time on failures, recovery and their causes.",
    "prioritise_experience": "Choose which page, journey or device to work on.",
    "adjust_objectives": "Set or change an objective or a target.",
    "plan_capacity": "Plan people, rotations or infrastructure.",
    "develop_teams": "Choose what a team learns next, and what it needs for it.",
    "clarify_rubric": "Reword the rubric, or how assessors are trained.",
    "audit_metrics": "Keep, change or drop a metric.",
}


def undecided_columns(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Published columns of a dbt manifest without decisions of that list, one line each with what to do."""
    for node in manifest["nodes"].values():
        if node["resource_type"] != "model" or node["schema"] != "marts":
            continue
        of_table = node["config"]["meta"].get("decisions")
        for name, column in node["columns"].items():
            decisions = column["config"]["meta"].get("decisions", of_table)
            place = f"{node['original_file_path'].replace('.sql', '.yml')}: {node['name']}.{name}"
            if not decisions:
                yield f"{place}: add config.meta.decisions to the model or the column, of {', '.join(DECISIONS)}"
            elif unknown := sorted(set(decisions) - set(DECISIONS)):
                yield f"{place}: {unknown[0]!r} is no decision; allowed: {', '.join(DECISIONS)}"
