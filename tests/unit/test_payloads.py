"""Objects of other systems → canonical rows: what each system really sends, and the traps in it."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest
from conftest import SHARED

from dagster_project.contracts import TABLES
from dagster_project.extract.landing import extract
from dagster_project.extract.landing_payloads import SYSTEMS
from dagster_project.extract.payloads import Names, UnknownPayload
from dagster_project.settings import LandingSource

RECORDED = SHARED / "payloads"
NAMES = Names({"ants": "pool"}, {"github-pages": "production"}, "shop")


def rows(system: str, *items: dict, names: Names = NAMES) -> dict[str, list[dict]]:
    """Rows by table, without what is None."""
    found: dict[str, list[dict]] = {}
    for item in items:
        for table, row in SYSTEMS[system].read(item, names):
            found.setdefault(table, []).append({name: value for name, value in row.items() if value is not None})
    return found


def recorded(path: str) -> list[dict]:
    """The objects of a recorded file."""
    file = RECORDED / path
    if not file.exists():
        pytest.skip("the recorded payloads are not beside this checkout")
    if file.suffix == ".gz":
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            return [json.loads(line)["data"] for line in lines]
    content = json.loads(file.read_text(encoding="utf-8"))
    return content if isinstance(content, list) else [content]


# GitHub

DEPLOYMENT = {"id": 7, "sha": "c1", "environment": "production", "created_at": "2025-03-01T10:00:00Z", "payload": {}}
REPOSITORY = {"name": "web", "full_name": "acme/web"}
PULL_REQUEST = {
    "number": 5,
    "user": {"login": "ada", "type": "User"},
    "title": "Ada's secret",
    "created_at": "2025-03-01T08:00:00Z",
    "updated_at": "2025-03-02T08:00:00Z",
    "closed_at": "2025-03-02T08:00:00Z",
    "merged_at": None,
    "merge_commit_sha": "trial",
    "head": {"ref": "ada/secret"},
    "base": {"repo": REPOSITORY},
}


def status(state: str, minute: int) -> dict:
    moment = f"2025-03-01T10:{minute:02}:00Z"
    return {
        "deployment": DEPLOYMENT,
        "deployment_status": {"state": state, "created_at": moment},
        "repository": REPOSITORY,
    }


def test_a_status_brings_the_history_of_its_deployment_and_the_outcome():
    found = rows("github", status("in_progress", 1), status("success", 5))
    assert [(row["status"], row["occurred_at"][14:16]) for row in found["deployment_statuses"]] == [
        ("in_progress", "01"),
        ("success", "05"),
    ]
    assert found["deployments"][-1] == {
        "source": "web",
        "deployment_id": 7,
        "service": "web",
        "environment": "production",
        "status": "success",
        "started_at": "2025-03-01T10:00:00Z",
        "finished_at": "2025-03-01T10:05:00Z",
        "commit_sha": "c1",
        "updated_at": "2025-03-01T10:05:00Z",
    }


def test_a_later_inactive_is_no_outcome_and_older_than_any_other_version_of_the_row():
    found = rows("github", status("inactive", 50))
    assert found["deployment_statuses"][0]["status"] == "inactive"
    assert found["deployments"][0]["status"] == "in_progress"
    assert found["deployments"][0]["updated_at"] == DEPLOYMENT["created_at"]


@pytest.mark.parametrize(
    ("environment", "tier"),
    [
        ("production", "production"),
        ("prod-eu", "production"),
        ("Pre-Production", "staging"),
        ("qa", "testing"),
        ("preview/pr-7", "development"),
        ("products", "other"),
        ("github-pages", "production"),
    ],
)
def test_an_environment_has_the_configured_tier_or_that_of_the_words_in_its_name(environment, tier):
    assert NAMES.environment(environment) == tier


def test_what_the_deployer_wrote_into_the_payload_is_read_also_where_it_is_json_in_a_text():
    own = {"service": "checkout", "version": "v7", "is_rollback": True, "note": "by Ada"}
    for payload in (own, json.dumps(own)):
        (row,) = rows("github", DEPLOYMENT | {"payload": payload, "production_environment": True})["deployments"]
        assert (row["service"], row["version"], row["is_rollback"]) == ("checkout", "v7", True)
        assert "Ada" not in str(row)


def test_a_pull_request_that_was_closed_without_a_merge_has_no_merge_commit():
    (row,) = rows("github", PULL_REQUEST)["pull_requests"]
    assert "merge_commit_sha" not in row
    (row,) = rows("github", PULL_REQUEST | {"merged_at": "2025-03-02T08:00:00Z"})["pull_requests"]
    assert row["merge_commit_sha"] == "trial"


def test_of_a_pull_request_no_text_is_taken():
    body = {"action": "closed", "pull_request": PULL_REQUEST, "repository": REPOSITORY}
    assert "secret" not in str(rows("github", body))


def test_reviews_commits_comments_and_leaving_draft_are_events_and_bots_and_pending_reviews_are_none():
    moment = "2025-03-01T09:00:00Z"
    bot, grace = {"login": "linter[bot]", "type": "Bot"}, {"login": "grace", "type": "User"}
    found = rows(
        "github",
        {
            "pull_request": PULL_REQUEST,
            "commits": [{"sha": "c1", "commit": {"author": {"date": moment, "email": "ada@example.com"}}}],
            "reviews": [
                {"id": 1, "state": "APPROVED", "user": grace, "submitted_at": moment},
                {"id": 2, "state": "COMMENTED", "user": bot, "submitted_at": moment},
                {"id": 3, "state": "PENDING", "user": grace},
            ],
            "comments": [{"id": 4, "user": grace, "created_at": moment}],
        },
        {"action": "ready_for_review", "pull_request": PULL_REQUEST, "repository": REPOSITORY},
        {"action": "submitted", "review": {"id": 1, "state": "dismissed", "user": grace, "submitted_at": moment}}
        | {"pull_request": {"number": 5, "base": {"repo": REPOSITORY}}},
        {"id": 5, "state": "CHANGES_REQUESTED", "user": grace, "submitted_at": moment}
        | {"pull_request_url": "https://api.github.com/repos/acme/web/pulls/5"},
        {"comment": {"id": 6, "user": grace, "created_at": moment}, "repository": REPOSITORY}
        | {"issue": {"number": 5, "pull_request": {"url": "…"}}},
    )
    events = found["pull_request_events"]
    assert [event["event_type"] for event in events] == [
        *("committed", "approved", "commented", "ready", "reviewed", "reviewed", "commented")
    ]
    keys = {tuple(str(event[name]) for name in ("source", "repository", "pull_request_number")) for event in events}
    assert keys == {("web", "web", "5")}
    assert "example.com" not in str(found)


@pytest.mark.parametrize(
    ("conclusion", "expected"),
    [
        *((None, "in_progress"), ("", "in_progress"), ("timed_out", "failure"), ("startup_failure", "failure")),
        *(("neutral", "skipped"), ("stale", "skipped"), ("action_required", "skipped"), ("cancelled", "cancelled")),
    ],
)
def test_each_attempt_of_a_workflow_run_is_a_build_with_the_outcome_of_its_conclusion(conclusion, expected):
    run = {"id": 3, "run_attempt": 2, "name": "test", "head_sha": "c1", "repository": REPOSITORY}
    run |= {"run_started_at": "2025-03-01T08:00:00Z", "updated_at": "2025-03-01T08:09:00Z", "conclusion": conclusion}
    for item in (run, {"action": "completed", "workflow_run": run}):
        (row,) = rows("github", item)["builds"]
        assert (row["build_id"], row["status"], "finished_at" in row) == ("3/2", expected, expected != "in_progress")


# Incidents


def test_acknowledgements_of_pagerduty_come_from_the_log_and_only_people_are_responders():
    incident = {"id": "Q1", "service": {"summary": "pool"}, "created_at": "2025-03-01T08:00:00Z", "type": "incident"}
    incident |= {"status": "resolved", "last_status_change_at": "2025-03-01T09:00:00Z", "acknowledgements": []}
    incident |= {"priority": {"summary": "P2"}, "title": "Ada broke it"}
    agent = {"id": "PU1", "type": "user_reference", "summary": "Ada Lovelace"}
    log = [
        {"id": "R2", "type": "resolve_log_entry", "created_at": "2025-03-01T09:00:00Z", "agent": agent},
        {"id": "R1", "type": "acknowledge_log_entry", "created_at": "2025-03-01T08:04:00Z", "agent": agent},
        {"id": "R0", "type": "notify_log_entry", "created_at": "2025-03-01T08:00:01Z"},
    ]
    found = rows("pagerduty", incident | {"log_entries": log})
    (row,) = found["incidents"]
    assert (row["resolved_at"], row["severity"], row["service"]) == ("2025-03-01T09:00:00Z", "sev2", "pool")
    assert [(event["event_type"], event["responder_key"]) for event in found["incident_events"]] == [
        ("resolved", "PU1"),
        ("acknowledged", "PU1"),
    ]
    assert "Ada" not in str(found)
    listed = [entry | {"incident": {"id": "Q1"}} for entry in log]
    assert rows("pagerduty", {"log_entries": listed})["incident_events"] == found["incident_events"]
    event = {"id": "R1", "event_type": "incident.acknowledged", "occurred_at": "2025-03-01T08:04:00Z", "agent": agent}
    assert rows("pagerduty", {"event": event | {"data": incident}})["incident_events"] == found["incident_events"][1:]


def test_an_incident_of_pagerduty_that_was_merged_into_another_says_so():
    incident = {"id": "Q1", "service": {"summary": "web"}, "created_at": "2025-03-01T08:00:00Z", "status": "resolved"}
    incident |= {"last_status_change_at": "2025-03-01T09:00:00Z", "resolve_reason": {"type": "merge_resolve_reason"}}
    (event,) = rows("pagerduty", incident)["incident_events"]
    assert (event["event_type"], event["occurred_at"]) == ("merged", "2025-03-01T09:00:00Z")


def test_statuspage_is_read_from_its_updates_where_the_time_of_the_mitigation_is_missing():
    incident = {"id": "s1", "created_at": "2025-03-01T08:00:00Z", "monitoring_at": None, "impact": "major"}
    incident["incident_updates"] = [
        {"id": "u3", "status": "resolved", "created_at": "2025-03-01T10:00:00Z"},
        {"id": "u2", "status": "monitoring", "created_at": "2025-03-01T09:00:00Z", "body": "Ada mended it"},
        {"id": "u1", "status": "investigating", "created_at": "2025-03-01T08:05:00Z"},
    ]
    found = rows("statuspage", incident)
    assert found["incidents"][0]["mitigated_at"] == "2025-03-01T09:00:00Z"
    assert found["incidents"][0]["service"] == "shop"
    assert [event["event_type"] for event in found["incident_events"]] == ["triggered", "mitigated", "resolved"]
    assert rows("statuspage", incident | {"scheduled_for": "2025-03-01T08:00:00Z"}) == {}


def test_an_alert_of_opsgenie_is_acknowledged_and_closed_as_its_report_says():
    alert = {"id": "a1", "alias": "disk", "createdAt": "2025-03-01T08:00:00.000Z", "updatedAt": "2025-03-01T12:00:00Z"}
    alert |= {"status": "closed", "report": {"ackTime": 90_000, "closeTime": 3_600_000, "acknowledgedBy": "ada@x.org"}}
    found = rows("opsgenie", alert)
    assert found["incidents"][0]["resolved_at"] == "2025-03-01T09:00:00+00:00"
    assert found["incident_events"][0]["occurred_at"] == "2025-03-01T08:01:30+00:00"


def test_a_deployment_of_gitlab_has_its_own_status_and_not_that_of_the_job_behind_it():
    deployment = {"id": 1, "status": "success", "sha": "c1", "environment": {"name": "x", "tier": "production"}}
    deployment |= {
        "created_at": "2025-03-01T08:00:00Z",
        "deployable": {"status": "failed", "finished_at": "2025-03-01T08:09:00Z"},
    }
    (row,) = rows("gitlab", deployment)["deployments"]
    assert (row["status"], row["environment"], row["service"]) == ("success", "production", "shop")
    hook = {"object_kind": "deployment", "status": "running", "deployment_id": 1, "project": {"name": "ants"}}
    hook |= {"commit_url": "https://gitlab.example/ants/-/commit/c1full", "environment_tier": "staging"}
    (row,) = rows("gitlab", hook | {"status_changed_at": "2025-03-01T08:00:00Z"})["deployments"]
    assert (row["service"], row["commit_sha"], row["status"]) == ("pool", "c1full", "in_progress")
    assert "finished_at" not in row


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_unknown_object_is_refused_without_a_word_of_it(system):
    with pytest.raises(UnknownPayload) as refused:
        rows(system, {"zen": "Ada", "hook_id": 1})
    assert "Ada" not in str(refused.value)


# Recorded


@pytest.mark.parametrize(
    ("system", "path", "expected"),
    [
        ("github", "github-api/graphql_deployments.ndjson.gz", {"deployments": 7, "deployment_statuses": 6}),
        ("github", "github-api/pulls.ndjson.gz", {"pull_requests": 50}),
        ("github", "github-api/pull_reviews.ndjson.gz", {"pull_request_events": 31}),
        ("github", "github-api/workflow_runs.ndjson.gz", {"builds": 35}),
        ("gitlab", "gitlab-api/deployments.ndjson.gz", {"deployments": 8}),
        ("pagerduty", "pagerduty/incidents_with_log_entries.ndjson.gz", {"incidents": 3, "incident_events": 28}),
        ("pagerduty", "pagerduty/incidents.json", {"incidents": 3}),
        ("pagerduty", "pagerduty/incidentLogEntries.json", {"incident_events": 3}),
        ("opsgenie", "opsgenie/alerts.json", {"incidents": 2, "incident_events": 1}),
        ("opsgenie", "opsgenie/incidents.json", {"incidents": 3}),
        ("statuspage", "statuspage/incidents.json", {"incidents": 3, "incident_events": 4}),
    ],
)
def test_recorded_objects_bring_these_rows(system, path, expected):
    found = rows(system, *recorded(path))
    assert {table: len(of_table) for table, of_table in found.items()} == expected
    for table, of_table in found.items():
        contract = TABLES[table]
        for row in of_table:
            assert row.keys() <= set(contract.given_names)
            assert {"source", *contract.key} - row.keys() == set()


def test_of_the_recorded_pull_requests_27_were_merged():
    found = rows("github", *recorded("github-api/pulls.ndjson.gz"))["pull_requests"]
    assert len([row for row in found if "merged_at" in row]) == len([row for row in found if "merge_commit_sha" in row])
    assert len([row for row in found if "merged_at" in row]) == 27


def test_every_recorded_webhook_brings_a_row_or_is_one_that_brings_none():
    if not RECORDED.exists():
        pytest.skip("the recorded payloads are not beside this checkout")
    brought: Counter[str] = Counter()
    for file in sorted((RECORDED / "github-webhooks").glob("*/*.json")):
        try:
            found = rows("github", json.loads(file.read_text(encoding="utf-8")))
        except UnknownPayload:
            found = {}
        brought.update({f"{file.parent.name} → {table}": len(of_table) for table, of_table in found.items()})
        assert bool(found) == (file.parent.name not in ("push", "release")), file
    assert set(brought) == {
        "deployment → deployments",
        "deployment_status → deployments",
        "deployment_status → deployment_statuses",
        "pull_request → pull_requests",
        "pull_request → pull_request_events",
        "pull_request_review → pull_request_events",
        "workflow_run → builds",
    }


# Landing


@pytest.fixture
def land(settings, connection):
    """Takes a file of this content, and says what became of it: table → rows read, loaded, duplicate, quarantined."""
    landing = settings.data_dir / "landing"

    def take(name: str, content: str, **keys) -> dict[str, tuple[int, int, int, int]]:
        (landing / name).parent.mkdir(parents=True, exist_ok=True)
        (landing / name).write_text(content, encoding="utf-8")
        source = LandingSource(kind="landing", location=str(landing), settle_seconds=0, **keys)
        batches = extract(source, settings, connection)
        return {b.table: (b.read, b.loaded, b.duplicate, b.quarantined) for b in batches}

    return take


def lines(*items: dict) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def test_a_file_of_objects_brings_rows_of_several_tables_under_the_names_of_the_installation(land, connection):
    hooks = lines(status("pending", 1), status("success", 5), {"pull_request": PULL_REQUEST})
    counts = land("github/hooks.ndjson", hooks, services={"web": "shop-web"}, environments={"production": "staging"})
    assert counts == {"deployments": (2, 1, 1, 0), "deployment_statuses": (2, 2, 0, 0), "pull_requests": (1, 1, 0, 0)}
    assert connection.sql("select source, service, environment, status from raw.deployments").fetchall() == [
        ("web", "shop-web", "staging", "success")
    ]
    assert land("github/hooks.ndjson", hooks) == {}


def test_the_order_in_which_webhooks_arrive_changes_nothing(land, connection):
    land("github/1.ndjson", lines(status("inactive", 50), status("success", 5)))
    land("github/2.ndjson", lines(status("in_progress", 1)))
    found = connection.sql("select status, finished_at::varchar from raw.deployments").fetchall()
    assert found == [("success", "2025-03-01 10:05:00")]
    assert connection.sql("select count(*) from raw.deployment_statuses").fetchone() == (3,)


def test_a_page_of_an_api_is_one_document_and_its_bad_items_are_refused_with_their_place(land, connection):
    run = {"id": 3, "run_attempt": 1, "head_sha": "c1", "created_at": "2025-03-01T08:00:00Z"}
    page = [
        run,
        {"Ada": 1},
        7,
        run | {"id": 4, "conclusion": "melted"},
        {"deployment": {}, "deployment_status": {"state": {}}},
    ]
    counts = land("github/web/page.json", json.dumps(page, indent=1))
    assert counts["builds"] == (2, 1, 0, 1)
    quarantined = connection.sql("select place, table_name, reason from raw.quarantine order by place").fetchall()
    assert quarantined[:3] == [
        (
            "github/web/page.json:1 (byte 0), item 2",
            "deployments",
            "none of GitHub’s objects that bring a row: deployment, deployment status, pull request, review, comment, "
            "workflow run",
        ),
        ("github/web/page.json:1 (byte 0), item 3", "deployments", "not a JSON object"),
        (
            "github/web/page.json:1 (byte 0), item 4",
            "builds",
            "status: not one of success, failure, cancelled, skipped, in_progress",
        ),
    ]
    assert {place[-1] for place, *_ in quarantined[3:]} == {"5"}
    assert "Ada" not in str(quarantined)


def test_a_corrected_file_takes_back_what_it_had_in_quarantine_of_every_table(land, connection):
    run = {"id": 3, "run_attempt": 1, "head_sha": "c1", "created_at": "2025-03-01T08:00:00Z", "conclusion": "melted"}
    land("github/web/runs.ndjson", lines(run) + "torn\n")
    assert connection.sql("select count(*) from raw.quarantine").fetchone() == (2,)
    land("github/web/runs.ndjson", lines(status("success", 1)))
    assert connection.sql("select count(*) from raw.quarantine").fetchone() == (0,)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("github/a.json", '{"deployment": ', "not JSON: Expecting value"),
        (
            "github/a.json",
            '"' + "x" * 2000 + '"',
            "refused: longer than 1,024 bytes; write one object a line, as .ndjson",
        ),
        ("github/a.ndjson", '{"a": "\\ud800"}\n', "none of GitHub’s objects that bring a row"),
        ("pagerduty/a.ndjson", "[" * 100_000 + "\n", "longer than 1,024 bytes"),
        ("opsgenie/a.ndjson", '{"alias": "a\\ud800", "createdAt": "x", "id": "1"}\n', "an object of another shape"),
    ],
)
def test_what_is_no_object_is_refused_with_the_reason(land, connection, name, content, reason):
    land(name, content, maximum_line_bytes=1024)
    ((told,),) = connection.sql("select reason from raw.quarantine").fetchall()
    assert told.startswith(reason)


def test_a_table_of_rows_takes_no_json_document_and_a_system_no_csv(land, caplog):
    caplog.set_level("WARNING")
    assert land("deployments/a.json", "[]") == {}
    assert land("github/a.csv", "a\n1\n") == {}
    assert caplog.text.count("is left alone, since its ending is unknown") == 3


def test_people_are_stored_as_hashes_alone(land, connection, settings):
    grace = {"login": "grace-login", "type": "User"}
    review = {"id": 1, "state": "APPROVED", "user": grace, "submitted_at": "2025-03-01T09:00:00Z"}
    land("github/a.ndjson", lines({"pull_request": PULL_REQUEST, "reviews": [review]}))
    connection.execute("checkpoint")
    stored = settings.warehouse_file.read_bytes()
    assert connection.sql("select length(actor_key) from raw.pull_request_events").fetchone() == (64,)
    assert b"grace-login" not in stored
