"""plumbline.yaml and the environment: read once, validated, every error with its key."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from dagster_project.contracts import ENVIRONMENTS
from dagster_project.errors import ConfigurationError

PROJECT_DIR = Path(__file__).resolve().parents[1]
DBT_DIR = PROJECT_DIR / "dbt"
EXPECTATIONS_DIR = PROJECT_DIR / "expectations"
DEFAULT_CONFIG = PROJECT_DIR / "plumbline.yaml"

Environment = Literal[ENVIRONMENTS]
# The gate refuses a build if its source has brought nothing new for so long; None: it never promised news.
FreshnessHours = Annotated[float | None, Field(gt=0)]


class Strict(BaseModel):
    """A section of plumbline.yaml: an unknown key is an error, and values never change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _relative_to_file(value: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base", Path.cwd())
    return Path(os.path.normpath(base / value.expanduser()))


def _checked_expression(value: str | None, *groups: str) -> str | None:
    """A regular expression with no named group but `groups`."""
    try:
        found = re.compile(value or "").groupindex
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from None
    if unknown := set(found) - set(groups):
        allowed = f"allowed: {', '.join(groups)}" if groups else "none is allowed here"
        raise ValueError(f"group {sorted(unknown)[0]!r} is not known; {allowed}")
    return value


class Hotfix(Strict):
    """What marks a deployment as a hotfix: any of these regular expressions.

    `tag` is matched against its whole tag name. The others are about the commits of the first-parent line that it is
    the first to ship: `subject` is searched in their subjects, `branch` matched against the whole name of the branch
    that such a commit says to merge.
    """

    tag: str | None = None
    subject: str | None = None
    branch: str | None = None

    @field_validator("tag", "subject", "branch")
    @classmethod
    def _regular_expression(cls, value: str | None) -> str | None:
        return _checked_expression(value)

    @model_validator(mode="after")
    def _any_of(self) -> Hotfix:
        if not (self.tag or self.subject or self.branch):
            raise ValueError("give at least one of tag, subject, branch")
        return self


class Deployments(Strict):
    """Where a repository records its deployments to one environment: in tags, or in merges to a release branch.

    `tags` is matched against whole tag names. Its group `timestamp` (digits in the order year to second, UTC) gives
    the time; without the group, the tag's own date does. Every first-parent commit of `release_branch` is one
    deployment at its committer time.
    """

    tags: str | None = None
    release_branch: str | None = None
    environment: Environment
    hotfix: Hotfix | None = None

    @field_validator("tags")
    @classmethod
    def _regular_expression(cls, value: str | None) -> str | None:
        return _checked_expression(value, "timestamp")

    @model_validator(mode="after")
    def _one_of(self) -> Deployments:
        if (self.tags is None) == (self.release_branch is None):
            raise ValueError("give exactly one of tags, release_branch")
        if self.release_branch is not None and self.hotfix and self.hotfix.tag:
            raise ValueError("hotfix.tag is of no use with release_branch; give subject or branch")
        return self


class GitSource(Strict):
    """A local clone. `service` names the service that its deployments belong to."""

    kind: Literal["git"]
    repository: Path
    service: str = Field(min_length=1)
    deployments: tuple[Deployments, ...]
    default_branch: str | None = None
    change_size: bool = False
    freshness_hours: FreshnessHours = None

    _resolve = field_validator("repository")(_relative_to_file)

    @field_validator("deployments", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if not value:
            raise ValueError("give at least one of {tags, environment} or {release_branch, environment}")
        return [value] if isinstance(value, dict) else value

    @property
    def name(self) -> str:
        return self.repository.name.removesuffix(".git") or self.repository.parent.name


class LandingSource(Strict):
    """Files to be picked up under `location`, a local folder or an object store URL: one folder a table, or a system.

    `services` and `environments` say what the objects of other systems call otherwise: repository, project or service
    there → service of services.csv; environment there → tier.
    """

    kind: Literal["landing"]
    location: str
    # A local file changed less than this ago may still be written.
    settle_seconds: float = Field(default=2.0, ge=0)
    maximum_line_bytes: int = Field(default=8 * 2**20, ge=1024)
    services: dict[str, str] = Field(default_factory=dict)
    environments: dict[str, Environment] = Field(default_factory=dict)
    freshness_hours: FreshnessHours = None

    @field_validator("location")
    @classmethod
    def _resolve(cls, value: str, info: ValidationInfo) -> str:
        if "://" not in value:
            return str(_relative_to_file(Path(value), info))
        parts = urlsplit(value)
        if parts.password or parts.query:
            raise ValueError("holds a password or a query; credentials are taken from the environment alone")
        return value

    @property
    def name(self) -> str:
        return "landing"


class DemoSource(Strict):
    """A generated organisation; the same options give the same rows.

    Its record covers `days` up to 2026-06-30: by default three whole quarters. `sessions_per_day` is the mean over all
    front ends together.
    """

    kind: Literal["demo"]
    seed: int = Field(default=7, ge=0)
    days: int = Field(default=273, ge=120, le=1500)
    sessions_per_day: int = Field(default=450, ge=10)

    @property
    def name(self) -> str:
        return "demo"


# Secrets stay in the environment; the file names the variable.
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class SlackChannel(Strict):
    """Where alerts go: an incoming webhook of Slack, or of anything that takes the same messages."""

    kind: Literal["slack"]
    url_variable: Variable

    @property
    def name(self) -> str:
        return f"slack {self.url_variable}"


class EmailChannel(Strict):
    """Where alerts go: e-mail, by an SMTP server."""

    kind: Literal["email"]
    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password_variable: Variable | None = None
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    recipients: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _user_with_password(self) -> EmailChannel:
        if (self.user is None) != (self.password_variable is None):
            raise ValueError("user and password_variable belong together")
        return self

    @property
    def name(self) -> str:
        """Tells channels apart without an address in it."""
        recipients = hashlib.sha256("\n".join(sorted(self.recipients)).encode()).hexdigest()
        return f"email {self.host} {recipients[:8]}"


Channel = Annotated[SlackChannel | EmailChannel, Field(discriminator="kind")]
Source = Annotated[GitSource | LandingSource | DemoSource, Field(discriminator="kind")]


class Settings(Strict):
    """One installation. Paths are absolute; relative ones in the file are relative to the file."""

    config_file: Path
    data_dir: Path
    reference_dir: Path = Path("seeds")
    sources: tuple[Source, ...]
    # Who hears of changes in the state of SLOs.
    alerts: tuple[Channel, ...] = ()
    # Telemetry older than this is refused to quarantine; absent: no limit.
    retention_days: int | None = Field(default=None, ge=1)
    # Distinct routes of a service beyond this are a mistake of its beacons or logs, and become one.
    maximum_routes: int = Field(default=500, ge=1)
    # Name of a profile (reference table profiles) that sets variables as another tool has them.
    profile: str | None = None
    # Variables of the dbt project for this installation, such as as_of; they win over the profile's.
    vars: dict[str, Any] = Field(default_factory=dict)

    _resolve = field_validator("data_dir", "reference_dir")(_relative_to_file)

    @field_validator("reference_dir", mode="before")
    @classmethod
    def _default_when_null(cls, value: Any) -> Any:
        return "seeds" if value is None else value

    @model_validator(mode="after")
    def _default_reference_dir(self) -> Settings:
        if not self.reference_dir.is_absolute():
            object.__setattr__(self, "reference_dir", self.config_file.parent / self.reference_dir)
        return self

    @field_validator("vars")
    @classmethod
    def _known_variables(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, given in value.items():
            if problem := wrong_variable(name, given):
                raise ValueError(problem)
        return value

    @property
    def distinct_sources(self) -> tuple[Source, ...]:
        """The sources, with one entry for each repository, since all entries of a repository are read as one."""
        by_repository = {getattr(source, "repository", place): source for place, source in enumerate(self.sources)}
        return tuple(by_repository.values())

    @property
    def warehouse_file(self) -> Path:
        return self.data_dir / "warehouse.duckdb"

    @property
    def published_dir(self) -> Path:
        return self.data_dir / "published"

    @property
    def published_file(self) -> Path:
        return self.published_dir / "marts.duckdb"

    @property
    def manifest_file(self) -> Path:
        return self.published_dir / "manifest.json"

    @property
    def gate_dir(self) -> Path:
        return self.data_dir / "gate"

    @property
    def report_dir(self) -> Path:
        return self.data_dir / "report"


# Of the dbt variables with a closed list of values.
CHOICES = {
    "week_start": ("monday", "sunday"),
    "lead_time_unit": ("commit", "pull_request"),
    "lead_time_start": ("authored", "opened", "merged"),
    "first_deployment": ("ships_nothing", "ships_all"),
    "incident_link_boundary": ("started", "finished"),
    "incident_lowest_severity": ("sev1", "sev2", "sev3", "sev4", "sev5"),
    "oncall_review_severity": ("sev1", "sev2", "sev3", "sev4", "sev5"),
    "failure_causes": ("incident", "rollback", "hotfix", "degradation"),
    "rollback_blames": ("replaced", "first_after_restored"),
    "recovery_start": ("failure", "deployment_finished", "incident_started"),
    "recovery_end": ("first_repair", "resolved"),
    "reported_frequency_unit": ("deployments", "deployment_days"),
    "reported_failure_numerator": ("failed_deployments", "incidents"),
    "reported_failure_denominator": ("deployments", "frequency_deployments", "attempts"),
    "reported_duration_statistic": ("median", "mean"),
}
UNLIMITED = {"incident_link_window_hours"}
# Fewer people than this are never shown together, whatever anybody sets.
MINIMUM_GROUP_SIZE = 5
# Slots of activity are as long as the pause that ends a session, and a day of 23 hours has whole ones.
SESSION_TIMEOUT_MINUTES = range(1, 23 * 60 + 1)
# What an update makes anew with a request are the days around its own.
MAXIMUM_JOURNEY_CLOCK_TOLERANCE_SECONDS = 24 * 60 * 60
# Variables that nobody sets by hand.
COMPUTED = {"profile", "definition_version"}


def wrong_variable(name: str, given: Any) -> str | None:
    """What is wrong with the value of a dbt variable; None if nothing is."""
    defaults = yaml.safe_load((DBT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
    if name not in defaults or name in COMPUTED:
        allowed = ", ".join(key for key in defaults if key not in COMPUTED)
        return f"{name!r} is no variable of the dbt project; allowed: {allowed}"
    default = defaults[name]
    if given is None and (default is None or name in UNLIMITED):
        return None
    if default is not None and type(given) is not type(default):
        return f"{name}: {given!r} is not like its default {default!r}"
    if isinstance(given, int | float) and not isinstance(given, bool) and given < 0:
        return f"{name}: {given!r} is below 0"
    if name in CHOICES:
        for choice in given if isinstance(given, list) else [given]:
            if choice not in CHOICES[name]:
                return f"{name}: {choice!r} is not allowed; allowed: {', '.join(CHOICES[name])}"
    if name == "calendar_time_zone" and given not in available_timezones():
        return f"calendar_time_zone: {given!r} is no IANA time zone"
    if name == "ov_min_group_size" and given < MINIMUM_GROUP_SIZE:
        return f"ov_min_group_size: {given} is below {MINIMUM_GROUP_SIZE}; it may be raised, never lowered"
    if name == "session_timeout_minutes" and given not in SESSION_TIMEOUT_MINUTES:
        return f"session_timeout_minutes: {given} is not between 1 and {SESSION_TIMEOUT_MINUTES[-1]}"
    if name == "journey_clock_tolerance_seconds" and given > MAXIMUM_JOURNEY_CLOCK_TOLERANCE_SECONDS:
        return f"{name}: {given} is above {MAXIMUM_JOURNEY_CLOCK_TOLERANCE_SECONDS}, a day"
    if name == "as_of":
        try:
            datetime.fromisoformat(str(given))
        except ValueError:
            return f"as_of: {given!r} is no time; write it as 2026-07-01 00:00:00 (UTC)"
    return None


def config_file() -> Path:
    """The file that `PLUMBLINE_CONFIG` names, else plumbline.yaml of the current folder, else that of this checkout."""
    here = DEFAULT_CONFIG.name
    # Unlike Path.is_file, False where the folder may not be searched.
    return Path(os.environ.get("PLUMBLINE_CONFIG") or (here if os.path.isfile(here) else DEFAULT_CONFIG)).resolve()


def load_settings(path: Path | None = None) -> Settings:
    """Read and validate one installation's configuration.

    Raises ConfigurationError with one line for each wrong key: the key, what was found, what is allowed.
    """
    path = (path or config_file()).resolve()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: no such file; write one (README, “Your own data”) or point PLUMBLINE_CONFIG at it"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        place = f" line {where.line + 1}, column {where.column + 1}" if where else ""
        raise ConfigurationError(f"{path}:{place} not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: expected keys data_dir, reference_dir, sources; found {content!r:.60}")
    if "config_file" in content:
        raise ConfigurationError(f"{path}: config_file: unknown key")
    try:
        settings = Settings.model_validate({"config_file": path, **content}, context={"base": path.parent})
    except ValidationError as error:
        lines = [_explain(item, content) for item in error.errors()]
        raise ConfigurationError("\n".join(f"{path}: {line}" for line in lines)) from None
    _check_names(path, settings)
    return settings


def _check_names(path: Path, settings: Settings) -> None:
    seen: dict[tuple[str, str], int] = {}
    owners: dict[str, Path | str] = {}
    for index, source in enumerate(settings.sources):
        key = (source.name, getattr(source, "service", getattr(source, "location", "")))
        if key in seen:
            raise ConfigurationError(
                f"{path}: sources[{index}] repeats sources[{seen[key]}] ({source.kind} {' '.join(filter(None, key))}); "
                "remove one of them"
            )
        seen[key] = index
        owner = getattr(source, "repository", source.kind)
        other = owners.setdefault(source.name, owner)
        if other != owner:
            raise ConfigurationError(
                f"{path}: sources[{index}]: {owner} and {other} are both named {source.name}, and rows are kept apart "
                "by that name; rename the folder of the repository"
            )


def _explain(item: dict[str, Any], content: dict[str, Any]) -> str:
    """One line for one pydantic error: key, problem, what is allowed."""
    location = list(item["loc"])
    is_alert = location[:1] == ["alerts"]
    kinds: dict[str, type[Strict]] = {"git": GitSource, "landing": LandingSource, "demo": DemoSource}
    if is_alert:
        kinds = {"slack": SlackChannel, "email": EmailChannel}
    model: type[Strict] = Settings
    if location[:1] in (["sources"], ["alerts"]) and len(location) > 2 and location[2] in kinds:
        model = kinds[location.pop(2)]
        if location[2:3] == ["deployments"] and len(location) > 4:
            model = Hotfix if location[4] == "hotfix" and len(location) > 5 else Deployments
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    match item["type"]:
        case "extra_forbidden":
            allowed = [name for name in model.model_fields if name != "config_file"]
            return f"{key}: unknown key; allowed here: {', '.join(allowed)}"
        case "missing":
            return f"{key}: missing; it is required"
        case "union_tag_invalid":
            what = "kind of channel" if is_alert else "source kind"
            return f"{key}.kind: {item['input'].get('kind')!r} is no {what}; allowed: {', '.join(kinds)}"
        case "union_tag_not_found":
            return f"{key}.kind: missing; allowed: {', '.join(kinds)}"
        case "literal_error":
            return f"{key}: {item['input']!r} is not allowed; allowed: {item['ctx']['expected']}"
        case "value_error":
            return f"{key}: {item['ctx']['error']}"
        case _ if is_alert:
            # It may be a secret or an address in the wrong place.
            return f"{key}: {item['msg'][:1].lower()}{item['msg'][1:]}"
        case _:
            return f"{key}: {item['msg'][:1].lower()}{item['msg'][1:]}; found {item['input']!r:.60}"
