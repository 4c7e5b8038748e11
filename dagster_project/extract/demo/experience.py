"""Real-user monitoring of the front ends: sessions, page views and what was measured in them, made column-wise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from dagster_project.extract.demo.delivery import Deployment
from dagster_project.extract.demo.organisation import (
    BAD_RELEASE,
    BROKEN_STEP,
    PAYMENT_TAKES_MS,
    PAYMENTS,
    WHITE_SCREEN,
    Period,
)

DAY_MS = 86_400_000
# Sessions are 30 minutes of inactivity apart.
LONGEST_DWELL_MS = 20 * 60_000

# Device class → (share of sessions, median LCP, median INP in ms, addition to the bounce probability).
DEVICES = {
    "desktop": (0.43, 1500.0, 70.0, -0.03),
    "mobile": (0.46, 2100.0, 130.0, 0.03),
    "tablet": (0.06, 1900.0, 110.0, 0.0),
    "bot": (0.03, 1200.0, 50.0, 0.6),
    "unknown": (0.02, 1900.0, 110.0, 0.0),
}
SYNTHETIC_RATE = 0.02
COUNTRIES = {"DE": 0.36, "US": 0.24, "GB": 0.13, "FR": 0.12, "PT": 0.09, "PL": 0.04, None: 0.02}
RESTORED = "back-forward-cache"
NAVIGATION_TYPES = {"navigate": 0.81, "reload": 0.06, "back-forward": 0.05, RESTORED: 0.05, "prerender": 0.03}
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

BAD_BOUNCE_PROBABILITY = 0.7
BAD_LCP_FACTOR = 1.8
BAD_ERROR_RATE = 0.16

# What a shopper does at each page of the checkout, and the share of them who go on to the next page.
CHECKOUT_STEPS = ("cart", "shipping", "payment", "confirmation")
GOES_ON_RATES = (0.78, 0.86, 0.92)
BROKEN_GOES_ON_RATE = 0.08
PAY = "pay"
PAYMENT_FORM = "payment-form"
DECLINED_RATE = 0.3
# Of those who pay in the end: the first attempt fails, mostly where they see it.
RETRY_RATE = 0.04
RETRY_VISIBLE_RATE = 0.8

# On their way to the warehouse: events that a beacon brings twice, and sessions whose clock is wrong.
REPEATED_RATE = 0.002
SKEWED_RATE = 0.004
LARGEST_SKEW_MS = 3 * 3_600_000


@dataclass(frozen=True)
class Route:
    """`entries` is its weight among first pages; `slowness` multiplies LCP; the first component holds that paint."""

    template: str
    entries: float
    bounce: float
    components: tuple[str, ...]
    slowness: float = 1.0


@dataclass(frozen=True)
class FrontEnd:
    """`share` of all sessions; `weekend` traffic relative to a weekday; traffic peaks at `busiest_hour` UTC.

    `flags` are on in a share of the sessions. With `is_checkout` a session walks the routes in order.
    """

    service: str
    share: float
    weekend: float
    busiest_hour: float
    signed_in: float
    routes: tuple[Route, ...]
    actions: tuple[str, ...]
    flags: tuple[tuple[str, float], ...]
    is_checkout: bool = False


FRONT_ENDS = (
    FrontEnd(
        BAD_RELEASE.service,
        share=0.65,
        weekend=1.1,
        busiest_hour=18.0,
        signed_in=0.25,
        routes=(
            Route(BAD_RELEASE.route, 0.6, 0.32, (BAD_RELEASE.component, "price-box", "reviews"), 1.15),
            Route("/", 0.2, 0.30, ("hero", "recommendations")),
            Route("/collections/:name", 0.13, 0.33, ("product-grid", "filter-bar")),
            Route("/search", 0.07, 0.28, ("search-results", "filter-bar"), 0.9),
        ),
        actions=("add-to-cart", "open-gallery", "filter", "sort", "search"),
        flags=(("lazy-images", 0.5), ("price-badges", 0.3)),
    ),
    FrontEnd(
        BROKEN_STEP.service,
        share=0.2,
        weekend=1.1,
        busiest_hour=19.0,
        signed_in=0.55,
        routes=(
            Route("/cart", 1.0, 0.27, ("cart-items", "voucher-form")),
            Route(BROKEN_STEP.route, 0.0, 0.0, ("address-form", "delivery-options")),
            Route("/checkout/payment", 0.0, 0.0, (PAYMENT_FORM, "order-summary"), 1.1),
            Route("/checkout/confirmation", 0.0, 0.0, ("order-summary",), 0.9),
        ),
        actions=("change-quantity", "enter-address", "choose-delivery", "enter-voucher"),
        flags=(("new-checkout", 0.5),),
        is_checkout=True,
    ),
    FrontEnd(
        WHITE_SCREEN.service,
        share=0.15,
        weekend=0.25,
        busiest_hour=15.0,
        signed_in=0.96,
        routes=(
            Route("/overview", 0.6, 0.26, ("sales-chart", "alerts-list"), 1.2),
            Route("/orders/:id", 0.25, 0.29, ("order-details", "shipment-form")),
            Route("/reports/:report", 0.15, 0.30, ("report-table",), 1.3),
        ),
        actions=("filter", "export", "sort", "ship-order"),
        flags=(("fast-search", 0.4),),
    ),
)

# Rows of journeys.csv: journey, service, position, step, step_kind, route, action, api_service, method.
JOURNEYS = (
    ("checkout", BROKEN_STEP.service, 1, "cart", "page_view", "/cart", None, None, None),
    ("checkout", BROKEN_STEP.service, 2, "shipping", "page_view", BROKEN_STEP.route, None, None, None),
    ("checkout", BROKEN_STEP.service, 3, "payment", "page_view", "/checkout/payment", None, None, None),
    ("checkout", BROKEN_STEP.service, 4, "pay", "action", None, PAY, None, None),
    ("checkout", BROKEN_STEP.service, 5, "payment written", "api_write", PAYMENTS, None, "payments-api", "POST"),
    ("checkout", BROKEN_STEP.service, 6, "confirmation", "page_view", "/checkout/confirmation", None, None, None),
    ("ship an order", WHITE_SCREEN.service, 1, "overview", "page_view", "/overview", None, None, None),
    ("ship an order", WHITE_SCREEN.service, 2, "order", "page_view", "/orders/:id", None, None, None),
    ("ship an order", WHITE_SCREEN.service, 3, "ship", "action", None, "ship-order", None, None),
)


def browsing(
    releases: dict[str, list[Deployment]], period: Period, sessions_per_day: int, random: np.random.Generator
) -> pl.DataFrame:
    """What happened in the browsers of all front ends, in time order, as columns of rum_events.

    releases: successful production deployments of each front end, oldest first; a session runs the version that was
        live when it began.
    """
    frames = [
        _Sessions(front_end, releases[front_end.service], period, sessions_per_day, random).events()
        for front_end in FRONT_ENDS
    ]
    return (
        pl.concat(frames, how="diagonal")
        .filter(pl.col("occurred_at") < period.end)
        .sort("occurred_at", maintain_order=True)
        .with_row_index("event_id")
        .with_columns(pl.col("event_id").cast(pl.String), pl.lit(1.0).alias("sample_rate"))
    )


def as_received(events: pl.DataFrame, period: Period, random: np.random.Generator) -> pl.DataFrame:
    """The events as they reach the warehouse: some twice, and those of some sessions by a clock that is wrong."""
    sessions = events.select(pl.col("session_id").unique(maintain_order=True))
    skew = random.integers(-LARGEST_SKEW_MS, LARGEST_SKEW_MS, sessions.height)
    sessions = sessions.with_columns(skew_ms=skew).filter(random.random(sessions.height) < SKEWED_RATE)
    received = events.join(sessions, on="session_id", how="left", maintain_order="left").with_columns(
        pl.col("occurred_at") + pl.duration(milliseconds=pl.col("skew_ms").fill_null(0))
    )
    received = received.filter(pl.col("occurred_at").is_between(period.start, period.end, closed="left"))
    return pl.concat([received, received.filter(random.random(received.height) < REPEATED_RATE)])


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
        if self.front_end.service == WHITE_SCREEN.service:
            self.session_start = self.session_start[~self._live(WHITE_SCREEN.begins, WHITE_SCREEN.ends)]
        size = self.session_start.size

        shares, self.device_lcp, self.device_inp, bounces_more = (
            np.array(each) for each in zip(*DEVICES.values(), strict=True)
        )
        self.session_device = random.choice(len(DEVICES), size, p=shares)
        self.session_route = random.choice(len(routes), size, p=[route.entries for route in routes])
        live_from = np.array([self._milliseconds(release.finished_at) for release in self.releases])
        self.session_release = np.maximum(np.searchsorted(live_from, self.session_start, side="right") - 1, 0)
        is_bad = self.front_end.service == BAD_RELEASE.service
        self.session_is_bad = is_bad & self._live(BAD_RELEASE.begins, BAD_RELEASE.ends)
        self.session_is_signed_in = random.random(size) < self.front_end.signed_in
        self.session_is_synthetic = random.random(size) < SYNTHETIC_RATE
        self.session_country = random.choice(len(COUNTRIES), size, p=list(COUNTRIES.values()))
        flags = [(pl.lit(flag), pl.Series(random.random(size) < share)) for flag, share in self.front_end.flags]
        self.session_flags = pl.select(
            pl.concat_str(
                [
                    pl.concat_str(flag, pl.when(is_on).then(pl.lit("=on")).otherwise(pl.lit("=off")))
                    for flag, is_on in flags
                ],
                separator=";",
            )
        ).to_series()

        bounce = np.array([route.bounce for route in routes])[self.session_route]
        bounce[self.session_is_bad & self._is_bad_route(self.session_route)] = BAD_BOUNCE_PROBABILITY
        self.session_bounces = random.random(size) < bounce + bounces_more[self.session_device]

    def _browse(self) -> None:
        """Which pages a session views and when; a bounce is one page view and no interaction."""
        random = self.random
        size = self.session_start.size
        if self.front_end.is_checkout:
            rates = np.tile(GOES_ON_RATES, (size, 1))
            broken = self._live(BROKEN_STEP.begins, BROKEN_STEP.ends)
            rates[broken, CHECKOUT_STEPS.index(BROKEN_STEP.step)] = BROKEN_GOES_ON_RATE
            goes_on = random.random(rates.shape) < rates
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
        # Only a page that was seen before can be restored.
        self.view_navigation[self.view_position == 0] %= list(NAVIGATION_TYPES).index(RESTORED)

        interactions = random.poisson(INTERACTIONS_PER_VIEW, self.view_session.size)
        is_only_view = (views == 1)[self.view_session]
        interactions = np.where(is_only_view, np.maximum(interactions, 1), interactions)
        self.view_interactions = np.where(self.session_bounces[self.view_session], 0, interactions)

    def events(self) -> pl.DataFrame:
        random, loads, changes = self.random, np.flatnonzero(self.view_is_load), np.flatnonzero(~self.view_is_load)
        error_rate = np.where(self._is_bad(np.arange(self.view_session.size)), BAD_ERROR_RATE, ERROR_RATE)
        erroneous = np.flatnonzero(random.random(self.view_session.size) < error_rate)
        checked = loads[random.random(loads.size) < ACCESSIBILITY_CHECK_RATE]
        active = np.repeat(np.arange(self.view_session.size), self.view_interactions)
        frames = [
            self._emit("page_view", loads, 0.0),
            self._emit("route_change", changes, 0.0, is_success=random.random(changes.size) > FAILED_ROUTE_CHANGE_RATE),
            *self._vitals(loads),
            self._emit(
                "interaction",
                active,
                self._within(active),
                step=random.choice(self.front_end.actions, active.size),
                component=self._some_component(active),
            ),
            self._emit(
                "error",
                erroneous,
                self._within(erroneous),
                component=self._component(
                    erroneous, np.where(self._is_bad(erroneous), 0, random.integers(0, 12, erroneous.size))
                ),
            ),
            self._emit(
                "accessibility_check",
                checked,
                self._within(checked),
                step=random.choice(ACCESSIBILITY_RULES, checked.size),
                is_success=random.random(checked.size) < ACCESSIBILITY_PASS_RATE,
                component=self._some_component(checked),
            ),
        ]
        if self.front_end.is_checkout:
            frames += self._checkout()
        events = pl.concat([*frames, pl.DataFrame(schema={"attempt": pl.String})], how="diagonal")
        return (
            events.hstack(self._views().select(pl.all().gather(events["view"])))
            .with_columns(
                pl.lit(self.front_end.service).alias("service"),
                (pl.lit(self.period.start) + pl.duration(milliseconds="at")).alias("occurred_at"),
                # A vital or an error belongs to no call of an API; each payment is a trace of its own.
                trace_id=pl.when(pl.col("attempt").is_not_null())
                .then(pl.format("{}-{}", "trace_id", "attempt"))
                .when(pl.col("event_type").is_in(("page_view", "route_change")))
                .then("trace_id"),
            )
            .drop("view", "at", "attempt")
        )

    def _views(self) -> pl.DataFrame:
        session = pl.Series(self.view_session)
        names = pl.select(pl.format(f"{self.front_end.service}-{{}}", pl.arange(self.session_start.size))).to_series()
        return pl.DataFrame(
            {
                "session_id": names.gather(session),
                "position": self.view_position,
                "route": pl.Series([route.template for route in self.front_end.routes]).gather(self.view_route),
                "release": pl.Series([each.version for each in self.releases]).gather(self.session_release[session]),
                "device_class": pl.Series(list(DEVICES)).gather(self.session_device[session]),
                "country": pl.Series(list(COUNTRIES)).gather(self.session_country[session]),
                "is_authenticated": self.session_is_signed_in[session],
                "is_synthetic": self.session_is_synthetic[session],
                "feature_flags": self.session_flags.gather(session),
                "navigation_type": pl.Series(list(NAVIGATION_TYPES)).gather(self.view_navigation),
                "is_load": self.view_is_load,
            }
        ).select(
            pl.all().exclude("position", "is_load", "navigation_type"),
            pl.format("{}-{}", "session_id", "position").alias("page_view_id"),
            pl.format("{}-{}-trace", "session_id", "position").alias("trace_id"),
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
        slowness[self._is_bad(loads)] *= BAD_LCP_FACTOR
        restored = self.view_navigation[loads] == list(NAVIGATION_TYPES).index(RESTORED)
        lcp = self.device_lcp[device] * slowness * random.lognormal(0.0, 0.45, loads.size)
        # A page out of the cache is painted at once, and waits for no server.
        lcp = np.where(restored, random.uniform(15.0, 120.0, loads.size), lcp)
        fcp = lcp * random.uniform(0.45, 0.85, loads.size)
        ttfb = np.where(restored, 0.0, fcp * random.uniform(0.15, 0.5, loads.size))
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
        paints = name in ("FCP", "LCP")
        component = self._component(views, np.zeros(views.size)) if paints else self._some_component(views)
        columns = pl.DataFrame({"metric_id": ids, "metric_value": values, "component": component}).with_columns(
            metric_name=pl.lit(name)
        )
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
        retried = paying & is_done & (self.random.random(views.size) < RETRY_RATE)
        return [
            steps,
            *self._payments(views[paying], "pay", 0.95, is_success=is_done[paying]),
            *self._payments(views[retried], "retried", 0.7, is_success=np.zeros(retried.sum(), dtype=bool)),
        ]

    def _payments(self, views: np.ndarray, attempt: str, at: float, is_success: np.ndarray) -> list[pl.DataFrame]:
        """A payment in each of these page views, when so much of it has passed: the click, and what came of it."""
        answered_ms = self.view_dwell[views] * at
        is_visible = self.random.random(views.size) < RETRY_VISIBLE_RATE
        steps = np.full(views.size, PAY)
        click = self._emit("interaction", views, answered_ms - PAYMENT_TAKES_MS, step=steps)
        payment = self._emit(
            "payment",
            views,
            answered_ms,
            step=steps,
            is_success=is_success,
            is_retry_visible=pl.select(pl.when(~pl.Series(is_success)).then(pl.Series(is_visible))).to_series(),
        )
        return [each.with_columns(component=pl.lit(PAYMENT_FORM), attempt=pl.lit(attempt)) for each in (click, payment)]

    def _component(self, views: np.ndarray, numbers: np.ndarray) -> pl.Series:
        """The component of each page view's route with this number, counted round."""
        routes = self.front_end.routes
        most = max(len(route.components) for route in routes)
        padded = [component for route in routes for component in (route.components * most)[:most]]
        size = np.array([len(route.components) for route in routes])[self.view_route[views]]
        return pl.Series(padded).gather(self.view_route[views] * most + numbers.astype(np.int64) % size)

    def _some_component(self, views: np.ndarray) -> pl.Series:
        return self._component(views, self.random.integers(0, 12, views.size))

    def _is_bad(self, views: np.ndarray) -> np.ndarray:
        """Which of these page views the bad release hurts."""
        return self.session_is_bad[self.view_session[views]] & self._is_bad_route(self.view_route[views])

    def _live(self, since: datetime, until: datetime) -> np.ndarray:
        """Which sessions began in this time."""
        return (self.session_start >= self._milliseconds(since)) & (self.session_start < self._milliseconds(until))

    def _is_bad_route(self, routes: np.ndarray) -> np.ndarray:
        return np.array([route.template == BAD_RELEASE.route for route in self.front_end.routes])[routes]

    def _milliseconds(self, at: datetime) -> int:
        return int((at - self.period.start).total_seconds() * 1000)
