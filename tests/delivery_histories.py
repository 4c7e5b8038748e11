"""Hypothesis strategies: delivery histories with everything that real ones hold, in any combination.

Times lie on a grid of three hours over ten weeks around a turn of the quarter, so that equal moments, boundaries of
windows and of periods, overlaps and wrong orders are common.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from hypothesis import strategies as st
from reference_delivery import History, Row

START = datetime(2025, 2, 24)
STEP = timedelta(hours=3)
STEPS = 8 * 70

PATHS = "api/** shared/*.ts"
FILES = ("api/a/b.ts", "api/c.ts", "shared/d.ts", "shared/e/f.ts", "web/g.ts")
SERVICES: list[Row] = [
    {"service": "web", "team": "front", "component_kind": "frontend", "repository": "mono"},
    {"service": "api", "team": "front", "component_kind": "node_service", "repository": "mono", "paths": PATHS},
    {"service": "mail", "team": "front", "component_kind": "worker", "repository": "mail"},
    {"service": "mail", "team": "back", "component_kind": "worker", "repository": "mail"},
]
SERVICES[2]["valid_to"] = SERVICES[3]["valid_from"] = date(2025, 3, 20)
# Nothing in the reference data names stray.
NAMES = ("web", "api", "mail", "stray")
TEAMS: list[Row] = [
    {"team": "all", "time_zone": "UTC"},
    {"team": "front", "parent": "all", "time_zone": "UTC"},
    {"team": "back", "parent": "all", "time_zone": "Europe/Berlin"},
]
AUTHORS = tuple("abcdef")
VERSIONS = ("v1", "v2", "v3")

steps = st.integers(0, STEPS)
rarely = st.sampled_from([False] * 5 + [True])
maybe = st.sampled_from([None, None, None, True, False])


def after(moment: datetime | None, number: int | None) -> datetime | None:
    return None if moment is None or number is None else moment + number * STEP


@st.composite
def pull_requests(draw, repository: str, number: int) -> tuple[list[Row], list[Row]]:
    """One pull request or push with its commits: merged, squashed, rebased; its record may be missing or sparse."""
    kind = draw(st.sampled_from(["push", "merge", "squash", "squash", "rebase", "unmerged"]))
    merged_at = after(START, draw(steps))
    name = f"{repository}-{number}"
    # Mostly some days before the merge; sometimes the author's clock is ahead.
    authored = [after(merged_at, -draw(st.integers(-2, 40))) for _ in range(draw(st.integers(1, 3)))]
    base = {"source": "git", "repository": repository, "is_merge": False, "is_revert": False}
    base |= {"merged_at": merged_at, "pull_request_number": None if kind == "push" else number}
    commits = []
    if kind == "merge":
        merge = f"{name}-merge"
        commits.append(base | {"commit_sha": merge, "is_merge": True, "authored_at": merged_at})
        commits[0]["merge_commit_sha"] = merge
        for place, time in enumerate(authored):
            commits.append(base | {"commit_sha": f"{name}-{place}", "authored_at": time, "merge_commit_sha": merge})
    elif kind == "squash":
        squashed_at = draw(st.sampled_from([merged_at, merged_at, authored[0]]))
        commits.append(base | {"commit_sha": name, "authored_at": squashed_at, "merge_commit_sha": name})
    elif kind == "unmerged":
        commits.append(base | {"commit_sha": name, "authored_at": authored[0], "merged_at": None})
    else:
        for place, time in enumerate(authored if kind == "rebase" else authored[:1]):
            sha = f"{name}-{place}"
            commits.append(base | {"commit_sha": sha, "authored_at": time, "merge_commit_sha": sha})
    for commit in commits:
        commit["committed_at"] = merged_at
        commit |= {"lines_added": draw(st.sampled_from([None, 3, 10])), "lines_deleted": 1}
    if kind == "push" or draw(rarely):
        return commits, []
    created_at = after(merged_at, -draw(st.integers(0, 20)))
    record = {"source": "git", "repository": repository, "pull_request_number": number, "created_at": created_at}
    record["first_commit_at"] = draw(st.sampled_from([None, min(authored), min(authored)]))
    record["ready_at"] = after(created_at, draw(st.sampled_from([None, None, 1])))
    record["first_review_at"] = after(created_at, draw(st.sampled_from([None, -1, 1, 3])))
    record["author_key"] = draw(st.sampled_from(AUTHORS))
    if kind != "unmerged":
        # The clocks of source and repository may differ; where places are known, merges are in their order.
        record["merged_at"] = merged_at + timedelta(seconds=draw(st.integers(0, 1)) if repository == "stray" else 0)
        record["merge_commit_sha"] = commits[-1 if kind == "rebase" else 0]["commit_sha"]
        record["merge_method"] = draw(st.sampled_from([kind, kind, None]))
    return commits, [record]


@st.composite
def pull_request_events(draw, record: Row) -> list[Row]:
    """What a source that keeps a log says of one pull request; often nothing."""
    names = ("source", "repository", "pull_request_number")
    return [
        {name: record[name] for name in names}
        | {
            "event_id": f"{record['pull_request_number']}-{number}",
            "event_type": draw(st.sampled_from(["committed", "ready", "commented", "reviewed", "approved"])),
            "occurred_at": after(record["created_at"], draw(st.integers(-3, 6))),
            "actor_key": draw(st.sampled_from([None, *AUTHORS])),
        }
        for number in range(draw(st.sampled_from([0, 0, 1, 4])))
    ]


@st.composite
def builds(draw, number: int, commits: list[Row]) -> Row:
    commit = draw(st.sampled_from(commits))
    started_at = after(commit["merged_at"] or commit["authored_at"], draw(st.integers(-1, 6)))
    return {
        "source": "ci",
        "build_id": f"b{number}",
        "repository": commit["repository"],
        "service": draw(st.sampled_from([None, None, None, "web"])),
        "commit_sha": commit["commit_sha"],
        "workflow": draw(st.sampled_from([None, "test"])),
        "status": draw(st.sampled_from(["success", "success", "failure", "cancelled"])),
        "started_at": started_at,
        "finished_at": after(started_at, draw(st.integers(0, 2))),
    }


@st.composite
def deployments(draw, number: int, service: str, commits: list[Row]) -> tuple[Row, list[Row]]:
    """One attempt and the commits that its source says it reached, which may overlap with those of others."""
    status = draw(st.sampled_from(["success"] * 8 + ["failure", "cancelled", "in_progress"]))
    finished_at = after(START, draw(steps))
    # The record may begin with the attempt's end.
    started_at = (
        after(finished_at, -length) if (length := draw(st.sampled_from([None, 0, 0, 1, 2]))) is not None else None
    )
    row = {
        "source": draw(st.sampled_from(["git", "git", "git", "other"])) if service == "stray" else "git",
        "deployment_id": f"{number:03}",
        "service": service,
        "environment": draw(st.sampled_from(["production"] * 7 + ["staging"])),
        "status": status,
        "started_at": started_at,
        "finished_at": None if status == "in_progress" else finished_at,
        "commit_sha": draw(st.sampled_from([None, *[commit["commit_sha"] for commit in commits[:6]]])),
        "version": draw(st.sampled_from([None, *VERSIONS])),
        "commit_relation": draw(st.sampled_from([None, None, None, "new", "new", "same", "ancestor", "returned"])),
        "is_rollback": draw(st.sampled_from([None, None, None, False, True])),
        "is_hotfix": draw(st.sampled_from([None, None, False, True])),
        "repairs_deployment_id": draw(st.sampled_from([None, None, None, f"{number // 2:03}", "unheard-of"])),
    }
    on_line = {c["commit_sha"]: c["mainline_position"] for c in commits if c["commit_sha"] == c.get("merge_commit_sha")}
    if place := on_line.get(row["commit_sha"]):
        # It holds what was merged by then, so that some commits are listed more than once.
        reached = [commit for commit in commits if (commit["mainline_position"] or STEPS) <= place]
    else:
        reached = draw(st.lists(st.sampled_from(commits), max_size=6, unique_by=lambda commit: commit["commit_sha"]))
    keys = {"source": row["source"], "deployment_id": row["deployment_id"]}
    return row, [keys | {"commit_sha": commit["commit_sha"]} for commit in reached]


@st.composite
def statuses(draw, attempt: Row) -> list[Row]:
    """The history of an attempt's statuses, such as repeated health checks; its own row may say something else."""
    kinds = ["pending", "in_progress", "success", "failure", "error", "cancelled", "inactive"]
    first = attempt["started_at"] or attempt["finished_at"] or START
    taken = draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 9)), min_size=1, max_size=5))
    if not {kind for kind, _ in taken} & {"success", "failure", "error", "cancelled"}:
        return []
    keys = {"source": attempt["source"], "deployment_id": attempt["deployment_id"]}
    return [
        keys | {"status": kind, "occurred_at": after(first, step) + timedelta(seconds=place)}
        for place, (kind, step) in enumerate(taken)
    ]


@st.composite
def incidents(draw, number: int, attempts: list[Row], commits: list[Row]) -> tuple[Row, list[Row]]:
    """One incident, mostly some hours after an attempt, and its log."""
    attempt = draw(st.sampled_from(attempts))
    started_at = after(attempt["finished_at"] or attempt["started_at"] or START, draw(st.integers(-2, 12)))
    row = {
        "source": "pager",
        "incident_id": f"i{number}",
        "service": attempt["service"],
        "started_at": started_at,
        "severity": draw(st.sampled_from([None, "sev1", "sev3", "sev5"])),
        "is_false_positive": draw(rarely),
        "is_third_party": draw(rarely),
        "is_change_related": draw(maybe),
    }
    row["mitigated_at"] = after(started_at, draw(st.sampled_from([None, 0, 1, 4])))
    row["resolved_at"] = after(row["mitigated_at"] or started_at, draw(st.sampled_from([None, 0, 2, 30])))
    named = draw(st.sampled_from([None] * 6 + ["deployment_id", "version", "commit_sha"]))
    if named == "deployment_id":
        row["deployment_id"] = draw(st.sampled_from([attempt["deployment_id"], "unheard-of"]))
    elif named == "version":
        row["version"] = draw(st.sampled_from(VERSIONS))
    elif named == "commit_sha":
        row["commit_sha"] = draw(st.sampled_from(commits))["commit_sha"]
    kinds = ["triggered", "acknowledged", "mitigated", "resolved", "reopened", "merged", "escalated", "hotfix"]
    log = draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(-1, 8)), max_size=5))
    events = [
        {
            "source": "pager",
            "event_id": f"{number}-{place}",
            "incident_id": row["incident_id"],
            "event_type": kind,
            # Two entries of a log are never at one moment.
            "occurred_at": after(started_at, step) + timedelta(seconds=place),
        }
        for place, (kind, step) in enumerate(log)
    ]
    return row, events


@st.composite
def operational_changes(draw, number: int, incidents: list[Row]) -> Row:
    """One flag or CDN change at the time of an incident, which it may name."""
    incident = draw(st.sampled_from(incidents))
    return {
        "source": draw(st.sampled_from(["pager", "pager", "flags"])),
        "operational_change_id": f"o{number}",
        "service": incident["service"],
        "change_kind": draw(st.sampled_from(["flag_rollback", "cdn_invalidation", "flag_change"])),
        "occurred_at": after(incident["started_at"], draw(st.integers(-1, 4))) + timedelta(seconds=100 + number),
        "incident_id": draw(st.sampled_from([None, incident["incident_id"]])),
    }


def is_success(row: Row) -> bool:
    return row["environment"] == "production" and row["status"] == "success"


@st.composite
def corrections(draw, number: int, successes: list[str], incidents: list[Row]) -> Row:
    """One correction by hand; of two about one matter the later counts."""
    verdicts = ["deployment_failed", "deployment_not_failed"]
    verdict = draw(st.sampled_from(verdicts + ["incident_linked", "incident_not_linked"] * bool(incidents)))
    row = {"corrected_at": START + number * STEP, "corrected_by_role": "release manager", "why": "post-mortem"}
    row["verdict"] = verdict
    if verdict != "incident_not_linked":
        row["deployment_key"] = draw(st.sampled_from(successes))
    if verdict in ("incident_linked", "incident_not_linked"):
        row["incident_key"] = "pager/" + draw(st.sampled_from(incidents))["incident_id"]
    elif verdict == "deployment_failed":
        row["cause"] = draw(st.sampled_from([None, "degradation"]))
    return row


@st.composite
def histories(draw, most_deployments: int = 30) -> History:
    """Some services, two of them in one repository, one without reference data."""
    history: History = {
        name: []
        for name in (
            *("deployments", "deployment_statuses", "changes", "change_paths", "deployment_changes", "pull_requests"),
            *("pull_request_events", "builds", "incidents", "incident_events", "operational_changes", "corrections"),
        )
    }
    history |= {"services": SERVICES, "teams": TEAMS}
    repositories: dict[str, list[Row]] = {"mono": [], "mail": [], "stray": []}
    for repository, commits in repositories.items():
        for number in range(1, draw(st.integers(2, 9))):
            brought, records = draw(pull_requests(repository, number))
            commits += brought
            history["pull_requests"] += records
            history["pull_request_events"] += [row for record in records for row in draw(pull_request_events(record))]
        # Places on the first-parent line, unknown in one repository.
        line = sorted({(commit["merged_at"], commit["merge_commit_sha"]) for commit in commits if commit["merged_at"]})
        for commit in commits:
            is_on_line = repository != "stray" and commit["merged_at"]
            moment = (commit["merged_at"], commit.get("merge_commit_sha"))
            commit["mainline_position"] = line.index(moment) + 1 if is_on_line else None
        # A revert names a commit of its repository.
        for commit in commits[1:]:
            if draw(rarely):
                commit |= {"is_revert": True, "reverts_commit_sha": draw(st.sampled_from(commits))["commit_sha"]}
        history["changes"] += commits
        for commit in commits:
            files = draw(st.lists(st.sampled_from(FILES), min_size=1, max_size=2, unique=True))
            keys = {"source": "git", "commit_sha": commit["commit_sha"]}
            history["change_paths"] += [keys | {"path": file} for file in files]
    for number in range(draw(st.integers(0, 12))):
        history["builds"].append(draw(builds(number, history["changes"])))
    for number in range(draw(st.integers(1, most_deployments))):
        service = draw(st.sampled_from(NAMES))
        repository = {"web": "mono", "api": "mono"}.get(service, service)
        attempt, reached = draw(deployments(number, service, repositories[repository]))
        history["deployments"].append(attempt)
        if draw(rarely):
            history["deployment_statuses"] += draw(statuses(attempt))
        history["deployment_changes"] += reached
    for number in range(draw(st.integers(0, 10))):
        incident, events = draw(incidents(number, history["deployments"], history["changes"]))
        history["incidents"].append(incident)
        history["incident_events"] += events
    for number in range(draw(st.integers(0, 4)) if history["incidents"] else 0):
        history["operational_changes"].append(draw(operational_changes(number, history["incidents"])))
    # A history of statuses may say otherwise, and the gate refuses a correction of what is no success.
    told = {row["deployment_id"] for row in history["deployment_statuses"]}
    successes = [
        f"{row['source']}/{row['deployment_id']}"
        for row in history["deployments"]
        if is_success(row) and row["deployment_id"] not in told
    ]
    for number in range(draw(st.integers(0, 3)) if successes else 0):
        history["corrections"].append(draw(corrections(number, successes, history["incidents"])))
    # The last event on record, so that it is none of those whose kind is open to debate.
    watermark = after(START, STEPS + draw(st.integers(40, 80)))
    history["deployments"].append(
        {"source": "git", "deployment_id": "watermark", "service": "web", "environment": "staging"}
        | {"status": "success", "finished_at": watermark}
    )
    return history


@st.composite
def with_corrections(draw) -> tuple[History, History, History]:
    """A history in two deliveries, the second with what came late and what was corrected; and as one, in time."""
    complete = draw(histories(most_deployments=12))
    first: History = {name: list(rows) for name, rows in complete.items()}
    second: History = {name: [] for name in complete}
    for name in (
        *("deployments", "incidents", "pull_requests", "pull_request_events", "builds", "deployment_changes"),
        "incident_events",
    ):
        for place in range(len(first[name]) - 1, -1, -1):
            fate = draw(st.sampled_from(["in time", "in time", "late", "corrected"]))
            row = first[name][place]
            if fate == "late":
                second[name].append(first[name].pop(place))
            elif fate == "corrected" and (correction := CORRECTED.get(name)):
                second[name].append(row)
                first[name][place] = row | correction(row)
    for name in ("services", "teams", "corrections"):
        second[name] = []
    return first, second, complete


# What a record of each table said before it was corrected.
CORRECTED = {
    "deployments": lambda row: {
        "finished_at": row["finished_at"] and row["finished_at"] + 9 * STEP,
        "status": "failure" if row["status"] == "success" else row["status"],
        "service": "mail",
    },
    "incidents": lambda row: {"started_at": row["started_at"] - 5 * STEP, "service": "web"},
    "pull_requests": lambda row: {"first_commit_at": row["created_at"] - 50 * STEP},
    "builds": lambda row: {"finished_at": None, "status": "in_progress"},
}
