"""Starts a refresh when new files have landed."""

from __future__ import annotations

import hashlib

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SkipReason, sensor

from dagster_project.errors import PlumblineError
from dagster_project.extract.landing import list_files
from dagster_project.settings import LandingSource, load_settings


def landing_sensor(job):
    """A sensor that requests one run of `job` for each new state of the landing locations."""

    @sensor(job=job, minimum_interval_seconds=60, default_status=DefaultSensorStatus.STOPPED)
    def landing(context: SensorEvaluationContext):
        """New or changed files in a landing location start a refresh."""
        try:
            sources = [source for source in load_settings().sources if isinstance(source, LandingSource)]
            listing = sorted(repr(file) for source in sources for file in list_files(source))
        except PlumblineError as error:
            return SkipReason(str(error))
        if not listing:
            return SkipReason("no file has landed")
        state = hashlib.sha256("\n".join(listing).encode()).hexdigest()
        if state == context.cursor:
            return SkipReason("no file has landed since the last refresh")
        context.update_cursor(state)
        # Two more tries, since `plumbline run` may hold the warehouse just now.
        return RunRequest(tags={"dagster/max_retries": "2"})

    return landing
