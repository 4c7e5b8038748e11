"""Services with given deployments and hourly counts of good and bad cases, for the models that judge deployments."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb
import numpy as np
import polars as pl
from dbt_models import models

START = datetime(2026, 3, 2)  # a Monday
EPOCH_HOURS = int((START - datetime(1970, 1, 1)).total_seconds()) // 3600
JUDGING = (
    "int_deployment_windows",
    "int_release_matches",
    "int_indicator_windows",
    "int_indicator_effects",
    "int_left_out_baselines",
    "int_degradations",
)
COUNTS = ("cases", "bad_cases")


def at(day: float) -> datetime:
    """So many days after START."""
    return START + timedelta(days=day)


@dataclass
class World:
    """All that the judging models read; one build judges every service in it."""

    least_rises: dict[str, float] = field(default_factory=dict)
    deployments: list[dict] = field(default_factory=list)
    counts: list[pl.DataFrame] = field(default_factory=list)

    def deploy(self, service: str, *days: float, **columns) -> None:
        """Successes at these days; version 1, 2, … in their order."""
        before = [row for row in self.deployments if row["service"] == service]
        for number, day in enumerate(days, len(before) + 1):
            self.deployments.append(
                {
                    "deployment_key": f"{service}/{number}",
                    "service": service,
                    "production_sequence": number,
                    "replaced_deployment_key": f"{service}/{number - 1}" if number > 1 else None,
                    "blamed_deployment_key": None,
                    "version": f"v{number}",
                    "commit_sha": None,
                    "finished_at": at(day),
                    "is_success": True,
                    **columns,
                }
            )

    def count(self, service: str, indicator: str, rows: pl.DataFrame) -> None:
        """Rows of hour (since START), cases, bad_cases and, if wanted, device_class, entry_route, release, weight."""
        defaults = {"device_class": "desktop", "entry_route": "/", "release": None, "weight": 1_000_000}
        rows = rows.with_columns(
            pl.lit(value).alias(name) for name, value in defaults.items() if name not in rows.columns
        )
        self.counts.append(
            rows.group_by("hour", "device_class", "entry_route", "release", "weight")
            .agg(pl.sum("cases"), pl.sum("bad_cases"))
            .select(
                pl.lit(indicator).alias("indicator"),
                pl.lit(service).alias("service"),
                (pl.col("hour").cast(pl.Int64) + EPOCH_HOURS).alias("hour_number"),
                "device_class",
                "entry_route",
                pl.col("release").cast(pl.String),
                pl.col("cases").cast(pl.Int64),
                pl.col("bad_cases").cast(pl.Int64),
                (pl.col("cases") * pl.col("weight")).cast(pl.Int64).alias("weight"),
                (pl.col("bad_cases") * pl.col("weight")).cast(pl.Int64).alias("bad_weight"),
                (pl.col("cases") * pl.col("weight") * pl.col("weight") / 1_000_000)
                .cast(pl.Int64)
                .alias("squared_weight"),
            )
        )

    def judged(self, as_of: datetime, **variables) -> pl.DataFrame:
        """int_degradations, once for all services."""
        counts = pl.concat(self.counts)
        indicators = counts.select("service", "indicator").unique()
        floors = pl.DataFrame(
            {"indicator": list(self.least_rises), "least_rise": list(self.least_rises.values())},
            {"indicator": pl.String, "least_rise": pl.Float64},
        )
        indicators = indicators.join(floors, "indicator", "left").with_columns(pl.col("least_rise").fill_null(0.01))
        with duckdb.connect() as connection:
            # Named as dbt names the build file.
            connection.execute("attach ':memory:' as warehouse; use warehouse; create schema intermediate")
            for name, rows in {
                "int_deployments": pl.DataFrame(self.deployments, infer_schema_length=None).with_columns(
                    pl.col("replaced_deployment_key", "blamed_deployment_key", "commit_sha", "version").cast(pl.String)
                ),
                "int_indicator_counts": counts,
                "int_indicators": indicators,
                "int_as_of": pl.DataFrame({"as_of": [as_of]}),
            }.items():
                connection.register("given", rows.to_arrow())
                connection.execute(f"create table intermediate.{name} as from given")
                connection.unregister("given")
            models(**variables).run(connection, *JUDGING)
            return connection.sql(
                "from intermediate.int_degradations order by service, production_sequence, indicator"
            ).pl()


def hourly(
    random: np.random.Generator, days: int, per_day: float, shares: np.ndarray | float, first_day: int = 0
) -> pl.DataFrame:
    """Independent cases of one stratum; `shares` is the bad share of each day or of every one."""
    hours = np.arange(24 * days)
    cases = random.poisson(per_day / 24 * (1 + 0.6 * np.cos((hours % 24 - 18) * np.pi / 12)))
    bad = random.binomial(cases, np.broadcast_to(shares, days).repeat(24))
    return pl.DataFrame({"hour": hours + 24 * first_day, "cases": cases, "bad_cases": bad})


# Base rates of the indicators that nothing happens to: 0.1 to 40 %.
NULL_RATES = {
    "bounced_sessions": 0.4,
    "error_sessions": 0.02,
    "poor_lcp_page_loads": 0.08,
    "not_good_lcp_page_loads": 0.3,
    "incomplete_journeys": 0.25,
    "failed_accessibility_checks": 0.06,
    "failed_requests": 0.001,
    "slow_requests": 0.01,
    "process_restarts": 0.004,
    "failed_payments": 0.03,
}
STRATA = [(device, route) for device in ("desktop", "mobile") for route in ("/", "/search", "/products/:slug")]


def restless(
    random: np.random.Generator, rate: float, days: int, visitors_per_day: float, restlessness: float
) -> pl.DataFrame:
    """Cases of an indicator in which nothing happens but life: days differ, visitors come back and are alike to
    themselves, strata differ in their rates, and their mix moves from day to day, most of all on the last three."""
    odds = np.log(rate / (1 - rate)) + random.normal(0, 0.35, len(STRATA))
    frames = []
    day_effects = random.normal(0, restlessness, days)
    usual_mix = random.dirichlet(np.full(len(STRATA), 4.0))
    other_mix = random.dirichlet(np.full(len(STRATA), 4.0))
    for day in range(days):
        mix = random.dirichlet(60 * (other_mix if day >= days - 3 else usual_mix))
        visitors = random.poisson(visitors_per_day * (0.7 if day % 7 >= 5 else 1.0))
        stratum = random.choice(len(STRATA), visitors, p=mix)
        share = 1 / (1 + np.exp(-(odds[stratum] + day_effects[day])))
        # A correlation of 0.1 between the visits of one visitor.
        own_share = random.beta(np.maximum(share * 9, 1e-6), (1 - share) * 9)
        visits = random.geometric(0.6, visitors)
        hour = np.minimum(random.binomial(23, 0.6, visitors), 23)
        frames.append(
            pl.DataFrame(
                {
                    "hour": hour + 24 * day,
                    "stratum": stratum,
                    "cases": visits,
                    "bad_cases": random.binomial(visits, own_share),
                }
            )
            .group_by("hour", "stratum")
            .sum()
        )
    strata = pl.DataFrame(STRATA, ["device_class", "entry_route"], orient="row").with_row_index("stratum")
    return pl.concat(frames).join(strata.with_columns(pl.col("stratum").cast(pl.Int64)), "stratum").drop("stratum")
