"""The error that stopped a run is found below whatever Dagster wrapped around it."""

import pytest

from dagster_project.errors import PlumblineError
from dagster_project.orchestration import _cause


def wrapped(inner: BaseException) -> BaseException:
    try:
        try:
            raise inner
        except BaseException as error:
            raise RuntimeError("wrapping") from error
    except RuntimeError as error:
        return error


def test_the_project_s_own_error_is_found_below_its_wrapping():
    error = PlumblineError("the disk is full")
    assert _cause(wrapped(wrapped(error))) is error


@pytest.mark.parametrize("depth", [1, 2])
def test_a_chain_that_leads_back_to_itself_ends(depth):
    error = KeyError("model")
    outer = wrapped(error) if depth == 1 else wrapped(wrapped(error))
    error.__context__ = outer
    assert _cause(outer) is outer
