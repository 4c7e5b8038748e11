"""Tails of distributions in SQL (macros/tails.sql) against sums and integrals."""

from __future__ import annotations

from math import erfc, sqrt
from statistics import NormalDist

import duckdb
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from reference_degradation import binomial_tail, binomial_tail_between, t_quantile, t_tail

from dagster_project.settings import DBT_DIR

MACROS = Environment().from_string((DBT_DIR / "macros" / "tails.sql").read_text(encoding="utf-8")).module
MANY = settings(max_examples=100, deadline=None)


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as connection:
        yield connection


def value(connection, expression: str, **columns: float) -> float:
    given = ", ".join(f"cast({number!r} as double) as {name}" for name, number in columns.items())
    return connection.sql(f"select {expression} from (select {given})").fetchone()[0]


@MANY
@given(z=st.floats(-6, 8))
def test_the_normal_tail_is_exact_to_seven_digits_however_far_out(connection, z):
    found = value(connection, MACROS.normal_upper_tail("z"), z=z)
    assert found == pytest.approx(erfc(z / sqrt(2)) / 2, rel=2e-7, abs=0)


@MANY
@given(t=st.floats(-6, 8), degrees_of_freedom=st.integers(5, 60))
def test_student_t_has_the_tail_of_the_z_it_is_turned_into(connection, t, degrees_of_freedom):
    z = value(connection, MACROS.student_t_as_z("t", "df"), t=t, df=degrees_of_freedom)
    expected = t_tail(t, degrees_of_freedom)
    assume(expected > 1e-6)
    assert value(connection, MACROS.normal_upper_tail("z"), z=z) == pytest.approx(expected, rel=1e-3)


@MANY
@given(cases=st.integers(1, 400), share=st.floats(0.02, 0.9), part=st.floats(0, 1))
def test_the_binomial_tail_is_that_of_the_sum(connection, cases, share, part):
    least = min(int(cases * share) + 1, cases)
    hits = least + int(part * (cases - least))
    # With all hits and no others the models take the exact power instead.
    assume(hits < cases)
    expected = binomial_tail(hits, cases, share)
    assume(expected > 1e-6)
    z = value(connection, MACROS.binomial_as_z("hits", "cases", "share"), hits=hits, cases=cases, share=share)
    found = value(connection, MACROS.normal_upper_tail("z"), z=z)
    # Where less than one hit is to be expected it says too much, which is the safe side.
    assert 0.9 * expected < found < (1.1 if cases * share >= 1 else 1.35) * expected
    assert binomial_tail_between(hits, cases, share) == pytest.approx(expected, rel=1e-3)


@MANY
@given(tail=st.floats(1e-6, 0.01), degrees_of_freedom=st.integers(7, 60))
def test_quantiles_lead_back_to_their_tail(connection, tail, degrees_of_freedom):
    z = value(connection, MACROS.normal_quantile("tail"), tail=tail)
    assert z == pytest.approx(NormalDist().inv_cdf(1 - tail), abs=5e-4)
    t = value(connection, MACROS.z_as_student_t("z", "df"), z=z, df=degrees_of_freedom)
    assert t == pytest.approx(t_quantile(round(tail, 12), degrees_of_freedom), rel=0.02 if tail >= 5e-5 else 0.08)
