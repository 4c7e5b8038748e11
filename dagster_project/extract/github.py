"""GitHub: deployments and their statuses, pull requests with their commits, reviews and comments, workflow runs.

Read are webhook bodies, objects of the REST API, deployments of the GraphQL API, and a pull request together with the
lists that the API gives beside it: {"pull_request": …, "commits": […], "reviews": […], "comments": […]}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dagster_project.extract.payloads import CanonicalRow, Names, UnknownPayload, at, objects_at

KNOWN = "deployment, deployment status, pull request, review, comment, workflow run"
# `inactive`, a later deployment took its place, says nothing about the outcome.
STATES = {
    "success": "success",
    "failure": "failure",
    "error": "error",
    "abandoned": "cancelled",
    "inactive": "inactive",
    "destroyed": "inactive",
    "pending": "pending",
    "queued": "pending",
    "waiting": "pending",
    "locked": "pending",
    "in_progress": "in_progress",
}
OUTCOMES = {"success": "success", "failure": "failure", "error": "failure", "cancelled": "cancelled"}
CONCLUSIONS = {
    "success": "success",
    "failure": "failure",
    "timed_out": "failure",
    "startup_failure": "failure",
    "cancelled": "cancelled",
    "skipped": "skipped",
    "neutral": "skipped",
    "stale": "skipped",
    "action_required": "skipped",
}
REVIEWS = {"approved": "approved", "commented": "reviewed", "changes_requested": "reviewed", "dismissed": "reviewed"}


def rows(item: dict, names: Names) -> Iterator[CanonicalRow]:
    """The rows of one object."""
    # Tools that store answers of the GraphQL API write its names with capitals.
    item = {name[:1].lower() + name[1:]: value for name, value in item.items()}
    if isinstance(status := item.get("deployment_status"), dict):
        yield from _deployments(item["deployment"], names, _repository(item, names), [status])
    elif isinstance(deployment := item.get("deployment"), dict):
        yield from _deployments(deployment, names, _repository(item, names), objects_at(item, "statuses"))
    elif isinstance(pull_request := item.get("pull_request"), dict):
        yield from _of_pull_request(item, pull_request, names)
    elif isinstance(comment := item.get("comment"), dict) and at(item, "issue.pull_request"):
        yield from _event(comment, "commented", at(comment, "created_at"), _pull_request(item["issue"], item, names))
    elif isinstance(run := item.get("workflow_run"), dict):
        yield _build(run, names)
    elif "run_attempt" in item:
        yield _build(item, names)
    elif {"head", "base", "number"} <= item.keys():
        yield _pull_request_row(item, names)
    elif "pull_request_url" in item and "submitted_at" in item:
        *_, repository, _, number = item["pull_request_url"].split("/")
        yield from _review(item, {"source": repository, "repository": repository, "pull_request_number": number})
    elif "commitOid" in item:
        yield from _graphql_deployment(item, names)
    elif {"sha", "environment"} <= item.keys():
        yield from _deployments(item, names, _repository(item, names), [])
    else:
        raise UnknownPayload(f"none of GitHub’s objects that bring a row: {KNOWN}")


def _repository(item: dict, names: Names) -> str | None:
    if name := at(item, "repository.name") or at(item, "repository.Name"):
        return name
    url = item.get("repository_url")
    return url.rsplit("/", 1)[-1] if isinstance(url, str) else names.folder


# Deployments


def _deployments(
    deployment: dict, names: Names, repository: str | None, statuses: list[dict]
) -> Iterator[CanonicalRow]:
    """The deployment, and its statuses; it has the outcome of the last one that says so."""
    key = {"source": repository, "deployment_id": deployment.get("id")}
    history = sorted(
        ((status.get("created_at") or "", _state(status.get("state"))) for status in statuses), key=lambda each: each[0]
    )
    for occurred_at, state in history:
        yield "deployment_statuses", {**key, "status": state, "occurred_at": occurred_at}
    told = [(occurred_at, state) for occurred_at, state in history if state != "inactive"]
    occurred_at, state = told[-1] if told else (None, None)
    own = _own_payload(deployment.get("payload"))
    tier = "production" if deployment.get("production_environment") is True else None
    yield (
        "deployments",
        {
            **key,
            "service": names.service(own.get("service"), repository),
            "environment": names.environment(deployment.get("environment"), tier),
            "status": OUTCOMES.get(state, "in_progress"),
            "started_at": deployment.get("created_at"),
            "finished_at": occurred_at if state in OUTCOMES else None,
            "commit_sha": deployment.get("sha"),
            "version": own.get("version"),
            "is_rollback": own.get("is_rollback"),
            "is_hotfix": own.get("is_hotfix"),
            # Without news of its own it is older than any version of the row that has some.
            "updated_at": occurred_at or deployment.get("created_at"),
        },
    )


def _graphql_deployment(item: dict, names: Names) -> Iterator[CanonicalRow]:
    statuses = [
        {"state": status.get("state"), "created_at": status.get("createdAt") or status.get("updatedAt")}
        for status in objects_at(item, "statuses.nodes")
    ]
    deployment = {
        "id": item.get("databaseId"),
        "environment": item.get("environment"),
        "created_at": item.get("createdAt"),
        "sha": item.get("commitOid"),
        "payload": item.get("payload"),
    }
    yield from _deployments(deployment, names, _repository(item, names), statuses)


def _state(state: Any) -> Any:
    return STATES.get(state.lower(), state) if isinstance(state, str) else state


def _own_payload(payload: Any) -> dict:
    """What the deployer wrote into the deployment's payload, of which service, version and marks are read."""
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError:
            return {}
    return payload if isinstance(payload, dict) else {}


# Pull requests


def _of_pull_request(item: dict, pull_request: dict, names: Names) -> Iterator[CanonicalRow]:
    key = _pull_request(pull_request, item, names)
    if isinstance(review := item.get("review"), dict):
        # The pull request in this body lacks its size.
        yield from _review(review, key)
    elif isinstance(comment := item.get("comment"), dict):
        yield from _event(comment, "commented", comment.get("created_at"), key)
    else:
        yield _pull_request_row(pull_request, names)
        if item.get("action") == "ready_for_review":
            moment = pull_request.get("updated_at")
            yield from _event({"id": f"{_number_of(key)} ready {moment}"}, "ready", moment, key)
        for commit in objects_at(item, "commits"):
            yield from _commit(commit, key)
        for review in objects_at(item, "reviews"):
            yield from _review(review, key)
        for comment in objects_at(item, "comments"):
            yield from _event(comment, "commented", comment.get("created_at"), key)


def _pull_request(pull_request: dict, item: dict, names: Names) -> dict:
    repository = at(pull_request, "base.repo.name") or _repository(item, names)
    return {"source": repository, "repository": repository, "pull_request_number": pull_request.get("number")}


def _number_of(key: dict) -> str:
    return f"{key['repository']}#{key['pull_request_number']}"


def _pull_request_row(pull_request: dict, names: Names) -> CanonicalRow:
    merged_at = pull_request.get("merged_at")
    return (
        "pull_requests",
        {
            **_pull_request(pull_request, {}, names),
            "created_at": pull_request.get("created_at"),
            "merged_at": merged_at,
            "closed_at": pull_request.get("closed_at"),
            # Before the merge, and of one closed without, this is a trial merge that is on no branch.
            "merge_commit_sha": pull_request.get("merge_commit_sha") if merged_at else None,
            "merge_method": at(pull_request, "auto_merge.merge_method"),
            "author_key": at(pull_request, "user.login"),
            "files_changed": pull_request.get("changed_files"),
            "lines_added": pull_request.get("additions"),
            "lines_deleted": pull_request.get("deletions"),
            "updated_at": pull_request.get("updated_at"),
        },
    )


def _commit(commit: dict, key: dict) -> Iterator[CanonicalRow]:
    sha, authored_at = commit.get("sha"), at(commit, "commit.author.date")
    yield from _event({"id": f"{_number_of(key)} {sha}", "user": commit.get("author")}, "committed", authored_at, key)


def _review(review: dict, key: dict) -> Iterator[CanonicalRow]:
    state = review.get("state")
    # A pending one is seen by its author alone.
    if isinstance(state, str) and state.lower() != "pending":
        yield from _event(review, REVIEWS.get(state.lower(), state), review.get("submitted_at"), key)


def _event(event: dict, event_type: str, occurred_at: Any, key: dict) -> Iterator[CanonicalRow]:
    # Nobody waits for a bot, and its comment is no review.
    if event_type == "committed" or at(event, "user.type") != "Bot":
        yield (
            "pull_request_events",
            {
                **key,
                "event_id": event.get("id"),
                "event_type": event_type,
                "occurred_at": occurred_at,
                "actor_key": at(event, "user.login"),
            },
        )


# Builds


def _build(run: dict, names: Names) -> CanonicalRow:
    repository = _repository(run, names)
    conclusion = run.get("conclusion") or None
    return (
        "builds",
        {
            "source": repository,
            "build_id": f"{run.get('id')}/{run.get('run_attempt') or 1}",
            "repository": repository,
            "workflow": run.get("name"),
            "commit_sha": run.get("head_sha"),
            "status": CONCLUSIONS.get(conclusion, conclusion) if conclusion else "in_progress",
            "started_at": run.get("run_started_at") or run.get("created_at"),
            "finished_at": run.get("updated_at") if conclusion else None,
            "updated_at": run.get("updated_at"),
        },
    )
