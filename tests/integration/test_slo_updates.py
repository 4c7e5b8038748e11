"""SLOs in builds that update the last one: after every batch the figures are those of a build of everything at once."""

from __future__ import annotations

from random import Random

import duckdb
import pytest
import yaml
from test_slo_reference import (
    browser_events,
    job,
    process_sample,
    random_definition,
    request,
    synthetic_check,
)
from test_updates import Installation

from dagster_project.slo.definitions import read_definitions, reference_rows
from dagster_project.warehouse import Warehouse


def define(installation: Installation, random: Random, number: int) -> None:
    files = []
    for position in range(number):
        definition = random_definition(random, position)
        file = installation.folder / f"{definition['metadata']['name']}.yaml"
        file.write_text(yaml.safe_dump(definition), encoding="utf-8")
        files.append(file)
    definitions, problems = read_definitions(files)
    assert problems == []
    with Warehouse(installation.settings).connect() as connection:
        for name, frame in reference_rows(definitions).items():
            connection.execute(f"delete from reference.{name}")
            connection.register("frame", frame.drop("line").to_arrow())
            connection.execute(f"insert into reference.{name} by name from frame")


def random_events(random: Random, share: float, new: int) -> dict[str, list[dict]]:
    """`share` of the known events once more, with other values and times, and some that are new."""

    def keys(known: int) -> list[int]:
        return [key for key in range(known) if random.random() < share] + list(range(known, known + new))

    return {
        "requests": [request(random, key) for key in keys(600)],
        "jobs": [job(random, key) for key in keys(300)],
        "rum_events": [event for session in keys(100) for event in browser_events(random, session)],
        "process_samples": [process_sample(random, key) for key in keys(150)],
        "synthetic_checks": [synthetic_check(random, key) for key in keys(150)],
    }


def days(installation: Installation) -> set[tuple]:
    with duckdb.connect(installation.file, read_only=True) as connection:
        return set(connection.sql("select definition, day from marts.slo_attainment_daily").fetchall())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_after_every_batch_slos_are_those_of_a_build_of_everything_at_once(tmp_path, seed):
    random = Random(seed)
    installation = Installation(tmp_path)
    define(installation, random, 40)
    installation.load(random_events(random, 0.9, 0))
    assert not installation.build()
    known, gone = days(installation), 0
    for share, new in ((0.05, 3), (0.0, 1), (0.01, 10), (0.3, 0)):
        installation.load(random_events(random, share, new))
        assert installation.build()
        assert installation.marts() == installation.marts_in_full()
        gone += len(known - days(installation))
        known = days(installation)
    # First events that now happened later, so that the days before are none any more.
    assert gone
    with duckdb.connect(installation.file, read_only=True) as connection:
        assert connection.sql("select count(distinct state) > 3 from marts.slo_attainment_daily").fetchone() == (True,)
    define(installation, random, 41)
    assert not installation.build()
