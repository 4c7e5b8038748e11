"""Opsgenie: incidents and alerts of its API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from dagster_project.extract.payloads import CanonicalRow, Names, UnknownPayload, at, objects_at, severity

SOURCE = "opsgenie"
CLOSED = ("closed", "resolved")


def rows(item: dict, names: Names) -> Iterator[CanonicalRow]:
    """The rows of one incident or alert, or of an answer that lists them."""
    if listed := objects_at(item, "data"):
        for each in listed:
            yield from rows(each, names)
    elif "impactedServices" in item:
        yield _incident(item, names)
    elif "alias" in item and "createdAt" in item:
        yield from _alert(item, names)
    else:
        raise UnknownPayload("no incident or alert of Opsgenie")


def _incident(incident: dict, names: Names) -> CanonicalRow:
    impacted = incident["impactedServices"]
    return (
        "incidents",
        {
            "source": SOURCE,
            "incident_id": incident.get("id"),
            "service": names.service(*(impacted if isinstance(impacted, list) else [])),
            "severity": severity(incident.get("priority")),
            "started_at": incident.get("impactStartDate") or incident.get("createdAt"),
            "mitigated_at": incident.get("impactEndDate"),
            "resolved_at": incident.get("updatedAt") if incident.get("status") in CLOSED else None,
            "updated_at": incident.get("updatedAt"),
        },
    )


def _alert(alert: dict, names: Names) -> Iterator[CanonicalRow]:
    """An alert is an incident whose report tells, in milliseconds after it, when it was acknowledged and closed."""
    is_closed = alert.get("status") in CLOSED
    yield (
        "incidents",
        {
            "source": SOURCE,
            "incident_id": alert.get("id"),
            "service": names.service(at(alert, "details.service"), names.folder, at(alert, "integration.name")),
            "severity": severity(alert.get("priority")),
            "started_at": alert.get("createdAt"),
            "resolved_at": (_after(alert, "closeTime") or alert.get("updatedAt")) if is_closed else None,
            "alert_key": alert.get("alias"),
            "updated_at": alert.get("updatedAt"),
        },
    )
    if acknowledged_at := _after(alert, "ackTime"):
        yield (
            "incident_events",
            {
                "source": SOURCE,
                "event_id": f"{alert.get('id')} acknowledged",
                "incident_id": alert.get("id"),
                "event_type": "acknowledged",
                "occurred_at": acknowledged_at,
                "responder_key": at(alert, "report.acknowledgedBy"),
            },
        )


def _after(alert: dict, name: str) -> str | None:
    milliseconds = at(alert, f"report.{name}")
    try:
        return (datetime.fromisoformat(alert["createdAt"]) + timedelta(milliseconds=milliseconds)).isoformat()
    except (TypeError, ValueError, OverflowError):
        return None
