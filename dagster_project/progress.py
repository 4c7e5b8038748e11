"""What a person sees of a run: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status


class ProgressHandler(logging.Handler):
    """Shows the log lines of dagster_project; `stage` records (see installation.stage) drive the live line."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console
        self._status: Status | None = None

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not hasattr(record, "stage"):
            self._print(f"  {'! ' if record.levelno >= logging.WARNING else ''}{text}")
        elif hasattr(record, "done"):
            self.finish()
            self._print(f"✓ {text}" if self._console.is_terminal else text)
        elif self._console.is_terminal:
            self.finish()
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._print(text)

    def finish(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def shown(console: Console) -> Iterator[None]:
    """Show the progress of whatever runs inside."""
    logger = logging.getLogger("dagster_project")
    handler = ProgressHandler(console)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        handler.finish()
        logger.removeHandler(handler)
        logger.setLevel(level)
