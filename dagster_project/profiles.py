"""The variables that dbt gets: those of plumbline.yaml over those of its profile, a row a variable in profiles.csv."""

from __future__ import annotations

from typing import Any

import yaml

from dagster_project.contracts import PROFILES
from dagster_project.errors import ConfigurationError
from dagster_project.reference import read_file, reference_file
from dagster_project.settings import MINIMUM_GROUP_SIZE, Settings, wrong_variable


def dbt_vars(settings: Settings) -> dict[str, Any]:
    """Variables of one installation. Raises ConfigurationError that names the file and line of a wrong profile."""
    if settings.profile is None:
        return dict(settings.vars)
    file = reference_file(settings.reference_dir, PROFILES)
    rows = read_file(settings.reference_dir, PROFILES).to_dicts()
    chosen = {row["variable"]: row for row in rows if row["profile"] == settings.profile}
    if not chosen:
        names = ", ".join(sorted({row["profile"] for row in rows})) or "none"
        raise ConfigurationError(
            f"{settings.config_file}: profile: {settings.profile!r} is not in {file}; there: {names}"
        )
    given = {}
    for variable, row in chosen.items():
        try:
            given[variable] = yaml.safe_load(row["value"])
            problem = wrong_variable(variable, given[variable])
        except yaml.YAMLError:
            problem = f"{variable}: {row['value']!r} is not valid YAML"
        if problem:
            raise ConfigurationError(f"{file} line {row['line']}: {problem}")
    return {"profile": settings.profile, **given, **settings.vars}


def minimum_group_size(settings: Settings) -> int:
    """The variable ov_min_group_size; it cannot be lower than MINIMUM_GROUP_SIZE."""
    return dbt_vars(settings).get("ov_min_group_size", MINIMUM_GROUP_SIZE)
