"""The dbt project as Dagster assets, and the names of the candidate marts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dagster import AssetExecutionContext, AssetKey
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from dagster_project.installation import Installation, stage
from dagster_project.settings import DBT_DIR

# Each change of one of these makes dbt's manifest stale.
MANIFEST_INPUTS = ("dbt_project.yml", "profiles.yml", "models/**/*", "macros/**/*", "tests/**/*")


def prepared_project() -> DbtProject:
    """The dbt project with a manifest that matches its files; parses (about 4 s) only when one of them changed."""
    project = DbtProject(project_dir=DBT_DIR)
    inputs = [path for pattern in MANIFEST_INPUTS for path in DBT_DIR.glob(pattern) if path.is_file()]
    manifest = project.manifest_path
    if not manifest.exists() or manifest.stat().st_mtime < max(path.stat().st_mtime for path in inputs):
        project.preparer.prepare(project)
    return project


class Translator(DagsterDbtTranslator):
    """Asset keys and groups follow the schemas: staging, intermediate, marts."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        return AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return dbt_resource_props["schema"]

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        return ["team:analytics-engineering"]


PROJECT = prepared_project()


def mart_names() -> list[str]:
    """The tables that are gated and published: every dbt model of the schema marts."""
    nodes = json.loads(PROJECT.manifest_path.read_text(encoding="utf-8"))["nodes"].values()
    return sorted(node["name"] for node in nodes if node["resource_type"] == "model" and node["schema"] == "marts")


MARTS = mart_names()
MART_KEYS = [AssetKey(["marts", name]) for name in MARTS]


@dbt_assets(manifest=PROJECT.manifest_path, dagster_dbt_translator=Translator(), name="dbt")
def dbt_models(context: AssetExecutionContext, installation: Installation, dbt: DbtCliResource):
    """Build and test the models; the last statement stamps the build."""
    settings = installation.settings
    arguments = ["build", "--vars", json.dumps(settings.vars)]
    with stage("build models"):
        yield from dbt.cli(arguments, context=context, target_path=settings.data_dir / "dbt").stream()
