"""What the dbt models are made from, as one checksum: a build updates tables only if the last one had the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dagster_project.settings import DBT_DIR

# A folder changes when a file in it comes or goes.
DEFINITIONS = ("dbt_project.yml", "profiles.yml", "models/**", "models/**/*", "macros/**", "macros/**/*")
ENGINES = ("dbt-core", "dbt-duckdb", "duckdb")


def definition_files(patterns: tuple[str, ...] = DEFINITIONS) -> list[Path]:
    """Files and folders of the dbt project, in order."""
    return sorted({path for pattern in patterns for path in DBT_DIR.glob(pattern)})


def definition_version(variables: Mapping[str, Any]) -> str:
    """A checksum over models, macros, project, variables given to dbt, and the versions of what runs them."""
    digest = hashlib.sha256()
    for path in definition_files():
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{path.relative_to(DBT_DIR)}\0{len(content)}\0".encode() + content)
    digest.update(json.dumps([{name: version(name) for name in ENGINES}, variables], default=str).encode())
    return digest.hexdigest()


def with_version(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables with which dbt may update the tables of the last build."""
    return {**variables, "definition_version": definition_version(variables)}
