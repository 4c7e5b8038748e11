"""What follows from the contracts is what stands in the checkout."""

import json
import re
import tomllib

import jsonschema
import pytest
from packaging.requirements import Requirement

from dagster_project.contract_files import contract_files, json_schema
from dagster_project.contracts import (
    DEPLOYMENTS,
    RAW_TABLES,
    REFERENCE_TABLES,
    SLO_TABLES,
    TABLES,
    Column,
    Context,
    Table,
)
from dagster_project.settings import PROJECT_DIR


@pytest.mark.parametrize("path", contract_files(), ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path):
    assert path.read_text(encoding="utf-8") == contract_files()[path], "run `make contracts`"


def test_no_stale_schema_stands_in_docs():
    written = {path.name for path in (PROJECT_DIR / "docs/contracts").glob("*.schema.json")}
    assert written == {f"{table.name}.schema.json" for table in RAW_TABLES}
    templates = {path.stem for path in (PROJECT_DIR / "docs/contracts/templates").glob("*.csv")}
    assert templates == {table.name for table in (*RAW_TABLES, *REFERENCE_TABLES) if table not in SLO_TABLES}


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_table_and_column_says_what_it_is(table):
    assert table.description.endswith(".")
    assert all(column.description.endswith(".") for column in table.columns)


def test_a_key_that_is_no_column_is_refused():
    with pytest.raises(ValueError, match="nonsense"):
        Table("t", "One t.", key=("nonsense",), columns=(Column("a", "text", "A."),))


def test_an_event_without_a_service_is_refused():
    with pytest.raises(ValueError, match="contract t: each event has a service"):
        Table("t", "One t.", key=("a",), columns=(Column("a", "text", "A."),), is_event=True)


@pytest.mark.parametrize("columns", [("a", "a"), ("n",), ("listed",), ("nonsense",), ("person",)])
def test_contexts_hold_free_texts_and_each_once(columns):
    given = (Column("a", "text", "A."), Column("n", "number", "N."), Column("listed", "text", "L.", allowed=("x",)))
    given += (Column("person", "text", "P.", person=True),)
    with pytest.raises(ValueError, match="contract t: contexts hold free texts, and each of them once"):
        Table("t", "One t.", key=("a",), columns=given, contexts=(Context("c", columns),))


@pytest.mark.parametrize("context", [Context("c", ("text",)), Context("text", ("service",))])
def test_contexts_hold_the_service_and_are_named_like_no_column(context):
    given = (Column("service", "text", "S.", required=True), Column("text", "text", "T."))
    with pytest.raises(ValueError, match="contract t: contexts hold the service, and are named like no column"):
        Table("t", "One t.", key=("service",), columns=given, contexts=(context,))


def test_the_json_schema_accepts_a_valid_line_and_refuses_a_wrong_one():
    valid = {"deployment_id": "1", "service": "web", "environment": "production", "status": "in_progress"}
    schema = json.loads(json.dumps(json_schema(DEPLOYMENTS)))
    jsonschema.validate(valid, schema)
    for wrong in ({"environment": "prod"}, {"status": None}, {"service": 3}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(valid | wrong, schema)


def test_the_lock_holds_every_dependency_within_its_bounds_and_hashes_everything():
    lock = (PROJECT_DIR / "requirements.lock").read_text(encoding="utf-8")
    project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    locked = dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==([^\s;]+)", lock, re.MULTILINE))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[requirement.name.lower()]), requirement
    blocks = re.split(r"\n(?=[a-z0-9])", lock.strip())
    assert len(blocks) >= len(locked)
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"://|--(extra-)?index-url|--find-links", lock)


def test_a_journey_has_at_most_as_many_steps_as_the_models_follow():
    macros = (PROJECT_DIR / "dbt/macros/experience.sql").read_text(encoding="utf-8")
    (followed,) = re.findall(r"macro longest_journey\(\) %}{{ return\((\d+)\)", macros)
    (position,) = (column for column in TABLES["journeys"].columns if column.name == "position")
    assert position.maximum == int(followed)
