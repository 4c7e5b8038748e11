"""The models that judge deployments: against a slow reference, and on simulated services of which the truth is known.

All simulated services are judged by one build. Every seed is fixed.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from degradation_histories import NULL_RATES, World, at, hourly, restless
from reference_degradation import LEVEL, Judge

FLOORS = {"failed_requests": 0.001, "slow_requests": 0.001}
NULLS, TRIALS = 200, 100
ARM = 2000


@pytest.fixture(scope="module")
def verdicts() -> dict[str, list[dict]]:
    """Scenario → rows of int_degradations."""
    random = np.random.default_rng(20260302)
    world = World(least_rises=FLOORS)
    _nothing_happens(world, random)
    for rise in (1.1, 1.3):
        for number in range(TRIALS):
            service = f"rise_{rise}/{number}"
            world.count(service, "bounced_sessions", hourly(random, 28, ARM, 0.4))
            world.count(service, "bounced_sessions", hourly(random, 1, ARM, 0.4 * rise, first_day=28))
            world.deploy(service, 28.0)
    _requests_fail(world, random)
    _nobody_repairs(world, random)
    _nothing_is_sent(world, random)
    _old_release_lives_on(world, random)
    _nothing_was_bad(world, random)
    rows = defaultdict(list)
    for row in world.judged(at(50)).to_dicts():
        rows[row["service"].split("/")[0]].append(row)
    return rows


def _nothing_happens(world: World, random: np.random.Generator) -> None:
    """Five null deployments a service, each with one before it, while the mix of its traffic shifts."""
    for number in range(NULLS // 5):
        service = f"null/{number}"
        per_day, restlessness = (150, 400, 1500)[number % 3], (0.03, 0.06, 0.12)[number // 3 % 3]
        for indicator, rate in NULL_RATES.items():
            world.count(service, indicator, restless(random, rate, 36, per_day, restlessness))
        world.deploy(service, 28.4, 29.2, 30.5, 32.1, 33.4, 34.4)


def _requests_fail(world: World, random: np.random.Generator) -> None:
    for number in range(10):
        service = f"requests/{number}"
        world.count(service, "failed_requests", hourly(random, 28, 100_000, 0.001))
        world.count(service, "failed_requests", hourly(random, 1, 100_000, 0.01, first_day=28))
        world.deploy(service, 28.0)


def _nobody_repairs(world: World, random: np.random.Generator) -> None:
    """Bad from the second deployment on, through two healthy ones, until the fifth repairs it; the last is healthy."""
    shares = np.full(50, 0.3)
    shares[30:40] = 0.5
    world.count("unrepaired", "bounced_sessions", hourly(random, 50, 3000, shares))
    world.deploy("unrepaired", 28.0, 30.0, 31.0, 38.0, 40.0, 45.0)


def _nothing_is_sent(world: World, random: np.random.Generator) -> None:
    """A white screen: of the second release nothing comes, but old tabs go on."""
    world.count("silent", "error_sessions", hourly(random, 29, 2000, 0.02).with_columns(release=pl.lit("v1")))
    tabs = hourly(random, 1, 100, 0.02, first_day=29).with_columns(release=pl.lit("v1"))
    world.count("silent", "error_sessions", tabs)
    world.count(
        "silent", "error_sessions", hourly(random, 1, 2000, 0.02, first_day=30).with_columns(release=pl.lit("v3"))
    )
    world.deploy("silent", 1.0, 29.0, 30.0)


def _old_release_lives_on(world: World, random: np.random.Generator) -> None:
    """The new release fails, most sessions still run the old one; the releases of `unnamed` match no deployment."""
    for service, old, new in (("mixed", "v1", "v2"), ("unnamed", "a", "b")):
        for days, per_day, share, release, first_day in (
            (29, 3000, 0.3, old, 0),
            (1, 2500, 0.3, old, 29),
            (1, 500, 0.6, new, 29),
        ):
            rows = hourly(random, days, per_day, share, first_day).with_columns(release=pl.lit(release))
            world.count(service, "bounced_sessions", rows)
        world.deploy(service, 1.0, 29.0)


def _nothing_was_bad(world: World, random: np.random.Generator) -> None:
    for service, share in (("never_bad", 0.05), ("never_bad_and_below_the_floor", 0.007)):
        world.count(service, "error_sessions", hourly(random, 28, 2000, 0.0))
        world.count(service, "error_sessions", hourly(random, 1, 2000, share, first_day=28))
        world.deploy(service, 28.0)


def named(rows: list[dict], key: str) -> dict:
    (row,) = (row for row in rows if row["deployment_key"] == key)
    return row


def count(rows: list[dict], *kinds: str) -> int:
    return sum(row["verdict"] in kinds for row in rows)


def test_of_200_deployments_that_change_nothing_at_most_two_are_flagged(verdicts):
    judged = [row for row in verdicts["null"] if row["production_sequence"] > 1]
    assert len({row["deployment_key"] for row in judged}) == NULLS
    assert {row["indicator"] for row in judged} == set(NULL_RATES)
    assert {row["indicators_tried"] for row in judged} == {len(NULL_RATES)}
    flagged = {row["deployment_key"] for row in judged if row["verdict"] in ("degraded", "still_degraded")}
    assert len(flagged) <= 2
    # The test is not blind either: its p are those of chance, or a little above.
    small = np.mean([row["p_value"] < 0.05 for row in judged])
    assert 0.02 < small < 0.06
    assert count(judged, "ok") > 50


def test_a_rise_of_30_percent_is_found_and_one_of_10_percent_is_not_flagged(verdicts):
    assert count(verdicts["rise_1.3"], "degraded") >= 95
    assert count(verdicts["rise_1.1"], "degraded") <= 5
    assert all(1800 < row["cases"] < 2200 for row in verdicts["rise_1.3"])


def test_non_5xx_falling_from_99_9_to_99_0_percent_is_found(verdicts):
    assert count(verdicts["requests"], "degraded") == 10


def test_a_healthy_deployment_after_an_unrepaired_degradation_is_no_second_failure(verdicts):
    rows = {row["deployment_key"].split("/")[1]: row for row in verdicts["unrepaired"]}
    assert {key: row["verdict"] for key, row in rows.items()} == {
        "1": "ok",
        "2": "degraded",
        "3": "still_degraded",
        "4": "still_degraded",
        "5": "ok",
        "6": "ok",
    }
    assert {rows[key]["first_degraded_deployment_key"] for key in "234"} == {"unrepaired/2"}
    assert rows["2"]["recovered_at"] == at(40)
    # What was bad is no baseline: of four days of the weekday two are left for the sixth …
    assert [rows[key]["baseline_days"] for key in "123456"] == [4, 4, 4, 3, 3, 2]
    # … whose baseline therefore is as it was before.
    assert rows["6"]["baseline_bad_share"] == pytest.approx(0.3, abs=0.02)


def test_a_release_that_sends_nothing_has_lost_its_telemetry(verdicts):
    rows = verdicts["silent"]
    assert named(rows, "silent/2")["verdict"] == "telemetry_lost"
    assert named(rows, "silent/2")["cases"] == 0
    assert named(rows, "silent/3")["verdict"] != "telemetry_lost"


def test_a_session_on_the_old_release_says_nothing_about_the_new_one(verdicts):
    row = named(verdicts["mixed"], "mixed/2")
    assert row["verdict"] == "degraded"
    assert 400 < row["cases"] < 600
    assert row["bad_share"] > 0.5
    # Without a known release the time decides, and the old ones hide most of it.
    row = named(verdicts["unnamed"], "unnamed/2")
    assert row["cases"] > 2500
    assert row["bad_share"] < 0.4


def test_without_a_bad_case_before_the_floor_and_the_exact_test_decide_and_there_is_no_ratio(verdicts):
    (row,) = verdicts["never_bad"]
    assert (row["verdict"], row["ratio"], row["ratio_high"]) == ("degraded", None, None)
    (row,) = verdicts["never_bad_and_below_the_floor"]
    # Seven in a thousand after none in eight thousand is no chance, but less than the floor.
    assert row["is_significant"]
    assert row["verdict"] == "suspected"


def random_world(random: np.random.Generator, services: int) -> World:
    """Small services with everything at once: few or no bad cases, gaps, bad spells, releases, weights, odd hours."""
    world = World(least_rises=FLOORS)
    for number in range(services):
        service = f"service-{number}"
        days = int(random.integers(20, 50))
        moments = np.unique(np.round(random.uniform(0.6 * days, days, random.integers(1, 9)), 3))
        world.deploy(service, *moments.tolist())
        for row in world.deployments[-len(moments) :]:
            row["commit_sha"] = f"{random.integers(16**12):012x}"
            if random.random() < 0.1 and row["replaced_deployment_key"]:
                row["blamed_deployment_key"] = row["replaced_deployment_key"]
        deployed = world.deployments[-len(moments) :]
        for indicator in random.choice(list(NULL_RATES), random.integers(1, 4), replace=False):
            share = random.choice([0.0, 0.002, 0.05, 0.3])
            shares = np.full(days, share) * np.exp(random.normal(0, random.choice([0, 0.1]), days))
            if random.random() < 0.6:
                begins = int(moments[random.integers(len(moments))])
                shares[begins : begins + random.integers(1, 15)] += random.choice([0.01, 0.1, 0.3])
            if random.random() < 0.3:
                gap = int(random.integers(days))
                shares[gap:] = shares[gap:][::-1]
            for device in ("desktop", "mobile"):
                rows = hourly(random, days, float(random.choice([20, 300, 3000])), np.clip(shares, 0, 0.9))
                rows = rows.filter(pl.lit(random.random(rows.height) < random.choice([1.0, 0.9])))
                if random.random() < 0.2:
                    rows = rows.filter(pl.col("hour") < 24 * (days - 3))
                live = np.searchsorted(moments, rows["hour"].to_numpy() / 24, side="right") - 1
                kind = random.choice(["none", "version", "commit", "other"])
                names = {
                    "none": [None] * len(deployed),
                    "version": [row["version"] for row in deployed],
                    "commit": [row["commit_sha"][:8] for row in deployed],
                    "other": ["build-1"] * len(deployed),
                }[kind]
                rows = rows.with_columns(
                    release=pl.Series([names[n] if n >= 0 else None for n in live], dtype=pl.String),
                    device_class=pl.lit(device),
                    weight=pl.lit(int(random.choice([1_000_000, 1_000_000, 4_000_000]))),
                )
                world.count(service, indicator, rows.filter(pl.col("cases") > 0))
    return world


def test_every_figure_and_verdict_is_that_of_the_slow_reference():
    world = random_world(np.random.default_rng(7), 40)
    as_of = at(40.3)
    judged = {(row["deployment_key"], row["indicator"]): row for row in world.judged(as_of).to_dicts()}
    floors = defaultdict(lambda: 0.01, FLOORS)
    counts = pl.concat(world.counts).partition_by("service", as_dict=True)
    expected = {}
    for (service,), rows in counts.items():
        deployments = [row for row in world.deployments if row["service"] == service]
        expected |= Judge(deployments, rows.to_dicts(), floors, as_of).verdicts()
    assert judged.keys() == expected.keys()
    for key, row in expected.items():
        found = judged[key]
        for name in (
            "cases",
            "baseline_cases",
            "baseline_days",
            "indicators_tried",
            "is_telemetry_lost",
            "is_complete",
        ):
            assert found[name] == row[name], (key, name)
        assert (found["rise"] is not None) == row["is_comparable"]
        if row["is_comparable"]:
            for name in ("bad_share", "baseline_bad_share", "rise", "rise_low", "rise_high", "ratio", "ratio_high"):
                expected_value = row[name] if row[name] is None else pytest.approx(row[name], abs=2e-7, rel=1e-5)
                assert found[name] == expected_value, (key, name)
            assert found["p_value"] == pytest.approx(row["p_value"], rel=0.12, abs=1e-9), key
            assert found["power"] == pytest.approx(row["power"], abs=0.02), key
        # Where a formula's error could decide, either verdict is right.
        at_the_level = 0.85 < row.get("p_value", 0) * row["indicators_tried"] / LEVEL < 1.15
        if not at_the_level and abs(row.get("power", 0) - 0.8) > 0.02:
            assert found["verdict"] == row["verdict"], key
            assert found["first_degraded_deployment_key"] == row["first_degraded_deployment_key"], key
    kinds = {row["verdict"] for row in judged.values()}
    assert kinds == {"degraded", "still_degraded", "suspected", "ok", "insufficient_data", "telemetry_lost"}
