"""Gate, publication, report: the candidate marts become the published ones, or stay candidates."""

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetKey,
    MaterializeResult,
    MetadataValue,
    asset,
    multi_asset_check,
)

from dagster_project.alerts import send_alerts
from dagster_project.assets.raw import OWNER
from dagster_project.assets.transform import MART_KEYS, MARTS
from dagster_project.errors import GateRefused
from dagster_project.installation import Installation, stage
from dagster_project.publication import publish
from dagster_project.quality.gate import run_gate
from dagster_project.quality.record import gate_summary
from dagster_project.report.monthly import write_report


@multi_asset_check(
    name="gate",
    specs=[
        AssetCheckSpec("gate", asset=key, blocking=True, description=f"The suite expectations/{key.path[-1]}.yaml.")
        for key in MART_KEYS
    ],
)
def gate(installation: Installation):
    """Validate every candidate mart; keep the record of this build; refuse if one expectation fails."""
    with stage("gate"):
        record = run_gate(installation.settings, MARTS)
        for table in record.tables:
            failures = [result.message for result in table.expectations if not result.passed]
            yield AssetCheckResult(
                check_name="gate",
                asset_key=AssetKey(["marts", table.table]),
                passed=table.passed,
                metadata={
                    "build_id": record.build_id,
                    "rows": table.fingerprint.rows if table.fingerprint else 0,
                    "expectations": len(table.expectations),
                    "failed": len(failures),
                    **(
                        {"failures": MetadataValue.md("\n".join(f"- {message}" for message in failures))}
                        if failures
                        else {}
                    ),
                    **{
                        result.name: str(result.observed)
                        for result in table.expectations
                        if result.observed is not None
                    },
                },
            )
    if not record.passed:
        raise GateRefused(gate_summary(record))


@asset(
    key=["published", "marts"],
    deps=MART_KEYS,
    group_name="published",
    owners=[OWNER],
    kinds={"duckdb", "parquet"},
)
def published_marts(installation: Installation) -> MaterializeResult:
    """The read-only file for BI, the Parquet copies and the manifest; only with a passing gate record of this build."""
    with stage("publish"):
        manifest = publish(installation.settings, MARTS)
    return MaterializeResult(
        metadata={
            "build_id": manifest["build_id"],
            "tables": len(manifest["tables"]),
            "rows": sum(table["rows"] for table in manifest["tables"].values()),
        }
    )


@asset(key=["published", "report"], deps=[published_marts], group_name="published", owners=[OWNER], kinds={"html"})
def report(installation: Installation) -> MaterializeResult:
    """The monthly report page, from the published file alone."""
    with stage("report"):
        page = write_report(installation.settings)
    return MaterializeResult(metadata={"page": MetadataValue.path(page)})


@asset(
    key=["published", "alerts"],
    deps=[published_marts, report],
    group_name="published",
    owners=[OWNER],
    kinds={"slack", "email"},
)
def alerts(installation: Installation) -> MaterializeResult:
    """To each channel of plumbline.yaml, what has changed in the state of SLOs since it was told last."""
    with stage("alerts"):
        sent = send_alerts(installation.settings)
    return MaterializeResult(metadata={"changes_told": sent})
