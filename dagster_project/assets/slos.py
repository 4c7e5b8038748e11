"""A check for each SLO of the installation on the table that says how it stands."""

from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    multi_asset_check,
)

from dagster_project.errors import ConfigurationError
from dagster_project.installation import Installation, stage
from dagster_project.settings import load_settings
from dagster_project.slo.definitions import Definition, read_definitions, slo_files

STATUS = AssetKey(["marts", "slo_status"])
# A promise that is not kept, or about to be broken. Too little data is no verdict.
BROKEN = ("data_error", "exhausted", "burning")


def installed_slos() -> list[Definition]:
    """The valid definitions of the installation that this process is about; none while its configuration is wrong."""
    try:
        return read_definitions(slo_files(load_settings().reference_dir))[0]
    except ConfigurationError:
        return []


def slo_checks(definitions: list[Definition]) -> list[AssetChecksDefinition]:
    """One asset check a name, over all objectives; a failed one is a warning and stops nothing."""
    paths = {each.slo.metadata.name: each.slo.metadata.annotations["user-path"] for each in definitions}
    if not paths:
        return []

    @multi_asset_check(
        name="slos",
        specs=[AssetCheckSpec(_check_name(slo), asset=STATUS, description=path) for slo, path in paths.items()],
    )
    def slos(installation: Installation):
        """How each SLO stands after this build."""
        with stage("check SLOs"), installation.warehouse.connect(read_only=True) as connection:
            rows = connection.sql(
                "select slo, objective_name, state, verdict, attainment_rate, budget_remaining_rate "
                "from marts.slo_status order by slo, objective"
            ).fetchall()
        for slo in paths:
            objectives = [row for row in rows if row[0] == slo]
            yield AssetCheckResult(
                check_name=_check_name(slo),
                asset_key=STATUS,
                passed=not any(state in BROKEN for _, _, state, *_ in objectives),
                severity=AssetCheckSeverity.WARN,
                metadata={
                    f"{objective}: {figure}": value
                    for _, objective, *figures in objectives
                    for figure, value in zip(("state", "verdict", "attainment", "budget left"), figures, strict=True)
                    if value is not None
                },
            )

    return [slos]


def _check_name(slo: str) -> str:
    return f"slo_{slo.replace('-', '_')}"
