"""What operations do and see besides deployments: flags, CDN, fallbacks, and the synthetic checks of every service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from operator import itemgetter
from random import Random

import numpy as np
import polars as pl

from dagster_project.extract.demo.delivery import Delivery, Row
from dagster_project.extract.demo.organisation import Period, Service

# What of a repair is an operational change rather than a deployment.
REPAIRS = ("flag_rollback", "cdn_invalidation", "safe_fallback")
FLAGS = ("new-checkout", "fast-search", "lazy-images", "price-badges")
FLAG_CHANGES_PER_DAY = 1.2
CHECK_EVERY = timedelta(minutes=20)
# Each in turn.
LOCATIONS = ("eu-central", "us-east", "ap-south")
FLAKY_CHECK_RATE = 0.0005
TIMEOUT_MS = 30_000.0


def operational_changes(
    services: Sequence[Service], incidents: Iterable[Row], events: Iterable[Row], period: Period, seed: int
) -> list[Row]:
    """Rows of operational_changes: the repairs in incident logs, half of them naming the incident, and other flags."""
    random = Random(f"{seed}/operations")
    service_of = {incident["incident_id"]: incident["service"] for incident in incidents}
    made = [
        (event["occurred_at"], service_of[event["incident_id"]], event["event_type"], event["incident_id"])
        for event in events
        if event["event_type"] in REPAIRS
    ]
    seconds = random.expovariate(FLAG_CHANGES_PER_DAY / 86400)
    while seconds < period.days * 86400:
        made.append(
            (period.start + timedelta(seconds=round(seconds)), random.choice(services).name, "flag_change", None)
        )
        seconds += random.expovariate(FLAG_CHANGES_PER_DAY / 86400)
    return [
        {
            "operational_change_id": f"OPS-{number:05}",
            "service": service,
            "change_kind": kind,
            "occurred_at": at,
            "flag": random.choice(FLAGS) if kind.startswith("flag") else None,
            "incident_id": incident_id if random.random() < 0.5 else None,
        }
        for number, (at, service, kind, incident_id) in enumerate(sorted(made, key=itemgetter(0, 1, 2)), 1)
    ]


def synthetic_checks(deliveries: Iterable[Delivery], measured: Period, random: np.random.Generator) -> pl.DataFrame:
    """Rows of synthetic_checks: each service every 20 minutes; they fail while a deployment hurts, or for no reason."""
    frames = []
    for offset, delivery in enumerate(deliveries):
        is_front_end = delivery.service.component_kind == "frontend"
        at = pl.datetime_range(
            measured.start + timedelta(seconds=offset * 17), measured.end, CHECK_EVERY, closed="left", eager=True
        )
        hurting = pl.any_horizontal(
            pl.lit(False),
            *(pl.col("occurred_at").is_between(failure.began_at, failure.repaired_at) for failure in delivery.failures),
        )
        typical_ms = (1800.0 if is_front_end else 60.0) * random.lognormal(0.0, 0.3, len(at))
        frames.append(
            pl.DataFrame({"occurred_at": at})
            .select(
                pl.lit(delivery.service.name).alias("service"),
                pl.lit("home page loads" if is_front_end else "health").alias("check_name"),
                pl.Series("location", np.resize(LOCATIONS, len(at))),
                "occurred_at",
                (~hurting & pl.Series(random.random(len(at)) >= FLAKY_CHECK_RATE)).alias("is_success"),
            )
            .with_columns(duration_ms=pl.when("is_success").then(pl.Series(typical_ms).round(0)).otherwise(TIMEOUT_MS))
        )
    return pl.concat(frames)
