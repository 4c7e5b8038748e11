"""Runs jobs of the Dagster graph in this process, on the installation's own Dagster instance."""

from __future__ import annotations

import os
from contextlib import redirect_stdout

from dagster_project.errors import PlumblineError
from dagster_project.settings import Settings

INSTANCE_CONFIG = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
python_logs:
  managed_python_loggers: [dagster_project]
"""


def prepare_environment(settings: Settings) -> None:
    """Name the installation's files and switch every telemetry off, for this process and those it starts."""
    if not os.environ.get("DAGSTER_HOME"):
        home = settings.data_dir / "dagster"
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text(INSTANCE_CONFIG, encoding="utf-8")
        os.environ["DAGSTER_HOME"] = str(home)
    os.environ["PLUMBLINE_CONFIG"] = str(settings.config_file)
    os.environ["PLUMBLINE_WAREHOUSE"] = str(settings.warehouse_file)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    os.environ["GX_ANALYTICS_ENABLED"] = "false"


def run_job(settings: Settings, name: str) -> None:
    """Run one job to its end. Raises the PlumblineError that stopped it, or any other exception as it came."""
    prepare_environment(settings)
    from dagster import DagsterInstance

    from dagster_project.definitions import defs

    job = defs.resolve_job_def(name)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    try:
        # dbt's own lines go to its log file; what a person needs of them comes through the progress display.
        with DagsterInstance.get() as instance, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            job.execute_in_process(instance=instance, run_config=quiet)
    except Exception as error:
        raise _cause(error) from None


def _cause(error: BaseException) -> BaseException:
    """The PlumblineError somewhere below Dagster's wrapping, else the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PlumblineError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error
