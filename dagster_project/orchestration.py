"""Runs the Dagster graph in this process, on the installation's own Dagster instance."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from pathlib import Path

from dagster_project.durable import write_durably
from dagster_project.errors import PlumblineError
from dagster_project.settings import Settings

INSTANCE_CONFIG = """\
telemetry:
  enabled: false
nux:
  enabled: false
run_retries:
  enabled: true
  max_retries: 0
concurrency:
  runs:
    max_concurrent_runs: 1
python_logs:
  managed_python_loggers: [dagster_project]
"""


def prepare_environment(settings: Settings) -> None:
    """Name the installation's files and switch every telemetry off, for this process and those it starts."""
    home = Path(os.environ.get("DAGSTER_HOME") or settings.data_dir / "dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        write_durably(home / "dagster.yaml", INSTANCE_CONFIG)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["PLUMBLINE_CONFIG"] = str(settings.config_file)
    os.environ["PLUMBLINE_WAREHOUSE"] = str(settings.warehouse_file)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    os.environ["GX_ANALYTICS_ENABLED"] = "false"


def refresh(settings: Settings) -> None:
    """Run the whole path to its end. Raises the PlumblineError that stopped it, or any other exception as it came."""
    prepare_environment(settings)
    from dagster import DagsterInstance

    from dagster_project.definitions import defs

    job = defs.resolve_job_def("refresh")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    try:
        # dbt's own lines go to its log file; what a person needs of them comes through the progress display.
        with DagsterInstance.get() as instance, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            job.execute_in_process(instance=instance, run_config=quiet)
    except Exception as error:
        raise _cause(error) from None


def _cause(error: BaseException) -> BaseException:
    """The PlumblineError somewhere below Dagster's wrapping, else the error itself."""
    # An error raised again while it was handled may lead back to itself.
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        if isinstance(cause, PlumblineError):
            return cause
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return error
