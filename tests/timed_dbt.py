"""`python tests/timed_dbt.py report.json run …`: dbt, and node and seconds of each of its calls to the database.

Most of a small dbt run is start-up: Python that reads, compiles and logs, and takes up to a second more or less from
one run to the next. What the database does differs by hundredths.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper, LocalEnvironment
from dbt.cli.main import dbtRunner

DATABASE_CALLS = ((duckdb, "connect"), (DuckDBCursorWrapper, "execute"), (LocalEnvironment, "close"))


# dbt names the node in a comment of each statement.
NODE = re.compile(r'"node_id": "([^"]+)"')


def timed(call: Callable[..., Any], taken: list[tuple[str, float]]) -> Callable[..., Any]:
    def timed_call(*arguments: Any, **named: Any) -> Any:
        node = NODE.search(str(arguments[1:]))
        started = time.perf_counter()
        try:
            return call(*arguments, **named)
        finally:
            taken.append((node.group(1) if node else call.__name__, time.perf_counter() - started))

    return timed_call


def main(report: Path, arguments: list[str]) -> int:
    taken: list[tuple[str, float]] = []
    for owner, name in DATABASE_CALLS:
        setattr(owner, name, timed(getattr(owner, name), taken))
    is_success = dbtRunner().invoke(arguments).success
    report.write_text(json.dumps(taken))
    return 0 if is_success else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
