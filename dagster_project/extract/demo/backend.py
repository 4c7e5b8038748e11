"""What services and workers report of themselves: requests they answer, jobs they run, and their processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from dagster_project.extract.demo.delivery import Deployment
from dagster_project.extract.demo.organisation import (
    CRASH_LOOP,
    IMPROVEMENT,
    MEMORY_LEAK,
    NOISY_PAGER,
    PAYMENT_TAKES_MS,
    PAYMENTS,
    SERVER_ERRORS,
    STUCK_QUEUE,
    Period,
    Truth,
)

Releases = dict[str, list[Deployment]]

# An answer of the API comes this long after the page began to load, at most.
LATEST_CALL_MS = 900
SERVER_ERROR_RATE = 0.001
BAD_SERVER_ERROR_RATE = 0.01
SERVER_ERRORS_SEEN = (500, 502, 503, 504)
UNKNOWN_RATE = 0.004

INSTANCES = 2
SAMPLE_EVERY = timedelta(minutes=30)
RESTARTS_PER_DAY = 0.04
CRASH_SHARE = 0.3
COLD_START_RATE = 0.12
CRASH_LOOP_EVERY_SECONDS = 240
LEAK_BYTES_PER_HOUR = 6 * 2**20


@dataclass(frozen=True)
class Call:
    """Requests of a route, `per_view` on average in each view of a page of the front ends, or of the mobile app.

    `invalid` of them get a 400 for the client's own mistake.
    """

    page: str
    service: str
    method: str
    route: str
    per_view: float
    median_ms: float
    invalid: float = 0.0


CATALOG, SEARCH, PAYMENT = SERVER_ERRORS.service, IMPROVEMENT.service, "payments-api"
APP = "app"
APP_VIEWS_PER_SESSION = 1.0
CALLS = (
    Call(APP, CATALOG, "GET", "/products/:id", 1.6, 35.0),
    Call(APP, SEARCH, "GET", "/search", 1.4, 110.0, invalid=0.02),
    Call(APP, PAYMENT, "GET", "/payments/:id", 0.6, 50.0),
    Call("/", CATALOG, "GET", "/collections", 2.0, 40.0),
    Call("/", SEARCH, "GET", "/suggestions", 1.5, 60.0, invalid=0.01),
    Call("/products/:slug", CATALOG, "GET", "/products/:id", 1.5, 35.0),
    Call("/products/:slug", CATALOG, "GET", "/products/:id/reviews", 1.2, 55.0),
    Call("/collections/:name", CATALOG, "GET", "/collections/:id/products", 2.0, 70.0),
    Call("/search", SEARCH, "GET", "/search", 1.3, 110.0, invalid=0.02),
    Call("/search", SEARCH, "GET", "/suggestions", 3.0, 60.0, invalid=0.01),
    Call("/cart", CATALOG, "GET", "/prices", 1.5, 45.0),
    Call("/cart", PAYMENT, "POST", "/vouchers/check", 0.4, 80.0, invalid=0.15),
    Call("/checkout/payment", PAYMENT, "GET", "/payment-methods", 1.0, 60.0),
    Call("/overview", PAYMENT, "GET", "/payouts", 1.0, 90.0),
    Call("/overview", SEARCH, "GET", "/orders", 1.0, 100.0),
    Call("/orders/:id", PAYMENT, "GET", "/payments/:id", 1.0, 50.0),
    Call("/reports/:report", SEARCH, "GET", "/reports", 1.0, 130.0, invalid=0.02),
)
PAYMENT_MEDIAN_MS = 160.0


def requests(
    browsing: pl.DataFrame,
    checks: pl.DataFrame,
    releases: Releases,
    period: Period,
    sessions_per_day: int,
    random: np.random.Generator,
) -> pl.DataFrame:
    """Rows of requests: what page views call, what the mobile app calls at any hour, payments, and health checks.

    releases: successful production deployments of each service, oldest first.
    """
    in_browsers = browsing.filter(pl.col("event_type").is_in(("page_view", "route_change"))).select(
        "route", "occurred_at", "session_id", "trace_id", "is_synthetic"
    )
    in_app = _at_any_time(APP_VIEWS_PER_SESSION * sessions_per_day, period, random).select(
        "occurred_at",
        route=pl.lit(APP),
        trace_id=pl.format("app-{}-trace", pl.int_range(pl.len())),
        is_synthetic=pl.lit(False),
    )
    views = pl.concat([in_browsers, in_app], how="diagonal")
    called = pl.concat(
        [*(_called(call, views, random) for call in CALLS), _payments(browsing, random), _health(checks, random)],
        how="diagonal",
    )
    is_bad = (pl.col("service") == SERVER_ERRORS.service) & _during("occurred_at", SERVER_ERRORS)
    error_rate = pl.when(is_bad).then(BAD_SERVER_ERROR_RATE).otherwise(SERVER_ERROR_RATE)
    size = called.height
    return (
        called.with_columns(
            status=pl.when(pl.col("status") == 200, pl.Series(random.random(size)) < error_rate)
            .then(pl.Series(random.choice(SERVER_ERRORS_SEEN, size)))
            .otherwise("status"),
            duration_ms=(pl.col("median_ms") * pl.Series(random.lognormal(0.0, 0.5, size))).round(1),
        )
        .with_columns(is_validation_error=pl.col("status").is_in((400, 402)))
        .pipe(_released, releases)
        .with_row_index("request_id")
    )


def _called(call: Call, views: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    views = views.filter(pl.col("route") == call.page)
    number = np.repeat(np.arange(views.height), random.poisson(call.per_view, views.height))
    chance = random.random(number.size)
    status = np.select([chance < call.invalid, chance < call.invalid + UNKNOWN_RATE], [400, 404], 200)
    return views.select(pl.all().gather(number)).with_columns(
        pl.col("occurred_at") + pl.duration(milliseconds=pl.Series(random.integers(20, LATEST_CALL_MS, number.size))),
        service=pl.lit(call.service),
        method=pl.lit(call.method),
        route=pl.lit(call.route),
        median_ms=pl.lit(call.median_ms),
        status=pl.Series(status),
    )


def _payments(browsing: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """The write of each payment, in the trace of its browser step; a declined one is the client's to mend."""
    payments = browsing.filter(pl.col("event_type") == "payment")
    return payments.select(
        "session_id",
        "trace_id",
        "is_synthetic",
        pl.col("occurred_at")
        - pl.duration(milliseconds=pl.Series(random.integers(150, PAYMENT_TAKES_MS - 100, payments.height))),
        service=pl.lit(PAYMENT),
        method=pl.lit("POST"),
        route=pl.lit(PAYMENTS),
        median_ms=pl.lit(PAYMENT_MEDIAN_MS),
        status=pl.when("is_success").then(201).otherwise(402).cast(pl.Int64),
    )


def _health(checks: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    checks = checks.filter(pl.col("service").is_in((CATALOG, SEARCH, PAYMENT)))
    return checks.select(
        "service",
        "occurred_at",
        method=pl.lit("GET"),
        route=pl.lit("/health"),
        median_ms=pl.lit(5.0),
        status=pl.when("is_success").then(204).otherwise(503).cast(pl.Int64),
        is_synthetic=pl.lit(True),
        trace_id=pl.format("health-{}", pl.Series(random.integers(0, 2**62, checks.height))),
    )


@dataclass(frozen=True)
class Queue:
    """Jobs of one kind: `per_session` on average for every session of any front end; times are medians."""

    service: str
    queue: str
    job_name: str
    per_session: float
    waits_seconds: float
    takes_seconds: float


QUEUES = (
    Queue(STUCK_QUEUE.service, STUCK_QUEUE.queue, "send-receipt", 0.2, 6.0, 1.2),
    Queue(NOISY_PAGER.service, "newsletter", "send-newsletter", 0.25, 15.0, 1.5),
    Queue("image-worker", "thumbnails", "make-thumbnails", 0.3, 8.0, 4.0),
    Queue("image-worker", "cleanup", "remove-orphans", 0.1, 20.0, 9.0),
)
ORDER_CONFIRMATION = Queue(STUCK_QUEUE.service, STUCK_QUEUE.queue, "send-order-confirmation", 0.0, 5.0, 1.2)
JOB_FAILURE_RATE = 0.004
JOB_CANCELLED_RATE = 0.001
REPEATED_ATTEMPT_RATE = 0.03
# What a stuck queue has gathered is worked off at this pace.
CATCH_UP_SECONDS = 4.0


def jobs(
    browsing: pl.DataFrame, releases: Releases, period: Period, sessions_per_day: int, random: np.random.Generator
) -> pl.DataFrame:
    """Rows of jobs: a confirmation for every payment, in its trace, and jobs at any time; the end does not see all."""
    confirmations = browsing.filter((pl.col("event_type") == "payment") & pl.col("is_success")).select(
        "trace_id", pl.col("occurred_at").alias("enqueued_at")
    )
    frames = [_timed(ORDER_CONFIRMATION, confirmations, random)]
    for queue in QUEUES:
        added = _at_any_time(queue.per_session * sessions_per_day, period, random)
        frames.append(_timed(queue, added.rename({"occurred_at": "enqueued_at"}), random))
    made = pl.concat(frames, how="diagonal")
    chance = pl.Series(random.random(made.height))
    is_over = pl.col("finished_at") < period.end
    return (
        made.pipe(_released, releases, "enqueued_at")
        .with_columns(
            status=pl.when(chance < JOB_FAILURE_RATE)
            .then(pl.lit("failure"))
            .when(chance < JOB_FAILURE_RATE + JOB_CANCELLED_RATE)
            .then(pl.lit("cancelled"))
            .otherwise(pl.lit("success")),
            attempts=pl.Series(random.geometric(1 - REPEATED_ATTEMPT_RATE, made.height)),
        )
        .with_columns(
            started_at=pl.when(pl.col("started_at") < period.end).then("started_at"),
            finished_at=pl.when(is_over).then("finished_at"),
            status=pl.when(is_over).then("status"),
        )
        .with_row_index("job_id")
    )


def _timed(queue: Queue, jobs: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """When each job of a queue starts and ends."""
    waits, takes = (
        pl.duration(milliseconds=pl.Series(1000 * seconds * random.lognormal(0.0, spread, jobs.height)).cast(pl.Int64))
        for seconds, spread in ((queue.waits_seconds, 0.9), (queue.takes_seconds, 0.6))
    )
    started_at = pl.col("enqueued_at") + waits
    if queue.queue == STUCK_QUEUE.queue:
        is_stuck = _during("enqueued_at", STUCK_QUEUE)
        turn = (is_stuck.cum_sum() * CATCH_UP_SECONDS * 1000).cast(pl.Int64)
        freed_at = pl.lit(STUCK_QUEUE.ends) + pl.duration(milliseconds=turn)
        started_at = pl.when(is_stuck).then(pl.max_horizontal(started_at, freed_at)).otherwise(started_at)
    return (
        jobs.with_columns(started_at=started_at)
        .with_columns(finished_at=pl.col("started_at") + takes)
        .with_columns(service=pl.lit(queue.service), queue=pl.lit(queue.queue), job_name=pl.lit(queue.job_name))
    )


def process_samples(releases: Releases, period: Period, random: np.random.Generator) -> pl.DataFrame:
    """Rows of process_samples: every release starts its instances anew, and now and then one has to start again."""
    frames = [_processes(service, deployed, period, random) for service, deployed in releases.items()]
    return pl.concat(frames).filter(pl.col("occurred_at") >= period.start).with_row_index("sample_id")


def _processes(
    service: str, deployed: Sequence[Deployment], period: Period, random: np.random.Generator
) -> pl.DataFrame:
    instances = pl.DataFrame({"instance": range(INSTANCES)})
    starts = (
        pl.DataFrame({"release": [each.version for each in deployed], "deployed": range(len(deployed))})
        .with_columns(occurred_at=pl.Series([each.finished_at for each in deployed], dtype=pl.Datetime("us")))
        .join(instances, how="cross")
        .with_columns(
            pl.col("occurred_at") - pl.duration(seconds=20 * (pl.col("instance") + 1)),
            process_id=pl.format(f"{service}-{{}}-{{}}", "deployed", "instance"),
        )
    )
    again = pl.concat(
        [_restarts(period, random), *([_crash_loop(random)] if service == CRASH_LOOP.service else [])]
    ).sort("occurred_at")
    again = again.join_asof(
        starts.sort("occurred_at"), on="occurred_at", by="instance", check_sortedness=False
    ).drop_nulls("process_id")
    began = pl.concat([starts.with_columns(sample_kind=pl.lit("start")), again], how="diagonal").with_columns(
        startup_ms=pl.Series(random.lognormal(np.log(1400.0), 0.4, starts.height + again.height)).round(0),
        is_cold_start=pl.when(sample_kind="start").then(
            pl.Series(random.random(starts.height + again.height)) < COLD_START_RATE
        ),
        began_at="occurred_at",
    )
    began = began.sort("occurred_at")
    grid = pl.datetime_range(period.start, period.end, SAMPLE_EVERY, closed="left", eager=True)
    used = (
        pl.DataFrame({"occurred_at": grid})
        .join(instances, how="cross")
        .join_asof(
            began.select("occurred_at", "instance", "process_id", "release", "began_at"),
            on="occurred_at",
            by="instance",
            check_sortedness=False,
        )
        .drop_nulls("process_id")
    )
    hours = (pl.col("occurred_at") - pl.col("began_at")).dt.total_seconds() / 3600
    leaks = (pl.col("began_at") >= MEMORY_LEAK.begins) & pl.lit(service == MEMORY_LEAK.service)
    noise, delay = (pl.Series(random.lognormal(0.0, spread, used.height)) for spread in (0.04, 0.5))
    # The heap fills its caches within the first hours.
    heap = 90e6 * (1 + 0.4 * (1 - (-hours / 2).exp())) * noise + leaks * LEAK_BYTES_PER_HOUR * hours
    used = used.with_columns(
        sample_kind=pl.lit("sample"),
        uptime_seconds=hours * 3600,
        heap_used_bytes=heap.round(0).cast(pl.Int64),
        event_loop_delay_p99_ms=(12 * delay).round(2),
    ).with_columns(rss_bytes=(pl.col("heap_used_bytes") * 1.3).round(0).cast(pl.Int64) + 60_000_000)
    return (
        pl.concat([began, used], how="diagonal")
        .drop("began_at", "deployed", "instance")
        .with_columns(service=pl.lit(service))
    )


def _restarts(period: Period, random: np.random.Generator) -> pl.DataFrame:
    """Starts again at any time, some of them after a crash."""
    size = random.poisson(RESTARTS_PER_DAY * INSTANCES * period.days)
    kinds = np.where(random.random(size) < CRASH_SHARE, "crash", "restart")
    return _again(period.start, random.integers(0, period.days * 86_400, size), kinds, random)


def _crash_loop(random: np.random.Generator) -> pl.DataFrame:
    seconds = int((CRASH_LOOP.ends - CRASH_LOOP.begins).total_seconds())
    size = INSTANCES * seconds // CRASH_LOOP_EVERY_SECONDS
    return _again(CRASH_LOOP.begins, random.integers(30, seconds - 60, size), np.full(size, "crash"), random)


def _again(since: datetime, seconds: np.ndarray, kinds: np.ndarray, random: np.random.Generator) -> pl.DataFrame:
    return pl.DataFrame(
        {"seconds": seconds, "sample_kind": kinds, "instance": random.integers(0, INSTANCES, seconds.size)}
    ).select(
        (pl.lit(since) + pl.duration(seconds="seconds")).cast(pl.Datetime("us")).alias("occurred_at"),
        "sample_kind",
        "instance",
    )


def _at_any_time(per_day: float, period: Period, random: np.random.Generator) -> pl.DataFrame:
    at = np.sort(random.integers(0, period.days * 86_400_000, random.poisson(per_day * period.days)))
    return pl.DataFrame({"at": at}).select(
        (pl.lit(period.start) + pl.duration(milliseconds="at")).cast(pl.Datetime("us")).alias("occurred_at")
    )


def _during(column: str, truth: Truth) -> pl.Expr:
    return pl.col(column).is_between(truth.begins, truth.ends, closed="left")


def _released(rows: pl.DataFrame, releases: Releases, time: str = "occurred_at") -> pl.DataFrame:
    """With the release of the service that was live at the time of each row, in the order of time."""
    live = pl.concat(
        pl.DataFrame(
            {
                "service": [service] * len(deployed),
                time: pl.Series([each.finished_at for each in deployed], dtype=pl.Datetime("us")),
                "release": [each.version for each in deployed],
            }
        )
        for service, deployed in releases.items()
    )
    return rows.sort(time, maintain_order=True).join_asof(
        live.sort(time), on=time, by="service", check_sortedness=False
    )
