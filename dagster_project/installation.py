"""The installation as a Dagster resource: settings read once, the warehouse locked for the whole run."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dagster import ConfigurableResource, InitResourceContext
from pydantic import PrivateAttr

from dagster_project.settings import Settings, load_settings
from dagster_project.warehouse import Warehouse

log = logging.getLogger("dagster_project")


class Installation(ConfigurableResource):
    """What plumbline.yaml describes. Holds the lock from the first step of a run to its last."""

    _settings: Settings = PrivateAttr()

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(self._settings)

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator["Installation"]:
        self._settings = load_settings()
        with self.warehouse.lock():
            os.environ["PLUMBLINE_WAREHOUSE"] = str(self._settings.warehouse_file)
            yield self


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Announce a stage of a run and how long it took; the progress display and plain logs both read these lines."""
    started = time.monotonic()
    log.info("%s …", name, extra={"stage": name})
    yield
    log.info("%s done in %.1f s", name, time.monotonic() - started, extra={"stage": name, "done": True})
