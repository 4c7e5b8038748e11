"""The canonical tables: columns, types, keys, event time, allowed values. The one source of truth.

From these contracts follow the DuckDB tables, the validation of every loaded row, dbt's source YAML, and the JSON
Schemas and the page in docs/contracts. `make contracts` writes the files; a test keeps them equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Type = Literal["text", "integer", "number", "boolean", "timestamp", "date", "hash"]

DUCKDB_TYPES: dict[Type, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "hash": "UBIGINT",
}

# Longer text is no identifier, version or route; it is a payload in the wrong field.
MAXIMUM_TEXT_LENGTH = 1000
# The loader adds these to every row that it checks.
RESERVED_NAMES = {"reason", "fields", "is_broken", "loaded_at", "batch_id"}


@dataclass(frozen=True)
class Column:
    """One column.

    `person` marks a login, name or e-mail: only its keyed hash is ever stored. A `hash` column holds 64 bits of the
    MD5 of the source's own id or, where it has none, of the columns in `hash_of`; the event time is part of either
    hash if it is one of these. `ignores_case`: an id in hexadecimal, of which the letters may come in either case.
    `is_route`: what is stored is the template of a route (dagster_project/routes.py).
    """

    name: str
    type: Type
    description: str
    required: bool = False
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    person: bool = False
    hash_of: tuple[str, ...] = ()
    ignores_case: bool = False
    is_route: bool = False

    @property
    def duckdb_type(self) -> str:
        return DUCKDB_TYPES[self.type]


@dataclass(frozen=True)
class Field:
    """What a landing row may bring beside the columns: only what `becomes` makes of it (column → SQL) is kept, and only
    where the row leaves that column empty."""

    name: str
    description: str
    becomes: dict[str, str]


@dataclass(frozen=True)
class Rule:
    """A condition over one row in portable SQL. A row for which it is false breaks the contract; NULL passes."""

    condition: str
    message: str


@dataclass(frozen=True)
class Table:
    """One canonical table.

    `key` is the natural key: a later row with the same key replaces the earlier one. `is_event` marks append-only
    telemetry, to which the retention horizon applies. `fields` may come in a landing row beside the columns.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    event_time: str | None = None
    rules: tuple[Rule, ...] = ()
    is_event: bool = False
    fields: tuple[Field, ...] = ()
    schema: str = field(default="raw", kw_only=True)

    def __post_init__(self) -> None:
        names = self.given_names
        unknown = {*self.key, *([self.event_time] if self.event_time else [])} - set(names)
        if unknown or len(names) != len(set(names)):
            raise ValueError(f"contract {self.name}: {sorted(unknown) or 'a column twice'}")
        if taken := RESERVED_NAMES & set(names):
            raise ValueError(f"contract {self.name}: {sorted(taken)} are the loader's own columns")

    @property
    def qualified_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def given_names(self) -> list[str]:
        """Names of all that a row may bring: columns, and fields of which columns are made."""
        return [item.name for item in (*self.columns, *self.fields)]

    @property
    def timed_keys(self) -> tuple[str, ...]:
        """Columns of the key that hash the event time: rows of different times never share their key."""
        return tuple(name for name in self.key if self.event_time and self.event_time in self.column(name).hash_of)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


def in_order(*names: str) -> tuple[Rule, ...]:
    """Rules that later times are not before earlier ones, for every pair of the given columns."""
    return tuple(
        Rule(f"{earlier} <= {later}", f"{later} is before {earlier}")
        for i, earlier in enumerate(names)
        for later in names[i + 1 :]
    )


SOURCE = Column(
    "source",
    "text",
    "The system that the row comes from; rows of several tables belong together within one source.",
    required=True,
)
UPDATED_AT = Column(
    "updated_at",
    "timestamp",
    "When the source last changed the record. Of two versions of one key the newer wins; without it the one read last.",
)
ENVIRONMENTS = ("production", "staging", "testing", "development", "other")

DEPLOYMENTS = Table(
    "deployments",
    "One attempt to put one version of one service into one environment.",
    key=("source", "deployment_id"),
    event_time="finished_at",
    columns=(
        SOURCE,
        Column("deployment_id", "text", "The source's own id of the attempt.", required=True),
        Column("service", "text", "The service, as named in services.csv.", required=True),
        Column("environment", "text", "Tier of the environment.", required=True, allowed=ENVIRONMENTS),
        Column(
            "status",
            "text",
            "Outcome: the first success; only without one, the first other terminal status. A source that reports a "
            "status again later, as after a repeated health check, should send its history (deployment_statuses).",
            required=True,
            allowed=("success", "failure", "cancelled", "in_progress"),
        ),
        Column("started_at", "timestamp", "When the attempt began."),
        Column("finished_at", "timestamp", "When it reached the status; absent only while in progress."),
        Column("commit_sha", "text", "The commit that was deployed."),
        Column("version", "text", "The version or tag that was deployed."),
        Column(
            "commit_relation",
            "text",
            "The commit against those deployed before to this service and environment: `new` (never reached before), "
            "`same` (as the deployment it replaces), `ancestor` (strict ancestor of the one it replaces), `returned` "
            "(reached before, but no ancestor of the one it replaces).",
            allowed=("new", "same", "ancestor", "returned"),
        ),
        Column("is_rollback", "boolean", "The source itself marks the deployment as a rollback."),
        Column("is_hotfix", "boolean", "Marked as a hotfix by label, branch or subject rules."),
        Column("repairs_deployment_id", "text", "The earlier deployment that it repairs, where the source says so."),
        Column("trigger", "text", "What started it, for example push, schedule, manual."),
        UPDATED_AT,
    ),
    rules=(
        *in_order("started_at", "finished_at"),
        Rule("status = 'in_progress' or finished_at is not null", "finished_at is missing for a finished deployment"),
    ),
)

DEPLOYMENT_STATUSES = Table(
    "deployment_statuses",
    "One status that a deployment took. Where a source keeps this history, it decides over the deployment's own row.",
    key=("source", "deployment_id", "status", "occurred_at"),
    event_time="occurred_at",
    columns=(
        SOURCE,
        Column("deployment_id", "text", "The deployment.", required=True),
        Column(
            "status",
            "text",
            "The status; `inactive` means that a later deployment took its place, and is no outcome.",
            required=True,
            allowed=("pending", "in_progress", "success", "failure", "error", "cancelled", "inactive"),
        ),
        Column("occurred_at", "timestamp", "When it took it.", required=True),
    ),
)

CHANGES = Table(
    "changes",
    "One commit.",
    key=("source", "commit_sha"),
    event_time="authored_at",
    columns=(
        SOURCE,
        Column("commit_sha", "text", "Full hash of the commit.", required=True),
        Column("repository", "text", "The repository that holds it."),
        Column("authored_at", "timestamp", "Author time.", required=True),
        Column("committed_at", "timestamp", "Committer time."),
        Column(
            "merged_at",
            "timestamp",
            "When it reached the default branch: committer time of the first commit on the branch's first-parent line "
            "that contains it.",
        ),
        Column("merge_commit_sha", "text", "That first-parent commit; the commit itself where pushed or squashed."),
        Column(
            "mainline_position",
            "integer",
            "Place of `merge_commit_sha` on the default branch's first-parent line, from 1: every commit of the line "
            "at that place or later contains the change.",
            minimum=1,
        ),
        Column("is_merge", "boolean", "Has more than one parent; a merge is no change.", required=True),
        Column("pull_request_number", "integer", "Pull request that brought it in.", minimum=1),
        Column("author_key", "text", "Author, as a keyed hash.", person=True),
        Column("change_type", "text", "Conventional-commit type (feat, fix, chore, …) where the subject has one."),
        Column("is_revert", "boolean", "Reverts an earlier commit."),
        Column("reverts_commit_sha", "text", "The commit it reverts, where known."),
        Column("files_changed", "integer", "Files touched.", minimum=0),
        Column("lines_added", "integer", "Lines added.", minimum=0),
        Column("lines_deleted", "integer", "Lines deleted.", minimum=0),
    ),
)

CHANGE_PATHS = Table(
    "change_paths",
    "One file that a commit touches; needed only where several services share a repository by path rules.",
    key=("source", "commit_sha", "path"),
    columns=(
        SOURCE,
        Column("commit_sha", "text", "The commit.", required=True),
        Column("path", "text", "The file, relative to the root of the repository.", required=True),
    ),
)

DEPLOYMENT_CHANGES = Table(
    "deployment_changes",
    "One commit that a deployment reached first: no earlier deployment of the service to that environment holds it.",
    key=("source", "deployment_id", "commit_sha"),
    columns=(
        SOURCE,
        Column("deployment_id", "text", "The deployment that shipped it first.", required=True),
        Column("commit_sha", "text", "The commit.", required=True),
    ),
)

PULL_REQUESTS = Table(
    "pull_requests",
    "One pull request (merge request).",
    key=("source", "repository", "pull_request_number"),
    event_time="created_at",
    columns=(
        SOURCE,
        Column("repository", "text", "The repository it targets.", required=True),
        Column("pull_request_number", "integer", "Its number there.", required=True, minimum=1),
        Column("created_at", "timestamp", "When it was opened.", required=True),
        Column("first_commit_at", "timestamp", "Author time of its first commit."),
        Column("ready_at", "timestamp", "When it first left draft."),
        Column("first_review_at", "timestamp", "First review or comment by somebody other than the author."),
        Column("approved_at", "timestamp", "First approval."),
        Column("merged_at", "timestamp", "When it was merged; absent if it was closed without."),
        Column("closed_at", "timestamp", "When it was closed, merged or not."),
        Column("merge_commit_sha", "text", "The commit that holds it on the target branch; absent if not merged."),
        Column("merge_method", "text", "How it was merged.", allowed=("merge", "squash", "rebase")),
        Column("author_key", "text", "Author, as a keyed hash.", person=True),
        Column("review_count", "integer", "Reviews by others.", minimum=0),
        Column("files_changed", "integer", "Files touched.", minimum=0),
        Column("lines_added", "integer", "Lines added.", minimum=0),
        Column("lines_deleted", "integer", "Lines deleted.", minimum=0),
        UPDATED_AT,
    ),
    rules=(
        *in_order("created_at", "merged_at"),
        *in_order("created_at", "closed_at"),
    ),
)

BUILDS = Table(
    "builds",
    "One run of a build or test workflow on one commit.",
    key=("source", "build_id"),
    event_time="finished_at",
    columns=(
        SOURCE,
        Column("build_id", "text", "The source's own id; each repeated attempt has one of its own.", required=True),
        Column("repository", "text", "The repository that was built.", required=True),
        Column("service", "text", "The service, where a workflow builds only one."),
        Column("workflow", "text", "Name of the workflow; a flaky one fails and succeeds on one commit."),
        Column("commit_sha", "text", "The head commit.", required=True),
        Column(
            "status",
            "text",
            "Outcome.",
            required=True,
            allowed=("success", "failure", "cancelled", "skipped", "in_progress"),
        ),
        Column("started_at", "timestamp", "When it began.", required=True),
        Column("finished_at", "timestamp", "When it ended; absent while in progress."),
        UPDATED_AT,
    ),
    rules=in_order("started_at", "finished_at"),
)

INCIDENTS = Table(
    "incidents",
    "One incident.",
    key=("source", "incident_id"),
    event_time="started_at",
    columns=(
        SOURCE,
        Column("incident_id", "text", "The source's own id.", required=True),
        Column("service", "text", "The service that suffered, as named in services.csv.", required=True),
        Column("severity", "text", "Severity, sev1 the worst.", allowed=("sev1", "sev2", "sev3", "sev4", "sev5")),
        Column(
            "started_at", "timestamp", "When users began to suffer; else when the first alert fired.", required=True
        ),
        Column("mitigated_at", "timestamp", "When users no longer suffered."),
        Column("resolved_at", "timestamp", "When it was closed; absent while open."),
        Column("alert_key", "text", "Identity of the alert; the same key again is a recurrence."),
        Column("deployment_id", "text", "The deployment that caused it, where the source says so."),
        Column("version", "text", "The version that caused it, where the source says so."),
        Column("commit_sha", "text", "The commit that caused it, where the source says so."),
        Column("is_false_positive", "boolean", "Closed with no action, or marked a false alarm."),
        Column("is_third_party", "boolean", "Caused by a supplier."),
        Column("is_change_related", "boolean", "Whether a change caused it, where the source says so."),
        UPDATED_AT,
    ),
    rules=in_order("started_at", "mitigated_at", "resolved_at"),
)

INCIDENT_EVENTS = Table(
    "incident_events",
    "One entry of an incident's log.",
    key=("source", "event_id"),
    event_time="occurred_at",
    columns=(
        SOURCE,
        Column("event_id", "text", "The source's own id of the entry.", required=True),
        Column("incident_id", "text", "The incident.", required=True),
        Column(
            "event_type",
            "text",
            "What happened.",
            required=True,
            allowed=(
                "triggered",
                "acknowledged",
                "escalated",
                "reassigned",
                "mitigated",
                "resolved",
                "reopened",
                "merged",
                "flag_rollback",
                "cdn_invalidation",
                "safe_fallback",
                "rollback",
                "hotfix",
            ),
        ),
        Column("occurred_at", "timestamp", "When.", required=True),
        Column("responder_key", "text", "Who acted, as a keyed hash.", person=True),
    ),
)

OPERATIONAL_CHANGES = Table(
    "operational_changes",
    "One change to what runs that is no deployment: a flag, the CDN, a configuration.",
    key=("source", "operational_change_id"),
    event_time="occurred_at",
    columns=(
        SOURCE,
        Column("operational_change_id", "text", "The source's own id.", required=True),
        Column("service", "text", "The service, as named in services.csv.", required=True),
        Column(
            "change_kind",
            "text",
            "What was done.",
            required=True,
            allowed=(
                "flag_change",
                "flag_rollback",
                "cdn_invalidation",
                "safe_fallback",
                "configuration_change",
            ),
        ),
        Column("occurred_at", "timestamp", "When.", required=True),
        Column("flag", "text", "The feature flag, where it is one."),
        Column("incident_id", "text", "The incident it was done for, where the source says so."),
        UPDATED_AT,
    ),
)

DEVICE_CLASSES = ("desktop", "mobile", "tablet", "bot", "unknown")
WEB_VITALS = ("LCP", "INP", "CLS", "FCP", "TTFB")
SESSION_ID = Column("session_id", "hash", "Hash of the id of the browser session.")
TRACE_ID = Column(
    "trace_id",
    "hash",
    "Hash of the id of the trace that links a browser step to the API's request.",
    ignores_case=True,
)
RELEASE = Column("release", "text", "The version, or the commit, that ran.")

RUM_EVENTS = Table(
    "rum_events",
    "One real-user-monitoring event of a browser.",
    key=("source", "event_id"),
    event_time="occurred_at",
    is_event=True,
    columns=(
        SOURCE,
        Column(
            "event_id",
            "hash",
            "Hash of the source's own id and the time; without an id, of what identifies the event.",
            hash_of=(
                "service",
                "session_id",
                "page_view_id",
                "event_type",
                "metric_name",
                "metric_id",
                "step",
                "occurred_at",
                "metric_value",
            ),
        ),
        Column("service", "text", "The front end, as named in services.csv.", required=True),
        Column("occurred_at", "timestamp", "When, by the client's clock.", required=True),
        Column(
            "event_type",
            "text",
            "What was measured. `error` is an uncaught one; `interaction` a click, a key or a completed action.",
            required=True,
            allowed=(
                "vital",
                "page_view",
                "route_change",
                "error",
                "interaction",
                "journey_step",
                "accessibility_check",
                "payment",
            ),
        ),
        Column("session_id", "hash", SESSION_ID.description, required=True),
        Column("page_view_id", "hash", "Hash of the id of the page view within it."),
        TRACE_ID,
        Column("route", "text", "Route template; ids in a path are made one, the query string is cut.", is_route=True),
        RELEASE,
        Column("component", "text", "The widget or component that it is about."),
        Column("device_class", "text", "Device class.", allowed=DEVICE_CLASSES),
        Column("country", "text", "Country, as two letters of ISO 3166."),
        Column("is_authenticated", "boolean", "Whether the user was signed in."),
        Column("is_synthetic", "boolean", "Sent by a robot of one's own, such as a synthetic check; no user."),
        Column("feature_flags", "text", "Flags that were on, as `name=variant`, sorted, separated by semicolons."),
        Column("navigation_type", "text", "How the page was reached (web-vitals `navigationType`)."),
        Column("metric_name", "text", "web-vitals metric of a vital.", allowed=WEB_VITALS),
        Column(
            "metric_id",
            "hash",
            "Hash of web-vitals `id`: several reports with one id are one measurement, the last counts.",
        ),
        Column("metric_value", "number", "Value: milliseconds, or the score for CLS.", minimum=0),
        Column("is_success", "boolean", "Whether a route change, journey step, check or payment succeeded."),
        Column("is_retry_visible", "boolean", "Of a failed payment: the user saw it and had to try again."),
        Column("step", "text", "Name of the journey step, action or accessibility rule."),
        Column("sample_rate", "number", "Share of sessions that report, above 0 to 1.", minimum=0.000001, maximum=1),
    ),
    rules=(
        Rule(
            "event_type <> 'vital' or (metric_name is not null and metric_value is not null)",
            "a vital needs metric_name and metric_value",
        ),
    ),
    fields=(
        Field(
            "name",
            "web-vitals `name`; the event is a vital then.",
            {"metric_name": "name", "event_type": "case when name <> '' then 'vital' end"},
        ),
        Field("value", "web-vitals `value`.", {"metric_value": "value"}),
        Field("id", "web-vitals `id`.", {"metric_id": "id"}),
        Field("navigationType", "web-vitals `navigationType`.", {"navigation_type": "navigationType"}),
        Field("url", "Address of the page; only its path, as a template, is kept.", {"route": "url"}),
        Field(
            "user_agent",
            "User agent of the browser; only the device class is kept.",
            {"device_class": "device_class(user_agent)"},
        ),
    ),
)

REQUESTS = Table(
    "requests",
    "One request that a service answered.",
    key=("source", "request_id"),
    event_time="occurred_at",
    is_event=True,
    columns=(
        SOURCE,
        Column(
            "request_id",
            "hash",
            "Hash of the source's own id of the request or span and the time; without an id, of what identifies it.",
            hash_of=("service", "trace_id", "session_id", "method", "status", "occurred_at", "duration_ms"),
        ),
        Column("service", "text", "The service, as named in services.csv.", required=True),
        Column("occurred_at", "timestamp", "When it came in.", required=True),
        Column("route", "text", "Route template; ids in a path are made one, the query string is cut.", is_route=True),
        Column(
            "method",
            "text",
            "HTTP method.",
            allowed=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY", "OTHER"),
        ),
        Column(
            "status", "integer", "HTTP status of the answer; 0: none was given.", required=True, minimum=0, maximum=599
        ),
        Column("duration_ms", "number", "How long the answer took.", minimum=0),
        Column(
            "is_validation_error",
            "boolean",
            "A 4xx that tells the client of its own mistake, as designed; no failure of the service.",
        ),
        Column("is_synthetic", "boolean", "Made by a robot of one's own, such as a synthetic check; no user."),
        RELEASE,
        SESSION_ID,
        TRACE_ID,
    ),
)

JOBS = Table(
    "jobs",
    "One background job, from its enqueuing on; a later row of the same id tells how it went.",
    key=("source", "job_id"),
    event_time="enqueued_at",
    is_event=True,
    columns=(
        SOURCE,
        Column("job_id", "hash", "Hash of the source's own id of the job.", required=True),
        Column("service", "text", "The worker, as named in services.csv.", required=True),
        Column("queue", "text", "The queue."),
        Column("job_name", "text", "What kind of job it is."),
        Column("enqueued_at", "timestamp", "When it was put into the queue.", required=True),
        Column("started_at", "timestamp", "When its last attempt began."),
        Column("finished_at", "timestamp", "When it ended; absent until then."),
        Column("status", "text", "How it ended; absent until then.", allowed=("success", "failure", "cancelled")),
        Column("attempts", "integer", "Attempts so far.", minimum=0),
        RELEASE,
        TRACE_ID,
        UPDATED_AT,
    ),
    rules=(
        *in_order("enqueued_at", "started_at", "finished_at"),
        Rule("(status is null) = (finished_at is null)", "status and finished_at belong together"),
    ),
)

PROCESS_SAMPLES = Table(
    "process_samples",
    "One observation of a process of a service: its start, its end, or what it used at a moment.",
    key=("source", "sample_id"),
    event_time="occurred_at",
    is_event=True,
    columns=(
        SOURCE,
        Column(
            "sample_id",
            "hash",
            "Hash of the source's own id and the time; without an id, of what identifies the observation.",
            hash_of=("service", "process_id", "sample_kind", "occurred_at"),
        ),
        Column("service", "text", "The service, as named in services.csv.", required=True),
        Column("process_id", "hash", "Hash of the id of the process or instance.", required=True),
        Column("occurred_at", "timestamp", "When.", required=True),
        Column(
            "sample_kind",
            "text",
            "What was observed: `start` (the first of an instance), `restart` and `crash` (planned or not, it had to "
            "start again), `sample` (what it used).",
            required=True,
            allowed=("start", "restart", "crash", "sample"),
        ),
        Column("is_cold_start", "boolean", "Of a start: a request had to wait for it."),
        Column("startup_ms", "number", "Of a start or restart: until it could serve.", minimum=0),
        Column("uptime_seconds", "number", "Time since its start.", minimum=0),
        Column("rss_bytes", "integer", "Resident memory.", minimum=0),
        Column("heap_used_bytes", "integer", "Used heap of the JavaScript engine.", minimum=0),
        Column("event_loop_delay_p99_ms", "number", "99th percentile of the delay of the event loop.", minimum=0),
        RELEASE,
    ),
)

SYNTHETIC_CHECKS = Table(
    "synthetic_checks",
    "One synthetic check of a service in production.",
    key=("source", "check_run_id"),
    event_time="occurred_at",
    is_event=True,
    columns=(
        SOURCE,
        Column(
            "check_run_id",
            "hash",
            "Hash of the source's own id of the run and the time; without an id, of what identifies it.",
            hash_of=("service", "check_name", "location", "occurred_at"),
        ),
        Column("service", "text", "The service, as named in services.csv.", required=True),
        Column("check_name", "text", "Name of the check."),
        Column("location", "text", "Where it ran, for example a region."),
        Column("occurred_at", "timestamp", "When.", required=True),
        Column("is_success", "boolean", "Whether it passed.", required=True),
        Column("duration_ms", "number", "How long it took.", minimum=0),
    ),
)

SERVICES = Table(
    "services",
    "One service and who owns it from when to when.",
    key=("service", "valid_from"),
    schema="reference",
    columns=(
        Column("service", "text", "Name of the service.", required=True),
        Column("team", "text", "The team that owns it, as named in teams.csv.", required=True),
        Column(
            "component_kind",
            "text",
            "What it is.",
            required=True,
            allowed=("frontend", "node_service", "worker"),
        ),
        Column("repository", "text", "The repository that holds it."),
        Column(
            "paths",
            "text",
            "Path rules, separated by spaces, where several services share the repository: a change belongs to the "
            "service if it touches a file that one of these globs matches (`*` within a folder, `**` across folders); "
            "empty: every change does.",
        ),
        Column("valid_from", "date", "First day of this ownership; empty: since ever."),
        Column("valid_to", "date", "First day after it; empty: until further notice."),
    ),
    rules=in_order("valid_from", "valid_to"),
)

TEAMS = Table(
    "teams",
    "One team.",
    key=("team",),
    schema="reference",
    columns=(
        Column("team", "text", "Name of the team.", required=True),
        Column("parent", "text", "The team above it, if any."),
        Column("time_zone", "text", "IANA time zone, for example Europe/Berlin.", required=True),
    ),
)

CORRECTIONS = Table(
    "corrections",
    "One audited correction by hand; of several of one deployment or incident the latest counts.",
    key=("corrected_at", "verdict", "deployment_key", "incident_key"),
    schema="reference",
    columns=(
        Column("corrected_at", "timestamp", "When it was decided.", required=True),
        Column("corrected_by_role", "text", "Role, never a name, of who decided it.", required=True),
        Column("why", "text", "The reason, with the evidence; names nobody.", required=True),
        Column(
            "verdict",
            "text",
            "What holds instead of what was inferred.",
            required=True,
            allowed=("deployment_failed", "deployment_not_failed", "incident_linked", "incident_not_linked"),
        ),
        Column("deployment_key", "text", "The deployment, as fct_deployments names it."),
        Column("incident_key", "text", "The incident, as fct_incidents names it."),
        Column(
            "cause",
            "text",
            "What the deployment failed by; empty: incident.",
            allowed=("incident", "rollback", "hotfix", "degradation"),
        ),
    ),
    rules=(
        Rule(
            "verdict = 'incident_not_linked' or deployment_key is not null",
            "deployment_key is missing for this verdict",
        ),
        Rule(
            "verdict not in ('incident_linked', 'incident_not_linked') or incident_key is not null",
            "incident_key is missing for this verdict",
        ),
    ),
)

JOURNEYS = Table(
    "journeys",
    "One step of a journey, the ordered way of a user to an outcome.",
    key=("journey", "position"),
    schema="reference",
    columns=(
        Column("journey", "text", "Name of the journey.", required=True),
        Column(
            "service", "text", "The front end in whose sessions it happens, as named in services.csv.", required=True
        ),
        Column("position", "integer", "Place of the step, from 1.", required=True, minimum=1),
        Column("step", "text", "Name of the step.", required=True),
        Column(
            "step_kind",
            "text",
            "What shows that it was reached: a page view or route change, an action in the browser, a write to an API.",
            required=True,
            allowed=("page_view", "action", "api_write"),
        ),
        Column("route", "text", "Route template of the page, or of the API's request."),
        Column("action", "text", "Of an action: the `step` of its interaction, journey step or payment."),
        Column("api_service", "text", "Of an API write: the service that answers, as named in services.csv."),
        Column("method", "text", "Of an API write: the HTTP method; empty: any that writes."),
    ),
    rules=(
        Rule("step_kind <> 'page_view' or route is not null", "a page view needs its route"),
        Rule("step_kind <> 'action' or action is not null", "an action needs its name"),
        Rule(
            "step_kind <> 'api_write' or (api_service is not null and route is not null)",
            "an API write needs api_service and route",
        ),
    ),
)

ROUTE_RULES = Table(
    "route_rules",
    "One route template that paths are matched with, in the order of the file, before the rules for ids.",
    key=("service", "template"),
    schema="reference",
    columns=(
        Column("service", "text", "The service whose routes it is for, as named in services.csv; empty: of all."),
        Column(
            "template",
            "text",
            "The template: `:name` stands for one segment of a path or the rest of one, a final `*` for any number of "
            "them, such as `/products/:slug`, `/help/*`; without either it keeps a path such as `/404`.",
            required=True,
        ),
    ),
    rules=(
        Rule("starts_with(template, '/')", "a template starts with /"),
        Rule("position('*' in template) in (0, length(template))", "only the end of a template may be *"),
    ),
)

PROFILES = Table(
    "profiles",
    "One variable that a profile sets, so that the figures are those that another tool reports.",
    key=("profile", "variable"),
    schema="reference",
    columns=(
        Column("profile", "text", "Name of the profile.", required=True),
        Column("variable", "text", "A variable of the dbt project.", required=True),
        Column("value", "text", "Its value, in YAML.", required=True),
        Column("why", "text", "What the other tool does.", required=True),
    ),
)

DORA_BANDS = Table(
    "dora_bands",
    "One performance band of one metric in one year's DORA report.",
    key=("report_year", "metric", "band"),
    schema="reference",
    columns=(
        Column("report_year", "integer", "Year of the Accelerate State of DevOps report.", required=True, minimum=2014),
        Column(
            "metric",
            "text",
            "The metric.",
            required=True,
            allowed=("deployment_frequency", "lead_time", "change_failure_rate", "recovery_time"),
        ),
        Column("band", "text", "The report's name of it.", required=True, allowed=("elite", "high", "medium", "low")),
        Column("lowest", "number", "Least value in it: deployments per day, hours, or a rate; empty: none.", minimum=0),
        Column("highest", "number", "Value from which on it is left; empty: none.", minimum=0),
        Column("stated", "text", "What the report states.", required=True),
        Column("caveat", "text", "What to know before comparing with it."),
    ),
    rules=in_order("lowest", "highest"),
)

RAW_TABLES: tuple[Table, ...] = (
    DEPLOYMENTS,
    DEPLOYMENT_STATUSES,
    CHANGES,
    CHANGE_PATHS,
    DEPLOYMENT_CHANGES,
    PULL_REQUESTS,
    BUILDS,
    INCIDENTS,
    INCIDENT_EVENTS,
    OPERATIONAL_CHANGES,
    RUM_EVENTS,
    REQUESTS,
    JOBS,
    PROCESS_SAMPLES,
    SYNTHETIC_CHECKS,
)
REFERENCE_TABLES: tuple[Table, ...] = (
    SERVICES,
    TEAMS,
    CORRECTIONS,
    JOURNEYS,
    ROUTE_RULES,
    PROFILES,
    DORA_BANDS,
)
TABLES: dict[str, Table] = {table.name: table for table in (*RAW_TABLES, *REFERENCE_TABLES)}
