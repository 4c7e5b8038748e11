"""Runs that are killed, and runs that meet."""

from __future__ import annotations

from running import LANDING, checksums, copy_of, installation, kill_at, run, start, write_history


def test_killed_at_every_stage_the_next_run_ends_in_the_same_marts(shop, tmp_path):
    config = installation(tmp_path / "killed", LANDING)
    write_history(config.parent)
    # In the middle of dbt, and before the gate and the publication have done anything.
    for stage, seconds in (("extract landing", 0), ("build models", 12), ("gate", 0), ("publish", 0)):
        kill_at(config, stage, seconds)
    code, output = run(config)
    assert code == 0, output
    assert checksums(config) == checksums(shop)


def test_of_two_runs_at_once_the_second_ends_with_one_clear_line(shop, tmp_path):
    config = copy_of(shop, tmp_path)
    first = start(config, "run")
    assert any(line.startswith("extract") for line in first.stdout)
    code, output = run(config)
    assert code == 1
    assert f"process {first.pid}" in output
    assert len(output.strip().splitlines()) == 1
    first.communicate()
    assert first.returncode == 0
    assert checksums(config) == checksums(shop)
