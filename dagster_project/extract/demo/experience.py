"""Real-user monitoring of the front ends: sessions, page views and what was measured in them, made column-wise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from dagster_project.extract.demo.delivery import Deployment
from dagster_project.extract.demo.organisation import BAD_RELEASE, Period

DAY_MS = 86_400_000
# Sessions are 30 minutes of inactivity apart.
LONGEST_DWELL_MS = 20 * 60_000

# Device class → (share of sessions, median LCP, median INP in ms, addition to the bounce probability).
DEVICES = {
    "desktop": (0.44, 1500.0, 70.0, -0.03),
    "mobile": (0.48, 2100.0, 130.0, 0.03),
    "tablet": (0.06, 1900.0, 110.0, 0.0),
    "unknown": (0.02, 1900.0, 110.0, 0.0),
}
NAVIGATION_TYPES = {"navigate": 0.86, "reload": 0.06, "back-forward": 0.05, "prerender": 0.03}
ACCESSIBILITY_RULES = ("button-name", "color-contrast", "image-alt", "label")

# Browsers without LCP, CLS and INP.
UNSUPPORTED_RATE = 0.15
HARD_LOAD_RATE = 0.2
INTERACTIONS_PER_VIEW = 0.6
ERROR_RATE = 0.012
FAILED_ROUTE_CHANGE_RATE = 0.01
ACCESSIBILITY_CHECK_RATE = 0.03
ACCESSIBILITY_PASS_RATE = 0.94
# Share of measurements of a metric that were reported before, with a lower value.
EARLIER_REPORTS = {"LCP": 0.04, "CLS": 0.12, "INP": 0.1}

BAD_BOUNCE_PROBABILITY = 0.62
BAD_LCP_FACTOR = 1.8

# Share of the shoppers at a step of the checkout who go on to the next.
CHECKOUT_STEPS = ("cart", "shipping", "payment", "confirmation")
GOES_ON_RATES = (0.78, 0.86, 0.92)
DECLINED_RATE = 0.3


@dataclass(frozen=True)
class Route:
    """`entries` is its weight among first pages; `slowness` multiplies LCP."""

    template: str
    entries: float
    bounce: float
    slowness: float = 1.0


@dataclass(frozen=True)
class FrontEnd:
    """`share` of all sessions; `weekend` traffic relative to a weekday; traffic peaks at `busiest_hour` UTC.

    With `is_checkout` a session walks the routes in order, one step of the checkout each.
    """

    service: str
    share: float
    weekend: float
    busiest_hour: float
    routes: tuple[Route, ...]
    actions: tuple[str, ...]
    is_checkout: bool = False


FRONT_ENDS = (
    FrontEnd(
        BAD_RELEASE.service,
        share=0.65,
        weekend=1.1,
        busiest_hour=18.0,
        routes=(
            Route(BAD_RELEASE.route, 0.6, 0.32, 1.15),
            Route("/", 0.2, 0.30),
            Route("/collections/:name", 0.13, 0.33),
            Route("/search", 0.07, 0.28, 0.9),
        ),
        actions=("add-to-cart", "open-gallery", "filter", "sort", "search"),
    ),
    FrontEnd(
        "checkout-ui",
        share=0.2,
        weekend=1.1,
        busiest_hour=19.0,
        routes=(
            Route("/cart", 1.0, 0.27),
            Route("/checkout/shipping", 0.0, 0.0),
            Route("/checkout/payment", 0.0, 0.0, 1.1),
            Route("/checkout/confirmation", 0.0, 0.0, 0.9),
        ),
        actions=("change-quantity", "enter-address", "choose-delivery", "enter-voucher"),
        is_checkout=True,
    ),
    FrontEnd(
        "dashboard",
        share=0.15,
        weekend=0.25,
        busiest_hour=15.0,
        routes=(
            Route("/overview", 0.6, 0.26, 1.2),
            Route("/orders/:id", 0.25, 0.29),
            Route("/reports/:report", 0.15, 0.30, 1.3),
        ),
        actions=("filter", "export", "sort", "open-order"),
    ),
)


def rum_events(
    releases: dict[str, list[Deployment]], period: Period, sessions_per_day: int, random: np.random.Generator
) -> pl.DataFrame:
    """RUM events of all front ends in time order, as columns of the contract.

    releases: successful production deployments of each front end, oldest first; a session runs the version that was
        live when it began.
    """
    frames = [
        _Sessions(front_end, releases[front_end.service], period, sessions_per_day, random).events()
        for front_end in FRONT_ENDS
    ]
    return (
        pl.concat(frames)
        .filter(pl.col("occurred_at") < period.end)
        .sort("occurred_at", maintain_order=True)
        .with_row_index("event_id")
        .with_columns(pl.col("event_id").cast(pl.String), pl.lit(1.0).alias("sample_rate"))
    )


class _Sessions:
    """All sessions of one front end; arrays named `session_…` have one value a session, `view_…` one a page view."""

    def __init__(
        self,
        front_end: FrontEnd,
        releases: Sequence[Deployment],
        period: Period,
        sessions_per_day: int,
        random: np.random.Generator,
    ) -> None:
        self.front_end = front_end
        self.releases = releases
        self.period = period
        self.random = random
        self._begin(sessions_per_day * front_end.share)
        self._browse()

    def _begin(self, per_day: float) -> None:
        """When sessions begin, on which device, route and release, and which of them bounce."""
        random, routes = self.random, self.front_end.routes
        days = np.arange(self.period.days)
        is_weekend = (days + self.period.start.weekday()) % 7 >= 5
        traffic = np.where(is_weekend, self.front_end.weekend, 1.0)
        traffic *= random.lognormal(0.0, 0.05, days.size)
        sessions_of_day = random.poisson(per_day * traffic / traffic.mean())
        hours = np.arange(24)
        weights = 1.05 + np.cos((hours - self.front_end.busiest_hour) * np.pi / 12)
        hour = random.choice(hours, sessions_of_day.sum(), p=weights / weights.sum())
        self.session_start = np.sort(
            np.repeat(days, sessions_of_day) * DAY_MS + hour * 3_600_000 + random.integers(0, 3_600_000, hour.size)
        )
        size = self.session_start.size

        shares, self.device_lcp, self.device_inp, bounces_more = (
            np.array(each) for each in zip(*DEVICES.values(), strict=True)
        )
        self.session_device = random.choice(len(DEVICES), size, p=shares)
        self.session_route = random.choice(len(routes), size, p=[route.entries for route in routes])
        live_from = np.array([self._milliseconds(release.finished_at) for release in self.releases])
        self.session_release = np.maximum(np.searchsorted(live_from, self.session_start, side="right") - 1, 0)
        self.session_is_bad = np.array(
            [
                self.front_end.service == BAD_RELEASE.service and release.finished_at == BAD_RELEASE.begins
                for release in self.releases
            ]
        )[self.session_release]

        bounce = np.array([route.bounce for route in routes])[self.session_route]
        bounce[self.session_is_bad & self._is_bad_route(self.session_route)] = BAD_BOUNCE_PROBABILITY
        self.session_bounces = random.random(size) < bounce + bounces_more[self.session_device]

    def _browse(self) -> None:
        """Which pages a session views and when; a bounce is one page view and no interaction."""
        random = self.random
        size = self.session_start.size
        if self.front_end.is_checkout:
            goes_on = np.column_stack([random.random(size) < rate for rate in GOES_ON_RATES])
            views = 1 + np.cumprod(goes_on, axis=1).sum(axis=1)
        else:
            views = np.minimum(random.geometric(0.45, size), 12)
        views[self.session_bounces] = 1

        self.session_views = views
        first = np.cumsum(views) - views
        self.view_session = np.repeat(np.arange(size), views)
        self.view_position = np.arange(views.sum()) - first[self.view_session]
        if self.front_end.is_checkout:
            self.view_route = self.view_position
        else:
            weights = [route.entries for route in self.front_end.routes]
            later = random.choice(len(weights), self.view_session.size, p=weights)
            self.view_route = np.where(self.view_position == 0, self.session_route[self.view_session], later)
        self.view_dwell = np.minimum(random.lognormal(np.log(25_000), 0.9, self.view_session.size), LONGEST_DWELL_MS)
        before = np.cumsum(self.view_dwell) - self.view_dwell
        since_session_start = before - before[first][self.view_session]
        self.view_start = (self.session_start[self.view_session] + since_session_start).astype(np.int64)
        self.view_is_load = (self.view_position == 0) | (random.random(self.view_session.size) < HARD_LOAD_RATE)
        shares = list(NAVIGATION_TYPES.values())
        self.view_navigation = random.choice(len(shares), self.view_session.size, p=shares)

        interactions = random.poisson(INTERACTIONS_PER_VIEW, self.view_session.size)
        is_only_view = (views == 1)[self.view_session]
        interactions = np.where(is_only_view, np.maximum(interactions, 1), interactions)
        self.view_interactions = np.where(self.session_bounces[self.view_session], 0, interactions)

    def events(self) -> pl.DataFrame:
        random, loads, changes = self.random, np.flatnonzero(self.view_is_load), np.flatnonzero(~self.view_is_load)
        erroneous = np.flatnonzero(random.random(self.view_session.size) < ERROR_RATE)
        checked = loads[random.random(loads.size) < ACCESSIBILITY_CHECK_RATE]
        active = np.repeat(np.arange(self.view_session.size), self.view_interactions)
        frames = [
            self._emit("page_view", loads, 0.0),
            self._emit("route_change", changes, 0.0, is_success=random.random(changes.size) > FAILED_ROUTE_CHANGE_RATE),
            *self._vitals(loads),
            self._emit(
                "interaction", active, self._within(active), step=random.choice(self.front_end.actions, active.size)
            ),
            self._emit("error", erroneous, self._within(erroneous)),
            self._emit(
                "accessibility_check",
                checked,
                self._within(checked),
                step=random.choice(ACCESSIBILITY_RULES, checked.size),
                is_success=random.random(checked.size) < ACCESSIBILITY_PASS_RATE,
            ),
        ]
        if self.front_end.is_checkout:
            frames += self._checkout()
        events = pl.concat(frames, how="diagonal")
        return (
            events.hstack(self._views().select(pl.all().gather(events["view"])))
            .with_columns(
                pl.lit(self.front_end.service).alias("service"),
                (pl.lit(self.period.start) + pl.duration(milliseconds="at")).alias("occurred_at"),
            )
            .drop("view", "at")
        )

    def _views(self) -> pl.DataFrame:
        session = pl.Series(self.view_session)
        return pl.DataFrame(
            {
                "session_id": session,
                "position": self.view_position,
                "route": pl.Series([route.template for route in self.front_end.routes]).gather(self.view_route),
                "release": pl.Series([each.version for each in self.releases]).gather(self.session_release[session]),
                "device_class": pl.Series(list(DEVICES)).gather(self.session_device[session]),
                "navigation_type": pl.Series(list(NAVIGATION_TYPES)).gather(self.view_navigation),
                "is_load": self.view_is_load,
            }
        ).select(
            pl.format(f"{self.front_end.service}-{{}}", "session_id").alias("session_id"),
            pl.format(f"{self.front_end.service}-{{}}-{{}}", "session_id", "position").alias("page_view_id"),
            "route",
            "release",
            "device_class",
            pl.when("is_load").then("navigation_type"),
        )

    def _emit(self, event_type: str, views: np.ndarray, delay_ms: np.ndarray | float, **columns) -> pl.DataFrame:
        """One event in each of these page views, so long after it began."""
        at = self.view_start[views] + np.asarray(delay_ms).astype(np.int64)
        return pl.DataFrame({"view": views, "at": at, **columns}).with_columns(pl.lit(event_type).alias("event_type"))

    def _within(self, views: np.ndarray) -> np.ndarray:
        return self.random.uniform(0.02, 0.98, views.size) * self.view_dwell[views]

    def _vitals(self, loads: np.ndarray) -> list[pl.DataFrame]:
        random = self.random
        session, route = self.view_session[loads], self.view_route[loads]
        device = self.session_device[session]
        slowness = np.array([each.slowness for each in self.front_end.routes])[route]
        slowness[self.session_is_bad[session] & self._is_bad_route(route)] *= BAD_LCP_FACTOR
        lcp = self.device_lcp[device] * slowness * random.lognormal(0.0, 0.45, loads.size)
        fcp = lcp * random.uniform(0.45, 0.85, loads.size)
        ttfb = fcp * random.uniform(0.15, 0.5, loads.size)
        # Nearly half of all pages never shift.
        cls = np.where(random.random(loads.size) < 0.45, 0.0, random.lognormal(np.log(0.035), 1.1, loads.size))
        inp = self.device_inp[device] * random.lognormal(0.0, 0.7, loads.size)
        supported = (random.random(self.session_start.size) >= UNSUPPORTED_RATE)[session]
        used = supported & (self.view_interactions[loads] > 0)
        dwell = self.view_dwell[loads]
        return [
            *self._vital("TTFB", loads, ttfb.round(1), ttfb),
            *self._vital("FCP", loads, fcp.round(1), fcp),
            *self._vital("LCP", loads[supported], lcp[supported].round(1), np.maximum(lcp, dwell)[supported]),
            *self._vital("CLS", loads[supported], cls[supported].round(4), dwell[supported]),
            *self._vital("INP", loads[used], inp[used].round(0), dwell[used]),
        ]

    def _vital(self, name: str, views: np.ndarray, values: np.ndarray, delay_ms: np.ndarray) -> list[pl.DataFrame]:
        """The final report of each measurement and, for some, an earlier and lower one with the same id."""
        random = self.random
        number = pl.Series("number", random.integers(10**12, 10**13, views.size))
        ids = pl.select(pl.format("v5-{}-{}", pl.lit(pl.Series(self.view_start[views])), pl.lit(number))).to_series()
        columns = pl.DataFrame({"metric_id": ids, "metric_value": values}).with_columns(metric_name=pl.lit(name))
        early = np.flatnonzero(random.random(views.size) < EARLIER_REPORTS.get(name, 0.0))
        lower = (values[early] * random.uniform(0.3, 0.9, early.size)).round(4)
        earlier = delay_ms[early] * random.uniform(0.3, 0.9, early.size)
        return [
            self._emit("vital", views, delay_ms).hstack(columns),
            self._emit("vital", views[early], earlier).hstack(columns[early].with_columns(metric_value=lower)),
        ]

    def _checkout(self) -> list[pl.DataFrame]:
        """A step of the journey for each page view of those who do not bounce, and the payments."""
        views = np.flatnonzero(~self.session_bounces[self.view_session])
        position = self.view_position[views]
        reached = self.session_views[self.view_session[views]]
        is_done = (position < reached - 1) | (reached == len(CHECKOUT_STEPS))
        steps = self._emit(
            "journey_step",
            views,
            self.view_dwell[views],
            step=pl.Series(CHECKOUT_STEPS).gather(position),
            is_success=is_done,
        )
        at_payment = position == CHECKOUT_STEPS.index("payment")
        paying = at_payment & (is_done | (self.random.random(views.size) < DECLINED_RATE))
        payments = self._emit(
            "payment", views[paying], self.view_dwell[views[paying]] * 0.95, is_success=is_done[paying]
        )
        return [steps, payments]

    def _is_bad_route(self, routes: np.ndarray) -> np.ndarray:
        return np.array([route.template == BAD_RELEASE.route for route in self.front_end.routes])[routes]

    def _milliseconds(self, at: datetime) -> int:
        return int((at - self.period.start).total_seconds() * 1000)
