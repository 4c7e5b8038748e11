"""Delivery of one service: pull requests, the default branch, its builds, and deployments of it."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import log
from operator import attrgetter
from random import Random
from typing import Any

from dagster_project.extract.demo.organisation import (
    CONCENTRATED,
    GAMED,
    OVER_REPORTED,
    PLANTED,
    WORKING_HOURS_PER_DAY,
    Pace,
    Period,
    Service,
    Truth,
    WorkingTime,
    commit_sha,
)

Row = dict[str, Any]

FLAKY_RATE = 0.05
FLAKY_RATE_OVER_REPORTED = 0.35
BROKEN_RATE = 0.03
FAILED_ATTEMPT_RATE = 0.04
CAUSES_INCIDENT_RATE = 0.06
CAUSES_INCIDENT_RATE_GAMED = 0.3
PACE_GAMED = Pace(4.5, 4.0, coding_hours=0.7, pickup_hours=0.4, review_hours=0.2)
MEDIAN_LINES_ADDED, MEDIAN_LINES_ADDED_GAMED = 45, 8
# All but one in so many, where work is concentrated.
WORK_OF_ONE_IN = 5
# Of the planned deployments that find no new commit.
REDEPLOY_RATE = 0.05
DEPLOYMENT_TAKES = timedelta(minutes=8)
# Enough for a build that has to be repeated.
RUSH_BEFORE_DEPLOYMENT = timedelta(minutes=35)
# The effect of the last deployment, too, is seen for a day.
QUIET_END = timedelta(hours=30)
CHANGE_TYPES = {"feat": 34, "fix": 26, "chore": 14, "refactor": 10, "test": 6, "docs": 4, "perf": 2, None: 4}
SERVER_REPAIRS = ("rollback", "rollback", "hotfix", "hotfix", "mitigated")
REPAIRS = {
    "frontend": ("rollback", "rollback", "hotfix", "flag_rollback", "cdn_invalidation", "safe_fallback"),
    "node_service": SERVER_REPAIRS,
    "worker": SERVER_REPAIRS,
}


@dataclass
class PullRequest:
    created_at: datetime
    first_commit_at: datetime
    ready_at: datetime
    first_review_at: datetime
    approved_at: datetime | None
    merged_at: datetime | None
    closed_at: datetime
    method: str
    head_sha: str
    author: str
    commit_times: list[datetime]
    size: tuple[int, int, int]
    number: int = 0


@dataclass(eq=False)
class Merge:
    """One commit of the default branch's first-parent line; `green_at` is when its build first succeeded."""

    sha: str
    at: datetime
    green_at: datetime | None
    change_type: str | None
    author: str
    pull_request: PullRequest | None = None
    reverts: str | None = None


@dataclass
class Deployment:
    deployment_id: str
    environment: str
    status: str
    started_at: datetime
    finished_at: datetime
    merge: Merge
    relation: str
    trigger: str
    shipped: list[Merge] = field(default_factory=list)
    is_rollback: bool | None = None
    is_hotfix: bool | None = None
    repairs: Deployment | None = None

    @property
    def version(self) -> str:
        return f"{self.merge.at:%Y.%m.%d}-{self.merge.sha[:7]}"


@dataclass(frozen=True)
class Failure:
    """A deployment that hurt users from `began_at` until `repaired_at`."""

    deployment: Deployment
    began_at: datetime
    repaired_at: datetime
    repair: str


class Delivery:
    """One service's history over the period, made once at construction."""

    def __init__(self, service: Service, period: Period, seed: int) -> None:
        self.service = service
        self.period = period
        self.random = Random(f"{seed}/{service.name}/delivery")
        self.seed = seed
        self.time = WorkingTime(period, service.team_at(period.start.date()))
        self.pull_requests: list[PullRequest] = []
        self.trunk: list[Merge] = []
        self.builds: list[Row] = []
        self.deployments: list[Deployment] = []
        self.failures: list[Failure] = []
        self._attempts: Counter[str] = Counter()
        self.truths = [truth for truth in PLANTED.values() if truth.service == service.name and truth.verdict]
        # Each with its deployment and what that replaced.
        self._planted: dict[Truth, tuple[Deployment, Merge]] = {}
        self._running: dict[str, Merge] = {}
        self._furthest: dict[str, int] = {}
        self._commits = 0
        self._open_pull_requests()
        self._deploy_to_production()
        self._deploy_to_staging()
        self.pull_requests = sorted(
            (request for request in self.pull_requests if request.created_at < period.end), key=attrgetter("created_at")
        )
        for number, request in enumerate(self.pull_requests, 1):
            request.number = number

    def releases(self) -> list[Deployment]:
        """Successful production deployments, oldest first."""
        return [item for item in self.deployments if item.environment == "production" and item.status == "success"]

    # Pull requests and the default branch

    def _open_pull_requests(self) -> None:
        first_commit_at = self.period.start
        self._merge(
            Merge(self._sha(), first_commit_at, None, "chore", self._author(first_commit_at)), always_green=True
        )
        hours = 0.0
        while True:
            pace = self._pace(hours)
            hours += self.random.expovariate(pace.pull_requests_per_day / WORKING_HOURS_PER_DAY)
            if hours >= self.time.hours:
                return
            created = hours + self._about(pace.coding_hours)
            ready = created + (self._about(2.0) if self.random.random() < 0.25 else 0.0)
            review = ready + self._about(pace.pickup_hours)
            approval = review + self._about(pace.review_hours)
            closed = approval + self._about(0.3)
            commits = [hours, *(self.random.uniform(hours, created) for _ in range(self._count(1.2)))]
            if self.random.random() < 0.4:
                commits.append(self.random.uniform(review, approval))
            moments = [self.time.moment(each) for each in (hours, created, ready, review, approval, closed)]
            self._pull_request(
                moments,
                [self.time.moment(each) for each in sorted(commits)],
                method="squash" if self.random.random() < 0.7 else "merge",
                is_merged=self.random.random() > 0.04,
            )

    def _rush(self, merged_at: datetime, change_type: str, reverts: str | None = None) -> None:
        """One small change, reviewed and merged within the hour."""
        minutes = (50, 35, 35, 20, 8, 0)
        moments = [merged_at - timedelta(minutes=each) for each in minutes]
        self._pull_request(
            moments, moments[:1], "squash", is_merged=True, always_green=True, change_type=change_type, reverts=reverts
        )

    def _pull_request(
        self,
        moments: list[datetime],
        commit_times: list[datetime],
        method: str,
        is_merged: bool,
        always_green: bool = False,
        change_type: str | None = None,
        reverts: str | None = None,
    ) -> None:
        first_commit_at, created_at, ready_at, first_review_at, approved_at, closed_at = moments
        median = MEDIAN_LINES_ADDED_GAMED if self._is_gamed(created_at) else MEDIAN_LINES_ADDED
        added = max(1, round(self.random.lognormvariate(log(median), 1.2)))
        request = PullRequest(
            created_at=created_at,
            first_commit_at=first_commit_at,
            ready_at=ready_at,
            first_review_at=first_review_at,
            approved_at=approved_at if is_merged else None,
            merged_at=closed_at if is_merged else None,
            closed_at=closed_at,
            method=method,
            head_sha=self._sha(),
            author=self._author(created_at),
            commit_times=commit_times,
            size=(1 + self._count(3.0), added, round(added * self.random.uniform(0.05, 0.9))),
        )
        self.pull_requests.append(request)
        self._build(request.head_sha, created_at, broken_rate=0.0)
        if is_merged:
            kind = change_type or self.random.choices(list(CHANGE_TYPES), list(CHANGE_TYPES.values()))[0]
            self._merge(Merge(self._sha(), closed_at, None, kind, request.author, request, reverts), always_green)

    def _merge(self, merge: Merge, always_green: bool) -> None:
        merge.green_at = self._build(merge.sha, merge.at, 0.0 if always_green else BROKEN_RATE)
        insort(self.trunk, merge, key=attrgetter("at"))

    def _build(self, sha: str, at: datetime, broken_rate: float) -> datetime | None:
        """Run the workflow on one commit; a flaky run is repeated. Returns when it succeeded."""
        is_broken = self.random.random() < broken_rate
        is_over_reported = self.service.name == OVER_REPORTED.service and at >= OVER_REPORTED.begins
        flaky_rate = FLAKY_RATE_OVER_REPORTED if is_over_reported else FLAKY_RATE
        attempts = 2 if is_broken or self.random.random() < flaky_rate else 1
        finished_at = at
        for attempt in range(1, attempts + 1):
            started_at = finished_at + timedelta(seconds=self.random.randint(5, 40))
            finished_at = started_at + timedelta(seconds=self.random.randint(180, 420))
            is_success = attempt == attempts and not is_broken
            self.builds.append(
                {
                    "build_id": f"{sha[:12]}-{attempt}",
                    "repository": self.service.repository,
                    "service": self.service.name,
                    "workflow": "ci",
                    "commit_sha": sha,
                    "status": "success" if is_success else "failure",
                    "started_at": started_at,
                    "finished_at": finished_at,
                }
            )
        return None if is_broken else finished_at

    # Deployments

    def _deploy_to_production(self) -> None:
        self._deploy("production", self.trunk[0], self.period.start + timedelta(minutes=30), "manual")
        begins = {truth.begins: truth for truth in self.truths}
        ends = {truth.ends: truth for truth in self.truths if truth.repair}
        free_at = self.period.start
        for at in sorted([*self._planned(), *begins, *ends]):
            if at in begins:
                self._plant(begins[at])
            elif at in ends:
                self._repair(ends[at])
            elif at >= free_at:
                free_at = self._release(at)

    def _planned(self) -> list[datetime]:
        """When somebody wants to deploy; around a planted deployment nobody does, so that its effect stands alone."""
        planned = []
        hours = 0.0
        while hours < self.time.hours:
            pace = self._pace(hours)
            hours += self.random.gammavariate(3.0, 1 / 3.0) * WORKING_HOURS_PER_DAY / pace.deployments_per_day
            planned.append(self.time.moment(hours))
        quiet = [(truth.begins - timedelta(days=1), truth.ends) for truth in self.truths if truth.repair]
        return [
            at
            for at in planned
            if at < self.period.end - QUIET_END and not any(since <= at <= until for since, until in quiet)
        ]

    def _release(self, at: datetime) -> datetime:
        """Deploy the newest green commit, with whatever follows from it. Returns when the next one may begin."""
        running, newest = self._running["production"], self._newest_green(at)
        if newest is running:
            if self.random.random() < REDEPLOY_RATE:
                self._deploy("production", running, at, "manual")
            return at
        if self.random.random() < FAILED_ATTEMPT_RATE:
            status = self.random.choice(("failure", "failure", "cancelled"))
            self._deploy("production", newest, at, "push", status=status)
            at += timedelta(minutes=self.random.randint(20, 60))
        deployment = self._deploy("production", newest, at, "push")
        if self.random.random() < (CAUSES_INCIDENT_RATE_GAMED if self._is_gamed(at) else CAUSES_INCIDENT_RATE):
            return self._fail(deployment, replaced=running)
        return at

    def _fail(self, deployment: Deployment, replaced: Merge) -> datetime:
        began_at = deployment.finished_at + timedelta(seconds=180 + round(self.random.expovariate(1 / 2400)))
        repair = self.random.choice(REPAIRS[self.service.component_kind])
        fastest = 90 if repair == "hotfix" else 20
        repaired_at = began_at + timedelta(minutes=self.random.randint(fastest, fastest + 90))
        if repair == "rollback":
            # Not every tool marks a rollback; the commit tells.
            is_marked = True if self.random.random() < 0.6 else None
            self._deploy("production", replaced, repaired_at, "manual", is_rollback=is_marked)
        if repair == "hotfix":
            # Some commit messages say what they revert, some pipelines which deployment they repair.
            reverts = deployment.merge.sha if self.random.random() < 0.3 else None
            self._hotfix(repaired_at, reverts, repairs=deployment if self._attempts["production"] % 2 else None)
        self.failures.append(Failure(deployment, began_at, repaired_at, repair))
        return repaired_at + timedelta(hours=1)

    def _hotfix(self, at: datetime, reverts: str | None = None, repairs: Deployment | None = None) -> None:
        self._rush(at - RUSH_BEFORE_DEPLOYMENT, "revert" if reverts else "fix", reverts)
        hotfix = self._deploy("production", self._newest_green(at), at, "manual", is_hotfix=True)
        hotfix.repairs = repairs

    def _plant(self, truth: Truth) -> None:
        replaced = self._running["production"]
        self._rush(truth.begins - RUSH_BEFORE_DEPLOYMENT, "feat")
        deployment = self._deploy("production", self._newest_green(truth.begins), truth.begins, "push")
        self._planted[truth] = deployment, replaced

    def _repair(self, truth: Truth) -> None:
        deployment, replaced = self._planted[truth]
        if truth.repair == "hotfix":
            self._hotfix(truth.ends, repairs=deployment)
        else:
            self._deploy("production", replaced, truth.ends, "manual", is_rollback=True)
        if truth.is_noticed:
            began_at = truth.begins + timedelta(minutes=4)
            self.failures.append(Failure(deployment, began_at, truth.ends, truth.repair))

    def _deploy_to_staging(self) -> None:
        """Every green commit goes to staging at once."""
        for merge in self.trunk:
            if merge.green_at is None:
                continue
            at = merge.green_at + DEPLOYMENT_TAKES
            if at < self.period.end and self._newest_green(at) is merge:
                status = "failure" if self.random.random() < FAILED_ATTEMPT_RATE else "success"
                self._deploy("staging", merge, at, "push", status=status)

    def _newest_green(self, finished_at: datetime) -> Merge:
        """The newest commit whose build had passed when a deployment that finishes then began."""
        began_at = finished_at - DEPLOYMENT_TAKES
        merged = self.trunk[: bisect_right(self.trunk, began_at, key=attrgetter("at"))]
        return next(merge for merge in reversed(merged) if merge.green_at and merge.green_at <= began_at)

    def _deploy(
        self,
        environment: str,
        merge: Merge,
        finished_at: datetime,
        trigger: str,
        status: str = "success",
        is_rollback: bool | None = None,
        is_hotfix: bool | None = None,
    ) -> Deployment:
        position = self.trunk.index(merge)
        running = self.trunk.index(self._running[environment]) if environment in self._running else -1
        furthest = self._furthest.get(environment, -1)
        if position > furthest:
            relation = "new"
        elif position == running:
            relation = "same"
        else:
            relation = "ancestor" if position < running else "returned"
        self._attempts[environment] += 1
        deployment = Deployment(
            deployment_id=f"{self.service.name}-{environment}-{self._attempts[environment]}",
            environment=environment,
            status=status,
            started_at=finished_at - timedelta(seconds=self.random.randint(90, DEPLOYMENT_TAKES.seconds)),
            finished_at=finished_at,
            merge=merge,
            relation=relation,
            trigger=trigger,
            is_rollback=is_rollback,
            is_hotfix=is_hotfix,
        )
        if status == "success":
            deployment.shipped = self.trunk[furthest + 1 : position + 1]
            self._running[environment] = merge
            self._furthest[environment] = max(furthest, position)
        self.deployments.append(deployment)
        return deployment

    # Draws

    def _is_gamed(self, at: datetime) -> bool:
        return self.service.name == GAMED.service and at >= GAMED.begins

    def _pace(self, hours: float) -> Pace:
        return PACE_GAMED if self._is_gamed(self.time.moment(hours)) else self.service.pace_at(hours / self.time.hours)

    def _about(self, median_hours: float) -> float:
        return self.random.lognormvariate(log(median_hours), 0.7)

    def _count(self, mean: float) -> int:
        """Zero or more, each less likely than the one before."""
        return int(self.random.expovariate(log(1 + 1 / mean)))

    def _author(self, at: datetime) -> str:
        team = self.service.team_at(at.date())
        author = self.random.choice(team.engineers)
        is_concentrated = CONCENTRATED.holds_for(team, at)
        return team.engineers[0] if is_concentrated and self._commits % WORK_OF_ONE_IN else author

    def _sha(self) -> str:
        self._commits += 1
        return commit_sha(self.seed, self.service.name, self._commits)
