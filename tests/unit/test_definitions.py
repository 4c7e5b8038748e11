"""The Dagster graph: what exists, what depends on what, and that each thing says what it is."""

import pytest
from dagster import AssetKey, DagsterInstance, build_sensor_context

from dagster_project.assets.transform import MARTS
from dagster_project.contracts import RAW_TABLES, REFERENCE_TABLES
from dagster_project.definitions import defs
from dagster_project.settings import EXPECTATIONS_DIR

GROUPS = {"raw", "reference", "restricted", "staging", "intermediate", "marts", "published"}


@pytest.fixture
def installation(settings, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CONFIG", str(settings.config_file))
    return settings


@pytest.fixture(scope="module")
def graph():
    return defs.resolve_asset_graph()


def test_every_asset_says_what_it_is_and_who_owns_it(graph):
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert node.group_name in {"raw", "reference", "restricted", "staging", "intermediate", "marts", "published"}, (
            key
        )
        assert node.kinds, key


def test_every_contract_and_every_mart_is_an_asset(graph):
    keys = graph.get_all_asset_keys()
    expected = {AssetKey([table.schema, table.name]) for table in (*RAW_TABLES, *REFERENCE_TABLES)}
    expected |= {AssetKey(["marts", name]) for name in MARTS}
    expected |= {AssetKey(["published", name]) for name in ("marts", "report", "alerts")}
    assert expected <= keys
    assert {key.path[0] for key in keys - expected} == {"staging", "intermediate"}


def test_publication_depends_directly_on_every_gated_table(graph):
    assert graph.get(AssetKey(["published", "marts"])).parent_keys == {AssetKey(["marts", name]) for name in MARTS}


def test_every_mart_has_a_blocking_gate_and_a_suite():
    gated = {
        spec.asset_key.path[-1]
        for checks in defs.asset_checks
        for spec in checks.check_specs
        if spec.name == "gate" and spec.blocking
    }
    assert gated == set(MARTS) == {path.stem for path in EXPECTATIONS_DIR.glob("*.yaml")}


def test_there_is_a_job_for_the_whole_path_and_one_a_layer():
    names = {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    assert names == {"refresh", "extract", "transform", "validate", "publish", "report", "alert"}
    steps = {name: {node.name for node in defs.resolve_job_def(name).nodes} for name in names}
    assert steps["extract"] == {"raw", "reference"}
    assert steps["transform"] == {"dbt"}
    assert steps["validate"] == {"gate"}
    assert steps["publish"] == {"published__marts"}
    assert steps["report"] == {"published__report"}
    assert steps["alert"] == {"published__alerts"}
    assert steps["refresh"] == set().union(*(steps[name] for name in names - {"refresh"}))


def test_the_sensor_asks_for_one_run_for_each_new_state_of_the_landing_folder(installation, tmp_path):
    config = installation.config_file
    config.write_text("data_dir: data\nsources: [{kind: landing, location: landing}]\n", encoding="utf-8")
    folder = tmp_path / "landing/incidents"
    folder.mkdir(parents=True)
    (sensor,) = defs.sensors
    cursor = None

    def requested() -> int:
        nonlocal cursor
        with DagsterInstance.ephemeral() as instance:
            context = build_sensor_context(instance=instance, cursor=cursor)
            ticked = sensor.evaluate_tick(context)
        cursor = ticked.cursor
        return len(ticked.run_requests)

    assert requested() == 0
    (folder / "a.ndjson").write_text("{}\n", encoding="utf-8")
    assert requested() == 1
    assert requested() == 0
    (folder / "b.ndjson").write_text("{}\n", encoding="utf-8")
    assert requested() == 1
