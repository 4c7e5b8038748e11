"""Apache DevLake's inputs and the numbers that it expects, through our models under the profile devlake.

Two sets in the same files and columns: DevLake's own end-to-end cases, where they lie beside the checkout, and a small
one of ours in devlake/, which covers the same ground. What differs is listed, each with its reason, and the test fails
as well if a listed difference is gone.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

import pytest
from conftest import SHARED
from dbt_models import frame, insert, memory, models, profile

from dagster_project.contracts import TABLES

Row = dict[str, str]
FOLDERS = {"devlake": SHARED / "conformance/devlake", "ours": Path(__file__).parent / "devlake"}
ENVIRONMENTS = {"PRODUCTION": "production", "STAGING": "staging", "": "other"}

NO_SUM = "a total is only given between two known ends; there, what is not known counts as 0 or is passed over"
SKEWED = "the first commit is later than the merge: ours starts at the merge, theirs at the opening"
MERGED_LATE = "deployed before it was merged: ours ends with the deployment, theirs with the merge"
PRODUCTION_ONLY = "only production deployments follow one another; staging counts in no metric"
# (what, id) → what they say, what we say, why. Minutes rounded up, deployments by id.
DIFFERENCES: dict[str, dict[tuple[str, str], tuple]] = {
    "devlake": {
        ("cycle", "pr0"): (44640, None, NO_SUM),
        ("cycle", "pr2"): (1598, 1538, SKEWED),
        ("cycle", "pr3"): (10203, 8799, MERGED_LATE),
        ("cycle", "pr4"): (11764, None, NO_SUM),
        ("cycle", "pr5"): (13204, None, NO_SUM),
        ("change_lead_time", "8"): ("7", None, PRODUCTION_ONLY),
        ("prev_success_deployment_commit", "8"): ("7", None, PRODUCTION_ONLY),
    },
    "ours": {
        ("cycle", "seed"): (1500, None, NO_SUM),
        ("cycle", "failed"): (120, None, NO_SUM),
        ("cycle", "staged"): (181, None, NO_SUM),
        ("cycle", "late"): (1500, 1450, MERGED_LATE),
        ("prev_success_deployment_commit", "p7"): ("p6", None, PRODUCTION_ONLY),
    },
}


@pytest.fixture(params=FOLDERS)
def case(request) -> str:
    if not FOLDERS[request.param].exists():
        pytest.skip("DevLake's cases are not beside this checkout")
    return request.param


def read(case: str, file: str) -> list[Row]:
    with (FOLDERS[case] / file).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def moment(text: str) -> datetime | None:
    """Of either form that the files hold; the second does not pad its numbers."""
    if not text:
        return None
    if "T" in text:
        return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")


def minutes(hours: float | None) -> int | None:
    """Rounded up, as theirs are; what is a second short by the rounding of floats is none."""
    return None if hours is None else ceil(round(hours * 60, 6))


def number(text: str) -> int | None:
    return int(text) if text else None


def deployments(rows: list[Row], service) -> list[dict]:
    return [
        {
            "source": "devlake",
            "deployment_id": row["id"],
            "service": service(row),
            "environment": ENVIRONMENTS[row["environment"]],
            "status": row["result"].lower(),
            "started_at": moment(row["started_date"]),
            "finished_at": moment(row["finished_date"]),
            "commit_sha": row["commit_sha"],
        }
        for row in rows
    ]


def scope(row: Row) -> str:
    """What follows one another there: a CI scope and a repository."""
    return f"{row['cicd_scope_id']}/{row['repo_url']}"


def marts(**tables: list[dict]) -> dict[str, list[dict]]:
    with memory() as connection:
        for name, rows in tables.items():
            insert(connection, TABLES[name], frame(TABLES[name], rows))
        names = ("fct_changes", "fct_deployments", "fct_incidents", "fct_pull_requests")
        return models(**profile("devlake")).marts(connection, *names)


def hold(case: str, what: str, theirs: dict[str, object], ours: dict[str, object]) -> None:
    """Equal but for the listed differences, and those as listed."""
    assert theirs, "no case at all"
    listed = {key: row[:2] for (kind, key), row in DIFFERENCES[case].items() if kind == what}
    assert {key: (value, ours.get(key)) for key, value in theirs.items() if value != ours.get(key)} == listed


def lead_time_tables(case: str) -> dict[str, list[dict]]:
    folder = "change_lead_time"
    attempts = deployments(read(case, f"{folder}/cicd_deployment_commits.csv"), scope)
    ids = {attempt["commit_sha"]: attempt["deployment_id"] for attempt in attempts}
    commits = read(case, f"{folder}/pull_request_commits.csv")
    comments = read(case, f"{folder}/pull_request_comments.csv")
    records, changes = [], []
    for place, row in enumerate(read(case, f"{folder}/pull_requests.csv"), 1):
        mine = [moment(commit["commit_authored_date"]) for commit in commits if commit["pull_request_id"] == row["id"]]
        reviews = [
            moment(comment["created_date"])
            for comment in comments
            if comment["pull_request_id"] == row["id"] and comment["account_id"] != row["author_id"]
        ]
        merged_at = moment(row["merged_date"])
        keys = {"source": "devlake", "repository": row["base_repo_id"], "pull_request_number": place}
        record = keys | {
            "created_at": moment(row["created_date"]),
            "first_commit_at": min(mine, default=None),
            "first_review_at": min(reviews, default=None),
            "merged_at": merged_at,
            "author_key": row["author_id"] or None,
        }
        if merged_at:
            sha = row["merge_commit_sha"]
            record |= {"merge_commit_sha": sha, "merge_method": "squash"}
            times = {"authored_at": merged_at, "committed_at": merged_at, "merged_at": merged_at}
            changes.append(keys | times | {"commit_sha": sha, "merge_commit_sha": sha, "is_merge": False})
        records.append(record)
    shipped = [
        {"source": "devlake", "deployment_id": ids[row["new_commit_sha"]], "commit_sha": row["commit_sha"]}
        for row in read(case, f"{folder}/commits_diffs.csv")
    ]
    # Ours gives review times only where five people have opened pull requests in the quarter.
    others = [
        {"source": "devlake", "repository": record["repository"], "author_key": f"other {author}"}
        | {"pull_request_number": 1000 * place + author, "created_at": record["created_at"] + timedelta(seconds=1)}
        for place, record in enumerate(records, 1)
        for author in range(5)
    ]
    return {
        "deployments": attempts,
        "changes": changes,
        "deployment_changes": shipped,
        "pull_requests": records + others,
    }


def test_the_parts_of_a_lead_time_are_theirs(case):
    built = marts(**lead_time_tables(case))
    names = [row["id"] for row in read(case, "change_lead_time/pull_requests.csv")]
    mine = {
        names[row["pull_request_number"] - 1]: row
        for row in built["fct_pull_requests"]
        if row["pull_request_number"] <= len(names)
    }
    theirs = {row["id"]: row for row in read(case, "change_lead_time/project_pr_metrics.csv")}
    # Theirs has no row for one that is not merged.
    assert theirs.keys() == {name for name, row in mine.items() if row["status"] == "merged"}
    parts = {
        "coding": ("pr_coding_time", "coding_hours"),
        "pickup": ("pr_pickup_time", "pickup_hours"),
        "review": ("pr_review_time", "review_hours"),
        "deploy": ("pr_deploy_time", "merge_to_deploy_hours"),
    }
    for part, (their_name, our_name) in parts.items():
        hold(
            case,
            part,
            {name: number(row[their_name]) for name, row in theirs.items()},
            {name: minutes(row[our_name]) for name, row in mine.items()},
        )
    shipped_by = {name: (row["deployment_key"] or "/").split("/", 1)[1] or None for name, row in mine.items()}
    hold(case, "deployment", {n: row["deployment_commit_id"] or None for n, row in theirs.items()}, shipped_by)
    whole = {names[row["pull_request_number"] - 1]: minutes(row["lead_time_hours"]) for row in built["fct_changes"]}
    hold(case, "cycle", {name: number(row["pr_cycle_time"]) for name, row in theirs.items()}, whole)


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("change_lead_time", "cicd_deployment_commits.csv"),
        ("prev_success_deployment_commit", "cicd_deployment_commits_after.csv"),
    ],
)
def test_the_deployment_that_one_replaces_is_theirs(case, folder, file):
    rows = read(case, f"{folder}/{file}")
    replaced = {
        row["deployment_id"]: row["replaced_deployment_key"] and row["replaced_deployment_key"].split("/", 1)[1]
        for row in marts(deployments=deployments(rows, scope))["fct_deployments"]
    }
    hold(case, folder, {row["id"]: row["prev_success_deployment_commit_id"] or None for row in rows}, replaced)


def test_the_deployment_that_an_incident_is_linked_to_is_theirs(case):
    folder = "connect_incident_to_deployment"
    projects = {row["row_id"]: row["project_name"] for row in read(case, f"{folder}/raw_tables/project_mapping.csv")}
    rows = read(case, f"{folder}/prev_success_deployment_commit/cicd_deployment_commits_after.csv")
    pipelines = {f"devlake/{row['id']}": row["cicd_deployment_id"] for row in rows}
    incidents = [
        # Theirs drops an incident of no project; ours keeps it, under a service that deploys nothing.
        {
            "source": "devlake",
            "incident_id": row["id"],
            "service": projects.get(row["scope_id"], row["scope_id"]),
            "started_at": moment(row["created_date"]),
        }
        for row in read(case, f"{folder}/raw_tables/incidents.csv")
    ]
    attempts = deployments(rows, lambda row: projects.get(row["cicd_scope_id"], row["cicd_scope_id"]))
    built = marts(deployments=attempts, incidents=incidents)
    ours = {row["incident_id"]: pipelines.get(row["deployment_key"]) for row in built["fct_incidents"]}
    theirs = {
        row["id"]: row["deployment_id"]
        for row in read(case, f"{folder}/snapshot_tables/project_incident_deployment_relationships.csv")
    }
    hold(case, "incident", dict.fromkeys(ours) | theirs, ours)
