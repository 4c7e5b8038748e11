"""`plumbline doctor`: says what would stop a run and how to mend it, and changes nothing."""

import os
import shutil

import pytest

from dagster_project.doctor import diagnose
from dagster_project.warehouse import Warehouse


def problems(settings) -> dict[str, tuple[str, int]]:
    findings = diagnose(settings.config_file)
    return {finding.subject: (finding.problem, finding.exit_code) for finding in findings if finding.problem}


def test_a_sound_installation_has_no_problem_and_stays_as_it_was(settings):
    before = sorted(settings.config_file.parent.rglob("*"))
    assert problems(settings) == {}
    assert sorted(settings.config_file.parent.rglob("*")) == before


def test_a_wrong_configuration_is_named_with_its_exit_code(settings):
    settings.config_file.write_text("data_dir: data\nsources: [{kind: gti}]\n", encoding="utf-8")
    problem, code = problems(settings)["configuration"]
    assert "sources[0].kind" in problem
    assert code == 2


@pytest.mark.parametrize(
    ("source", "subject", "says"),
    [
        (
            "{kind: git, repository: nowhere, service: web, deployments: {tags: v.*, environment: production}}",
            "source git nowhere",
            "no such folder",
        ),
        ("{kind: landing, location: nowhere}", "source landing landing", "no such folder; create it"),
    ],
)
def test_a_source_that_is_not_there_is_named(settings, source, subject, says):
    settings.config_file.write_text(f"data_dir: data\nsources: [{source}]\n", encoding="utf-8")
    problem, code = problems(settings)[subject]
    assert says in problem
    assert code == 2


def test_wrong_reference_data_are_named_by_line(settings):
    with (settings.reference_dir / "services.csv").open("a", encoding="utf-8") as file:
        file.write("api,nobody,node_service,,,\n")
    assert "services.csv line 3: team 'nobody' is not in teams.csv" in problems(settings)["reference data"][0]


def test_a_held_warehouse_is_named_by_its_process(settings):
    with Warehouse(settings).lock():
        assert f"process {os.getpid()}" in problems(settings)["warehouse"][0]


def test_a_people_key_that_others_can_read_is_named(settings):
    settings.data_dir.mkdir()
    key = settings.data_dir / "people.salt"
    key.write_text("0" * 64, encoding="ascii")
    key.chmod(0o644)
    assert "chmod 600" in problems(settings)["people key"][0]


def test_a_full_disk_is_named(settings, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
    assert "make room" in problems(settings)["disk"][0]


def test_a_missing_git_is_named(settings, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "install it" in problems(settings)["git"][0]


def test_a_package_of_another_version_is_named(settings, monkeypatch):
    monkeypatch.setattr("dagster_project.doctor.version", lambda name: "0.0.1")
    assert "Run `make setup`" in problems(settings)["Python packages"][0]
