"""Statuspage: incidents of its API, with their updates; maintenance that was planned is none."""

from __future__ import annotations

from collections.abc import Iterator

from dagster_project.extract.payloads import CanonicalRow, Names, UnknownPayload, at, objects_at

SOURCE = "statuspage"
SEVERITIES = {"critical": "sev1", "major": "sev2", "minor": "sev3", "none": "sev4"}
EVENTS = {"investigating": "triggered", "monitoring": "mitigated", "resolved": "resolved"}


def rows(item: dict, names: Names) -> Iterator[CanonicalRow]:
    """The rows of one incident, as it is listed or as a webhook brings it."""
    incident = item["incident"] if isinstance(item.get("incident"), dict) else item
    if not {"id", "created_at", "incident_updates"} <= incident.keys():
        raise UnknownPayload("no incident of Statuspage")
    if incident.get("scheduled_for") or incident.get("impact") == "maintenance":
        return
    # The page lists the newest first.
    updates = sorted(objects_at(incident, "incident_updates"), key=lambda update: str(update.get("created_at")))
    monitored = [update.get("created_at") for update in updates if update.get("status") == "monitoring"]
    components = [at(component, "name") for component in objects_at(incident, "components")]
    yield (
        "incidents",
        {
            "source": SOURCE,
            "incident_id": incident["id"],
            "service": names.service(*components),
            "severity": SEVERITIES.get(incident.get("impact")),
            "started_at": incident.get("started_at") or incident["created_at"],
            "mitigated_at": incident.get("monitoring_at") or next(iter(monitored), None),
            "resolved_at": incident.get("resolved_at"),
            "updated_at": incident.get("updated_at"),
        },
    )
    for update in updates:
        if update.get("status") in EVENTS:
            yield (
                "incident_events",
                {
                    "source": SOURCE,
                    "event_id": update.get("id"),
                    "incident_id": incident["id"],
                    "event_type": EVENTS[update["status"]],
                    "occurred_at": update.get("created_at"),
                },
            )
