"""Bodies that the Grafana Faro Web SDK sends to a collector → rum_events.

Logs, browser spans and measurements other than web vitals are no events of ours. Of a user only is kept that there is
one; of the browser, by the statement that loads the rows, the device class; of the address, its route template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dagster_project.contracts import RUM_EVENTS, WEB_VITALS
from dagster_project.extract.bodies import Item, at, is_elsewhere, items

PARTS = ("measurements", "exceptions", "events", "logs", "traces")
EVENT_TYPES = {
    **{name: name for name in RUM_EVENTS.column("event_type").allowed if name not in ("vital", "error")},
    "faro.performance.navigation": "page_view",
    "view_changed": "route_change",
    "faro.user.action": "interaction",
}
# Names that teams give to the events of what a user did.
ACTION = re.compile(r"(click|tap|press|submit|select|toggle|type|drag|swipe)(ed)?([_\W]|$)", re.IGNORECASE)


def events(body: Any) -> Iterator[Item]:
    """The events of one body."""
    if not isinstance(body, dict) or "meta" not in body or not any(part in body for part in PARTS):
        raise ValueError(f"not a Faro body: expected an object with meta and any of {', '.join(PARTS)}")
    if is_elsewhere(at(body, "meta", "app", "environment")):
        yield "body of another environment", None
        return
    common = _common(body["meta"])
    for number, item in enumerate(items(body, "measurements")):
        yield from _vitals(f"measurements[{number}]", item, common)
    for number, item in enumerate(items(body, "exceptions")):
        yield f"exceptions[{number}]", common | _about(item) | {"event_type": "error"}
    for number, item in enumerate(items(body, "events")):
        yield f"events[{number}]", _event(item, common)
    yield from ((f"logs[{number}]", None) for number, _ in enumerate(items(body, "logs")))
    yield from ((f"traces[{number}]", None) for number, _ in enumerate(items(body, "traces", "resourceSpans")))


def _common(meta: Any) -> dict[str, Any]:
    is_mobile = at(meta, "browser", "mobile")
    user_agent = at(meta, "browser", "userAgent")
    return {
        "service": at(meta, "app", "name"),
        "release": at(meta, "app", "version") or at(meta, "app", "release"),
        "session_id": at(meta, "session", "id"),
        "url": at(meta, "page", "url"),
        "user_agent": user_agent,
        "device_class": {True: "mobile", False: "desktop"}.get(is_mobile) if not user_agent else None,
        "is_authenticated": True if any(at(meta, "user", key) for key in ("id", "username", "email")) else None,
        "is_synthetic": True if at(meta, "k6", "isK6Browser") is True else None,
        "sample_rate": at(meta, "session", "attributes", "sample_rate"),
    }


def _about(item: Any) -> dict[str, Any]:
    return {
        "occurred_at": at(item, "timestamp"),
        "trace_id": at(item, "trace", "trace_id"),
        "component": at(item, "context", "component"),
    }


def _vitals(place: str, item: Any, common: dict[str, Any]) -> Iterator[Item]:
    vitals = [name for name in at(item, "values") or () if str(name).upper() in WEB_VITALS]
    if not vitals:
        yield place, None
    for name in vitals:
        yield (
            f"{place}.{name}",
            common
            | _about(item)
            | {
                "event_type": "vital",
                "metric_name": name.upper(),
                "metric_value": item["values"][name],
                "metric_id": at(item, "context", "id"),
                "navigation_type": at(item, "context", "navigation_type"),
                "page_view_id": at(item, "context", "navigation_entry_id"),
            },
        )


def _event(item: Any, common: dict[str, Any]) -> dict[str, Any] | None:
    name = at(item, "name")
    name = name if isinstance(name, str) else ""
    event_type = EVENT_TYPES.get(name) or ("interaction" if ACTION.match(name) else None)
    if event_type is None:
        return None
    given = at(item, "attributes") or {}
    return (
        common
        | _about(item)
        | {
            "event_type": event_type,
            "step": at(given, "step") or at(given, "userActionName") or (name if name not in EVENT_TYPES else None),
            "url": at(given, "toUrl") or common["url"],
            "route": at(given, "route") or at(given, "toRoute"),
            "page_view_id": at(given, "faroNavigationId"),
            "is_success": at(given, "is_success") or at(given, "success"),
            "is_retry_visible": at(given, "is_retry_visible"),
            "component": at(given, "component"),
        }
    )
