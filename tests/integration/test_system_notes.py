"""System notes: what stands out is noted with the rows behind it, and nothing else is."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from dbt_models import frame, load_rows, memory, models

from dagster_project.contracts import TABLES

QUARTER = date(2025, 4, 1)
REPOSITORIES = [f"repository-{number}" for number in range(6)]
SERVICES = [{"service": name, "team": "shop", "component_kind": "worker", "repository": name} for name in REPOSITORIES]


def moment(number: int, of: int) -> datetime:
    """The middle of one of so many equal parts of the quarter."""
    return datetime.combine(QUARTER, datetime.min.time()) + timedelta(days=90 * (number + 0.5) / of)


def deployments(count: int = 60) -> list[dict]:
    return [
        {
            "source": name,
            "deployment_id": f"{name}/{number}",
            "service": name,
            "environment": "production",
            "status": "success",
            "finished_at": moment(number, count),
            "commit_sha": f"{name}/{number}",
            "commit_relation": "new",
        }
        for name in REPOSITORIES
        for number in range(count)
    ]


def notes(**tables: list[dict]) -> tuple[list[dict], list[list[tuple]]]:
    """Rows of system_notes, and what their queries find."""
    given = {
        "services": SERVICES,
        "teams": [{"team": "shop", "time_zone": "UTC"}],
        "deployments": deployments(),
    } | tables
    with memory() as connection:
        load_rows(connection, {name: frame(TABLES[name], rows) for name, rows in given.items()})
        rows = models(as_of=datetime(2025, 7, 15)).marts(connection, "system_notes")["system_notes"]
        rows.sort(key=lambda row: (row["note_kind"], row["subject"]))
        return rows, [connection.sql(row["evidence_query"]).fetchall() for row in rows]


def builds(repository: str, failed: int, weeks: int = 13, count: int = 130) -> list[dict]:
    """Builds of which the first few of every week, in so many weeks, failed."""
    return [
        {
            "source": "ci",
            "build_id": f"{repository}/{number}",
            "repository": repository,
            "workflow": "test",
            "commit_sha": f"{number}",
            "status": "failure" if number % 10 < failed and number // 10 < weeks else "success",
            "started_at": moment(number, count),
            "finished_at": moment(number, count) + timedelta(minutes=5),
        }
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("failed", "weeks", "noted"),
    [
        (4, 13, True),
        # As often as elsewhere; more often, by no more than chance; often, but in few weeks.
        (1, 13, False),
        (2, 12, False),
        (10, 5, False),
    ],
)
def test_builds_that_keep_failing_are_noted(failed, weeks, noted):
    rows, evidence = notes(
        builds=[row for name in REPOSITORIES[1:] for row in builds(name, 1)] + builds(REPOSITORIES[0], failed, weeks)
    )
    assert [row["subject"] for row in rows] == ["repository-0 test"] * noted
    if noted:
        [row], [found] = rows, evidence
        assert row["note"] == (
            "40.0 % of 130 builds of repository-0 test failed, in more than half of the weeks; usual is 10.0 %."
        )
        assert (row["team"], row["n"], len(found)) == ("shop", 130, 130)
        assert row["observed_value"] > row["limit_value"] >= row["usual_value"]


def test_five_workflows_are_the_fewest_that_tell_what_is_usual():
    few = [row for name in REPOSITORIES[1:4] for row in builds(name, 1)] + builds(REPOSITORIES[0], 4)
    assert notes(builds=few) == ([], [])


def pull_requests(repository: str, hours: float, count: int = 30) -> list[dict]:
    return [
        {
            "source": repository,
            "repository": repository,
            "pull_request_number": number + 1,
            "created_at": moment(number, count),
            "first_review_at": moment(number, count) + timedelta(hours=hours / 2),
            "merged_at": moment(number, count) + timedelta(hours=hours),
            "closed_at": moment(number, count) + timedelta(hours=hours),
            "author_key": f"person-{number % 6}",
        }
        for number in range(count)
    ]


@pytest.mark.parametrize(("hours", "noted"), [(30, True), (7, False)])
def test_reviews_that_take_longer_than_elsewhere_and_than_a_working_day_are_noted(hours, noted):
    others = [row for number, name in enumerate(REPOSITORIES[1:]) for row in pull_requests(name, 2 + number / 10)]
    rows, evidence = notes(pull_requests=others + pull_requests(REPOSITORIES[0], hours))
    assert [row["subject"] for row in rows] == ["repository-0"] * noted
    if noted:
        [row], [found] = rows, evidence
        assert row["note"] == (
            "Half of 30 pull requests of repository-0 waited and were reviewed for more than 30.0 hours; usual is 2.2."
        )
        assert len(found) == 30


def test_reviews_of_few_authors_are_not_told():
    others = [row for name in REPOSITORIES[1:] for row in pull_requests(name, 2)]
    of_few = [row | {"author_key": "one"} for row in pull_requests(REPOSITORIES[0], 30)]
    assert notes(pull_requests=others + of_few) == ([], [])


def test_a_module_whose_changes_fail_more_than_its_neighbours_is_noted():
    """Every deployment ships six changes, one of each module, and one more of the module at risk where it fails."""
    name, count = REPOSITORIES[0], 60
    changes, shipped, paths = [], [], []
    failed = [number for number in range(count) if number % 6 == 0]
    for number in range(count):
        modules = [f"module-{each}" for each in range(6)] + ["module-0"] * (6 if number in failed else 0)
        for place, module in enumerate(modules):
            sha = f"{name}/{number}" if place == 0 else f"{name}/{number}/{place}"
            changes.append(
                {
                    "source": name,
                    "commit_sha": sha,
                    "repository": name,
                    "authored_at": moment(number, count) - timedelta(hours=3),
                    "is_merge": False,
                }
            )
            shipped.append({"source": name, "deployment_id": f"{name}/{number}", "commit_sha": sha})
            paths.append({"source": name, "commit_sha": sha, "path": f"src/{module}/index.ts"})
            paths.append({"source": name, "commit_sha": sha, "path": f"src/{module}/deep/other.ts"})
    incidents = [
        {
            "source": name,
            "incident_id": f"{number}",
            "service": name,
            "started_at": moment(number, count) + timedelta(minutes=5),
            "deployment_id": f"{name}/{number}",
        }
        for number in failed
    ]
    rows, evidence = notes(changes=changes, deployment_changes=shipped, change_paths=paths, incidents=incidents)
    [row], [found] = rows, evidence
    assert (row["note_kind"], row["subject"]) == ("module_at_risk", f"{name} src/module-0")
    # The first deployment on record ships nothing.
    assert row["note"] == (
        f"55.8 % of 113 changes to {name} src/module-0 went out with deployments that failed; usual there is 15.3 %."
    )
    assert len(found) == 113


@pytest.mark.parametrize("closed", [True, False])
def test_work_that_rests_on_few_is_noted_without_a_number_once_the_quarter_is_closed(closed):
    given = [90, 3, 3, 2, 2]
    reviewers = [person for person, count in enumerate(given) for _ in range(count)]
    requests = [row | {"author_key": None} for row in pull_requests(REPOSITORIES[0], 1, len(reviewers))]
    reviews = [
        {
            "source": row["source"],
            "review_id": f"{row['pull_request_number']}",
            "repository": row["repository"],
            "pull_request_number": row["pull_request_number"],
            "reviewer_key": f"reviewer-{reviewer}",
            "submitted_at": row["created_at"],
            "verdict": "commented",
            "comments": 1,
        }
        for row, reviewer in zip(requests, reviewers, strict=True)
    ]
    closings = [{"quarter": QUARTER, "closed_at": datetime(2025, 7, 10), "closed_by_role": "head"}] if closed else []
    rows, evidence = notes(pull_requests=requests, review_activity=reviews, ov_quarters=closings)
    if not closed:
        assert rows == []
        return
    [row], [found] = rows, evidence
    assert (row["note_kind"], row["subject"], row["team"]) == ("concentrated_workload", "shop", "shop")
    assert (row["observed_value"], row["usual_value"], row["limit_value"], row["n"]) == (None, None, None, None)
    assert len(found) == 1
