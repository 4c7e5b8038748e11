"""Delivery as docs/metrics.md defines it, once more: slowly, row by row, in plain Python, from raw rows.

Written from the definitions and the contracts, not from the dbt models, so that tests can hold the two against each
other. A history is a dict of table name → list of rows (dicts with the contract's columns, times in UTC); a column that
a row leaves out is None.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from math import sqrt
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
History = dict[str, list[Row]]

BEGINNING, END = date(1900, 1, 1), date(9999, 12, 31)
SEVERITIES = ("sev1", "sev2", "sev3", "sev4", "sev5")
SEGMENTS = ("commit_to_merge", "merge_to_build", "build_to_deploy")
INTERVALS = ("alert_to_acknowledge", "alert_to_mitigation", "mitigation_to_resolution", "alert_to_resolution")
MOMENTS = {
    "alert": "alert_at",
    "acknowledge": "acknowledged_at",
    "mitigation": "mitigated_at",
    "resolution": "resolved_at",
}
RECOVERY_MODES = ("flag_rollback", "cdn_invalidation", "safe_fallback", "rollback", "hotfix")
STRENGTH = ("manual", "explicit", "inferred")
PERIODS = ("day", "week", "month", "quarter")


class Sparse(dict):
    """A row; what it does not hold is None."""

    def __missing__(self, key: str) -> None:
        return None

    def __or__(self, other: Row) -> Sparse:
        return Sparse({**self, **other})


def hours(start: datetime | None, end: datetime | None) -> float | None:
    """From start to end; None if one is unknown or they are in the wrong order."""
    if start is None or end is None or end < start:
        return None
    return (end - start).total_seconds() / 3600


def percentile(values: Iterable[float], share: float) -> float | None:
    """Interpolated between the two nearest ranks."""
    ranked = sorted(values)
    if not ranked:
        return None
    place = share * (len(ranked) - 1)
    below = int(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (place - below) * (ranked[above] - ranked[below])


def mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return sum(values) / len(values) if values else None


def matches(rule: str, file: str) -> bool:
    """A glob: * within a folder, ** across folders."""
    parts = re.split(r"(\*\*/?|\*)", rule)
    meaning = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*"}
    return re.fullmatch("".join(meaning.get(part, re.escape(part)) for part in parts), file) is not None


def spread(values: list[float]) -> dict[str, float | None]:
    return {"median": percentile(values, 0.5), "p90": percentile(values, 0.9), "mean": mean(values)}


def ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def wilson(successes: int, trials: int) -> tuple[float | None, float | None]:
    """The 95 % interval of Wilson (1927), clipped to 0–1."""
    if not trials:
        return None, None
    z = 1.959963984540054
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


class Delivery:
    """Every delivery mart of one history, under one setting of the dbt variables."""

    def __init__(self, history: History, variables: Row) -> None:
        self.vars = variables
        self.zone = ZoneInfo(variables["calendar_time_zone"])
        self.raw = {table: [Sparse(row) for row in rows] for table, rows in history.items()}
        self.raw = defaultdict(list, self.raw)
        self.raw["pull_requests"] = [self._with_its_events(row) for row in self.raw["pull_requests"]]
        self.as_of = self._as_of()
        self.ownerships = self._ownerships()
        self.corrections = self._corrections()
        self.deployments = self._deployments()
        self.by_key = {deployment["deployment_key"]: deployment for deployment in self.deployments}
        self.shipped = self._shipped_commits()
        self.changes = self._changes()
        self._add_contents()
        self.incidents = self._incidents()
        self.evidence = self._evidence()
        self.failures = self._failures()
        self._add_failures()
        self.pull_requests = self._pull_requests()
        self.builds = self._builds()
        self.units = self.changes if self.vars["lead_time_unit"] == "commit" else self._pull_requests_as_changes()

    def _with_its_events(self, pull_request: Row) -> Row:
        """What its own record lacks is taken from its events; of reviews and comments from those by others."""
        names = ("source", "repository", "pull_request_number")
        events = [event for event in self.raw["pull_request_events"] if all(event[n] == pull_request[n] for n in names)]
        others = [
            event for event in events if event["actor_key"] is None or event["actor_key"] != pull_request["author_key"]
        ]

        def first(events: list[Row], *kinds: str) -> datetime | None:
            return min((event["occurred_at"] for event in events if event["event_type"] in kinds), default=None)

        told = {
            "first_commit_at": first(events, "committed"),
            "ready_at": first(events, "ready"),
            "first_review_at": first(others, "commented", "reviewed", "approved"),
            "approved_at": first(events, "approved"),
            "review_count": len({e["event_id"] for e in others if e["event_type"] in ("reviewed", "approved")})
            if events
            else None,
        }
        return Sparse(pull_request | {name: value for name, value in told.items() if pull_request[name] is None})

    # Time and ownership

    def _as_of(self) -> datetime | None:
        events = {
            "deployments": ("started_at", "finished_at"),
            "deployment_statuses": ("occurred_at",),
            "changes": ("committed_at", "merged_at"),
            "pull_requests": ("created_at", "ready_at", "first_review_at", "approved_at", "merged_at", "closed_at"),
            "builds": ("started_at", "finished_at"),
            "incidents": ("started_at", "mitigated_at", "resolved_at"),
            "incident_events": ("occurred_at",),
        }
        times = [row[name] for table, names in events.items() for row in self.raw[table] for name in names]
        return self.vars["as_of"] or max((time for time in times if time), default=None)

    def day(self, time: datetime | None) -> date | None:
        return time and time.replace(tzinfo=UTC).astimezone(self.zone).date()

    def midnight(self, day: date) -> datetime:
        """Its first moment, in UTC."""
        local = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        return local.astimezone(UTC).replace(tzinfo=None)

    def period_start(self, period: str, day: date) -> date:
        if period == "day":
            return day
        if period == "week":
            first = 0 if self.vars["week_start"] == "monday" else 6
            return day - timedelta(days=(day.weekday() - first) % 7)
        if period == "month":
            return day.replace(day=1)
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)

    def period_end(self, period: str, start: date) -> date:
        """The first day after it."""
        length = {"day": 1, "week": 7, "month": 31, "quarter": 92}[period]
        return self.period_start(period, start + timedelta(days=length))

    def _ownerships(self) -> list[Row]:
        return [
            Sparse(row) | {"valid_from": row["valid_from"] or BEGINNING, "valid_to": row["valid_to"] or END}
            for row in self.raw["services"]
        ]

    def owner(self, service: str, day: date | None) -> Row:
        """The ownership of a service on a day; empty if the reference data name none."""
        for row in self.ownerships:
            if row["service"] == service and day and row["valid_from"] <= day < row["valid_to"]:
                return Sparse(team=row["team"], component_kind=row["component_kind"])
        return Sparse()

    def _corrections(self) -> dict[str, Row]:
        """The correction in force of each deployment's failure and of each incident's link, by its key."""
        in_force = {}
        for row in sorted(self.raw["corrections"], key=lambda row: row["corrected_at"]):
            about_incident = row["verdict"] in ("incident_linked", "incident_not_linked")
            in_force[row["incident_key"] if about_incident else row["deployment_key"]] = row
        return in_force

    # Deployments

    def _deployments(self) -> list[Row]:
        """Attempts to reach production; the successes of each service in their order."""
        attempts = []
        for row in self.raw["deployments"]:
            if row["environment"] != "production":
                continue
            attempt = self._with_outcome(row)
            attempt["deployment_key"] = f"{row['source']}/{row['deployment_id']}"
            attempt["is_success"] = attempt["status"] == "success"
            attempt["is_failed_attempt"] = attempt["status"] in ("failure", "cancelled")
            attempt["deployed_on"] = self.day(attempt["finished_at"] or attempt["started_at"])
            # What runs: the commit, where the source names it.
            attempt["running"] = row["commit_sha"] or row["version"]
            for flag in ("is_first_on_record", "is_redeploy", "is_rollback", "is_return_to_earlier", "is_hotfix"):
                attempt[flag] = False if flag != "is_hotfix" else bool(row["is_hotfix"]) and attempt["is_success"]
            attempt["marked_rollback"] = bool(row["is_rollback"])
            attempts.append(attempt)
        for service in {attempt["service"] for attempt in attempts}:
            successes = [a for a in attempts if a["service"] == service and a["is_success"]]
            successes.sort(key=lambda a: (a["finished_at"], a["deployment_key"]))
            for place, success in enumerate(successes):
                self._place(success, successes[:place])
            for place, success in enumerate(successes):
                success["blamed_deployment_key"] = self._blamed(success, successes[:place])
                success["names_what_it_repairs"] = self._named(success, successes[:place]) is not None
        return attempts

    def _with_outcome(self, row: Row) -> Row:
        """The attempt as its history of statuses tells: its first success, else its first other terminal status."""
        key = (row["source"], row["deployment_id"])
        history = [s for s in self.raw["deployment_statuses"] if (s["source"], s["deployment_id"]) == key]
        history.sort(key=lambda status: status["occurred_at"])
        ends = [status for status in history if status["status"] == "success"]
        ends += [status for status in history if status["status"] in ("failure", "error", "cancelled")]
        if not ends:
            return Sparse(row)
        outcome = "failure" if ends[0]["status"] == "error" else ends[0]["status"]
        return Sparse(row) | {"status": outcome, "finished_at": ends[0]["occurred_at"]}

    def _place(self, success: Row, earlier: list[Row]) -> None:
        """What it is against the successes before it."""
        success["production_sequence"] = len(earlier) + 1
        replaced = earlier[-1] if earlier else None
        success["replaced_deployment_key"] = replaced and replaced["deployment_key"]
        success["is_first_on_record"] = replaced is None
        # The first has none before it that its commit could stand in a relation to.
        relation, running = replaced and success["commit_relation"], success["running"]
        if relation is None and running is not None and replaced is not None:
            if running == replaced["running"]:
                relation = "same"
            elif running in [other["running"] for other in earlier]:
                relation = "ancestor"
        success["is_redeploy"] = relation == "same"
        success["is_rollback"] = not success["is_redeploy"] and (relation == "ancestor" or success["marked_rollback"])
        success["is_return_to_earlier"] = relation == "returned" and not success["is_rollback"]

    def _blamed(self, success: Row, earlier: list[Row]) -> str | None:
        if success["is_rollback"]:
            return self._blamed_by_rollback(success, earlier)
        if success["is_hotfix"]:
            if named := self._named(success, earlier):
                return named["deployment_key"]
            window = timedelta(days=self.vars["hotfix_blame_window_days"])
            planned = [other for other in earlier if not other["is_rollback"] and not other["is_hotfix"]]
            if planned and success["finished_at"] - planned[-1]["finished_at"] <= window:
                return planned[-1]["deployment_key"]
        return None

    @staticmethod
    def _named(success: Row, earlier: list[Row]) -> Row | None:
        """The earlier deployment that it says it repairs."""
        names = (success["source"], success["repairs_deployment_id"])
        return next((other for other in earlier if (other["source"], other["deployment_id"]) == names), None)

    def _blamed_by_rollback(self, success: Row, earlier: list[Row]) -> str | None:
        if not earlier:
            return None
        blamed = earlier[-1]
        if self.vars["rollback_blames"] == "first_after_restored":
            ran = [place for place, other in enumerate(earlier) if other["running"] == success["running"] is not None]
            if ran and ran[-1] + 1 < len(earlier):
                blamed = earlier[ran[-1] + 1]
        if not blamed["is_rollback"]:
            return blamed["deployment_key"]
        # Never a rollback: the latest deployment of the version that it restored.
        left = [
            other
            for other in earlier[: blamed["production_sequence"] - 1]
            if other["running"] == blamed["running"] is not None and not other["is_rollback"]
        ]
        return left[-1]["deployment_key"] if left else None

    # Changes

    def _shipped_commits(self) -> list[Row]:
        """Each commit once per service, at the first success that holds it."""
        first: dict[tuple[str, str], tuple] = {}
        for row in self.raw["deployment_changes"]:
            deployment = self.by_key.get(f"{row['source']}/{row['deployment_id']}")
            if deployment and deployment["is_success"]:
                key = (deployment["service"], row["commit_sha"])
                place = (deployment["production_sequence"], deployment["deployment_key"], row["source"])
                first[key] = min(first.get(key, place), place)
        ships_all = self.vars["first_deployment"] == "ships_all"
        return [
            Sparse(service=service, commit_sha=sha, source=source, deployment_key=key)
            for (service, sha), (sequence, key, source) in first.items()
            if (sequence > 1 or ships_all) and self._touches(source, sha, self.by_key[key])
        ]

    def _pull_request_of(self, commit: Row) -> Row | None:
        names = ("source", "repository", "pull_request_number")
        for row in self.raw["pull_requests"]:
            if commit["pull_request_number"] and all(row[name] == commit[name] for name in names):
                return row
        return None

    def _changes(self) -> list[Row]:
        commits = {(row["source"], row["commit_sha"]): row for row in self.raw["changes"]}
        changes = []
        for shipped in self.shipped:
            commit = commits.get((shipped["source"], shipped["commit_sha"]))
            deployment = self.by_key[shipped["deployment_key"]]
            if commit is None or commit["is_merge"]:
                continue
            pull_request = self._pull_request_of(commit)
            change = Sparse(commit) | shipped
            if None not in (commit["lines_added"], commit["lines_deleted"]):
                change["lines_changed"] = commit["lines_added"] + commit["lines_deleted"]
            change["deployed_at"] = deployment["finished_at"]
            change["deployed_on"] = deployment["deployed_on"]
            change["merged_at"] = (pull_request and pull_request["merged_at"]) or commit["merged_at"]
            change["start_basis"], change["started_at"] = self._start(commit, pull_request)
            if self.vars["lead_time_start"] == "opened":
                change["start_basis"], change["started_at"] = "opened", pull_request and pull_request["created_at"]
            elif self.vars["lead_time_start"] == "merged":
                change["start_basis"], change["started_at"] = "merged", change["merged_at"]
            merge = (pull_request and pull_request["merge_commit_sha"]) or commit["merge_commit_sha"]
            change["built_at"] = self._built_at(commits, commit, merge, change, deployment)
            change |= self.owner(change["service"], change["deployed_on"])
            changes.append(change)
        return changes

    def _touches(self, source: str, sha: str, deployment: Row) -> bool:
        """Whether a path rule of the service matches a file of the commit; without rules every commit belongs to it."""
        day, service = deployment["deployed_on"], deployment["service"]
        rules = [
            rule
            for row in self.ownerships
            if row["service"] == service and row["valid_from"] <= day < row["valid_to"]
            for rule in (row["paths"] or "").split()
        ]
        touched = [row for row in self.raw["change_paths"] if (row["source"], row["commit_sha"]) == (source, sha)]
        files = [row["path"] for row in touched]
        return not rules or any(matches(rule, file) for rule in rules for file in files)

    def _start(self, commit: Row, pull_request: Row | None) -> tuple[str, datetime]:
        is_first_parent = commit["merge_commit_sha"] == commit["commit_sha"]
        method = pull_request and pull_request["merge_method"]
        is_squash = (
            commit["pull_request_number"] is not None
            and is_first_parent
            and (method == "squash" or (method is None and commit["authored_at"] == commit["committed_at"]))
        )
        if not is_squash:
            return "commit", commit["authored_at"]
        if pull_request and pull_request["first_commit_at"]:
            return "pull_request", pull_request["first_commit_at"]
        return "squash_only", commit["authored_at"]

    def _built_at(self, commits: dict, commit: Row, merge: str, change: Row, deployment: Row) -> datetime | None:
        """End of the first successful build that contains the change and is part of what was deployed."""
        if change["merged_at"] is None:
            return None

        def place(sha: str | None) -> int | None:
            """On the first-parent line of the default branch."""
            row = commits.get((commit["source"], sha))
            is_on_line = row and (row["repository"], row["merge_commit_sha"]) == (commit["repository"], sha)
            return row["mainline_position"] if is_on_line else None

        first, last = commit["mainline_position"], place(deployment["commit_sha"])
        ends = []
        for build in self.raw["builds"]:
            head = build["commit_sha"]
            if None in (first, last):
                holds = head in (merge, deployment["commit_sha"])
            else:
                holds = place(head) is not None and first <= place(head) <= last
            if (
                holds
                and build["status"] == "success"
                and build["service"] in (None, change["service"])
                and build["started_at"] >= change["merged_at"]
                and build["finished_at"] <= change["deployed_at"]
            ):
                ends.append(build["finished_at"])
        return min(ends, default=None)

    def _add_contents(self) -> None:
        """Size, bulk imports and remediations; then the spans of each change, which a bulk import does not have."""
        size = Counter(change["deployment_key"] for change in self.changes)
        for deployment in self.deployments:
            sizes = [n for key, n in size.items() if self.by_key[key]["service"] == deployment["service"]]
            changes = size[deployment["deployment_key"]]
            deployment["changes"] = changes
            deployment["lines_changed"] = self._lines_of(deployment)
            deployment["is_bulk_import"] = (
                changes >= self.vars["bulk_import_minimum_changes"]
                and changes >= self.vars["bulk_import_median_multiple"] * percentile(sizes, 0.5)
                if changes
                else False
            )
            deployment["is_remediation"] = bool(deployment["names_what_it_repairs"]) or self._reverts_what_was_shipped(
                deployment
            )
            deployment["is_unplanned"] = any(deployment[f"is_{kind}"] for kind in ("rollback", "hotfix", "remediation"))
        for change in self.changes:
            self._add_spans(change, self.by_key[change["deployment_key"]]["is_bulk_import"])

    def _pull_requests_as_changes(self) -> list[Row]:
        """Each pull request of a service, from the first of its commits to the deployment of the last."""
        spans = ("lead_time", *SEGMENTS)
        units, groups = [], defaultdict(list)
        for change in self.changes:
            names = ("service", "source", "repository", "pull_request_number")
            if change["pull_request_number"]:
                groups[tuple(change[name] for name in names)].append(change)
            else:
                units.append(change | {f"{span}_hours": None for span in spans})
        for commits in groups.values():
            latest = max(commit["deployed_at"] for commit in commits)
            last = min((c for c in commits if c["deployed_at"] == latest), key=lambda commit: commit["commit_sha"])
            starts = [commit["started_at"] for commit in commits if commit["started_at"]]
            waits = [c["commit_to_merge_hours"] for c in commits if c["commit_to_merge_hours"] is not None]
            whole = None if last["is_bulk_import"] else hours(min(starts, default=None), latest)
            units.append(last | {"lead_time_hours": whole, "commit_to_merge_hours": max(waits, default=None)})
        return units

    def _lines_of(self, deployment: Row) -> int | None:
        lines = [c["lines_changed"] for c in self.changes if c["deployment_key"] == deployment["deployment_key"]]
        known = [number for number in lines if number is not None]
        return sum(known) if known else None

    def _reverts_what_was_shipped(self, deployment: Row) -> bool:
        earlier = {
            shipped["commit_sha"]
            for shipped in self.shipped
            if shipped["service"] == deployment["service"]
            and deployment["is_success"]
            and self.by_key[shipped["deployment_key"]]["production_sequence"] < deployment["production_sequence"]
        }
        return any(
            change["deployment_key"] == deployment["deployment_key"] and change["reverts_commit_sha"] in earlier
            for change in self.changes
        )

    def _add_spans(self, change: Row, is_bulk_import: bool) -> None:
        started, merged = change["started_at"], change["merged_at"]
        built, deployed = change["built_at"], change["deployed_at"]
        change["is_bulk_import"] = is_bulk_import
        change["is_clock_skew"] = started is not None and (
            started > deployed or (merged is not None and started > merged)
        )
        if is_bulk_import:
            return
        change["lead_time_hours"] = hours(started, deployed)
        if merged is not None and merged <= deployed and change["start_basis"] != "squash_only":
            change["commit_to_merge_hours"] = hours(started, merged)
        change["merge_to_build_hours"] = hours(merged, built)
        change["build_to_deploy_hours"] = hours(built, deployed)

    # Incidents and failures

    def _incidents(self) -> list[Row]:
        incidents = []
        for row in self.raw["incidents"]:
            incident = Sparse(row)
            incident["incident_key"] = f"{row['source']}/{row['incident_id']}"
            log = [
                event
                for event in self.raw["incident_events"]
                if (event["source"], event["incident_id"]) == (row["source"], row["incident_id"])
            ]

            def times(kind: str, log=log) -> list[datetime]:
                return sorted(event["occurred_at"] for event in log if event["event_type"] == kind)

            resolved, reopened = times("resolved"), times("reopened")
            is_closed = resolved and (not reopened or resolved[-1] > reopened[-1])
            incident["alert_at"] = (times("triggered") or [row["started_at"]])[0]
            incident["acknowledged_at"] = (times("acknowledged") or [None])[0]
            incident["mitigated_at"] = row["mitigated_at"] or (times("mitigated") or [None])[0]
            incident["resolved_at"] = row["resolved_at"] or (resolved[-1] if is_closed else None)
            incident["is_reopened"] = bool(reopened)
            incident["is_merged"] = bool(times("merged"))
            incident["is_false_positive"] = bool(row["is_false_positive"])
            incident["is_third_party"] = bool(row["is_third_party"])
            incident["started_on"] = self.day(row["started_at"])
            for interval in INTERVALS:
                start, end = (incident[MOMENTS[name]] for name in interval.split("_to_"))
                incident[f"{interval}_hours"] = hours(start, end)
            incident["link_exclusion"] = self._exclusion(incident)
            candidates, incident["link_basis"] = self._link(incident)
            if candidates:
                incident["deployment_key"] = candidates[-1]["deployment_key"]
                incident["candidate_deployments"] = len(candidates)
                known = incident["link_basis"] != "latest_deployment"
                incident["attribution"] = "explicit" if known else "inferred"
                if incident["link_basis"] == "correction":
                    incident["attribution"] = "manual"
                levels = ("high", "medium", "low")
                incident["link_confidence"] = levels[(not known) + (len(candidates) > 1)]
            incident["recovery_mode"] = self._recovery_mode(incident, log)
            incident |= self.owner(incident["service"], incident["started_on"])
            incidents.append(incident)
        return incidents

    def _exclusion(self, incident: Row) -> str | None:
        """Why it speaks against no deployment."""
        if correction := self.corrections.get(incident["incident_key"]):
            return "corrected" if correction["verdict"] == "incident_not_linked" else None
        lowest = SEVERITIES.index(self.vars["incident_lowest_severity"])
        reasons = {
            "merged": incident["is_merged"],
            "false_positive": incident["is_false_positive"],
            "third_party": incident["is_third_party"],
            "not_change_related": incident["is_change_related"] is False,
            "low_severity": incident["severity"] and SEVERITIES.index(incident["severity"]) > lowest,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _boundary(self, deployment: Row) -> datetime:
        if self.vars["incident_link_boundary"] == "finished":
            return deployment["finished_at"]
        return deployment["started_at"] or deployment["finished_at"]

    def _link(self, incident: Row) -> tuple[list[Row], str | None]:
        """The deployments that it may belong to, the last of them the one that it does, and what that rests on."""
        if incident["link_exclusion"]:
            return [], None
        if correction := self.corrections.get(incident["incident_key"]):
            return [self.by_key[correction["deployment_key"]]], "correction"
        successes = [
            deployment
            for deployment in self.deployments
            if deployment["is_success"] and deployment["service"] == incident["service"]
        ]
        successes.sort(key=lambda deployment: (self._boundary(deployment), deployment["production_sequence"]))
        before = [deployment for deployment in successes if self._boundary(deployment) < incident["started_at"]]
        for name, among in (("deployment_id", successes), ("version", before), ("commit_sha", before)):
            if named := [d for d in among if incident[name] and d[name] == incident[name]]:
                return named, name
        window = self.vars["incident_link_window_hours"]
        if window == 0:
            return [], None
        if window is not None:
            before = [d for d in before if incident["started_at"] - self._boundary(d) <= timedelta(hours=window)]
        return before, "latest_deployment" if before else None

    def _recovery_mode(self, incident: Row, log: list[Row]) -> str | None:
        """What was done last before users no longer suffered."""
        ended_at = incident["mitigated_at"] or incident["resolved_at"]
        actions = [(event["occurred_at"], event["event_type"]) for event in log]
        for change in self.raw["operational_changes"]:
            names_it = (change["source"], change["incident_id"]) == (incident["source"], incident["incident_id"])
            fell_into_it = change["incident_id"] is None and change["service"] == incident["service"] and ended_at
            if names_it or fell_into_it:
                actions.append((change["occurred_at"], change["change_kind"]))
        for deployment in self.deployments:
            if incident["deployment_key"] and deployment["blamed_deployment_key"] == incident["deployment_key"]:
                actions.append((deployment["finished_at"], "rollback" if deployment["is_rollback"] else "hotfix"))
        done = [
            (time, kind)
            for time, kind in actions
            if kind in RECOVERY_MODES and incident["started_at"] <= time <= (ended_at or time)
        ]
        return max(done, key=lambda action: (action[0], -RECOVERY_MODES.index(action[1])), default=(None, None))[1]

    def _evidence(self) -> list[Row]:
        """One piece of evidence that a deployment failed; none against one that a correction acquits."""
        pieces = []
        for blaming in self.deployments:
            if blamed := self.by_key.get(blaming["blamed_deployment_key"]):
                explicit = blaming["marked_rollback"] if blaming["is_rollback"] else blaming["names_what_it_repairs"]
                pieces.append(
                    Sparse(
                        deployment_key=blamed["deployment_key"],
                        cause="rollback" if blaming["is_rollback"] else "hotfix",
                        evidence_key=blaming["deployment_key"],
                        evidence_at=blaming["finished_at"],
                        attribution="explicit" if explicit else "inferred",
                    )
                )
        repairs: dict[str, list[datetime]] = defaultdict(list)
        for piece in pieces:
            repairs[piece["deployment_key"]].append(piece["evidence_at"])
        for correction in self.corrections.values():
            if correction["verdict"] == "deployment_failed":
                blamed = self.by_key[correction["deployment_key"]]
                pieces.append(
                    Sparse(
                        deployment_key=blamed["deployment_key"],
                        cause=correction["cause"] or "incident",
                        evidence_key="correction",
                        evidence_at=blamed["finished_at"],
                        attribution="manual",
                    )
                )
        for piece in pieces:
            finished_at = self.by_key[piece["deployment_key"]]["finished_at"]
            ends = repairs[piece["deployment_key"]] if self.vars["recovery_end"] == "first_repair" else []
            piece["failed_at"] = piece["recovery_started_at"] = finished_at
            piece["recovered_at"] = min((time for time in ends if time >= finished_at), default=None)
        for incident in self.incidents:
            if blamed := self.by_key.get(incident["deployment_key"]):
                pieces.append(self._evidence_of_incident(incident, blamed, repairs[blamed["deployment_key"]]))
        verdicts = {key: correction["verdict"] for key, correction in self.corrections.items()}
        return [piece for piece in pieces if verdicts.get(piece["deployment_key"]) != "deployment_not_failed"]

    def _evidence_of_incident(self, incident: Row, blamed: Row, repairs: list[datetime]) -> Row:
        failed_at = max(blamed["finished_at"], incident["started_at"])
        starts = {
            "failure": failed_at,
            "deployment_finished": blamed["finished_at"],
            "incident_started": incident["started_at"],
        }
        ends = [incident["resolved_at"]]
        if self.vars["recovery_end"] == "first_repair":
            # A repair before the failure repaired another; an incident may have ended before the deployment did.
            ends += [incident["mitigated_at"], *(time for time in repairs if time >= failed_at)]
        return Sparse(
            deployment_key=blamed["deployment_key"],
            cause="incident",
            evidence_key=incident["incident_key"],
            evidence_at=incident["started_at"],
            attribution=incident["attribution"],
            failed_at=failed_at,
            recovery_started_at=starts[self.vars["recovery_start"]],
            recovered_at=min((time for time in ends if time), default=None),
        )

    def _failures(self) -> list[Row]:
        groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for piece in self.evidence:
            groups[piece["deployment_key"], piece["cause"]].append(piece)
        failures = []
        for (key, cause), pieces in groups.items():
            deployment = self.by_key[key]
            failed_at = min(piece["failed_at"] for piece in pieces)
            recovery_started_at = min(piece["recovery_started_at"] for piece in pieces)
            ends = [piece["recovered_at"] for piece in pieces]
            recovered_at = None if None in ends else max(ends)
            failures.append(
                Sparse(
                    deployment_key=key,
                    cause=cause,
                    service=deployment["service"],
                    deployed_on=deployment["deployed_on"],
                    first_evidence_key=min(pieces, key=lambda p: (p["evidence_at"], p["evidence_key"]))["evidence_key"],
                    pieces_of_evidence=len(pieces),
                    attribution=min((piece["attribution"] for piece in pieces), key=STRENGTH.index),
                    is_counted=cause in self.vars["failure_causes"],
                    failed_at=failed_at,
                    recovery_started_at=recovery_started_at,
                    recovered_at=recovered_at,
                    recovery_hours=hours(recovery_started_at, recovered_at),
                    **self.owner(deployment["service"], deployment["deployed_on"]),
                )
            )
        return failures

    def _add_failures(self) -> None:
        for deployment in self.deployments:
            causes = {f["cause"]: f for f in self.failures if f["deployment_key"] == deployment["deployment_key"]}
            for cause in ("incident", "rollback", "hotfix", "degradation"):
                deployment[f"failed_by_{cause}"] = cause in causes
            deployment["incidents"] = sum(
                incident["deployment_key"] == deployment["deployment_key"] for incident in self.incidents
            )
            counted = {cause: failure for cause, failure in causes.items() if failure["is_counted"]}
            deployment["is_failed"] = bool(counted)
            decisive = counted.get("incident") or next(iter(counted.values()), Sparse())
            for name in ("failed_at", "recovery_started_at", "recovered_at", "recovery_hours"):
                deployment[name] = decisive[name]
            self._add_verdict(deployment, counted)
            deployment |= self.owner(deployment["service"], deployment["deployed_on"])

    def longest_window(self) -> timedelta:
        """How long something may still speak against a deployment."""
        hours = self.vars["incident_link_window_hours"] or 0
        return max(timedelta(hours=hours), timedelta(days=self.vars["hotfix_blame_window_days"]))

    def _add_verdict(self, deployment: Row, counted: dict[str, Row]) -> None:
        if not deployment["is_success"]:
            return
        correction = self.corrections.get(deployment["deployment_key"])
        if counted:
            deployment["verdict"] = "failed"
            deployment["verdict_attribution"] = min((f["attribution"] for f in counted.values()), key=STRENGTH.index)
        elif correction and correction["verdict"] == "deployment_not_failed":
            deployment["verdict"], deployment["verdict_attribution"] = "not_failed", "manual"
        else:
            is_pending = self.as_of < deployment["finished_at"] + self.longest_window()
            deployment["verdict"] = "pending" if is_pending else "not_failed"

    # Pull requests

    def _pull_requests(self) -> list[Row]:
        rows = []
        for row in self.raw["pull_requests"]:
            pull_request = Sparse(row)
            pull_request["status"] = "merged" if row["merged_at"] else "closed" if row["closed_at"] else "open"
            deployment = min(self._shipping(row), key=lambda d: (d["finished_at"], d["deployment_key"]), default=None)
            pull_request["deployment_key"] = deployment and deployment["deployment_key"]
            pull_request["deployed_at"] = deployment and deployment["finished_at"]
            pull_request["created_on"], pull_request["merged_on"] = (
                self.day(row["created_at"]),
                self.day(row["merged_at"]),
            )
            pull_request["service"], pull_request["team"] = self._owner_of_pull_request(row)
            pull_request["coding_hours"] = hours(row["first_commit_at"], row["created_at"])
            pull_request["draft_hours"] = hours(row["created_at"], row["ready_at"])
            if self._authors_of_the_quarter(row) >= 5:
                pull_request["pickup_hours"] = hours(row["ready_at"] or row["created_at"], row["first_review_at"])
                pull_request["review_hours"] = hours(row["first_review_at"], row["merged_at"])
            else:
                pull_request["first_review_at"] = None
            if deployment and not deployment["is_bulk_import"]:
                pull_request["merge_to_deploy_hours"] = hours(row["merged_at"], deployment["finished_at"])
            rows.append(pull_request)
        return rows

    def _owner_of_pull_request(self, pull_request: Row) -> tuple[str | None, str | None]:
        """The service and the team that it can only belong to."""
        day = self.day(pull_request["merged_at"] or pull_request["created_at"])
        services = {deployment["service"] for deployment in self._shipping(pull_request)} or {
            row["service"]
            for row in self.ownerships
            if row["repository"] == pull_request["repository"] and row["valid_from"] <= day < row["valid_to"]
        }
        teams = {self.owner(service, day)["team"] for service in services}
        return (services.pop() if len(services) == 1 else None), (teams.pop() if len(teams) == 1 else None)

    def _shipping(self, pull_request: Row) -> list[Row]:
        """The successes, of any service, that shipped its merge commit or any of its commits."""
        names = ("source", "repository", "pull_request_number")
        commits = {
            (change["source"], change["commit_sha"])
            for change in self.changes
            if all(change[name] == pull_request[name] for name in names)
        } | {(pull_request["source"], pull_request["merge_commit_sha"])}
        return [
            self.by_key[shipped["deployment_key"]]
            for shipped in self.shipped
            if (shipped["source"], shipped["commit_sha"]) in commits
        ]

    def _authors_of_the_quarter(self, pull_request: Row) -> int:
        def quarter(row: Row) -> date:
            return self.period_start("quarter", self.day(row["created_at"]))

        return len(
            {
                row["author_key"]
                for row in self.raw["pull_requests"]
                if row["author_key"]
                and (row["source"], row["repository"]) == (pull_request["source"], pull_request["repository"])
                and quarter(row) == quarter(pull_request)
            }
        )

    def _builds(self) -> list[Row]:
        """One build that ended, for each service that it built."""
        ended = [row for row in self.raw["builds"] if row["status"] in ("success", "failure") and row["finished_at"]]
        rows = []
        for row in ended:
            day = self.day(row["finished_at"])
            services = (
                {row["service"]}
                if row["service"]
                else {
                    owned["service"]
                    for owned in self.ownerships
                    if owned["repository"] == row["repository"] and owned["valid_from"] <= day < owned["valid_to"]
                }
            )
            names = ("source", "repository", "service", "workflow", "commit_sha")
            alike = [other for other in ended if all(other[name] == row[name] for name in names)]
            successes = [other for other in alike if other["status"] == "success"]
            first = min(successes, key=lambda other: (other["finished_at"], other["build_id"]), default=None)
            minutes = (row["finished_at"] - row["started_at"]).total_seconds() / 60
            for service in services:
                rows.append(
                    Sparse(
                        service=service,
                        built_on=day,
                        build_key=f"{row['source']}/{row['build_id']}",
                        minutes=minutes if row["status"] == "success" else None,
                        is_first_success=row is first,
                        is_flaky=row is first and len(successes) < len(alike),
                        team=self.owner(service, day)["team"],
                    )
                )
        return rows

    # Periods

    def delivery(self, period: str) -> list[Row]:
        """One period and service, from its first to its last activity without a gap."""
        rows = []
        for service in {row["service"] for row in self.deployments + self.incidents}:
            for figures in self._periods(period, lambda row, service=service: row["service"] == service):
                last_day = self.period_end(period, figures[period]) - timedelta(days=1)
                owner = self.owner(service, min(last_day, self.day(self.as_of)))
                rows.append(
                    Sparse(service=service, team=owner["team"], component_kind=owner["component_kind"]) | figures
                )
        return rows

    def team_delivery_monthly(self) -> list[Row]:
        teams = {row["team"] for row in self.deployments + self.incidents} - {None}
        return [
            Sparse(team=team) | figures
            for team in teams
            for figures in self._periods("month", lambda row, team=team: row["team"] == team)
        ]

    def _periods(self, period: str, belongs: Callable[[Row], bool]) -> Iterable[Row]:
        active = [row["deployed_on"] for row in self.deployments if belongs(row) and row["deployed_on"]]
        active += [row["started_on"] for row in self.incidents if belongs(row)]
        if not active:
            return
        start, last = self.period_start(period, min(active)), max(active)
        while start <= last:
            end = self.period_end(period, start)

            def of_period(rows: list[Row], day: str, start=start, end=end) -> list[Row]:
                return [row for row in rows if belongs(row) and row[day] and start <= row[day] < end]

            yield Sparse({period: start}) | self._figures(
                start,
                end,
                of_period(self.deployments, "deployed_on"),
                of_period(self.units, "deployed_on"),
                of_period(self.incidents, "started_on"),
                of_period(self.builds, "built_on"),
            )
            start = end

    def _figures(
        self,
        start: date,
        end: date,
        attempts: list[Row],
        changes: list[Row],
        incidents: list[Row],
        builds: list[Row],
    ) -> Row:
        row = Sparse()
        closing = self.midnight(end)
        row["is_complete"] = closing <= self.as_of
        row["is_provisional"] = self.as_of < closing + self.longest_window()
        elapsed = end if row["is_complete"] else self.day(self.as_of) + timedelta(days=1)
        row["calendar_days"] = (elapsed - start).days

        successes = [attempt for attempt in attempts if attempt["is_success"]]
        counted = [
            success
            for success in successes
            if self.vars["frequency_counts_rollbacks_and_redeploys"]
            or not (success["is_rollback"] or success["is_redeploy"])
        ]
        row["deployments"] = len(successes)
        row["frequency_deployments"] = len(counted)
        row["deployments_per_day"] = ratio(len(counted), row["calendar_days"])
        row["deployment_days"] = len({success["deployed_on"] for success in counted})
        for kind in ("rollback", "redeploy", "hotfix"):
            row[f"{kind}{'e' if kind == 'hotfix' else ''}s"] = sum(success[f"is_{kind}"] for success in successes)
        row["unplanned_deployments"] = sum(success["is_unplanned"] for success in successes)
        self._add_rate(row, "rework_rate", row["unplanned_deployments"], row["deployments"])
        row["failed_attempts"] = sum(attempt["is_failed_attempt"] for attempt in attempts)

        sizes = [success["changes"] for success in successes if success["changes"]]
        row["changes"] = len(changes)
        row["shipping_deployments"] = len(sizes)
        row["changes_per_deployment_median"] = percentile(sizes, 0.5)
        lines = [success["lines_changed"] for success in successes if success["lines_changed"] is not None]
        row["lines_changed_deployments"] = len(lines)
        row["lines_changed_per_deployment_median"] = percentile(lines, 0.5)
        self._add_lead_times(row, changes)

        failed = [success for success in successes if success["is_failed"]]
        recoveries = [success["recovery_hours"] for success in failed if success["recovery_hours"] is not None]
        row["failed_deployments"] = len(failed)
        self._add_rate(row, "change_failure_rate", len(failed), len(successes))
        known = {f["deployment_key"] for f in self.failures if f["is_counted"] and f["attribution"] != "inferred"}
        row["evidenced_failed_deployments"] = sum(success["deployment_key"] in known for success in failed)
        self._add_rate(row, "evidenced_change_failure_rate", row["evidenced_failed_deployments"], row["deployments"])
        row["recovered_deployments"] = len(recoveries)
        row |= {f"recovery_{name}_hours": value for name, value in spread(recoveries).items()}

        real = [incident for incident in incidents if not incident["is_false_positive"] and not incident["is_merged"]]
        row["incidents"] = len(real)
        row["linked_incidents"] = sum(incident["deployment_key"] is not None for incident in real)
        self._add_rate(row, "linked_incident_rate", row["linked_incidents"], row["incidents"])
        for interval in INTERVALS:
            spans = [i[f"{interval}_hours"] for i in real if i[f"{interval}_hours"] is not None]
            row[f"{interval}_incidents"] = len(spans)
            row |= {f"{interval}_{name}_hours": value for name, value in spread(spans).items()}
        row["resolved_incidents"] = row["alert_to_resolution_incidents"]
        row["mttr_hours"] = row["alert_to_resolution_mean_hours"]
        row["mttr_median_hours"] = row["alert_to_resolution_median_hours"]
        row["mttr_p90_hours"] = row["alert_to_resolution_p90_hours"]
        self._add_builds(row, builds)
        self._add_reported(row, len(counted), len(successes) + row["failed_attempts"])
        return row

    @staticmethod
    def _add_rate(row: Row, name: str, numerator: int, denominator: int) -> None:
        row[name] = ratio(numerator, denominator)
        row[f"{name}_low"], row[f"{name}_high"] = wilson(numerator, denominator)

    def _add_builds(self, row: Row, builds: list[Row]) -> None:
        # A team may own several services of the repository that was built.
        once = {build["build_key"]: build for build in builds}.values()
        minutes = [build["minutes"] for build in once if build["minutes"] is not None]
        row["builds"], row["successful_builds"] = len(once), len(minutes)
        row["build_median_minutes"], row["build_p90_minutes"] = percentile(minutes, 0.5), percentile(minutes, 0.9)
        row["built_commits"] = sum(build["is_first_success"] for build in once)
        row["flaky_builds"] = sum(build["is_flaky"] for build in once)
        self._add_rate(row, "flaky_build_rate", row["flaky_builds"], row["built_commits"])

    def _add_reported(self, row: Row, frequency_deployments: int, attempts: int) -> None:
        days = self.vars["reported_frequency_unit"] == "deployment_days"
        row["reported_profile"] = self.vars["profile"]
        row["reported_deployments_per_day"] = ratio(
            row["deployment_days"] if days else frequency_deployments, row["calendar_days"]
        )
        statistic = self.vars["reported_duration_statistic"]
        row["reported_lead_time_hours"] = row[f"lead_time_{statistic}_hours"]
        row["reported_recovery_hours"] = row[f"recovery_{statistic}_hours"]
        denominators = {"deployments": row["deployments"], "frequency_deployments": frequency_deployments}
        row["reported_change_failure_rate"] = ratio(
            row[self.vars["reported_failure_numerator"]],
            denominators.get(self.vars["reported_failure_denominator"], attempts),
        )

    def _add_lead_times(self, row: Row, changes: list[Row]) -> None:
        lead_times = [change["lead_time_hours"] for change in changes if change["lead_time_hours"] is not None]
        row["lead_time_changes"] = len(lead_times)
        row |= {f"lead_time_{name}_hours": value for name, value in spread(lead_times).items()}
        row["covered_changes"] = sum(
            change["lead_time_hours"] is not None and change["start_basis"] != "squash_only" for change in changes
        )
        row["lead_time_coverage_rate"] = ratio(row["covered_changes"], row["changes"])
        for segment in SEGMENTS:
            known = [change[f"{segment}_hours"] for change in changes if change[f"{segment}_hours"] is not None]
            row[f"{segment}_changes"] = len(known)
            row[f"{segment}_median_hours"] = percentile(known, 0.5)
        row["verified_deployments"] = 0
        covered = [change for change in changes if all(change[f"{s}_hours"] is not None for s in SEGMENTS)]
        row["fully_covered_changes"] = len(covered)
        totals = {s: sum(change[f"{s}_hours"] for change in covered) for s in SEGMENTS}
        if covered:
            for segment, total in totals.items():
                row[f"{segment}_total_hours"] = total
            row["slowest_segment"] = max(SEGMENTS, key=totals.get)
            row["slowest_segment_share"] = ratio(totals[row["slowest_segment"]], sum(totals.values()))
