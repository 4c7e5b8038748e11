"""Sessions, web vitals and journeys against slow, independent computations of the same."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime, timedelta

import pytest
from dbt_models import frame, insert, memory, models
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dagster_project.contracts import TABLES

START = datetime(2025, 3, 1, 21)
PAUSE = timedelta(minutes=30)
GOOD_AND_POOR = {"LCP": (2500, 4000), "INP": (200, 500), "CLS": (0.1, 0.25)}


def build(connection, *names: str) -> None:
    """These models of the project, in the order of dependency."""
    for node in models().nodes:
        if node.name in names:
            connection.execute(f"create schema if not exists {node.schema}")
            kind = "view" if node.config.materialized == "view" else "table"
            connection.execute(f"create or replace {kind} {node.schema}.{node.name} as {node.compiled_code}")


@pytest.fixture(scope="module")
def warehouse():
    with memory() as connection:
        build(connection, *(node.name for node in models().nodes))
        yield connection


def rebuild(warehouse, names, events: list[dict], requests: list[dict] = (), journeys: list[dict] = ()) -> None:
    for name, rows in (("rum_events", events), ("requests", requests), ("journeys", journeys)):
        table = TABLES[name]
        warehouse.execute(f"delete from {table.stored_name}")
        insert(warehouse, table, frame(table, rows))
    build(warehouse, *names)


SESSIONS = ("int_as_of", "int_superseded_reports", "int_session_activity", "int_interaction_starts", "int_sessions")
JOURNEYS = (*SESSIONS, "int_journey_events", "int_journey_steps", "int_journey_days", "journey_daily")
DAILY = ("int_as_of", "int_superseded_reports", "int_web_vital_bins", "web_vitals_daily")
VITALS = (*DAILY, "web_vitals_rolling_28d", "web_vitals_monthly")

EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "session_id": st.integers(1, 3),
            # Around midnight, in and beyond the pause that ends a session.
            "minutes": st.sampled_from([0, 10, 29, 30, 59, 60, 90, 150, 170, 179, 180, 185, 200, 209, 210, 300]),
            "event_type": st.sampled_from(
                ["page_view", "page_view", "route_change", "vital", "vital", "interaction", "error", "payment"]
            ),
            "route": st.sampled_from(["/", "/cart"]),
            "release": st.sampled_from(["1", "2"]),
            "device_class": st.sampled_from(["mobile", "mobile", "mobile", "bot"]),
            "is_synthetic": st.sampled_from([None, None, None, True]),
            "is_success": st.sampled_from([None, True, False]),
            "metric_name": st.sampled_from(["LCP", "LCP", "INP", "CLS"]),
            "metric_id": st.sampled_from([None, 1, 2]),
            "metric_value": st.sampled_from([0.0, 0.1, 0.11, 200.0, 2500.0, 2504.0, 4001.0]),
            "sample_rate": st.sampled_from([None, 0.5]),
            "trace_id": st.sampled_from([None, 7]),
        }
    ),
    max_size=25,
)


def rows_of(drawn: list[dict]) -> list[dict]:
    return [
        {key: value for key, value in event.items() if key != "minutes"}
        | {
            "source": "rum",
            "service": "web",
            "event_id": number + 1,
            "occurred_at": START + timedelta(minutes=event["minutes"]),
        }
        for number, event in enumerate(drawn)
    ]


def of_users(events: list[dict]) -> list[dict]:
    users = [event for event in events if event["device_class"] != "bot" and not event["is_synthetic"]]
    last: dict[tuple, tuple] = {}
    for event in users:
        if event["event_type"] == "vital" and event["metric_id"]:
            key = (event["session_id"], event["metric_name"], event["metric_id"])
            last[key] = max(last.get(key, ()), (event["occurred_at"], event["event_id"]))
    return [
        event
        for event in users
        if event["event_type"] != "vital"
        or not event["metric_id"]
        or last[event["session_id"], event["metric_name"], event["metric_id"]][1] == event["event_id"]
    ]


def weight(event: dict) -> float:
    return 1 / (event["sample_rate"] or 1)


def is_page_view(event: dict) -> bool:
    kind = event["event_type"]
    return kind == "page_view" or (kind == "route_change" and event["is_success"] is not False)


def is_interaction(event: dict) -> bool:
    kind = event["event_type"]
    return (
        kind == "interaction"
        or (kind == "vital" and event["metric_name"] == "INP")
        or (kind == "payment" and event["is_success"] is True)
    )


def expected_sessions(events: list[dict]) -> list[list[dict]]:
    sessions: list[list[dict]] = []
    for session_id in sorted({event["session_id"] for event in events}):
        mine = sorted(
            (event for event in events if event["session_id"] == session_id),
            key=lambda event: (event["occurred_at"], event["event_id"]),
        )
        current: list[dict] = []
        for event in mine:
            if current and event["occurred_at"] - current[-1]["occurred_at"] >= PAUSE:
                sessions.append(current)
                current = []
            current.append(event)
        sessions.append(current)
    kept = [
        each
        for each in sessions
        if any(is_page_view(e) or is_interaction(e) or e["event_type"] == "error" for e in each)
    ]
    return sorted(kept, key=lambda each: (each[0]["session_id"], each[0]["occurred_at"]))


@settings(max_examples=25, deadline=None)
@given(drawn=EVENTS)
def test_sessions_are_those_of_a_computation_one_by_one(warehouse, drawn):
    events = rows_of(drawn)
    rebuild(warehouse, SESSIONS, events)
    users = of_users(events)
    as_of = max((event["occurred_at"] for event in events), default=None)
    interacted = [event["occurred_at"].date() for event in users if is_interaction(event)]
    expected = []
    for session in expected_sessions(users):
        views = [event for event in session if is_page_view(event)]
        first = views[0] if views else None
        lcp = [e["metric_value"] for e in session if e["event_type"] == "vital" and e["metric_name"] == "LCP"]
        interactions = sum(map(is_interaction, session))
        closed = as_of - session[-1]["occurred_at"] >= PAUSE
        day = session[0]["occurred_at"].date()
        judged = closed and views and interacted and day >= min(interacted)
        expected.append(
            (
                session[0]["session_id"],
                session[0]["occurred_at"],
                day,
                session[-1]["occurred_at"],
                first["route"] if first else min(event["route"] for event in session),
                first["release"] if first else min(event["release"] for event in session),
                len(views),
                interactions,
                sum(event["event_type"] == "error" for event in session),
                (len(lcp), sum(value <= 2500 for value in lcp), sum(value > 4000 for value in lcp)),
                closed,
                (len(views) == 1 and interactions == 0) if judged else None,
            )
        )
    found = warehouse.sql("""
        select
            session_id, started_at, started_on, ended_at, entry_route, release, page_views, interactions, errors,
            (lcp_page_views, good_lcp_page_views, poor_lcp_page_views), is_closed, is_bounce
        from intermediate.int_sessions order by session_id, started_at
    """).fetchall()
    assert found == expected


def nearest_rank(values: list[tuple[float, float]], share: float) -> float:
    """The least value up to which the weights reach this share of them all."""
    total, so_far = sum(weight for _, weight in values), 0.0
    for value, weight in sorted(values):
        so_far += weight
        if so_far >= share * total:
            return value
    raise AssertionError


@settings(max_examples=25, deadline=None)
@given(drawn=EVENTS)
def test_web_vitals_of_every_grain_are_the_weighted_nearest_rank(warehouse, drawn):
    events = rows_of(drawn)
    rebuild(warehouse, VITALS, events)
    cells: dict[str, dict[tuple, list]] = {"daily": defaultdict(list), "rolling_28d": defaultdict(list)}
    cells["monthly"] = defaultdict(list)
    vitals = [event for event in of_users(events) if event["event_type"] == "vital"]
    days = {event["occurred_at"].date() for event in vitals}
    for event in vitals:
        day, measured = event["occurred_at"].date(), (event["metric_value"], weight(event))
        for route in ("all", event["route"]):
            for device in ("all", event["device_class"]):
                for release in ("all", event["release"]):
                    cells["daily"][day, route, release, device, event["metric_name"]].append(measured)
                    cells["monthly"][day.replace(day=1), route, release, device, event["metric_name"]].append(measured)
                for end in days:
                    if 0 <= (end - day).days < 28:
                        cells["rolling_28d"][end, route, device, event["metric_name"]].append(measured)
    for table, expected in cells.items():
        keys = "day, route, release, device_class, metric_name"
        keys = {"monthly": keys.replace("day", "month"), "rolling_28d": keys.replace("release, ", "")}.get(table, keys)
        found = warehouse.sql(
            f"select ({keys}), measurements, page_views, p75_value, rating from marts.web_vitals_{table}"
        )
        by_key = {tuple(key.values()) if isinstance(key, dict) else key: rest for key, *rest in found.fetchall()}
        assert by_key.keys() == expected.keys()
        for key, values in expected.items():
            measurements, page_views, p75, rating = by_key[key]
            exact = nearest_rank(values, 0.75)
            good, poor = GOOD_AND_POOR[key[-1]]
            assert measurements == len(values)
            assert page_views == pytest.approx(sum(each for _, each in values))
            assert rating == ("good" if exact <= good else "needs_improvement" if exact <= poor else "poor")
            assert abs(p75 - exact) <= 0.005 * exact


SAMPLES = st.one_of(
    # Skewed, heavy-tailed, tiny, constant, zero-heavy.
    st.lists(st.floats(0.5, 1e7), min_size=1, max_size=60),
    st.lists(st.floats(0.1, 12).map(math.exp), min_size=1, max_size=200),
    st.lists(st.floats(1e-9, 1e-3), min_size=1, max_size=20),
    st.builds(lambda value, size: [value] * size, st.floats(1e-6, 1e9), st.integers(1, 50)),
    st.lists(st.one_of(st.just(0.0), st.floats(0, 0.4)), min_size=1, max_size=80),
)


@settings(max_examples=40, deadline=None)
@example(values=[5e-324, 2.3e-309], weights=[1.0, 1.0])
@given(values=SAMPLES, weights=st.lists(st.sampled_from([1.0, 2.0, 3.0, 100.0]), min_size=200, max_size=200))
def test_p75_from_bins_is_within_half_a_per_cent_of_the_exact_one(warehouse, values, weights):
    rows = [
        {
            "source": "rum",
            "service": "web",
            "event_id": number,
            "session_id": number,
            "occurred_at": START,
            "event_type": "vital",
            "metric_name": "LCP",
            "metric_value": value,
            "route": "/",
            "release": "1",
            "device_class": "mobile",
            "sample_rate": 1 / weight,
        }
        for number, (value, weight) in enumerate(zip(values, weights, strict=False))
    ]
    rebuild(warehouse, DAILY, rows)
    (found,) = warehouse.sql(
        "select p75_value from marts.web_vitals_daily where route = '/' and release = '1'"
    ).fetchone()
    exact = nearest_rank(list(zip(values, weights, strict=False)), 0.75)
    if exact < 1e-9:
        assert found == 0
    # Up to the error of floating-point numbers.
    else:
        assert abs(found - exact) <= 0.005 * exact * (1 + 1e-9)


JOURNEY = [
    {"journey": "buy", "service": "web", "position": 1, "step": "home", "step_kind": "page_view", "route": "/"},
    {"journey": "buy", "service": "web", "position": 2, "step": "pay", "step_kind": "action", "action": "payment"},
    {
        "journey": "buy",
        "service": "web",
        "position": 3,
        "step": "write",
        "step_kind": "api_write",
        "route": "/pay",
        "api_service": "api",
    },
]


@settings(max_examples=25, deadline=None)
@given(drawn=EVENTS, traced=st.sampled_from([None, 7]), status=st.sampled_from([201, 503]), late=st.integers(-100, 100))
def test_journeys_are_those_of_a_walk_through_each_session(warehouse, drawn, traced, status, late):
    events = rows_of(drawn)
    request = {
        "source": "gateway",
        "request_id": 1,
        "service": "api",
        "route": "/pay",
        "method": "POST",
        "status": status,
        "occurred_at": START + timedelta(minutes=60, seconds=late),
        "session_id": 1,
        "trace_id": traced,
    }
    rebuild(warehouse, JOURNEYS, events, [request], JOURNEY)
    expected: dict[tuple, list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    sessions = expected_sessions(of_users(events))
    traced_sessions = [
        (number, event["occurred_at"])
        for number, session in enumerate(sessions)
        for event in session
        if traced and event["trace_id"] == traced
    ]
    tolerance = timedelta(seconds=60)
    for number, session in enumerate(sessions):
        homes = [e["occurred_at"] for e in session if is_page_view(e) and e["route"] == "/"]
        pays = [(e["occurred_at"], e["is_success"] is not False) for e in session if e["event_type"] == "payment"]
        slack = timedelta(0)
        writes = [at for each, at in traced_sessions if each == number][:1]
        if not writes:
            slack, at = tolerance, request["occurred_at"]
            if (
                session[0]["session_id"] == 1
                and session[0]["occurred_at"] - tolerance <= at <= session[-1]["occurred_at"] + tolerance
            ):
                writes = [at]
        reached = []
        if homes:
            reached.append(min(homes))
            if after := [at for at, _ in pays if at >= reached[0]]:
                reached.append(min(after))
                if after := [max(at, reached[1]) for at in writes if at >= reached[1] - slack]:
                    reached.append(min(after))
        most = max(map(weight, session))
        for place, _ in enumerate(reached):
            completed = place + 1 < len(reached) or (place == 2 and status < 400)
            row = expected[session[0]["occurred_at"].date(), place + 1]
            row[0] += 1
            row[1] += most
            row[2] += most * completed
    found = warehouse.sql(
        "select day, position, sessions, entered, completed from marts.journey_daily where sessions > 0"
    ).fetchall()
    assert {(day, position): rest for day, position, *rest in found} == {
        key: [row[0], pytest.approx(row[1]), pytest.approx(row[2])] for key, row in expected.items()
    }


def beacon(number: int, at: datetime, event_type: str = "page_view", **fields) -> dict:
    return {
        "source": "rum",
        "service": "web",
        "event_id": number,
        "session_id": 1,
        "occurred_at": at,
        "event_type": event_type,
        "route": "/",
    } | fields


def test_a_restore_from_the_back_forward_cache_is_a_page_view_with_vitals_of_its_own(warehouse):
    lcp = {"event_type": "vital", "metric_name": "LCP"}
    restored = {"navigation_type": "back-forward-cache"}
    events = [
        beacon(1, START),
        beacon(2, START + timedelta(seconds=3), **lcp, metric_id=1, metric_value=3000.0),
        beacon(3, START + timedelta(minutes=2), **restored),
        beacon(4, START + timedelta(minutes=2, seconds=1), **lcp, **restored, metric_id=2, metric_value=90.0),
    ]
    rebuild(warehouse, SESSIONS, events)
    assert warehouse.sql(
        "select page_views, lcp_page_views, good_lcp_page_views from intermediate.int_sessions"
    ).fetchall() == [(2, 2, 1)]
    rebuild(warehouse, DAILY, events)
    assert warehouse.sql("""
        select measurements, p75_value, good_page_views from marts.web_vitals_daily
        where route = 'all' and release = 'all' and device_class = 'all'
    """).fetchall() == [(2, 3000, 1)]


def test_a_wrong_clock_moves_a_session_as_a_whole(warehouse):
    kinds = ("page_view", "interaction", "route_change", "error")

    def visit(first: datetime, client: int) -> list[dict]:
        return [
            beacon(10 * client + place, first + timedelta(minutes=10 * place), kind, session_id=client)
            for place, kind in enumerate(kinds)
        ]

    slow = START - timedelta(days=40, hours=5)
    rebuild(warehouse, SESSIONS, visit(START, 1) + visit(slow, 2))
    found = warehouse.sql("""
        select session_id, started_at, started_on, ended_at - started_at, page_views, interactions, errors
        from intermediate.int_sessions order by session_id
    """).fetchall()
    length = timedelta(minutes=30)
    assert found == [(1, START, START.date(), length, 2, 1, 1), (2, slow, slow.date(), length, 2, 1, 1)]


def test_who_is_active_all_day_begins_anew_at_midnight_and_a_shorter_visit_does_not(warehouse):
    midnight = datetime(2025, 3, 2)
    wall = [beacon(number, midnight + timedelta(minutes=20 * number)) for number in range(1, 100)]
    night = [beacon(1000 + number, midnight + timedelta(minutes=20 * number - 65), session_id=2) for number in range(8)]
    rebuild(warehouse, SESSIONS, wall + night)
    assert warehouse.sql("""
        select session_id, started_at, page_views from intermediate.int_sessions order by session_id, started_at
    """).fetchall() == [
        (1, midnight + timedelta(minutes=20), 71),
        (1, midnight + timedelta(days=1), 28),
        (2, midnight - timedelta(minutes=65), 8),
    ]


def test_the_step_that_loses_far_more_than_before_is_the_broken_one(warehouse):
    steps = [
        {"journey": "buy", "service": "web", "position": place, "step": route, "step_kind": "page_view", "route": route}
        for place, route in enumerate(("/", "/cart", "/pay"), start=1)
    ]
    events: list[dict] = []
    for day in range(22):
        for session in range(40):
            # One in ten leaves at each of the first two steps; on the last day three in four at the cart.
            views = 1 if session % 10 == 0 else 2 if session % 10 == 1 or (day == 21 and session % 4) else 3
            events += [
                beacon(
                    len(events) + place,
                    START + timedelta(days=day, minutes=place),
                    session_id=1000 * day + session + 1,
                    route=steps[place]["route"],
                )
                for place in range(views)
            ]
    rebuild(warehouse, JOURNEYS, events, journeys=steps)
    assert warehouse.sql("select day, step from marts.journey_daily where is_broken_step").fetchall() == [
        ((START + timedelta(days=21)).date(), "/cart")
    ]
