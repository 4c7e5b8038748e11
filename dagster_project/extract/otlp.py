"""OTLP/JSON: events of a browser, as log records → rum_events; spans of a server → requests.

Names follow OpenTelemetry's semantic conventions, the current and the older ones. Other records, and spans that are not
of a server that answers HTTP, are no rows of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dagster_project.contracts import REQUESTS, RUM_EVENTS
from dagster_project.extract.bodies import Item, at, is_elsewhere, items, time_of

SERVER = (2, "2", "SPAN_KIND_SERVER")
METHODS = REQUESTS.column("method").allowed
EVENT_TYPES = {
    **{name: name for name in RUM_EVENTS.column("event_type").allowed},
    "web_vital": "vital",
    "exception": "error",
    "user_action": "interaction",
    "user_interaction": "interaction",
    "click": "interaction",
    "navigation": "page_view",
}
# Type of a page view of the browser conventions that a single-page application makes.
VIRTUAL_PAGE = (1, "1", "virtual_page")


def browser_events(body: Any) -> Iterator[Item]:
    """The events of a logs body."""
    for place, resource, scope, in_scope in _scopes(body, "resourceLogs", ("scopeLogs", "instrumentationLibraryLogs")):
        for number, record in enumerate(items(scope, "logRecords")):
            yield f"{place}{in_scope}.logRecords[{number}]", _event(record, resource)


def server_spans(body: Any) -> Iterator[Item]:
    """The requests of a traces body."""
    scopes = ("scopeSpans", "instrumentationLibrarySpans")
    for place, resource, scope, in_scope in _scopes(body, "resourceSpans", scopes):
        for number, span in enumerate(items(scope, "spans")):
            yield f"{place}{in_scope}.spans[{number}]", _request(span, resource)


def _scopes(body: Any, name: str, scope_names: tuple[str, ...]) -> Iterator[tuple[str, dict, Any, str]]:
    if not isinstance(body, dict) or not isinstance(body.get(name), list):
        raise ValueError(f"not OTLP/JSON of this kind: expected an object with {name}")
    for number, group in enumerate(body[name]):
        resource = _attributes(at(group, "resource", "attributes"))
        for scope_name in scope_names:
            for scope_number, scope in enumerate(items(group, scope_name)):
                yield f"{name}[{number}]", resource, scope, f".{scope_name}[{scope_number}]"


def _attributes(given: Any) -> dict[str, Any]:
    """Key → value of OTLP's list of pairs."""
    pairs = given if isinstance(given, list) else []
    return {pair["key"]: _value(pair.get("value")) for pair in pairs if isinstance(at(pair, "key"), str)}


def _value(given: Any) -> Any:
    """A scalar as it is, integers as the strings that they come as, a map as a dictionary; None for anything else."""
    if nested := at(given, "kvlistValue"):
        return _attributes(at(nested, "values"))
    kinds = ("stringValue", "intValue", "doubleValue", "boolValue")
    return next((given[kind] for kind in kinds if at(given, kind) is not None), None)


def _first(given: dict[str, Any], *names: str) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)


def _is_elsewhere(given: dict[str, Any]) -> bool:
    return is_elsewhere(_first(given, "deployment.environment.name", "deployment.environment"))


def _is_synthetic(given: dict[str, Any]) -> bool | None:
    return True if given.get("user_agent.synthetic.type") else None


def _event(record: Any, resource: dict[str, Any]) -> dict[str, Any] | None:
    body = _value(at(record, "body"))
    given = resource | _attributes(at(record, "attributes")) | (body if isinstance(body, dict) else {})
    name = at(record, "eventName") or given.get("event.name") or ("exception" if "exception.type" in given else "")
    event_type = EVENT_TYPES.get(str(name).rsplit(".", 1)[-1])
    if event_type is None or _is_elsewhere(given):
        return None
    if event_type == "page_view" and (
        given.get("type") in VIRTUAL_PAGE or given.get("browser.navigation.same_document") is True
    ):
        event_type = "route_change"
    is_mobile = given.get("browser.mobile")
    user_agent = _first(given, "user_agent.original", "browser.user_agent", "http.user_agent")
    return {
        "event_type": event_type,
        "occurred_at": time_of(at(record, "timeUnixNano")) or time_of(at(record, "observedTimeUnixNano")),
        "service": given.get("service.name"),
        "release": given.get("service.version"),
        "session_id": given.get("session.id"),
        "page_view_id": _first(given, "page_view.id", "browser.page_view.id"),
        "trace_id": at(record, "traceId"),
        "url": _first(given, "url", "url.full", "browser.navigation.url"),
        "route": _first(given, "route", "http.route"),
        "component": given.get("component"),
        "user_agent": user_agent,
        "device_class": {True: "mobile", False: "desktop"}.get(is_mobile) if not user_agent else None,
        "is_synthetic": _is_synthetic(given),
        "metric_name": given.get("name") if event_type == "vital" else None,
        "metric_value": given.get("value") if event_type == "vital" else None,
        "metric_id": given.get("id") if event_type == "vital" else None,
        "navigation_type": _first(given, "navigation_type", "navigationType"),
        "is_success": _first(given, "is_success", "success"),
        "is_retry_visible": given.get("is_retry_visible"),
        "step": given.get("step"),
        "sample_rate": given.get("sample_rate"),
    }


def _request(span: Any, resource: dict[str, Any]) -> dict[str, Any] | None:
    given = resource | _attributes(at(span, "attributes"))
    method = _first(given, "http.request.method", "http.method")
    status = _first(given, "http.response.status_code", "http.status_code")
    if at(span, "kind") not in SERVER or (method is None and status is None) or _is_elsewhere(given):
        return None
    method = str(method).upper() if method is not None else None
    return {
        "request_id": f"{at(span, 'traceId')}-{at(span, 'spanId')}".lower(),
        "service": given.get("service.name"),
        "occurred_at": time_of(at(span, "startTimeUnixNano")),
        # The path must not stand in for it: its ids would make a route of each request.
        "route": given.get("http.route"),
        "method": method if method is None or method in METHODS else "OTHER",
        # An answer that never came has no status; a 4xx leaves the status of the span itself unset.
        "status": 0 if status is None else status,
        "duration_ms": _milliseconds(at(span, "startTimeUnixNano"), at(span, "endTimeUnixNano")),
        "is_synthetic": _is_synthetic(given),
        "release": given.get("service.version"),
        "session_id": given.get("session.id"),
        "trace_id": at(span, "traceId"),
    }


def _milliseconds(start: Any, end: Any) -> float | str | None:
    if start is None or end is None:
        return None
    try:
        return (int(end) - int(start)) / 1e6
    except (ValueError, TypeError):
        return "not a number"
