"""plumbline.yaml: what is wrong is named by its key, with what is allowed."""

from pathlib import Path

import pytest

from dagster_project.errors import ConfigurationError
from dagster_project.settings import DEFAULT_CONFIG, GitSource, LandingSource, config_file, load_settings

VALID = r"""
data_dir: data
reference_dir: seeds
sources:
  - kind: git
    repository: ../storefront.git
    service: storefront-web
    deployments:
      tags: 'production-{1,2}(?P<timestamp>\d{4}-\d{2}-\d{2}-{1,2}\d{2}-\d{2}(-\d{2})?)'
      environment: production
  - kind: landing
    location: data/landing
"""


def with_hotfix(rule: str, where: str = "tags: x") -> str:
    """VALID with one rule of deployments and this hotfix rule in it."""
    before, _, after = VALID.partition("    deployments:\n")
    _, _, rest = after.partition("environment: production\n")
    return f"{before}    deployments:\n      - {where}\n        environment: production\n        hotfix: {rule}\n{rest}"


def write(folder: Path, text: str) -> Path:
    file = folder / "plumbline.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(folder, text))
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_file_is_the_named_one_else_that_of_the_current_folder_else_that_of_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLUMBLINE_CONFIG", raising=False)
    assert config_file() == DEFAULT_CONFIG
    (tmp_path / "plumbline.yaml").mkdir()
    assert config_file() == DEFAULT_CONFIG
    (tmp_path / "plumbline.yaml").rmdir()
    here = write(tmp_path, VALID)
    assert config_file() == here
    monkeypatch.setenv("PLUMBLINE_CONFIG", str(tmp_path / "other.yaml"))
    assert config_file() == tmp_path / "other.yaml"


def test_paths_are_relative_to_the_file(tmp_path):
    settings = load_settings(write(tmp_path, VALID))
    git, landing = settings.sources
    assert settings.data_dir == tmp_path / "data"
    assert settings.reference_dir == tmp_path / "seeds"
    assert isinstance(git, GitSource)
    assert git.repository == tmp_path.parent / "storefront.git"
    assert git.name == "storefront"
    assert isinstance(landing, LandingSource)
    assert landing.location == str(tmp_path / "data" / "landing")


def test_the_reference_folder_defaults_to_seeds_beside_the_file(tmp_path):
    assert load_settings(write(tmp_path, "data_dir: d\nsources: []")).reference_dir == tmp_path / "seeds"


def test_an_object_store_location_is_left_as_it_is(tmp_path):
    text = "data_dir: d\nsources: [{kind: landing, location: 's3://bucket/landing'}]"
    assert load_settings(write(tmp_path, text)).sources[0].location == "s3://bucket/landing"


@pytest.mark.parametrize(
    ("wrong", "key", "says"),
    [
        (
            VALID.replace("    service:", "    colour: red\n    service:"),
            "sources[0].colour",
            "unknown key; allowed here: kind, repository",
        ),
        (VALID.replace("    service: storefront-web\n", ""), "sources[0].service", "missing"),
        (VALID.replace("kind: git", "kind: gti"), "sources[0].kind", "allowed: git, landing, demo"),
        (VALID.replace("kind: git", "sort: git"), "sources[0].kind", "missing; allowed: git, landing, demo"),
        (
            VALID.replace("(?P<timestamp>", "(?P<timestamp"),
            "sources[0].deployments[0].tags",
            "not a regular expression",
        ),
        (VALID.replace("<timestamp>", "<when>"), "sources[0].deployments[0].tags", "allowed: timestamp"),
        (
            VALID.replace("environment: production", "environment: prod"),
            "sources[0].deployments[0].environment",
            "'production', 'staging'",
        ),
        (
            VALID.replace("environment: production", "environment: production\n      release_branch: main"),
            "sources[0].deployments[0]",
            "exactly one of tags, release_branch",
        ),
        (VALID + "colour: red\n", "colour", "unknown key; allowed here: data_dir"),
        (VALID + "retention_days: soon\n", "retention_days", "valid integer"),
        (VALID + "vars: {colour: red}\n", "vars", "'colour' is no variable of the dbt project; allowed: as_of"),
        (VALID + "vars: {week_start: friday}\n", "vars", "allowed: monday, sunday"),
        (VALID + "vars: {calendar_time_zone: Moon}\n", "vars", "'Moon' is no IANA time zone"),
        (VALID + "vars: {incident_link_window_hours: long}\n", "vars", "'long' is not like its default 24"),
        (
            VALID + "vars: {session_timeout_minutes: 0}\n",
            "vars",
            "session_timeout_minutes: 0 is not between 1 and 1380",
        ),
        (VALID + "vars: {session_timeout_minutes: 1381}\n", "vars", "1381 is not between 1 and 1380"),
        (VALID + "vars: {journey_clock_tolerance_seconds: 86401}\n", "vars", "86401 is above 86400, a day"),
        (VALID + "config_file: x\n", "config_file", "unknown key"),
        (with_hotfix("{subject: '('}"), "sources[0].deployments[0].hotfix.subject", "is not a regular expression"),
        (with_hotfix("{branch: '(?P<name>x)'}"), "hotfix.branch", "group 'name' is not known; none is allowed"),
        (with_hotfix("{label: x}"), "hotfix.label", "unknown key; allowed here: tag, subject, branch"),
        (with_hotfix("{}"), "sources[0].deployments[0].hotfix", "give at least one of tag, subject, branch"),
        (with_hotfix("{tag: x}", "release_branch: production"), "deployments[0]", "hotfix.tag is of no use"),
        (VALID + "vars: {as_of: soon}\n", "vars", "as_of: 'soon' is no time"),
        (VALID.replace("data_dir: data\n", ""), "data_dir", "missing"),
        ("data_dir: [\n", "line 2", "not valid YAML"),
        ("just a text", "sources", "expected keys"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(tmp_path, wrong, key, says):
    message = refusal(tmp_path, wrong)
    assert len(message.splitlines()) == 1
    assert key in message
    assert says in message
    assert str(tmp_path / "plumbline.yaml") in message


def test_every_wrong_key_has_a_line_of_its_own(tmp_path):
    message = refusal(tmp_path, VALID + "colour: red\nshape: round\n")
    assert [line.split(": ")[1] for line in message.splitlines()] == ["colour", "shape"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml: no such file"):
        load_settings(tmp_path / "nowhere.yaml")


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


def test_sources_of_one_name_are_refused(tmp_path):
    assert "are both named landing" in refusal(tmp_path, VALID.replace("../storefront.git", "landing.git"))


def test_a_source_given_twice_is_refused(tmp_path):
    twice = VALID + "  - kind: landing\n    location: data/landing\n"
    assert "sources[2] repeats sources[1]" in refusal(tmp_path, twice)
