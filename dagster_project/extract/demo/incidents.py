"""Incidents with their logs: caused by deployments, by other things, and the noisy pager."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import log
from random import Random

from dagster_project.extract.demo.delivery import Delivery, Failure, Row
from dagster_project.extract.demo.organisation import NOISY_PAGER, Period, Service

OTHER_INCIDENTS_PER_DAY = 0.045
FALSE_ALARMS_PER_DAY = 1.1
FALSE_POSITIVE_RATE = 0.08
THIRD_PARTY_RATE = 0.12
ESCALATION_RATE = 0.15
REASSIGNMENT_RATE = 0.1
REOPENED_RATE = 0.06
MERGED_RATE = 0.05
SIGNALS = ("error-rate", "latency-p95", "availability", "saturation")
SEVERITIES = {"sev1": 5, "sev2": 20, "sev3": 45, "sev4": 30}
# How an incident names the deployment that caused it: by its id, its version, its commit, or not at all.
LINKS = ("deployment_id", "deployment_id", "version", "commit_sha", None, None, None, None)


@dataclass
class Incident:
    service: str
    severity: str
    alert_key: str
    started_at: datetime
    mitigated_at: datetime | None = None
    resolved_at: datetime | None = None
    cause: Row = field(default_factory=dict)
    log: list[tuple[str, datetime, str | None]] = field(default_factory=list)


def incidents_of(deliveries: Iterable[Delivery], period: Period, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows of incidents and of incident_events."""
    incidents: list[Incident] = []
    for delivery in deliveries:
        random = Random(f"{seed}/{delivery.service.name}/incidents")
        incidents += (_of_deployment(failure, delivery.service, random) for failure in delivery.failures)
        incidents += _other(delivery.service, period, random)
        if delivery.service.name == NOISY_PAGER.service:
            incidents += _false_alarms(delivery.service, period, random)
    incidents.sort(key=lambda incident: (incident.started_at, incident.service))
    rows, events = [], []
    for number, incident in enumerate(incidents, 1):
        incident_id = f"INC-{number:05}"
        rows.append(
            {
                "incident_id": incident_id,
                "service": incident.service,
                "severity": incident.severity,
                "started_at": incident.started_at,
                "mitigated_at": period.before_end(incident.mitigated_at),
                "resolved_at": period.before_end(incident.resolved_at),
                "alert_key": incident.alert_key,
                **incident.cause,
            }
        )
        events += (
            {
                "event_id": f"{incident_id}-{position}",
                "incident_id": incident_id,
                "event_type": event_type,
                "occurred_at": at,
                "responder_key": responder,
            }
            for position, (event_type, at, responder) in enumerate(incident.log, 1)
            if at < period.end
        )
    return rows, events


def _of_deployment(failure: Failure, service: Service, random: Random) -> Incident:
    deployment = failure.deployment
    cause: Row = {"is_change_related": random.choice((True, None))}
    match random.choice(LINKS):
        case "deployment_id":
            cause = {"deployment_id": deployment.deployment_id, "is_change_related": True}
        case "version":
            cause = {"version": deployment.version, "is_change_related": True}
        case "commit_sha":
            cause = {"commit_sha": deployment.merge.sha, "is_change_related": True}
    incident = _incident(service, failure.began_at, random, cause)
    _respond(incident, service, random, failure.repaired_at, failure.repair)
    return incident


def _other(service: Service, period: Period, random: Random) -> Iterator[Incident]:
    for at in _moments(period, OTHER_INCIDENTS_PER_DAY, random):
        chance = random.random()
        if chance < FALSE_POSITIVE_RATE:
            incident = _incident(service, at, random, {"is_false_positive": True})
            _dismiss(incident, service, random)
        else:
            is_third_party = chance < FALSE_POSITIVE_RATE + THIRD_PARTY_RATE
            cause = {"is_third_party": True} if is_third_party else {"is_change_related": False}
            incident = _incident(service, at, random, cause)
            mitigated_at = at + timedelta(seconds=600 + round(random.lognormvariate(log(2400), 0.8)))
            _respond(incident, service, random, mitigated_at, "mitigated")
        yield incident


def _false_alarms(service: Service, period: Period, random: Random) -> Iterator[Incident]:
    for at in _moments(period, FALSE_ALARMS_PER_DAY, random):
        resolved_at = at + timedelta(seconds=random.randint(240, 720))
        yield Incident(
            service.name,
            "sev4",
            NOISY_PAGER.alert_key,
            at,
            resolved_at=resolved_at,
            cause={"is_false_positive": True},
            log=[("triggered", at, None), ("resolved", resolved_at, None)],
        )


def _incident(service: Service, at: datetime, random: Random, cause: Row) -> Incident:
    severity = random.choices(list(SEVERITIES), list(SEVERITIES.values()))[0]
    incident = Incident(service.name, severity, f"{service.name}:{random.choice(SIGNALS)}", at, cause=cause)
    incident.log.append(("triggered", at + timedelta(seconds=random.randint(20, 240)), None))
    return incident


def _respond(incident: Incident, service: Service, random: Random, mitigated_at: datetime, action: str) -> None:
    """Log the response of people up to the resolution; `action` is what ended the suffering."""
    team = service.team_at(incident.started_at.date()).engineers
    responder = random.choice(team)
    triggered_at = incident.log[0][1]
    until_mitigated = (mitigated_at - triggered_at).total_seconds()
    acknowledged_at = triggered_at + timedelta(
        seconds=round(min(random.lognormvariate(log(240), 0.7), until_mitigated / 2))
    )
    if random.random() < ESCALATION_RATE:
        incident.log.append(("escalated", triggered_at + (acknowledged_at - triggered_at) / 2, None))
    incident.log.append(("acknowledged", acknowledged_at, responder))
    if random.random() < REASSIGNMENT_RATE:
        incident.log.append(("reassigned", acknowledged_at + timedelta(seconds=60), responder))
        responder = random.choice(team)
    if random.random() < MERGED_RATE:
        # A duplicate of another incident ends there and then.
        incident.resolved_at = acknowledged_at + timedelta(seconds=120)
        incident.log += [("merged", incident.resolved_at, responder), ("resolved", incident.resolved_at, responder)]
        return
    incident.mitigated_at = mitigated_at
    if action != "mitigated":
        incident.log.append((action, mitigated_at, responder))
    incident.log.append(("mitigated", mitigated_at, responder))
    incident.resolved_at = _after(mitigated_at, 3600, random)
    incident.log.append(("resolved", incident.resolved_at, responder))
    if random.random() < REOPENED_RATE:
        reopened_at = _after(incident.resolved_at, 2400, random)
        incident.resolved_at = _after(reopened_at, 3600, random)
        incident.log += [("reopened", reopened_at, None), ("resolved", incident.resolved_at, responder)]


def _dismiss(incident: Incident, service: Service, random: Random) -> None:
    """Somebody looks and closes it with no action."""
    responder = random.choice(service.team_at(incident.started_at.date()).engineers)
    acknowledged_at = _after(incident.log[0][1], 240, random)
    incident.resolved_at = _after(acknowledged_at, 600, random)
    incident.log += [("acknowledged", acknowledged_at, responder), ("resolved", incident.resolved_at, responder)]


def _moments(period: Period, per_day: float, random: Random) -> Iterator[datetime]:
    """Moments at any hour of any day."""
    seconds = random.expovariate(per_day / 86400)
    while seconds < period.days * 86400:
        yield period.start + timedelta(seconds=round(seconds))
        seconds += random.expovariate(per_day / 86400)


def _after(at: datetime, median_seconds: float, random: Random) -> datetime:
    return at + timedelta(seconds=round(random.lognormvariate(log(median_seconds), 0.7)))
