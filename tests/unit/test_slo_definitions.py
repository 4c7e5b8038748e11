"""OpenSLO files: valid ones are read, and each wrong one is refused by file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import SHARED

from dagster_project.errors import ConfigurationError
from dagster_project.reference import load_reference
from dagster_project.slo.definitions import ANNOTATIONS, read_definition, read_definitions
from dagster_project.slo.documents import read_document
from dagster_project.slo.openslo import read_slo

SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: api-fast
  annotations:
    user-path: Shoppers pay.
    why-this-threshold: Above it they leave.
    how-measured: By the service itself.
    when-budget-burns: The team stops shipping.
spec:
  service: api
  indicator:
    spec:
      ratioMetric:
        total:
          metricSource:
            type: plumbline
            spec:
              source: requests
              where:
                - {column: service, operator: eq, value: api}
        good:
          metricSource:
            type: plumbline
            spec:
              where:
                - {column: status, operator: lt, value: 500}
  timeWindow:
    - duration: 28d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - target: 0.99
"""


def problems(folder: Path, text: str) -> list[str]:
    file = folder / "api-fast.yaml"
    file.write_text(text, encoding="utf-8")
    definition, found = read_definition(file)
    assert (definition is None) == bool(found)
    return [line.removeprefix(f"{file} ") for line in found]


def test_a_valid_file_has_no_problem(tmp_path):
    assert problems(tmp_path, SLO) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("target: 0.99", "target: 1", "line 33: spec.objectives[0].target: input should be less than 1; found 1"),
        (
            "target: 0.99",
            "target: -0.1",
            "line 33: spec.objectives[0].target: input should be greater than or equal to 0",
        ),
        (
            "target: 0.99",
            "target: 0.99\n      targetPercent: 99",
            "line 33: spec.objectives[0].target: give exactly one of target, targetPercent; found both",
        ),
        ("target: 0.99", "displayName: Good", "give exactly one of target, targetPercent; found neither"),
        (
            "    - duration: 28d\n      isRolling: true",
            "    - duration: 28d\n      isRolling: true\n    - duration: 1d\n      isRolling: true",
            "line 28: spec.timeWindow: give exactly one time window; found 2",
        ),
        ("isRolling: true", "isRolling: false", "line 29: spec.timeWindow[0]: give isRolling: true, or calendar"),
        ("28d", "28 days", "line 29: spec.timeWindow[0].duration: '28 days' is not a duration such as 5m"),
        ("28d", "1M", "line 29: spec.timeWindow[0].duration: 1M has no fixed length to roll by; write days or weeks"),
        ("    user-path: Shoppers pay.\n", "", "line 5: metadata.annotations.user-path: missing; say the user path"),
        ("Occurrences", "Events", "line 31: spec.budgetingMethod: 'Events' is not allowed; allowed: 'Occurrences'"),
        ("Occurrences", "Timeslices", "line 33: spec.objectives[0].timeSliceTarget: missing; Timeslices need it"),
        ("  service: api\n", "", "line 10: spec.service: missing; OpenSLO v1 requires it"),
        ("  service: api\n", "  service: api\n  owner: me\n", "line 12: spec.owner: unknown key"),
        ("name: api-fast", "name: API fast", "line 4: metadata.name: string should match pattern"),
        (
            "type: plumbline",
            "type: prometheus",
            "metricSource.type: 'prometheus' cannot be counted; write type: plumbline",
        ),
        (
            "source: requests",
            "source: raw.requests",
            "spec.source: 'raw.requests' is not known; allowed: requests, rum_",
        ),
        (
            "column: status",
            "column: payload",
            "spec.where[0].column: 'payload' is no column of this source; allowed: ser",
        ),
        (
            "{column: status, operator: lt, value: 500}",
            '"status < 500 or 1 = 1"',
            "ratioMetric.good.metricSource.spec.where[0]: a condition has exactly the keys "
            "column, operator, value; SQL is not taken",
        ),
        (
            "operator: lt",
            "operator: like",
            "spec.where[0].operator: 'like' is not for a number such as status; allowed: eq",
        ),
        ("value: 500", "value: 500 or true", "spec.where[0].value: '500 or true' is no number, as status lt needs"),
        ("value: 500", "value: [500]", "spec.where[0].value: lt takes one value"),
        (
            "value: 500}",
            "value: 500}\n              sql: drop",
            "metricSource.spec.sql: unknown key; allowed here: sour",
        ),
        ("name: api-fast", "name: api-fast\n  name: other", "line 5: name: stands there twice, see line 4"),
        ("kind: SLO", "kind: SLO\n---\nkind: SLO", "line 1: holds 2 documents; write one SLO a file"),
        ("kind: SLO", "kind: [SLO", "not valid YAML"),
        ("openslo/v1\n", "openslo/v2\n", "line 1: apiVersion: 'openslo/v2' is not allowed; allowed: 'openslo/v1'"),
    ],
)
def test_a_wrong_file_is_refused_by_line_and_key(tmp_path, old, new, says):
    assert old in SLO
    found = problems(tmp_path, SLO.replace(old, new, 1))
    assert any(says in line for line in found), found


@pytest.mark.parametrize(
    ("length", "says"),
    [("7m", "7m does not divide a day into equal slices"), ("1w", "1w does not divide a day"), ("1h", None)],
)
def test_slices_divide_a_day(tmp_path, length, says):
    sliced = SLO.replace("Occurrences", "RatioTimeslices") + f"      timeSliceWindow: {length}\n"
    found = problems(tmp_path, sliced)
    assert found == [] if says is None else says in found[0]


def test_a_deadline_is_for_jobs_alone(tmp_path):
    late = SLO.replace("source: requests", "source: requests\n              deadline_seconds: 120")
    assert "deadline_seconds: unknown key; allowed here: source, where, none_of" in problems(tmp_path, late)[0]
    jobs = SLO.replace("source: requests", "source: jobs\n              deadline_seconds: 120")
    jobs = jobs.replace("{column: status, operator: lt, value: 500}", "{column: is_on_time, operator: eq, value: true}")
    assert problems(tmp_path, jobs) == []
    assert "is_on_time needs deadline_seconds" in problems(tmp_path, jobs.replace("deadline_seconds: 120", ""))[0]


def test_a_name_is_given_once_on_a_day(tmp_path):
    for name, dates in (("old", "valid-to: '2026-03-01'"), ("new", "valid-from: '2026-03-01'")):
        text = SLO.replace("annotations:", f"annotations:\n    {dates}")
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    files = sorted(tmp_path.glob("*.yaml"))
    assert read_definitions(files)[1] == []
    (tmp_path / "third.yaml").write_text(SLO, encoding="utf-8")
    (found,) = read_definitions([files[1], tmp_path / "third.yaml"])[1]
    assert "metadata.name: 'api-fast' is also in" in found


def test_a_wrong_file_leaves_the_reference_tables_as_they_were(settings, connection):
    folder = settings.reference_dir / "slos"
    folder.mkdir()
    (folder / "api-fast.yaml").write_text(SLO, encoding="utf-8")
    assert load_reference(connection, settings.reference_dir)["slos"] == 1
    (folder / "api-fast.yaml").write_text(SLO.replace("0.99", "99"), encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"api-fast.yaml line 33: spec.objectives\[0\].target: input should be"
    ):
        load_reference(connection, settings.reference_dir)
    assert connection.sql("select target from reference.slo_objectives").fetchall() == [(0.99,)]


EXAMPLES = sorted((SHARED / "payloads/openslo").glob("*.yaml"))
needs_examples = pytest.mark.skipif(not EXAMPLES, reason="the recorded OpenSLO files are not beside this checkout")


def completed(content: dict) -> dict:
    """An OpenSLO example with what it lacks for Plumbline."""
    content["metadata"]["annotations"] = dict.fromkeys(ANNOTATIONS, "as agreed")
    where = [{"column": "service", "operator": "eq", "value": "api"}]
    good = [{"column": "status", "operator": "lt", "value": 500}]
    metric = content["spec"]["indicator"]["spec"]
    if "thresholdMetric" in metric:
        spec = {"source": "requests", "where": where, "value": "duration_ms"}
        metric["thresholdMetric"]["metricSource"] = {"type": "plumbline", "spec": spec}
    else:
        total = {"source": "requests", "where": where}
        metric["ratioMetric"]["total"]["metricSource"] = {"type": "plumbline", "spec": total}
        metric["ratioMetric"]["good"]["metricSource"] = {"type": "plumbline", "spec": {"where": good}}
    return content


@needs_examples
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_openslo_examples_are_valid_and_lack_annotations_and_a_known_metric_source(file):
    assert read_slo(read_document(file))[1] == []
    keys = {line.split(": ")[1] for line in read_definition(file)[1]}
    metric = "spec.indicator.spec."
    sources = {f"{metric}thresholdMetric.metricSource.type"}
    if "ratioMetric" in file.read_text(encoding="utf-8"):
        sources = {f"{metric}ratioMetric.{part}.metricSource.type" for part in ("good", "total")}
    assert keys == {f"metadata.annotations.{key}" for key in ANNOTATIONS} | sources


@needs_examples
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_completed_openslo_examples_are_taken(tmp_path, file):
    copy = tmp_path / file.name
    copy.write_text(yaml.safe_dump(completed(yaml.safe_load(file.read_text(encoding="utf-8")))), encoding="utf-8")
    assert read_definition(copy)[1] == []
