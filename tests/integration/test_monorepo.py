"""Two services of one repository, told apart by path rules, from the git source to the marts and the gate."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from running import TEAMS, build_here, pass_gate_here

from dagster_project.settings import load_settings

SERVICES = (
    "service,team,component_kind,repository,paths\n"
    "web,shop,frontend,mono,web/** shared/*\n"
    "api,shop,node_service,mono,api/** shared/*\n"
)
# Hour, file that it touches, tag of the deployment that it becomes.
HISTORY = (
    (0, "shared/start", ("web-1", "api-1")),
    (1, "web/page", ()),
    (2, "api/route", ()),
    (3, "shared/lib", ("web-2", "api-2")),
    (4, "shared/deep/file", ()),
    (5, "docs/readme", ("api-3",)),
    (6, "api/deep/file", ("web-3", "api-4")),
)
SOURCES = "".join(
    f"  - kind: git\n    repository: mono.git\n    service: {service}\n"
    f"    deployments: {{tags: '{service}-\\d+', environment: production}}\n"
    for service in ("web", "api")
)


def repository(path: Path) -> None:
    def git(*arguments: str, at: str = "2025-03-01T00:00:00Z") -> None:
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        people = {f"GIT_{role}_{part}": "x@x" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        dates = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
        subprocess.run(
            ["git", "-C", path, *arguments], check=True, capture_output=True, env=environment | people | dates
        )

    path.mkdir()
    git("init", "--quiet", "--initial-branch=main")
    for hour, file, tags in HISTORY:
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_text(f"{hour}\n", encoding="utf-8")
        git("add", "--all")
        git("commit", "--quiet", "-m", file, at=f"2025-03-01T{hour:02}:00:00Z")
        for tag in tags:
            git("tag", tag)


@pytest.fixture(scope="module")
def marts(tmp_path_factory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = tmp_path_factory.mktemp("monorepo")
    repository(folder / "mono.git")
    (folder / "seeds").mkdir()
    (folder / "seeds/services.csv").write_text(SERVICES, encoding="utf-8")
    (folder / "seeds/teams.csv").write_text(TEAMS + "shop,,UTC\n", encoding="utf-8")
    config = folder / "plumbline.yaml"
    config.write_text(f"data_dir: data\nsources:\n{SOURCES}", encoding="utf-8")
    settings = load_settings(config)
    build_here(settings)
    pass_gate_here(settings)
    with duckdb.connect(settings.warehouse_file, read_only=True) as connection:
        connection.execute("use marts")
        yield connection


def test_a_change_belongs_to_the_services_whose_rules_its_files_match_and_counts_in_each(marts):
    shipped = marts.sql(
        "select service, hour(changes.started_at), version from fct_changes as changes "
        "join fct_deployments using (deployment_key, service) order by all"
    )
    assert shipped.fetchall() == [
        ("api", 2, "api-2"),
        ("api", 3, "api-2"),
        ("api", 6, "api-4"),
        ("web", 1, "web-2"),
        ("web", 3, "web-2"),
    ]


def test_a_deployment_of_nothing_that_is_the_service_s_own_is_one_of_size_0(marts):
    sizes = marts.sql("select version, changes from fct_deployments where production_sequence > 1 order by 1")
    assert sizes.fetchall() == [("api-2", 2), ("api-3", 0), ("api-4", 1), ("web-2", 2), ("web-3", 0)]
