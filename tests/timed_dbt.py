"""`python tests/timed_dbt.py report.json run …`: dbt, and how many seconds each of its calls to the database took.

Most of a small dbt run is start-up: Python that reads, compiles and logs, and takes up to a second more or less from
one run to the next. What the database does differs by hundredths.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper, LocalEnvironment
from dbt.cli.main import dbtRunner

DATABASE_CALLS = ((duckdb, "connect"), (DuckDBCursorWrapper, "execute"), (LocalEnvironment, "close"))


def timed(call: Callable[..., Any], durations: list[float]) -> Callable[..., Any]:
    def timed_call(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return call(*arguments, **named)
        finally:
            durations.append(time.perf_counter() - started)

    return timed_call


def main(report: Path, arguments: list[str]) -> int:
    durations: list[float] = []
    for owner, name in DATABASE_CALLS:
        setattr(owner, name, timed(getattr(owner, name), durations))
    is_success = dbtRunner().invoke(arguments).success
    report.write_text(json.dumps(durations))
    return 0 if is_success else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
