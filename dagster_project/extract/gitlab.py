"""GitLab: deployments, as its API lists them and as its webhook tells of each change of status."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dagster_project.extract.payloads import CanonicalRow, Names, UnknownPayload, at

STATUSES = {
    "success": "success",
    "failed": "failure",
    "canceled": "cancelled",
    "skipped": "cancelled",
    "created": "in_progress",
    "running": "in_progress",
    "blocked": "in_progress",
}


def rows(item: dict, names: Names) -> Iterator[CanonicalRow]:
    """The row of one deployment."""
    if item.get("object_kind") == "deployment":
        project = at(item, "project.name")
        moment = item.get("status_changed_at")
        commit_url = item.get("commit_url")
        yield _deployment(
            project,
            names,
            deployment_id=item.get("deployment_id"),
            environment=names.environment(item.get("environment"), item.get("environment_tier")),
            status=item.get("status"),
            # The body has the hash shortened, and in full only in the address of the commit.
            commit_sha=commit_url.rsplit("/", 1)[-1] if isinstance(commit_url, str) else None,
            finished_at=moment,
            updated_at=moment,
        )
    elif {"id", "status", "sha", "environment"} <= item.keys():
        finished_at = item.get("finished_at") or at(item, "deployable.finished_at") or item.get("updated_at")
        yield _deployment(
            at(item, "project.name"),
            names,
            deployment_id=item["id"],
            environment=names.environment(at(item, "environment.name"), at(item, "environment.tier")),
            # Of the deployment: the job behind it may have another.
            status=item["status"],
            commit_sha=item["sha"],
            started_at=at(item, "deployable.started_at") or item.get("created_at"),
            finished_at=finished_at,
            updated_at=item.get("updated_at"),
        )
    else:
        raise UnknownPayload("no deployment of GitLab")


def _deployment(project: str | None, names: Names, *, status: Any, finished_at: Any, **fields: Any) -> CanonicalRow:
    outcome = STATUSES.get(status, status)
    return (
        "deployments",
        {
            **fields,
            "source": project or names.folder,
            "service": names.service(project),
            "status": outcome,
            "finished_at": None if outcome == "in_progress" else finished_at,
        },
    )
