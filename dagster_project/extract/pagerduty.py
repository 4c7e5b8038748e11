"""PagerDuty: incidents and the entries of their logs, from its API, and its webhooks of version 3."""

from __future__ import annotations

from collections.abc import Iterator

from dagster_project.extract.payloads import CanonicalRow, Names, UnknownPayload, at, objects_at, severity

SOURCE = "pagerduty"
# Of log entries and of webhook events; others, such as notifications, say nothing that is measured.
EVENTS = {
    "trigger": "triggered",
    "triggered": "triggered",
    "acknowledge": "acknowledged",
    "acknowledged": "acknowledged",
    "escalate": "escalated",
    "escalated": "escalated",
    "repeat_escalation_path": "escalated",
    "assign": "reassigned",
    "delegate": "reassigned",
    "delegated": "reassigned",
    "reassigned": "reassigned",
    "resolve": "resolved",
    "resolved": "resolved",
    "reopen": "reopened",
    "reopened": "reopened",
}


def rows(item: dict, names: Names) -> Iterator[CanonicalRow]:
    """The rows of one incident with its log, of one entry, of an event, or of an answer that lists them."""
    listed = [*objects_at(item, "incidents"), *([] if "service" in item else objects_at(item, "log_entries"))]
    if listed:
        for each in listed:
            yield from rows(each, names)
    elif isinstance(event := item.get("event"), dict) and at(event, "data.type") == "incident":
        yield from _incident(event["data"], names, event.get("occurred_at"))
        yield from _event(event, str(event.get("event_type")).removeprefix("incident."), "occurred_at", event["data"])
    elif str(item.get("type")).endswith("_log_entry") and "incident" in item:
        yield from _entry(item, item["incident"])
    elif "service" in item and "created_at" in item:
        yield from _incident(item, names, item.get("last_status_change_at") or item.get("updated_at"))
        for entry in objects_at(item, "log_entries"):
            yield from _entry(entry, item)
    else:
        raise UnknownPayload("no incident, log entry or webhook event of PagerDuty")


def _incident(incident: dict, names: Names, changed_at: str | None) -> Iterator[CanonicalRow]:
    is_resolved = incident.get("status") == "resolved"
    yield (
        "incidents",
        {
            "source": SOURCE,
            "incident_id": incident.get("id"),
            "service": names.service(at(incident, "service.summary")),
            "severity": severity(at(incident, "priority.summary")),
            "started_at": incident.get("created_at"),
            # Absent from many answers.
            "resolved_at": (incident.get("resolved_at") or changed_at) if is_resolved else None,
            "alert_key": incident.get("incident_key"),
            "updated_at": changed_at,
        },
    )
    if is_resolved and at(incident, "resolve_reason.type") == "merge_resolve_reason":
        key = {"source": SOURCE, "incident_id": incident.get("id"), "event_id": f"{incident.get('id')} merged"}
        yield "incident_events", {**key, "event_type": "merged", "occurred_at": changed_at}


def _entry(entry: dict, incident: dict) -> Iterator[CanonicalRow]:
    yield from _event(entry, str(entry.get("type")).removesuffix("_log_entry"), "created_at", incident)


def _event(event: dict, kind: str, time: str, incident: dict) -> Iterator[CanonicalRow]:
    if kind in EVENTS:
        is_person = str(at(event, "agent.type")).startswith("user")
        yield (
            "incident_events",
            {
                "source": SOURCE,
                "event_id": event.get("id"),
                "incident_id": incident.get("id"),
                "event_type": EVENTS[kind],
                "occurred_at": event.get(time),
                "responder_key": at(event, "agent.id") if is_person else None,
            },
        )
