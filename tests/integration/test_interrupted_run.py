"""Runs that are killed: the next one ends in the same marts as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import LANDING, checksums, installation, kill_at, run, write_history

# Seconds into a stage: in the middle of dbt, and where extraction, gate and publication have done nothing yet.
STAGES = {"extract landing": 0, "build models": 12, "gate": 0, "publish": 0}


def after_kills_at(folder: Path, *stages: str) -> dict[str, str]:
    """The checksums that the run after the killed ones publishes."""
    config = installation(folder, LANDING)
    write_history(folder)
    for stage in stages:
        kill_at(config, stage, STAGES[stage])
    code, output = run(config)
    assert code == 0, output
    return checksums(config)


def test_killed_in_the_middle_of_the_build_the_next_run_ends_in_the_same_marts(shop, tmp_path):
    assert after_kills_at(tmp_path / "killed", "build models") == checksums(shop)


@pytest.mark.slow
def test_killed_at_every_stage_the_next_run_ends_in_the_same_marts(shop, tmp_path):
    assert after_kills_at(tmp_path / "killed", *STAGES) == checksums(shop)
