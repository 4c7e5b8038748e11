"""What the adapters of collector bodies (Grafana Faro, OTLP/JSON) share.

An adapter takes one decoded body and yields, for each item in it, its place there and the row that it becomes, in the
names of the contract (columns and fields); None for an item that is no event of ours. It never fails over what an item
holds: what is missing or of another shape is None, and the contract decides. Raises ValueError if the body as a whole
is not what it should be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

Item = tuple[str, dict[str, Any] | None]
Adapter = Callable[[Any], Iterator[Item]]

# What else happens in other environments says nothing about users.
PRODUCTION = {"production", "prod", "prd", "live"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(value: Any, *path: str) -> Any:
    """The value at a path of keys; None where there is none or something else stands in the way."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def items(value: Any, *path: str) -> list:
    """The list at a path; empty where there is none."""
    found = at(value, *path)
    return found if isinstance(found, list) else []


def is_elsewhere(environment: Any) -> bool:
    """Whether a body names an environment other than production."""
    return isinstance(environment, str) and bool(environment) and environment.lower() not in PRODUCTION


def time_of(nanoseconds: Any) -> str | None:
    """OTLP's nanoseconds since 1970, a string or a number, as ISO 8601; text that is no time where they are none."""
    if nanoseconds in (None, "", 0, "0"):
        return None
    try:
        return (EPOCH + timedelta(microseconds=int(nanoseconds) // 1000)).isoformat().replace("+00:00", "Z")
    except (ValueError, TypeError, OverflowError):
        return "not a time"


def beacons(body: Any) -> Iterator[Item]:
    """A batch of beacons, as a page sends them with one sendBeacon(): an array of rows of the contract."""
    if not isinstance(body, list):
        raise ValueError("not a batch: expected a JSON array of beacons")
    for number, beacon in enumerate(body):
        # A row without a value is kept as one, and its contract says what is missing.
        yield f"[{number}]", beacon if isinstance(beacon, dict) else {}
