"""Who the demo organisation is: teams, services, calendar, and the truths planted in its data."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from hashlib import sha1
from itertools import pairwise
from typing import Literal

# The record ends here, whatever the clock says, so that the same options always give the same rows.
LAST_DAY = date(2026, 6, 30)
# A week after the end of that day its last period is final.
AS_OF = LAST_DAY + timedelta(days=8)
# Front ends report since 2026-02-01: 28 days of baseline before any planted truth, and a quick first run.
MEASURED_DAYS = 150
WORKING_HOURS_PER_DAY = 9.0
ENGINEERS_PER_TEAM = 7

# Where the checkout's payments are written, at the payments API, and how long a shopper waits for the outcome.
PAYMENTS = "/payments"
PAYMENT_TAKES_MS = 1000


@dataclass(frozen=True)
class Truth:
    """Something put into the data on purpose, which the marts have to find.

    `begins` and `ends` are UTC; without them it holds over the whole period. `route`, `component`, `step`, `queue` and
    `alert_key` say where to look, and `team` whose it is. With a `verdict` a production deployment of the service
    finished at `begins`, and the verdict says what the measurement of its effect has to find; `repair` is how it was
    undone at `ends`, and with `is_noticed` there was an incident.
    """

    service: str
    what: str
    begins: datetime | None = None
    ends: datetime | None = None
    route: str | None = None
    component: str | None = None
    step: str | None = None
    queue: str | None = None
    alert_key: str | None = None
    team: str | None = None
    verdict: Literal["degraded", "still_degraded", "telemetry_lost"] | None = None
    repair: Literal["hotfix", "rollback"] | None = None
    is_noticed: bool = False

    def covers(self, at: datetime) -> bool:
        return (self.begins is None or self.begins <= at) and (self.ends is None or at < self.ends)

    def holds_for(self, team: Team, at: datetime) -> bool:
        return team.name == self.team and self.covers(at)


SLOW_REVIEW = Truth(
    service="dashboard",
    what="Pull requests wait days for their first review, so that commit→merge is by far the slowest segment.",
)
BAD_RELEASE = Truth(
    service="storefront",
    what="A technically successful deployment raises the bounce rate of sessions that enter at `route` from about 32 % "
    "to about 70 %, its LCP by 80 %, and the share of its views with an uncaught error, all in `component`, from 1.2 "
    "to 16 %, until a hotfix two days later. Nobody is paged.",
    begins=datetime(2026, 5, 12, 9, 30),
    ends=datetime(2026, 5, 14, 15, 45),
    route="/products/:slug",
    component="product-gallery",
    verdict="degraded",
    repair="hotfix",
)
HEALTHY_RELEASE = Truth(
    service=BAD_RELEASE.service,
    what="A healthy deployment while the bad release is not repaired yet: it is not to blame for what it finds.",
    begins=datetime(2026, 5, 13, 13, 30),
    verdict="still_degraded",
)
BROKEN_STEP = Truth(
    service="checkout-ui",
    what="A deployment breaks a step of the checkout: of the shoppers at `step` 8 % instead of 86 % go on, until a "
    "hotfix a day later. Nobody is paged.",
    begins=datetime(2026, 6, 2, 10, 15),
    ends=datetime(2026, 6, 3, 14, 20),
    route="/checkout/shipping",
    step="shipping",
    verdict="degraded",
    repair="hotfix",
)
WHITE_SCREEN = Truth(
    service=SLOW_REVIEW.service,
    what="A deployment renders nothing, so its sessions send nothing, until it is rolled back seven hours later.",
    begins=datetime(2026, 6, 9, 14, 30),
    ends=datetime(2026, 6, 9, 21, 30),
    verdict="telemetry_lost",
    repair="rollback",
    is_noticed=True,
)
SERVER_ERRORS = Truth(
    service="catalog-api",
    what="A deployment raises the share of 5xx answers from 0.1 to 1 % on every route, until a hotfix a day later. "
    "Nobody is paged.",
    begins=datetime(2026, 4, 14, 9, 40),
    ends=datetime(2026, 4, 15, 13, 10),
    verdict="degraded",
    repair="hotfix",
)
CRASH_LOOP = Truth(
    service=SERVER_ERRORS.service,
    what="After a deployment each instance crashes every few minutes, until it is rolled back five hours later.",
    begins=datetime(2026, 6, 16, 9, 20),
    ends=datetime(2026, 6, 16, 14, 20),
    verdict="degraded",
    repair="rollback",
    is_noticed=True,
)
NOISY_PAGER = Truth(
    service="email-worker",
    what="About one false alarm a day under one alert key; nobody acts and it resolves itself within minutes.",
    alert_key="email-worker:queue-depth",
)
STUCK_QUEUE = Truth(
    service=NOISY_PAGER.service,
    what="For two and a half hours no job of `queue` starts; what has gathered is then worked off.",
    begins=datetime(2026, 6, 18, 17, 0),
    ends=datetime(2026, 6, 18, 19, 30),
    queue="transactional",
)
IMPROVEMENT = Truth(
    service="search-api",
    what="Over the period lead time falls from several days to about one, and deployments become several times as "
    "frequent.",
)
MEMORY_LEAK = Truth(
    service=IMPROVEMENT.service,
    what="Every instance of a release deployed since leaks about 6 MB an hour, given back only when it is replaced.",
    begins=datetime(2026, 6, 1),
)
GAMED = Truth(
    service="payments-api",
    team="checkout",
    what="Since April the same work is cut into many small changes that are deployed several times as often, and fail "
    "more often.",
    begins=datetime(2026, 4, 1),
)
SILENT = Truth(
    service="image-worker",
    team="platform",
    what="From January to March most reviews approve without a word, and half of the team stays away from its "
    "retrospectives.",
    begins=datetime(2026, 1, 1),
    ends=datetime(2026, 4, 1),
)
OVER_REPORTED = Truth(
    service=NOISY_PAGER.service,
    team="merchant-tools",
    what="Coverage of the critical path is reported to rise from 70 to 90 % since May, by tests of which builds fail "
    "and succeed on the same commit.",
    begins=datetime(2026, 5, 1),
)
PERCEPTION_GAP = Truth(
    service=IMPROVEMENT.service,
    team="discovery",
    what="Since April the team says that it has become slow, while its delivery gets faster.",
    begins=datetime(2026, 4, 1),
)
CONCENTRATED = Truth(
    service=BAD_RELEASE.service,
    team="discovery",
    what="From January to March one person writes most pull requests of the team, and another gives most reviews.",
    begins=datetime(2026, 1, 1),
    ends=datetime(2026, 4, 1),
)
RISKY_MODULE = Truth(
    service=BAD_RELEASE.service,
    what="What fails has changed the module `component`, mostly alone, to which few other changes go.",
    component="src/product-gallery",
)

# Services without a truth are the control: their delivery, incidents and experience do not change over the period.
PLANTED: dict[str, Truth] = {
    "slow_review": SLOW_REVIEW,
    "bad_release": BAD_RELEASE,
    "healthy_release": HEALTHY_RELEASE,
    "broken_step": BROKEN_STEP,
    "white_screen": WHITE_SCREEN,
    "server_errors": SERVER_ERRORS,
    "crash_loop": CRASH_LOOP,
    "noisy_pager": NOISY_PAGER,
    "stuck_queue": STUCK_QUEUE,
    "improvement": IMPROVEMENT,
    "memory_leak": MEMORY_LEAK,
    "gamed": GAMED,
    "silent": SILENT,
    "over_reported": OVER_REPORTED,
    "perception_gap": PERCEPTION_GAP,
    "concentrated": CONCENTRATED,
    "risky_module": RISKY_MODULE,
}


@dataclass(frozen=True)
class Team:
    """`opens` is the UTC hour at which its working day begins."""

    name: str
    parent: str | None
    time_zone: str
    opens: int = 8

    @property
    def engineers(self) -> list[str]:
        first = 1 + ENGINEERS_PER_TEAM * [team.name for team in TEAMS].index(self.name)
        return [f"engineer-{number}" for number in range(first, first + ENGINEERS_PER_TEAM)]


TEAMS = (
    Team("commerce", None, "Europe/Berlin"),
    Team("operations", None, "America/New_York", opens=14),
    Team("discovery", "commerce", "Europe/Berlin"),
    Team("checkout", "commerce", "Europe/Lisbon", opens=9),
    Team("merchant-tools", "operations", "America/New_York", opens=14),
    Team("platform", "operations", "Europe/Berlin"),
)


@dataclass(frozen=True)
class Pace:
    """How a service delivers: events a working day, and medians in working hours."""

    pull_requests_per_day: float
    deployments_per_day: float
    coding_hours: float = 2.2
    pickup_hours: float = 1.0
    review_hours: float = 0.8

    def towards(self, other: Pace, share: float) -> Pace:
        """The pace after this share (0 to 1) of a steady change to another."""
        each = ((field.name, getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Pace(**{name: now * (then / now) ** share for name, now, then in each})


@dataclass(frozen=True)
class Service:
    """`owners` are (team, first day of its ownership), oldest first; the first has owned it since ever."""

    name: str
    component_kind: str
    owners: tuple[tuple[str, date | None], ...]
    pace: Pace
    final_pace: Pace | None = None

    @property
    def repository(self) -> str:
        return f"demo/{self.name}"

    def pace_at(self, share: float) -> Pace:
        return self.pace.towards(self.final_pace, share) if self.final_pace else self.pace

    def team_at(self, day: date) -> Team:
        name = [name for name, since in self.owners if since is None or since <= day][-1]
        return next(team for team in TEAMS if team.name == name)

    def ownerships(self) -> Iterator[tuple[str, date | None, date | None]]:
        """(team, first day, first day after it) of every ownership."""
        for (team, since), (_, until) in pairwise((*self.owners, (None, None))):
            yield team, since, until


SERVICES = (
    Service(BAD_RELEASE.service, "frontend", (("discovery", None),), Pace(2.8, 2.0)),
    Service(BROKEN_STEP.service, "frontend", (("checkout", None),), Pace(1.8, 1.5)),
    Service(SLOW_REVIEW.service, "frontend", (("merchant-tools", None),), Pace(1.5, 1.0, pickup_hours=26.0)),
    Service(SERVER_ERRORS.service, "node_service", (("discovery", None),), Pace(2.0, 1.6)),
    Service(
        GAMED.service,
        "node_service",
        (("checkout", None),),
        Pace(1.3, 0.8, coding_hours=3.0, pickup_hours=1.8, review_hours=1.4),
    ),
    Service(
        IMPROVEMENT.service,
        "node_service",
        (("discovery", None),),
        Pace(1.4, 0.5, coding_hours=5.0, pickup_hours=5.5, review_hours=3.5),
        Pace(2.8, 2.4, coding_hours=1.6, pickup_hours=0.6, review_hours=0.5),
    ),
    Service(NOISY_PAGER.service, "worker", (("merchant-tools", None),), Pace(1.4, 1.3)),
    Service(SILENT.service, "worker", (("platform", None), ("discovery", date(2026, 4, 1))), Pace(1.4, 1.3)),
)


@dataclass(frozen=True)
class Period:
    """`days` whole UTC days, the last of them LAST_DAY."""

    days: int

    @property
    def start(self) -> datetime:
        return self.end - timedelta(days=self.days)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return datetime.combine(LAST_DAY, time()) + timedelta(days=1)

    def share(self, at: datetime) -> float:
        """How much of the period has passed, 0 to 1."""
        return min((at - self.start) / (self.end - self.start), 1.0)

    def before_end(self, at: datetime | None) -> datetime | None:
        """A time that nobody had seen by the end is absent."""
        return at if at is not None and at < self.end else None


def is_working_day(day: date) -> bool:
    """Monday to Friday, except the year-end closure, 1 May and Easter 2026."""
    closed = (day.month, day.day) >= (12, 24) or (day.month, day.day) in ((1, 1), (1, 2), (5, 1))
    return day.weekday() < 5 and not closed and day not in (date(2026, 4, 3), date(2026, 4, 6))


class WorkingTime:
    """One team's working hours laid end to end: hour 0 is the beginning of its first working day in the period."""

    def __init__(self, period: Period, team: Team) -> None:
        # What begins within the period may end after it.
        days = (period.start.date() + timedelta(days=n) for n in range(period.days + 120))
        self._mornings = [datetime.combine(day, time(team.opens)) for day in days if is_working_day(day)]
        self.hours = bisect_right(self._mornings, period.end) * WORKING_HOURS_PER_DAY

    def moment(self, hours: float) -> datetime:
        """UTC time at which so many working hours have passed, to the second."""
        day, hour = divmod(hours, WORKING_HOURS_PER_DAY)
        morning = self._mornings[min(int(day), len(self._mornings) - 1)]
        return morning + timedelta(seconds=round(hour * 3600))


def commit_sha(*identity: object) -> str:
    return sha1("/".join(map(str, identity)).encode()).hexdigest()
