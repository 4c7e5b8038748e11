"""The simulated delivery as rows of the canonical tables; what happens after the period is not known yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from dagster_project.extract.demo.delivery import Delivery, Merge, Row
from dagster_project.extract.demo.organisation import RISKY_MODULE, commit_sha

FILES_OF_A_MODULE = 25
# Of 256 changes that did no harm, so many touch the risky module; of those that did all, and so many no other.
HARMLESS_CHANGES_TO_THE_RISKY_MODULE = 40
HARMFUL_CHANGES_TO_THE_RISKY_MODULE_ALONE = 160


def deployments(delivery: Delivery) -> Iterator[Row]:
    for item in delivery.deployments:
        yield {
            "deployment_id": item.deployment_id,
            "service": delivery.service.name,
            "environment": item.environment,
            "status": item.status,
            "started_at": item.started_at,
            "finished_at": item.finished_at,
            "commit_sha": item.merge.sha,
            "version": item.version,
            "commit_relation": item.relation,
            "is_rollback": item.is_rollback,
            "is_hotfix": item.is_hotfix,
            "repairs_deployment_id": item.repairs.deployment_id if item.repairs else None,
            "trigger": item.trigger,
        }


def deployment_statuses(delivery: Delivery) -> Iterator[Row]:
    """What the pipeline of production reports; a status that is reported again later changes nothing."""
    for item in delivery.deployments:
        if item.environment == "production":
            row = {"deployment_id": item.deployment_id}
            yield row | {"status": "in_progress", "occurred_at": item.started_at}
            yield row | {"status": item.status, "occurred_at": item.finished_at}
            repeated_at = item.finished_at + timedelta(days=1)
            if item.status == "success" and repeated_at < delivery.period.end:
                yield row | {"status": "inactive", "occurred_at": repeated_at}


def deployment_changes(delivery: Delivery) -> Iterator[Row]:
    for item in delivery.deployments:
        for merge in item.shipped:
            for commit in _commits(merge):
                yield {"deployment_id": item.deployment_id, "commit_sha": commit.sha}


def change_paths(delivery: Delivery) -> Iterator[Row]:
    """Files by what their commit's hash says, so that they are drawn evenly."""
    harmful = {
        commit.sha
        for failure in delivery.failures
        for merge in failure.deployment.shipped
        for commit in _commits(merge)
    }
    for row in changes(delivery):
        sha = row["commit_sha"]
        file = int(sha[-4:], 16) % FILES_OF_A_MODULE
        modules = [f"src/module-{int(letter, 16) // 2}" for letter in set(sha[: min(row["files_changed"], 3)])]
        if delivery.service.name == RISKY_MODULE.service and modules:
            draw = int(sha[-6:-4], 16)
            if sha in harmful and draw < HARMFUL_CHANGES_TO_THE_RISKY_MODULE_ALONE:
                modules = [RISKY_MODULE.component]
            elif sha in harmful or draw < HARMLESS_CHANGES_TO_THE_RISKY_MODULE:
                modules.append(RISKY_MODULE.component)
        for module in sorted(set(modules)):
            yield {"commit_sha": sha, "path": f"{module}/{file}.ts"}


def changes(delivery: Delivery) -> Iterator[Row]:
    for position, merge in enumerate(delivery.trunk, 1):
        if merge.at >= delivery.period.end:
            continue
        request = merge.pull_request
        for commit in _commits(merge):
            files, added, deleted = commit.size
            yield {
                "commit_sha": commit.sha,
                "repository": delivery.service.repository,
                "authored_at": commit.authored_at,
                "committed_at": commit.authored_at,
                "merged_at": merge.at,
                "merge_commit_sha": merge.sha,
                "mainline_position": position,
                "is_merge": commit.is_merge,
                "pull_request_number": request.number if request else None,
                "author_key": merge.author,
                "change_type": None if commit.is_merge else merge.change_type,
                "is_revert": merge.reverts is not None,
                "reverts_commit_sha": merge.reverts,
                "files_changed": files,
                "lines_added": added,
                "lines_deleted": deleted,
            }


def pull_requests(delivery: Delivery) -> Iterator[Row]:
    seen = delivery.period.before_end
    merges = {id(merge.pull_request): merge for merge in delivery.trunk}
    for request in delivery.pull_requests:
        merged_at = seen(request.merged_at)
        files, added, deleted = request.size
        yield {
            "repository": delivery.service.repository,
            "pull_request_number": request.number,
            "created_at": request.created_at,
            "first_commit_at": request.first_commit_at,
            "ready_at": seen(request.ready_at),
            "first_review_at": seen(request.first_review_at),
            "approved_at": seen(request.approved_at),
            "merged_at": merged_at,
            "closed_at": seen(request.closed_at),
            "merge_commit_sha": merges[id(request)].sha if merged_at else None,
            "merge_method": request.method if merged_at else None,
            "author_key": request.author,
            "review_count": sum(seen(at) is not None for at in (request.first_review_at, request.approved_at)),
            "files_changed": files,
            "lines_added": added,
            "lines_deleted": deleted,
        }


def builds(delivery: Delivery) -> Iterator[Row]:
    """A build that is not over at the end of the period is still in progress."""
    for build in delivery.builds:
        if build["started_at"] < delivery.period.end:
            is_over = build["finished_at"] < delivery.period.end
            yield build if is_over else {**build, "status": "in_progress", "finished_at": None}


@dataclass(frozen=True)
class _Commit:
    sha: str
    authored_at: datetime
    size: tuple[int, ...] = (0, 0, 0)
    is_merge: bool = False


def _commits(merge: Merge) -> list[_Commit]:
    """What a merge brings to the default branch: one commit if squashed, else those of the branch and the merge."""
    request = merge.pull_request
    if request is None:
        return [_Commit(merge.sha, merge.at)]
    if request.method == "squash":
        return [_Commit(merge.sha, merge.at, request.size)]
    *earlier, last = request.commit_times
    part = tuple(size // len(request.commit_times) for size in request.size)
    return [
        *(_Commit(commit_sha(request.head_sha, number), at, part) for number, at in enumerate(earlier)),
        _Commit(request.head_sha, last, part),
        _Commit(merge.sha, merge.at, is_merge=True),
    ]
