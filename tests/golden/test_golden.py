"""The golden history under every profile; README.md works each number out by hand."""

from __future__ import annotations

import csv
from datetime import date
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from dbt_models import load_rows, memory, models, profile
from running import published, refresh_here

GOLDEN = Path(__file__).parent
with (GOLDEN / "expected.csv").open(encoding="utf-8", newline="") as handle:
    EXPECTED = list(csv.DictReader(handle))
FIGURES = [name for name in EXPECTED[0] if name.startswith("reported_")]


def tables() -> dict[str, pl.DataFrame]:
    """As text: the loader casts."""
    files = [*(GOLDEN / "landing").glob("*/*.csv"), *(GOLDEN / "seeds").glob("*.csv")]
    names = {file: file.stem if file.parent.name == "seeds" else file.parent.name for file in files}
    return {names[file]: pl.read_csv(file, infer_schema=False) for file in files}


@pytest.mark.parametrize("name", sorted({row["profile"] for row in EXPECTED}))
def test_each_profile_reports_of_the_golden_history_what_was_worked_out_by_hand(name):
    with memory() as connection:
        load_rows(connection, tables())
        months = models(**profile(name)).marts(connection, "delivery_monthly")["delivery_monthly"]
    march = {row["service"]: row for row in months if row["month"] == date(2025, 3, 1)}
    for row in (row for row in EXPECTED if row["profile"] == name):
        found = {figure: march[row["service"]][figure] for figure in FIGURES}
        wanted = {figure: float(Fraction(row[figure])) if row[figure] else None for figure in FIGURES}
        assert march[row["service"]]["reported_profile"] == name
        assert found == pytest.approx(wanted), row["service"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({row["profile"] for row in EXPECTED} - {"plumbline"}))
def test_the_gate_passes_under_a_profile_and_the_figures_are_published(tmp_path, name):
    config = tmp_path / "plumbline.yaml"
    config.write_text(
        f"data_dir: data\nreference_dir: {GOLDEN / 'seeds'}\nprofile: {name}\n"
        f"sources:\n  - kind: landing\n    location: {GOLDEN / 'landing'}\n    settle_seconds: 0\n",
        encoding="utf-8",
    )
    refresh_here(config)
    months = published(config, "select service, reported_lead_time_hours from delivery_monthly order by service desc")
    wanted = [(row["service"], float(row["reported_lead_time_hours"])) for row in EXPECTED if row["profile"] == name]
    assert months == wanted
