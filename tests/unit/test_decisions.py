"""Every published column says what it may be used for."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest

from dagster_project.assets.transform import MANIFEST, MARTS
from dagster_project.guard.decisions import DECISIONS, undecided_columns


@pytest.fixture(scope="module")
def manifest():
    return json.loads(MANIFEST.read_text(encoding="utf-8"))


def test_every_published_column_has_its_allowed_decisions(manifest):
    assert list(undecided_columns(manifest)) == []


def test_every_published_table_describes_its_columns(manifest):
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    described = {node["name"]: len(node["columns"]) for node in models if node["schema"] == "marts"}
    assert set(described) == set(MARTS)
    assert min(described.values()) > 0


def test_a_column_without_decisions_or_with_a_forbidden_one_is_named(manifest):
    changed = deepcopy(manifest)
    changed["nodes"]["model.plumbline.dim_teams"]["config"]["meta"] = {}
    changed["nodes"]["model.plumbline.dora_bands"]["columns"]["band"]["config"]["meta"] = {"decisions": ["promotion"]}
    found = list(undecided_columns(changed))
    assert len([line for line in found if "dim_teams." in line and "add config.meta.decisions" in line]) == 3
    assert [line for line in found if "'promotion' is no decision" in line and "dora_bands.band" in line]


def test_no_decision_is_about_pay_promotion_or_dismissal():
    assert not set(DECISIONS) & {"compensation", "pay", "promotion", "dismissal", "ranking"}
