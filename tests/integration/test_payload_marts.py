"""Webhooks and objects of APIs, landed as files in whatever order, as figures."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from dbt_models import load_rows, memory, models

from dagster_project.extract.landing import extract
from dagster_project.settings import LandingSource, Settings

REPOSITORY = {"name": "storefront", "full_name": "acme/storefront"}
MARTS = ("fct_deployments", "fct_incidents", "fct_pull_requests", "delivery_monthly")


def deployment(number: int, day: int) -> dict:
    moment = f"2025-03-{day:02}T10:00:00Z"
    return {"id": number, "sha": f"c{number}", "environment": "prod-eu", "created_at": moment, "payload": ""}


def status(number: int, day: int, state: str, at: str) -> dict:
    hook = {"deployment": deployment(number, day), "repository": REPOSITORY}
    return hook | {"deployment_status": {"state": state, "created_at": f"2025-03-{at}:00Z"}}


def pull_request(number: int) -> dict:
    """Opened as a draft; its commit, its review and the end of the draft are told apart from it."""
    return {
        "number": number,
        "user": {"login": f"author {number}"},
        "created_at": "2025-03-01T08:00:00Z",
        "updated_at": "2025-03-02T08:00:00Z",
        "merged_at": "2025-03-02T08:00:00Z",
        "merge_commit_sha": f"m{number}",
        "head": {},
        "base": {"repo": REPOSITORY},
    }


def review(number: int, login: str, at: str) -> dict:
    told = {"id": f"{number} {at}", "state": "approved", "user": {"login": login}, "submitted_at": f"2025-03-{at}:00Z"}
    return {"action": "submitted", "review": told, "pull_request": {"number": number, "base": {"repo": REPOSITORY}}}


HOOKS = [
    *(
        status(1, 3, state, f"03T10:{minute:02}")
        for minute, state in ((1, "queued"), (2, "in_progress"), (9, "success"))
    ),
    *(status(2, 4, state, f"04T10:{minute:02}") for minute, state in ((2, "in_progress"), (7, "success"))),
    # The second takes the place of the first, and a health check of the second is repeated.
    status(1, 3, "inactive", "04T10:07"),
    status(2, 4, "failure", "04T18:00"),
    status(3, 5, "failure", "05T10:05"),
    *(
        {"pull_request": pull_request(number), "repository": REPOSITORY}
        | {"commits": [{"sha": f"c{number}", "commit": {"author": {"date": "2025-03-01T06:00:00Z"}}}]}
        for number in range(1, 6)
    ),
    {"action": "ready_for_review", "repository": REPOSITORY}
    | {"pull_request": pull_request(1) | {"updated_at": "2025-03-01T09:00:00Z", "merged_at": None}},
    review(1, "author 1", "01T09:30"),
    review(1, "author 2", "01T12:00"),
]
INCIDENT = {
    "id": "Q1",
    "service": {"summary": "Storefront (live)"},
    "created_at": "2025-03-04T12:00:00Z",
    "status": "resolved",
    "last_status_change_at": "2025-03-04T14:00:00Z",
    "log_entries": [
        {"id": "R1", "type": "acknowledge_log_entry", "created_at": "2025-03-04T12:15:00Z"},
        {"id": "R2", "type": "resolve_log_entry", "created_at": "2025-03-04T14:00:00Z"},
    ],
}


def marts(folder: Path, hooks: list[dict], files: int) -> dict[str, list[dict]]:
    """The marts after landing the hooks in so many files, one after the other."""
    landing = folder / "landing"
    source = LandingSource(
        kind="landing",
        location=str(landing),
        settle_seconds=0,
        services={"storefront": "web", "Storefront (live)": "web"},
    )
    settings = Settings(config_file=folder / "plumbline.yaml", data_dir=folder, sources=(source,))
    for system in ("github", "pagerduty"):
        (landing / system).mkdir(parents=True)
    (landing / "pagerduty/incidents.json").write_text(json.dumps({"incidents": [INCIDENT]}), encoding="utf-8")
    services = {"service": ["web"], "team": ["shop"], "component_kind": ["frontend"], "repository": ["storefront"]}
    with memory() as connection:
        load_rows(connection, {"services": pl.DataFrame(services)})
        for number in range(files):
            lines = [json.dumps(hook) + "\n" for hook in hooks[number::files]]
            (landing / f"github/{number}.ndjson").write_text("".join(lines), encoding="utf-8")
            extract(source, settings, connection)
        assert connection.sql("from raw.quarantine").fetchall() == []
        return models().marts(connection, *MARTS)


@pytest.fixture(scope="module")
def in_time(tmp_path_factory) -> dict[str, list[dict]]:
    return marts(tmp_path_factory.mktemp("payloads"), HOOKS, files=1)


def test_a_deployment_ends_with_its_first_success_and_a_later_status_moves_nothing(in_time):
    found = {row["deployment_id"]: (row["status"], row["finished_at"]) for row in in_time["fct_deployments"]}
    assert found == {
        "1": ("success", datetime(2025, 3, 3, 10, 9)),
        "2": ("success", datetime(2025, 3, 4, 10, 7)),
        "3": ("failure", datetime(2025, 3, 5, 10, 5)),
    }


def test_a_pull_request_has_its_stages_from_its_events_and_its_author_does_not_review(in_time):
    (row,) = [row for row in in_time["fct_pull_requests"] if row["pull_request_number"] == 1]
    stages = {name: row[f"{name}_hours"] for name in ("coding", "draft", "pickup", "review")}
    assert stages == {"coding": 2, "draft": 1, "pickup": 3, "review": 20}


def test_an_incident_belongs_to_the_deployment_before_it_and_was_acknowledged_as_its_log_says(in_time):
    (row,) = in_time["fct_incidents"]
    assert (row["service"], row["deployment_key"], row["link_basis"]) == ("web", "storefront/2", "latest_deployment")
    assert (row["alert_to_acknowledge_hours"], row["alert_to_resolution_hours"]) == (0.25, 2)


def test_the_month_counts_them(in_time):
    (month,) = in_time["delivery_monthly"]
    found = {name: month[name] for name in ("deployments", "failed_attempts", "failed_deployments", "mttr_hours")}
    assert found == {"deployments": 2, "failed_attempts": 1, "failed_deployments": 1, "mttr_hours": 2}


def test_the_order_and_the_files_in_which_they_arrive_change_nothing(in_time, tmp_path):
    again = marts(tmp_path, HOOKS[::-1], files=3)
    for name, rows in in_time.items():
        assert sorted(again[name], key=str) == sorted(rows, key=str), name
