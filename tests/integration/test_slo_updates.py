"""SLOs in builds that update the last one: after every batch the figures are those of a build of everything at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import duckdb
import pytest
from slo_documents import condition, define, definitions_of, document, ratio
from test_slo_reference import (
    browser_events,
    job,
    process_sample,
    random_definition,
    request,
    synthetic_check,
)
from test_updates import Installation

from dagster_project.warehouse import Warehouse


def define_slos(installation: Installation, documents: list[dict]) -> None:
    with Warehouse(installation.settings).connect() as connection:
        define(connection, definitions_of(installation.folder, documents))


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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_after_every_batch_slos_are_those_of_a_build_of_everything_at_once(tmp_path, seed):
    random = Random(seed)
    installation = Installation(tmp_path)
    documents = [random_definition(random, number) for number in range(41)]
    define_slos(installation, documents[:40])
    installation.load(random_events(random, 0.9, 0))
    assert not installation.build()
    for share, new in ((0.05, 3), (0.0, 1), (0.01, 10), (0.3, 0)):
        installation.load(random_events(random, share, new))
        assert installation.build()
        assert installation.marts() == installation.marts_in_full()
    with duckdb.connect(installation.file, read_only=True) as connection:
        assert connection.sql("select count(distinct state) > 3 from marts.slo_attainment_daily").fetchone() == (True,)
    define_slos(installation, documents)
    assert not installation.build()


@pytest.mark.slow
def test_what_changes_on_days_without_a_new_event_is_made_anew(tmp_path):
    """A report supersedes one after midnight, which ends the session of the day before it; and now moves back, so that
    a job is no longer late."""
    on_the_web = condition("service", "eq", "web")
    slow = [condition("metric_name", "eq", "LCP"), condition("metric_value", "gt", 2500)]
    mail = [condition("service", "eq", "api"), condition("queue", "eq", "mail")]
    installation = Installation(tmp_path)
    sessions = ratio({"source": "sessions", "where": [on_the_web]}, good={"none_of": [slow]})
    jobs = ratio(
        {"source": "jobs", "where": mail, "deadline_seconds": 120},
        good={"where": [condition("is_on_time", "eq", True)]},
    )
    named = {"sessions": sessions, "jobs": jobs}
    define_slos(installation, [document(name, indicator, [{"target": 0.9}]) for name, indicator in named.items()])
    midnight = datetime(2026, 3, 10)
    view = {"event_id": "view", "service": "web", "session_id": "s", "event_type": "page_view", "route": "/"}
    view |= {"device_class": "mobile", "occurred_at": midnight - timedelta(minutes=10)}
    report = view | {"event_id": "report", "event_type": "vital", "metric_name": "LCP", "metric_id": "m"}
    report |= {"metric_value": 5000.0, "occurred_at": midnight + timedelta(minutes=5)}
    due = {"job_id": "due", "service": "api", "queue": "mail", "status": None, "finished_at": None}
    due |= {"enqueued_at": midnight + timedelta(days=4, minutes=-1)}
    incident = {"incident_id": "i", "service": "api", "started_at": midnight + timedelta(days=9)}
    installation.load({"rum_events": [view, report], "jobs": [due], "incidents": [incident]})
    assert not installation.build()
    report |= {"event_id": "later", "metric_value": 100.0, "occurred_at": midnight + timedelta(days=3)}
    incident |= {"started_at": due["enqueued_at"]}
    installation.load({"rum_events": [report], "incidents": [incident]})
    assert installation.build()
    assert installation.marts() == installation.marts_in_full()
    with duckdb.connect(installation.file, read_only=True) as connection:
        sessions = connection.sql("select sum(good), sum(total) from marts.slo_attainment_daily where slo = 'sessions'")
        assert sessions.fetchone() == (1, 1)
        jobs = connection.sql("select total, state from marts.slo_attainment_daily where slo = 'jobs'")
        assert jobs.fetchall() == [(0, "no_data")]
