"""What follows an incident: its review and the actions agreed there; and who is on call when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from random import Random

from dagster_project.extract.demo.delivery import Row
from dagster_project.extract.demo.organisation import SERVICES, Period

REVIEWED_SEVERITIES = ("sev1", "sev2")
REVIEWED_RATE = 0.85
REVIEW_DUE_DAYS = 10
ACTIONS_PER_REVIEW = (0, 1, 1, 2, 3)
ON_TIME_RATE = 0.75
LATE_RATE = 0.15

# (rotation, team, services, shift_hours); teams without a row have one rotation of their own name.
ROTATIONS = (
    ("storefront", "discovery", "storefront", 24),
    ("discovery-services", "discovery", None, 12),
    ("checkout", "checkout", None, 12),
)


def reviews_and_actions(incidents: Iterable[Row], period: Period, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows of post_incident_reviews and _actions, of severe incidents that are over and were no false alarm."""
    random = Random(f"{seed}/reviews")
    reviews, actions = [], []
    owner_of = {service.name: service for service in SERVICES}
    for incident in incidents:
        resolved_at = incident["resolved_at"]
        if incident["severity"] not in REVIEWED_SEVERITIES or resolved_at is None or incident.get("is_false_positive"):
            continue
        held_at = resolved_at + timedelta(hours=round(random.uniform(20, 24 * REVIEW_DUE_DAYS * 1.1)))
        is_held = random.random() < REVIEWED_RATE
        reviews.append(
            {
                "review_id": f"{incident['incident_id']}/review",
                "incident_id": incident["incident_id"],
                "link": f"https://reviews.example/{incident['incident_id']}",
                "due_on": (resolved_at + timedelta(days=REVIEW_DUE_DAYS)).date(),
                "completed_at": period.before_end(held_at) if is_held else None,
            }
        )
        if not is_held or held_at >= period.end:
            continue
        for number in range(1, 1 + random.choice(ACTIONS_PER_REVIEW)):
            days = random.randint(7, 35)
            chance = random.random()
            late = 0 if chance < ON_TIME_RATE else random.randint(1, 20)
            closed_at = held_at + timedelta(hours=round(24 * (days * random.uniform(0.2, 0.95) + late * 1.5)))
            actions.append(
                {
                    "action_id": f"{incident['incident_id']}/{number}",
                    "incident_id": incident["incident_id"],
                    "team": owner_of[incident["service"]].team_at(held_at.date()).name,
                    "agreed_at": held_at,
                    "due_on": (held_at + timedelta(days=days)).date(),
                    "closed_at": period.before_end(closed_at) if chance < ON_TIME_RATE + LATE_RATE else None,
                }
            )
    return reviews, actions
