"""The canonical tables: columns, types, keys, event time, allowed values. The one source of truth.

From these contracts follow the DuckDB tables, the validation of every loaded row, dbt's source YAML, and the JSON
Schemas and the page in docs/contracts. `make contracts` writes the files; a test keeps them equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dagster_project.guard.decisions import DECISIONS

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
RESERVED_NAMES = {"reason", "fields", "faults", "is_suspect", "loaded_at", "batch_id"}


@dataclass(frozen=True)
class Column:
    """One column.

    `person` marks a login, name or e-mail: only its keyed hash is ever stored. A `hash` column holds a 64-bit
    hash of the source's own id or, where it has none, of the columns in `hash_of`; the event time is part of either
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
    becomes: dict[str, str] = field(hash=False)


@dataclass(frozen=True)
class Rule:
    """A condition over one row in portable SQL. A row for which it is false breaks the contract; NULL passes."""

    condition: str
    message: str


@dataclass(frozen=True)
class Context:
    """Texts of events that come together again and again. Each combination is stored once, under a number, in a table
    of its own (a junk dimension), and the events hold the number: with its texts in each event half of the time that a
    large file takes would go into them. `name` is that of the number; the columns are texts without allowed values."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """One canonical table.

    `key` is the natural key: a later row with the same key replaces the earlier one; a reference file has none twice,
    or, of dated rows, not on one day. `is_event` marks append-only telemetry, to which the retention horizon applies.
    Each row of schema `restricted` is about one person. `fields` may come in a landing row beside the columns. A table
    with `contexts` is a view of its stored rows and their contexts.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    event_time: str | None = None
    rules: tuple[Rule, ...] = ()
    is_event: bool = False
    fields: tuple[Field, ...] = ()
    contexts: tuple[Context, ...] = ()
    schema: str = field(default="raw", kw_only=True)

    def __post_init__(self) -> None:
        names = self.given_names
        unknown = {*self.key, *([self.event_time] if self.event_time else [])} - set(names)
        if unknown or len(names) != len(set(names)):
            raise ValueError(f"contract {self.name}: {sorted(unknown) or 'a column twice'}")
        if taken := RESERVED_NAMES & set(names):
            raise ValueError(f"contract {self.name}: {sorted(taken)} are the loader's own columns")
        texts = {column.name for column in self.columns if column.type == "text" and not column.allowed}
        texts -= {column.name for column in self.columns if column.person}
        stored_once = [name for context in self.contexts for name in context.columns]
        if len(stored_once) != len(set(stored_once)) or not set(stored_once) <= texts:
            raise ValueError(f"contract {self.name}: contexts hold free texts, and each of them once")
        if self.contexts and ("service" not in stored_once or {context.name for context in self.contexts} & set(names)):
            raise ValueError(f"contract {self.name}: contexts hold the service, and are named like no column")
        if self.is_event and not any(column.name == "service" and column.required for column in self.columns):
            raise ValueError(f"contract {self.name}: each event has a service")

    @property
    def qualified_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def stored_name(self) -> str:
        """The table that holds the rows, without the texts of their contexts."""
        return f"{self.qualified_name}_stored" if self.contexts else self.qualified_name

    def context_table(self, context: Context) -> str:
        return f"{self.qualified_name}_{context.name}s"

    @property
    def context_columns(self) -> tuple[Column, ...]:
        """The columns that are stored in contexts."""
        return tuple(self.column(name) for context in self.contexts for name in context.columns)

    @property
    def own_columns(self) -> tuple[Column, ...]:
        """The columns that are stored with each row."""
        return tuple(column for column in self.columns if column not in self.context_columns)

    @property
    def given_names(self) -> list[str]:
        """Names of all that a row may bring: columns, and fields of which columns are made."""
        return [item.name for item in (*self.columns, *self.fields)]

    @property
    def timed_keys(self) -> tuple[str, ...]:
        """Columns of the key that hash the event time: rows of different times never share their key."""
        return tuple(name for name in self.key if self.event_time and self.event_time in self.column(name).hash_of)

    def stored_type(self, column: Column) -> str:
        """DuckDB's type of a stored column. Of events, of which there are many, texts that are one of a few are an
        ENUM: half of the time that it takes to store them as VARCHAR."""
        if self.is_event and column.allowed:
            values = ", ".join(f"'{value}'" for value in column.allowed)
            return f"ENUM({values})"
        return column.duckdb_type

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
    "One file that a commit touches: for path rules where several services share a repository, and for file churn.",
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

PULL_REQUEST_EVENTS = Table(
    "pull_request_events",
    "One event of a pull request. Where a source keeps them, the times that its row lacks are those of its events.",
    key=("source", "repository", "event_type", "event_id"),
    event_time="occurred_at",
    columns=(
        SOURCE,
        Column("repository", "text", "The repository that the pull request targets.", required=True),
        Column("pull_request_number", "integer", "Its number there.", required=True, minimum=1),
        Column("event_id", "text", "The source's own id of the event.", required=True),
        Column(
            "event_type",
            "text",
            "What happened: `committed` (a commit of it was authored), `ready` (it left draft), `reviewed` (a review "
            "that approves nothing), `approved`, `commented` (a comment outside a review).",
            required=True,
            allowed=("committed", "ready", "commented", "reviewed", "approved"),
        ),
        Column("occurred_at", "timestamp", "When.", required=True),
        Column("actor_key", "text", "Who did it, as a keyed hash.", person=True),
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
    # In two: what a visit has changes with each release, and the product of both were too many.
    contexts=(
        Context("visit", ("source", "service", "release", "country", "feature_flags")),
        Context("place", ("route", "navigation_type", "component", "step")),
    ),
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
            {"device_class": "device_class(cast(user_agent as varchar))"},
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

OV_DIMENSIONS = (
    "business_impact",
    "operational_reliability",
    "technical_quality",
    "collaboration_leverage",
    "growth_and_scope",
)
PERSON_KEY = Column("person_key", "text", "The person, as a keyed hash.", required=True, person=True)
QUARTER = Column("quarter", "date", "First day of the quarter.", required=True)
FIRST_DAY_OF_QUARTER = Rule("quarter = date_trunc('quarter', quarter)", "quarter is not the first day of a quarter")
LINK = Column("link", "text", "Where to read it, a URL.")
IS_LINK = Rule("link like '%://%'", "link is no URL")

TEAM_MEMBERS = Table(
    "team_members",
    "One person's membership of a team, from when to when. A person is in one team at a time.",
    key=("source", "person_key", "team", "valid_from"),
    schema="restricted",
    columns=(
        SOURCE,
        PERSON_KEY,
        Column("team", "text", "The team, as named in teams.csv.", required=True),
        Column("valid_from", "date", "First day in the team.", required=True),
        Column("valid_to", "date", "First day after it; absent while it lasts."),
        UPDATED_AT,
    ),
    rules=in_order("valid_from", "valid_to"),
)

ASSESSMENTS = Table(
    "assessments",
    "One score of one person in one dimension of the rubric, by one assessor role, for one quarter.",
    key=("source", "person_key", "quarter", "dimension", "assessor_role"),
    schema="restricted",
    columns=(
        SOURCE,
        PERSON_KEY,
        QUARTER,
        Column("dimension", "text", "Dimension of the rubric.", required=True, allowed=OV_DIMENSIONS),
        Column("score", "integer", "Level of the rubric that the evidence shows.", required=True, minimum=1, maximum=5),
        Column(
            "assessor_role",
            "text",
            "Who assessed. The panel's score counts; without one the manager's; self and peer are never counted.",
            required=True,
            allowed=("self", "peer", "manager", "calibration_panel"),
        ),
        Column("assessor_group", "text", "The group that calibrates together, such as a department; names nobody."),
        Column(
            "assessor_key",
            "text",
            "Who assessed, as a keyed hash; groups are compared only where at least five are known.",
            person=True,
        ),
        Column("evidence_links", "text", "URLs of the evidence, separated by spaces."),
        Column("has_narrative", "boolean", "A written narrative goes with the score; the text itself is not taken."),
        Column("assessed_at", "timestamp", "When.", required=True),
        UPDATED_AT,
    ),
    rules=(
        FIRST_DAY_OF_QUARTER,
        Rule("evidence_links is not null", "a score without evidence"),
        Rule("evidence_links like '%://%'", "evidence_links hold no URL"),
        Rule("assessed_at >= quarter", "assessed_at is before the quarter"),
    ),
)

EVIDENCE = Table(
    "evidence",
    "One entry of a person's evidence log, kept all year.",
    key=("source", "evidence_id"),
    event_time="occurred_at",
    schema="restricted",
    columns=(
        SOURCE,
        Column("evidence_id", "text", "The source's own id of the entry.", required=True),
        PERSON_KEY,
        Column("occurred_at", "timestamp", "When it happened.", required=True),
        Column(
            "evidence_kind",
            "text",
            "What it is.",
            required=True,
            allowed=("outcome", "incident", "decision", "peer_praise", "growth_moment"),
        ),
        Column("dimension", "text", "Dimension of the rubric that it speaks to.", required=True, allowed=OV_DIMENSIONS),
        Column("project", "text", "The project."),
        Column("stakeholder", "text", "Who had the benefit: a team, a role or a customer group, never a name."),
        Column("is_next_level", "boolean", "It shows work at the level above the person's current one."),
        Column("link", "text", "Where to read it, a URL.", required=True),
        UPDATED_AT,
    ),
    rules=(IS_LINK,),
)

GROWTH_REVIEWS = Table(
    "growth_reviews",
    "One person's growth review of one quarter: current level and potential, each in a column of its own.",
    key=("source", "person_key", "quarter"),
    schema="restricted",
    columns=(
        SOURCE,
        PERSON_KEY,
        QUARTER,
        Column("current_level", "text", "The level of the ladder that the person holds.", required=True),
        Column(
            "growth_signal",
            "text",
            "Potential: signs of growth in the quarter; says nothing about promotion.",
            allowed=("none", "emerging", "clear"),
        ),
        Column("reviewed_at", "timestamp", "When.", required=True),
        UPDATED_AT,
    ),
    rules=(FIRST_DAY_OF_QUARTER,),
)

SURVEY_RESPONSES = Table(
    "survey_responses",
    "One answer of one response to a pulse survey.",
    key=("source", "response_id", "question"),
    event_time="answered_at",
    schema="restricted",
    columns=(
        SOURCE,
        Column("response_id", "hash", "Hash of the source's own id of the response.", required=True),
        Column("team", "text", "The team that the respondent named, as in teams.csv.", required=True),
        Column("answered_at", "timestamp", "When.", required=True),
        Column(
            "question",
            "text",
            "What was asked.",
            required=True,
            allowed=("perceived_speed", "perceived_reliability", "psychological_safety", "sustainable_workload"),
        ),
        Column("answer", "integer", "Agreement, 5 the best for the team.", required=True, minimum=1, maximum=5),
    ),
)

REVIEW_ACTIVITY = Table(
    "review_activity",
    "One review that a person gave to a pull request of somebody else.",
    key=("source", "review_id"),
    event_time="submitted_at",
    schema="restricted",
    columns=(
        SOURCE,
        Column("review_id", "text", "The source's own id.", required=True),
        Column("repository", "text", "The repository.", required=True),
        Column("pull_request_number", "integer", "The pull request.", required=True, minimum=1),
        Column("reviewer_key", "text", "The reviewer, as a keyed hash.", person=True),
        Column("submitted_at", "timestamp", "When.", required=True),
        Column(
            "verdict",
            "text",
            "What it ended with.",
            required=True,
            allowed=("approved", "changes_requested", "commented"),
        ),
        Column("comments", "integer", "Remarks made in it; 0: silent.", required=True, minimum=0),
    ),
)

CALIBRATION_SESSIONS = Table(
    "calibration_sessions",
    "One calibration session, in which a group of assessors held its claims against the evidence.",
    key=("source", "session_id"),
    columns=(
        SOURCE,
        Column("session_id", "text", "The source's own id.", required=True),
        QUARTER,
        Column("held_at", "timestamp", "When.", required=True),
        Column("assessor_group", "text", "The group, as assessments name it.", required=True),
        Column("claims_reviewed", "integer", "Claims that were looked at.", required=True, minimum=0),
        Column("claims_challenged", "integer", "Those that somebody doubted.", required=True, minimum=0),
        Column("claims_changed", "integer", "Those that were changed.", required=True, minimum=0),
        Column("changes_with_evidence", "integer", "Changes for which the evidence was named.", minimum=0),
        UPDATED_AT,
    ),
    rules=(
        FIRST_DAY_OF_QUARTER,
        Rule("claims_challenged <= claims_reviewed", "more claims challenged than reviewed"),
        Rule("claims_changed <= claims_challenged", "more claims changed than challenged"),
        Rule("changes_with_evidence <= claims_changed", "more changes with evidence than changes"),
    ),
)

SUPPORT_TICKETS = Table(
    "support_tickets",
    "One ticket of a user to support.",
    key=("source", "ticket_id"),
    event_time="opened_at",
    columns=(
        SOURCE,
        Column("ticket_id", "text", "The source's own id.", required=True),
        Column("service", "text", "The service it is about, as named in services.csv.", required=True),
        Column("opened_at", "timestamp", "When it was opened.", required=True),
        Column("closed_at", "timestamp", "When it was closed; absent while open."),
        Column("is_defect", "boolean", "A fault of the product rather than a question."),
        UPDATED_AT,
    ),
    rules=in_order("opened_at", "closed_at"),
)

ACTIVE_USERS = Table(
    "active_users",
    "The distinct users of a service on one day.",
    key=("source", "service", "day"),
    columns=(
        SOURCE,
        Column("service", "text", "The service, as named in services.csv.", required=True),
        Column("day", "date", "The day.", required=True),
        Column("users", "integer", "Distinct users.", required=True, minimum=0),
        UPDATED_AT,
    ),
)

CRITICAL_PATH_COVERAGE = Table(
    "critical_path_coverage",
    "One measurement of how much of a critical path's code its tests run.",
    key=("source", "service", "critical_path", "measured_at"),
    event_time="measured_at",
    columns=(
        SOURCE,
        Column("service", "text", "The service, as named in services.csv.", required=True),
        Column("critical_path", "text", "Name of the path, such as a journey.", required=True),
        Column("measured_at", "timestamp", "When.", required=True),
        Column("lines_total", "integer", "Lines of code on the path.", required=True, minimum=0),
        Column("lines_covered", "integer", "Those that a test ran.", required=True, minimum=0),
    ),
    rules=(Rule("lines_covered <= lines_total", "more lines covered than there are"),),
)

ESCAPED_DEFECTS = Table(
    "escaped_defects",
    "One defect that was found in production.",
    key=("source", "defect_id"),
    event_time="found_at",
    columns=(
        SOURCE,
        Column("defect_id", "text", "The source's own id.", required=True),
        Column("service", "text", "The service, as named in services.csv.", required=True),
        Column("found_at", "timestamp", "When it was found.", required=True),
        Column("version", "text", "The version that brought it, where known."),
        Column("severity", "text", "Severity, sev1 the worst.", allowed=("sev1", "sev2", "sev3", "sev4", "sev5")),
        UPDATED_AT,
    ),
)

POST_INCIDENT_REVIEWS = Table(
    "post_incident_reviews",
    "One review of an incident.",
    key=("source", "review_id"),
    columns=(
        SOURCE,
        Column("review_id", "text", "The source's own id.", required=True),
        Column("incident_id", "text", "The incident.", required=True),
        Column("due_on", "date", "The day by whose end it is to be done."),
        Column("completed_at", "timestamp", "When it was done; absent until then."),
        LINK,
        UPDATED_AT,
    ),
    rules=(IS_LINK,),
)

POST_INCIDENT_ACTIONS = Table(
    "post_incident_actions",
    "One action that the review of an incident agreed on.",
    key=("source", "action_id"),
    columns=(
        SOURCE,
        Column("action_id", "text", "The source's own id.", required=True),
        Column("incident_id", "text", "The incident.", required=True),
        Column("team", "text", "The team that took it on, as named in teams.csv."),
        Column("agreed_at", "timestamp", "When it was agreed on.", required=True),
        Column("due_on", "date", "The day by whose end it is to be done."),
        Column("closed_at", "timestamp", "When it was done; absent until then."),
        UPDATED_AT,
    ),
    rules=in_order("agreed_at", "closed_at"),
)

RETROSPECTIVES = Table(
    "retrospectives",
    "One retrospective of a team.",
    key=("source", "retrospective_id"),
    event_time="held_at",
    columns=(
        SOURCE,
        Column("retrospective_id", "text", "The source's own id.", required=True),
        Column("team", "text", "The team, as named in teams.csv.", required=True),
        Column("held_at", "timestamp", "When.", required=True),
        Column("people_invited", "integer", "How many were invited.", required=True, minimum=0),
        Column("people_present", "integer", "How many took part.", required=True, minimum=0),
        Column("actions_agreed", "integer", "Actions agreed on.", minimum=0),
        Column("actions_done", "integer", "Those of the one before that were done.", minimum=0),
        UPDATED_AT,
    ),
    rules=(Rule("people_present <= people_invited", "more people present than invited"),),
)

PLANNED_ITEMS = Table(
    "planned_items",
    "One item that a team planned for a period, such as a sprint; one that is carried over stands in both plans.",
    key=("source", "plan_id", "item_id"),
    columns=(
        SOURCE,
        Column("plan_id", "text", "The source's own id of the plan, such as a sprint.", required=True),
        Column("item_id", "text", "The source's own id of the item.", required=True),
        Column("team", "text", "The team, as named in teams.csv.", required=True),
        Column("starts_on", "date", "First day of the period.", required=True),
        Column("due_on", "date", "Its last day, by whose end the item is to be done.", required=True),
        Column(
            "committed_at",
            "timestamp",
            "When the team took it on; an item taken on after the first day is no part of the plan.",
            required=True,
        ),
        Column("completed_at", "timestamp", "When it was done; absent until then."),
        UPDATED_AT,
    ),
    rules=in_order("starts_on", "due_on"),
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

CLOCK = "A time of day, such as 09:00, in the rotation's time zone; empty: "
ROTATIONS = Table(
    "rotations",
    "One on-call rotation of a team.",
    key=("rotation", "valid_from"),
    schema="reference",
    columns=(
        Column("rotation", "text", "Name of the rotation.", required=True),
        Column("team", "text", "The team that is on call, as named in teams.csv.", required=True),
        Column(
            "services",
            "text",
            "The services whose incidents it takes, separated by spaces; empty: all of the team that no other of its "
            "rotations names.",
        ),
        Column("time_zone", "text", "IANA time zone of those on call; empty: the team's."),
        Column("business_start", "text", f"{CLOCK}09:00."),
        Column("business_end", "text", f"{CLOCK}17:00."),
        Column("sleep_start", "text", f"{CLOCK}22:00."),
        Column("sleep_end", "text", f"{CLOCK}07:00."),
        Column("shift_hours", "integer", "Length of one shift; empty: 12.", minimum=1, maximum=168),
        Column("handover", "text", f"{CLOCK}09:00. A shift begins then, and every shift_hours after it."),
        Column("valid_from", "date", "First day; empty: since ever."),
        Column("valid_to", "date", "First day after it; empty: until further notice."),
    ),
    rules=(
        *in_order("valid_from", "valid_to"),
        *(
            Rule(f"regexp_matches({name}, '^([01][0-9]|2[0-3]):[0-5][0-9]$')", f"{name} is no time such as 09:00")
            for name in ("business_start", "business_end", "sleep_start", "sleep_end", "handover")
        ),
        Rule("business_start < business_end", "business_end is not after business_start"),
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
        # The models follow so many steps (macro longest_journey).
        Column("position", "integer", "Place of the step, from 1 to 12.", required=True, minimum=1, maximum=12),
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

INDICATORS = (
    "bounced_sessions",
    "error_sessions",
    "poor_lcp_page_loads",
    "not_good_lcp_page_loads",
    "incomplete_journeys",
    "failed_accessibility_checks",
    "failed_requests",
    "slow_requests",
    "process_restarts",
    "failed_payments",
)
DEGRADATION_INDICATORS = Table(
    "degradation_indicators",
    "One indicator by which deployments are judged, for all services or, in a row that wins over it, for one.",
    key=("indicator", "service"),
    schema="reference",
    columns=(
        Column("indicator", "text", "What is counted as bad.", required=True, allowed=INDICATORS),
        Column("service", "text", "The service, as named in services.csv; empty: all others."),
        Column(
            "least_rise",
            "number",
            "Smallest rise of the bad share that matters, in points of 1: 0.01 is one session in a hundred.",
            required=True,
            minimum=0,
            maximum=1,
        ),
        Column("objective_ms", "number", "Of `slow_requests`: a request that takes longer is slow.", minimum=0),
    ),
    rules=(
        Rule("indicator <> 'slow_requests' or objective_ms is not null", "slow_requests needs objective_ms"),
        Rule("indicator = 'slow_requests' or objective_ms is null", "only slow_requests has objective_ms"),
    ),
)

RUBRIC = Table(
    "rubric",
    "One level of one dimension of the rubric, from when to when; it changes on the first day of a quarter only.",
    key=("dimension", "level", "valid_from"),
    schema="reference",
    columns=(
        Column("dimension", "text", "The dimension.", required=True, allowed=OV_DIMENSIONS),
        Column("level", "integer", "The level, as in scores.", required=True, minimum=1, maximum=5),
        Column("descriptor", "text", "What the evidence of this level shows.", required=True),
        Column("valid_from", "date", "First day of this wording; empty: since ever."),
        Column("valid_to", "date", "First day after it; empty: until further notice."),
    ),
    rules=(
        *in_order("valid_from", "valid_to"),
        *(
            Rule(
                f"{column} = date_trunc('quarter', {column})",
                f"{column} lies within a quarter, and one quarter is judged by one wording; take a quarter's first day",
            )
            for column in ("valid_from", "valid_to")
        ),
    ),
)

OV_QUARTERS = Table(
    "ov_quarters",
    "One quarter whose assessments are closed, so that its aggregates are published, once and for good.",
    key=("quarter",),
    schema="reference",
    columns=(
        QUARTER,
        Column("closed_at", "timestamp", "When they were closed; later assessments are not counted.", required=True),
        Column("closed_by_role", "text", "Role, never a name, of who closed them.", required=True),
    ),
    rules=(
        FIRST_DAY_OF_QUARTER,
        Rule("closed_at >= quarter + interval 3 month", "closed_at lies before the end of the quarter"),
    ),
)

DECISION_LOG = Table(
    "decision_log",
    "One decision that a KPI informed.",
    key=("decided_on", "metric", "decision"),
    schema="reference",
    columns=(
        Column("decided_on", "date", "The day.", required=True),
        Column("team", "text", "The team that it concerns, as named in teams.csv; empty: the organisation."),
        Column("metric", "text", "The KPI, as named in kpis.csv.", required=True),
        Column(
            "decision_kind",
            "text",
            "What kind of decision it was; the column decisions of kpis.csv maps a KPI to those that it may inform.",
            required=True,
            allowed=tuple(DECISIONS),
        ),
        Column("decision", "text", "What was decided; names nobody.", required=True),
        Column("decided_by_role", "text", "Role, never a name, of who decided.", required=True),
        Column("link", "text", "Where to read it, a URL."),
    ),
    rules=(IS_LINK,),
)

AUDIT_ANSWERS = Table(
    "audit_answers",
    "One recorded answer to a question of the quarterly audit of the metrics.",
    key=("quarter", "question", "team"),
    schema="reference",
    columns=(
        QUARTER,
        Column(
            "question",
            "text",
            "The question: is a metric gamed; do they motivate the right behaviour; do they measure what the business "
            "values; of a pilot team, is the rubric clearer, are reviews more actionable, did the metrics predict.",
            required=True,
            allowed=(
                "gamed",
                "motivates_right_behaviour",
                "measures_business_value",
                "rubric_clearer",
                "reviews_more_actionable",
                "metrics_predictive",
            ),
        ),
        Column("team", "text", "The pilot team, as named in teams.csv; empty: the organisation."),
        Column("answer", "text", "The answer.", required=True, allowed=("yes", "partly", "no")),
        Column("why", "text", "The reason, with the evidence; names nobody.", required=True),
        Column("answered_by_role", "text", "Role, never a name, of who answered.", required=True),
        Column("answered_on", "date", "The day.", required=True),
    ),
    rules=(FIRST_DAY_OF_QUARTER,),
)

# What a KPI may be of: the measures of dbt/macros/scorecard.sql.
MEASURES = (
    "deployments_per_day",
    "lead_time_median_hours",
    "commit_to_merge_median_hours",
    "merge_to_build_median_hours",
    "build_to_deploy_median_hours",
    "deploy_to_success_median_hours",
    "change_failure_rate",
    "rework_rate",
    "recovery_median_hours",
    "mttr_hours",
    "flaky_build_rate",
    "file_churn_rate",
    "good_lcp_rate",
    "lcp_p75_ms",
    "error_free_session_rate",
    "bounce_rate",
    "journey_completion_rate",
    "failed_request_rate",
    "slow_request_rate",
    "request_p95_ms",
    "support_tickets_per_1000_active_users",
    "critical_path_coverage_rate",
    "escaped_defects_per_deployment",
    "incident_review_rate",
    "actions_on_time_rate",
    "predictability_rate",
)
KPIS = Table(
    "kpis",
    "One KPI of the scorecard, from when to when.",
    key=("kpi", "valid_from"),
    schema="reference",
    columns=(
        Column("kpi", "text", "Name of the KPI.", required=True),
        Column(
            "layer",
            "text",
            "The layer that it belongs to.",
            required=True,
            allowed=("delivery_speed", "reliability", "user_experience", "maintainability", "collaboration"),
        ),
        Column("measure", "text", "What it is the value of.", required=True, allowed=MEASURES),
        Column("unit", "text", "Unit of its value.", required=True),
        Column("direction", "text", "What is better.", required=True, allowed=("higher", "lower")),
        Column("owner_role", "text", "Role, never a name, of who answers for its definition.", required=True),
        Column("pair", "text", "The row of this file, active or not, that must not suffer while this one improves."),
        Column("decisions", "text", "The decisions that it may inform, separated by spaces.", required=True),
        Column(
            "is_actionable",
            "boolean",
            "A team can act on it within two sprints; else it is for reporting alone.",
            required=True,
        ),
        Column(
            "is_gameable_alone",
            "boolean",
            "One person alone could game it in a week; it then never informs a promotion.",
            required=True,
        ),
        Column(
            "practical_margin",
            "number",
            "A change surely smaller than this share of the baseline is none that matters.",
            required=True,
            minimum=0,
            maximum=1,
        ),
        Column("target", "number", "The value to reach, in the unit; empty: none is set.", minimum=0),
        Column("valid_from", "date", "First day of this definition; empty: since ever."),
        Column("valid_to", "date", "First day after it; empty: until further notice."),
        Column(
            "is_active",
            "boolean",
            "One of the scorecard's KPIs; else it is there to be the pair of others, or to be taken up. Empty: true.",
        ),
    ),
    rules=(
        *in_order("valid_from", "valid_to"),
        Rule("pair <> kpi", "a KPI is no pair of itself"),
        Rule(
            "not regexp_matches(decisions, '(compensation|salary|pay|bonus|promotion|dismissal|ranking)')",
            "a KPI informs no decision about pay, promotion, dismissal or rank",
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

TEAM_CELL = (
    QUARTER,
    Column("dimension", "text", "Dimension of the rubric.", required=True, allowed=OV_DIMENSIONS),
    Column("team", "text", "The team.", required=True),
)
IS_FROZEN = Column("is_frozen", "boolean", "It has been published, and never changes again.", required=True)

OV_RELEASES = Table(
    "ov_releases",
    "One team, dimension and closed quarter, and what the guard lets be published of it.",
    key=("quarter", "dimension", "team"),
    schema="restricted",
    columns=(
        *TEAM_CELL,
        Column(
            "status",
            "text",
            "What became of it.",
            required=True,
            allowed=("published", "carried_forward", "suppressed", "in_teams_below"),
        ),
        Column("value_quarter", "date", "The quarter that the values are from."),
        Column("mean_low", "number", "Least mean of the band."),
        Column("mean_high", "number", "The mean from which on the next band begins; 5 belongs to the last one."),
        Column("people_band", "text", "Assessed people.", allowed=("5-7", "8-11", "12+")),
        Column(
            "assessed_share_band", "text", "Assessed people / people in the team.", allowed=("<50%", "50-79%", "80%+")
        ),
        Column(
            "refused_scores",
            "integer",
            "Scores refused for want of evidence; NULL unless none, or of at least 3 people and not of all but 2.",
        ),
        Column(
            "recent_evidence_band",
            "text",
            "Share of the evidence that is from the last month of the quarter.",
            allowed=("under_a_sixth", "about_a_third", "over_half"),
        ),
        Column("possible_bands", "text", "Bands that the mean may have, for all that the row tells; NULL: any."),
        IS_FROZEN,
    ),
)

OV_RELEASE_MEMBERS = Table(
    "ov_release_members",
    "One person whose score went into a row of ov_releases.",
    key=("quarter", "dimension", "team", "person_key"),
    schema="restricted",
    columns=(
        *TEAM_CELL,
        PERSON_KEY,
        Column("score", "integer", "The score that counted.", required=True, minimum=1, maximum=5),
    ),
)

COUNTS_OF_PEOPLE = (
    Column("level_recorded_people", "integer", "Those whose current level is recorded."),
    Column("clear_growth_people", "integer", "Those whose growth signal is clear."),
    Column("promotion_ready_people", "integer", "Those whose evidence at the next level is broad enough."),
)

OV_ORGANISATION_RELEASES = Table(
    "ov_organisation_releases",
    "One closed quarter, and what the guard lets be published of the organisation.",
    key=("quarter",),
    schema="restricted",
    columns=(
        QUARTER,
        Column("people_band", "text", "People in teams on the last day.", allowed=("5-7", "8-11", "12+")),
        *COUNTS_OF_PEOPLE,
        *(
            Column(
                f"possible_{count.name}", "text", f"What {count.name} may be, for all that the row tells; NULL: any."
            )
            for count in COUNTS_OF_PEOPLE
        ),
        Column("evidence_entries", "integer", "Entries of evidence logs in the quarter."),
        Column("last_month_evidence_rate", "number", "Share of them from the last month of the quarter."),
        Column("sessions", "integer", "Calibration sessions."),
        Column("claims_reviewed", "integer", "Claims that were looked at in them; NULL below 50."),
        Column("claims_challenged", "integer", "Those that somebody doubted."),
        Column("claims_changed", "integer", "Those that were changed."),
        Column("evidenced_change_rate", "number", "Share of them for which the evidence was named."),
        Column("assessor_groups", "integer", "Groups of at least five assessors that are compared."),
        Column(
            "calibration_drift",
            "text",
            "Largest difference between two such groups, in points.",
            allowed=("under_half", "half_to_one", "over_one"),
        ),
        IS_FROZEN,
    ),
)

OV_ORGANISATION_MEMBERS = Table(
    "ov_organisation_members",
    "One person whom a count of ov_organisation_releases is about.",
    key=("quarter", "count_name", "person_key"),
    schema="restricted",
    columns=(
        QUARTER,
        Column(
            "count_name", "text", "The count.", required=True, allowed=tuple(each.name for each in COUNTS_OF_PEOPLE)
        ),
        PERSON_KEY,
        Column("is_counted", "boolean", "Whether it counted.", required=True),
    ),
)

AUDIT_RELEASES = Table(
    "audit_releases",
    "One finding of the audit about what people do or say, as it was first published.",
    key=("quarter", "team", "check_name"),
    schema="restricted",
    columns=(
        QUARTER,
        Column("team", "text", "The team; all: the organisation.", required=True),
        Column("audit_kind", "text", "Kind of the check.", required=True),
        Column("check_name", "text", "The check.", required=True),
        Column("finding", "text", "What was found.", required=True, allowed=("found", "not_found", "not_judged")),
        Column("claim", "text", "What is found if it is found."),
        Column("evidence", "text", "The words that stand for the figures."),
        Column("evidence_query", "text", "Query for the rows behind it."),
    ),
)

SLOS = Table(
    "slos",
    "One definition of a service level objective: one OpenSLO file of the folder slos.",
    key=("definition",),
    schema="reference",
    columns=(
        Column("definition", "text", "Name of the file, without its ending.", required=True),
        Column(
            "slo", "text", "Name of the SLO; a new target is a new file of the same name and later days.", required=True
        ),
        Column("display_name", "text", "Its name for people.", required=True),
        Column("service", "text", "The service whose promise it is, as named in services.csv.", required=True),
        Column(
            "budgeting_method",
            "text",
            "What a budget is counted in: events, good slices of time, or the mean of the slices' ratios.",
            required=True,
            allowed=("Occurrences", "Timeslices", "RatioTimeslices"),
        ),
        Column("window_duration", "text", "Length of the window, as written.", required=True),
        Column("window_length", "integer", "The same in units.", required=True, minimum=1),
        Column("window_unit", "text", "The unit.", required=True, allowed=("minute", "day", "month")),
        Column(
            "window_starts_at", "timestamp", "Local time at which its first calendar window begins; empty: rolling."
        ),
        Column("time_zone", "text", "IANA time zone of a calendar window."),
        Column("slot_minutes", "integer", "Its events are counted by so many minutes.", required=True, minimum=1),
        Column("total_source", "text", "What kind of event it counts.", required=True),
        Column("total_deadline_seconds", "integer", "After so long a job is late.", minimum=1),
        Column("numerator_kind", "text", "What the numerator counts.", required=True, allowed=("good", "bad")),
        Column("numerator_source", "text", "What kind of event the numerator counts.", required=True),
        Column("numerator_deadline_seconds", "integer", "The same of the numerator's jobs.", minimum=1),
        Column(
            "is_part_of_total",
            "boolean",
            "Whether the numerator counts events of the total; else it is counted by itself.",
            required=True,
        ),
        Column("user_path", "text", "The user path that it protects.", required=True),
        Column("why_this_threshold", "text", "Why this threshold.", required=True),
        Column("how_measured", "text", "How it is measured.", required=True),
        Column("when_budget_burns", "text", "What happens when the budget burns.", required=True),
        Column("valid_from", "date", "First day on which it holds; empty: since ever."),
        Column("valid_to", "date", "First day after it; empty: until further notice."),
        Column("reviewed_on", "date", "Day on which its owners last reviewed it."),
    ),
    rules=in_order("valid_from", "valid_to"),
)

SLO_OBJECTIVES = Table(
    "slo_objectives",
    "One objective of a definition.",
    key=("definition", "objective"),
    schema="reference",
    columns=(
        Column("definition", "text", "The definition.", required=True),
        Column("objective", "integer", "Place of the objective in its file, from 1.", required=True, minimum=1),
        Column("objective_name", "text", "Its name for people.", required=True),
        Column("target", "number", "Share that must be good, from 0 to below 1.", required=True, minimum=0),
        Column("time_slice_target", "number", "Share from which on a slice of time is good.", minimum=0, maximum=1),
        Column(
            "time_slice_minutes",
            "integer",
            "Length of a slice; without slices, that of the slots by which its events are counted.",
            required=True,
            minimum=1,
        ),
    ),
)

SLO_CONDITIONS = Table(
    "slo_conditions",
    "One value of one condition of a definition. Conditions are met together, groups above 0 must not be met.",
    key=("definition", "part", "condition_group", "position", "value"),
    schema="reference",
    columns=(
        Column("definition", "text", "The definition.", required=True),
        Column("part", "text", "The count that it is about.", required=True, allowed=("total", "numerator")),
        Column(
            "condition_group", "integer", "0: must be met; each other one must not be met.", required=True, minimum=0
        ),
        Column("position", "integer", "Place of the condition in its group.", required=True, minimum=1),
        Column("column_name", "text", "The column of the event.", required=True),
        Column(
            "operator",
            "text",
            "How it compares.",
            required=True,
            allowed=("eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "is_present"),
        ),
        Column("value_type", "text", "Type of the value.", required=True, allowed=("text", "number", "boolean")),
        Column("value", "text", "The value, as text.", required=True),
    ),
)

RAW_TABLES: tuple[Table, ...] = (
    DEPLOYMENTS,
    DEPLOYMENT_STATUSES,
    CHANGES,
    CHANGE_PATHS,
    DEPLOYMENT_CHANGES,
    PULL_REQUESTS,
    PULL_REQUEST_EVENTS,
    BUILDS,
    INCIDENTS,
    INCIDENT_EVENTS,
    OPERATIONAL_CHANGES,
    RUM_EVENTS,
    REQUESTS,
    JOBS,
    PROCESS_SAMPLES,
    SYNTHETIC_CHECKS,
    CALIBRATION_SESSIONS,
    SUPPORT_TICKETS,
    ACTIVE_USERS,
    CRITICAL_PATH_COVERAGE,
    ESCAPED_DEFECTS,
    POST_INCIDENT_REVIEWS,
    POST_INCIDENT_ACTIONS,
    RETROSPECTIVES,
    PLANNED_ITEMS,
    TEAM_MEMBERS,
    ASSESSMENTS,
    EVIDENCE,
    GROWTH_REVIEWS,
    SURVEY_RESPONSES,
    REVIEW_ACTIVITY,
)
SLO_TABLES: tuple[Table, ...] = (SLOS, SLO_OBJECTIVES, SLO_CONDITIONS)
REFERENCE_TABLES: tuple[Table, ...] = (
    SERVICES,
    TEAMS,
    ROTATIONS,
    CORRECTIONS,
    JOURNEYS,
    DEGRADATION_INDICATORS,
    RUBRIC,
    OV_QUARTERS,
    DECISION_LOG,
    AUDIT_ANSWERS,
    KPIS,
    ROUTE_RULES,
    PROFILES,
    DORA_BANDS,
    *SLO_TABLES,
)
# What the guard (dagster_project/guard) has decided. The models of OV read these and nothing else of schema restricted.
RELEASED_TABLES: tuple[Table, ...] = (
    OV_RELEASES,
    OV_RELEASE_MEMBERS,
    OV_ORGANISATION_RELEASES,
    OV_ORGANISATION_MEMBERS,
    AUDIT_RELEASES,
)
TABLES: dict[str, Table] = {table.name: table for table in (*RAW_TABLES, *REFERENCE_TABLES, *RELEASED_TABLES)}
