"""Questions about commit graphs, against sets of everything that is reachable."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.extract.commit_graph import UNREACHED, CommitGraph

CRISS_CROSS = {
    "root": [],
    "a1": ["root"],
    "b1": ["root"],
    "a2": ["a1", "b1"],
    "b2": ["b1", "a1"],
    "top": ["a2", "b2"],
}


@st.composite
def graphs(draw):
    """Commits with up to four parents among the earlier ones (so several roots, octopus and criss-cross merges) or
    outside of the graph, in any order."""
    size = draw(st.integers(1, 14))
    parents = {}
    for number in range(size):
        earlier = [*(f"c{other:02}" for other in range(number)), "outside"]
        parents[f"c{number:02}"] = draw(st.lists(st.sampled_from(earlier), max_size=4, unique=True))
    return dict(draw(st.permutations(list(parents.items()))))


def reachable(parents, commit):
    """The commit and all its ancestors, the slow way."""
    found = {commit}
    for parent in parents[commit]:
        if parent in parents:
            found |= reachable(parents, parent)
    return found


def height(parents, commit):
    return 1 + max((height(parents, parent) for parent in parents[commit] if parent in parents), default=0)


@given(graphs(), st.data())
def test_every_commit_goes_to_the_first_commit_of_each_line_that_reaches_it(parents, data):
    line = st.lists(st.sampled_from(sorted(parents)), max_size=6)
    lines = data.draw(st.lists(line, max_size=5))
    reach = [[reachable(parents, commit) for commit in line] for line in lines]
    first = {
        commit: tuple(
            min((position for position, reached in enumerate(line) if commit in reached), default=UNREACHED)
            for line in reach
        )
        for commit in parents
    }
    graph = CommitGraph(parents)
    reached = {commit: positions for commit, positions in first.items() if set(positions) - {UNREACHED}}
    assert graph.earliest_reaching_each(lines) == reached
    for number, line in enumerate(lines):
        alone = {commit: each[number] for commit, each in first.items() if each[number] != UNREACHED}
        assert graph.earliest_reaching(line) == alone


@given(graphs(), st.data())
def test_ancestors_are_those_that_a_full_walk_finds(parents, data):
    one = data.draw(st.sampled_from(sorted(parents)))
    other = data.draw(st.sampled_from(sorted(parents)))
    assert CommitGraph(parents).is_ancestor(one, other) == (one != other and one in reachable(parents, other))


@given(graphs(), st.data())
def test_the_latest_ancestor_is_the_candidate_highest_above_the_roots(parents, data):
    commit = data.draw(st.sampled_from(sorted(parents)))
    candidates = data.draw(st.sets(st.sampled_from([*sorted(parents), "unknown"])))
    strict = (reachable(parents, commit) - {commit}) & candidates
    expected = min(strict, key=lambda candidate: (-height(parents, candidate), candidate), default=None)
    assert CommitGraph(parents).latest_ancestor(commit, candidates) == expected


@given(graphs(), st.data())
def test_a_cycle_is_refused_and_one_of_its_commits_named(parents, data):
    start = data.draw(st.sampled_from(sorted(parents)))
    below = reachable(parents, start)
    end = data.draw(st.sampled_from(sorted(below)))
    parents[end] = [*parents[end], start]
    on_cycle = {commit for commit in below if end in reachable({**parents, end: []}, commit)}
    with pytest.raises(ValueError, match="is its own ancestor") as caught:
        CommitGraph(parents)
    assert str(caught.value).split()[1] in on_cycle


def test_a_criss_cross_merge_is_shared_out_once():
    assert CommitGraph(CRISS_CROSS).earliest_reaching(["b2", "a2", "top"]) == {
        "b2": 0,
        "b1": 0,
        "a1": 0,
        "root": 0,
        "a2": 1,
        "top": 2,
    }


def test_a_first_parent_line_ends_where_the_first_parent_is_missing():
    graph = CommitGraph({"tip": ["middle", "side"], "middle": ["missing", "side"], "side": []})
    assert graph.first_parent_line("tip") == ["middle", "tip"]


def test_a_long_line_needs_no_deep_recursion():
    line = [f"c{number}" for number in range(20_000)]
    parents = {commit: [before] for before, commit in pairwise(line)} | {line[0]: []}
    shuffled = list(parents.items())
    random.Random(1).shuffle(shuffled)
    graph = CommitGraph(dict(shuffled))
    assert graph.is_ancestor(line[0], line[-1])
    assert graph.first_parent_line(line[-1]) == line
    assert set(graph.earliest_reaching([line[-1]]).values()) == {0}
