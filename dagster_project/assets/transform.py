"""The dbt project as Dagster assets, and the names of the candidate marts."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from dagster import AssetExecutionContext, AssetKey
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, dbt_assets
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from dagster_project.definition_version import DEFINITIONS, definition_files, with_version
from dagster_project.durable import replace_durably
from dagster_project.errors import PlumblineError
from dagster_project.installation import Installation, stage
from dagster_project.profiles import dbt_vars
from dagster_project.settings import DBT_DIR

DBT = Path(sys.executable).with_name("dbt")
MANIFEST = DBT_DIR / "target" / "manifest.json"
# A change of one of these makes the manifest stale.
MANIFEST_INPUTS = (*DEFINITIONS, "tests/**/*")


def prepare_manifest() -> None:
    """Let dbt parse its project (about 4 s), only where a file has changed since it last did."""
    inputs = definition_files(MANIFEST_INPUTS)
    if MANIFEST.exists() and MANIFEST.stat().st_mtime >= max(path.stat().st_mtime for path in inputs):
        return
    # Parsed aside and moved into place, since several processes may find the manifest stale at once.
    MANIFEST.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=MANIFEST.parent) as folder:
        command = [DBT, "parse", "--quiet", "--target-path", folder, "--log-path", folder]
        parsed = subprocess.run(command, cwd=DBT_DIR, capture_output=True, text=True)
        if parsed.returncode:
            raise PlumblineError(f"dbt cannot read its project: {parsed.stdout.strip() or parsed.stderr.strip()}")
        replace_durably(Path(folder) / MANIFEST.name, MANIFEST)


class Translator(DagsterDbtTranslator):
    """Asset keys and groups follow the schemas: staging, intermediate, marts."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        return AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return dbt_resource_props["schema"]

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        return ["team:analytics-engineering"]


prepare_manifest()


def mart_names() -> list[str]:
    """The tables that are gated and published: every dbt model of the schema marts."""
    nodes = json.loads(MANIFEST.read_text(encoding="utf-8"))["nodes"].values()
    return sorted(node["name"] for node in nodes if node["resource_type"] == "model" and node["schema"] == "marts")


MARTS = mart_names()
MART_KEYS = [AssetKey(["marts", name]) for name in MARTS]


@dbt_assets(manifest=MANIFEST, dagster_dbt_translator=Translator(), name="dbt")
def dbt_models(context: AssetExecutionContext, installation: Installation, dbt: DbtCliResource):
    """Build and test the models; the last statement stamps the build."""
    settings = installation.settings
    target = settings.data_dir / "dbt"
    variables = json.dumps(with_version(dbt_vars(settings)), default=str)
    # Unit tests judge the code, not the data; `make test` runs them.
    arguments = ["build", "--exclude-resource-type", "unit_test", "--vars", variables]
    try:
        with stage("build models"):
            invocation = dbt.cli(arguments, context=context, target_path=target)
            if context.job_def.has_node_named("gate"):
                Thread(target=_prepare_gate, daemon=True).start()
            yield from invocation.stream()
    except DagsterDbtCliRuntimeError as error:
        raise PlumblineError(f"{error.description}\ndbt's log: {target / 'dbt.log'}") from error


def _prepare_gate() -> None:
    """Import what the gate needs, while this process waits for dbt's; if that fails, the gate tells why."""
    with suppress(Exception):
        import_module("dagster_project.quality.engine")
