"""What exists: assets of every layer, jobs, schedule, sensor."""

from __future__ import annotations

from dagster import (
    AssetSelection,
    Definitions,
    ScheduleDefinition,
    define_asset_job,
    in_process_executor,
)
from dagster_dbt import DbtCliResource

from dagster_project.assets.publish import alerts, gate, published_marts, report
from dagster_project.assets.raw import guard, raw, reference
from dagster_project.assets.slos import installed_slos, slo_checks
from dagster_project.assets.transform import DBT, dbt_models
from dagster_project.installation import Installation
from dagster_project.sensors import landing_sensor
from dagster_project.settings import DBT_DIR

refresh = define_asset_job("refresh", AssetSelection.all(), description="Sources to report: the whole path.")
layers = [
    define_asset_job(
        "extract",
        AssetSelection.assets(raw, reference, guard),
        description="Sources → raw, reference; the guard.",
    ),
    define_asset_job(
        "transform",
        AssetSelection.assets(dbt_models) - AssetSelection.checks(gate),
        description="raw → candidate marts, tested.",
    ),
    define_asset_job("validate", AssetSelection.checks(gate), description="The gate on the candidate marts."),
    define_asset_job(
        "publish", AssetSelection.assets(published_marts).without_checks(), description="Publish, if gated."
    ),
    define_asset_job("report", AssetSelection.assets(report), description="The report page."),
    define_asset_job(
        "alert", AssetSelection.assets(alerts), description="Changes in the state of SLOs to the channels."
    ),
]

defs = Definitions(
    assets=[raw, reference, guard, dbt_models, published_marts, report, alerts],
    asset_checks=[gate, *slo_checks(installed_slos())],
    jobs=[refresh, *layers],
    schedules=[ScheduleDefinition(job=refresh, cron_schedule="0 5 * * *", execution_timezone="UTC")],
    sensors=[landing_sensor(refresh)],
    resources={
        "installation": Installation(),
        "dbt": DbtCliResource(
            project_dir=str(DBT_DIR),
            dbt_executable=str(DBT),
            # Else dbt writes each statement it sends to its log, as JSON: 10 MB and a tenth of the time of a build.
            global_config_flags=[
                "--log-level-file",
                "info",
                "--log-format-file",
                "text",
                "--no-use-colors",
                "--no-use-colors-file",
            ],
        ),
    },
    # The multiprocess executor starts a process a step, about 11 s each.
    executor=in_process_executor,
)
