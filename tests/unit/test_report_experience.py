"""What the monthly report says of users, read back from the page and compared with the published tables."""

from __future__ import annotations

import duckdb
import pytest

from dagster_project.report.experience import MONTHS_OF_SESSIONS, milliseconds, points
from dagster_project.report.layout import SPACE
from dagster_project.report.monthly import write_report
from tests.unit.test_report import DASH, Element, parse, publish, row

VITALS = """
    create table web_vitals_monthly as
    select month::date as month, 'Web' as team, 'shop' as service, route, 'all' as release, 'all' as device_class,
        metric_name, is_complete, false as is_provisional, measurements, good_rate, p75_value, rating
    from (values
        ('2026-02-01', 'all', 'LCP', true, 200, 0.7e0, 2500.0e0, 'good'),
        ('2026-03-01', 'all', 'LCP', true, 1234, 0.6123e0, 2504.0e0, 'needs_improvement'),
        ('2026-03-01', '/', 'LCP', true, 99, 0.1e0, 9999.0e0, 'poor'),
        ('2026-03-01', 'all', 'INP', true, 321, 0.9e0, 158.0e0, 'good'),
        ('2026-04-01', 'all', 'LCP', false, 5, 0.5e0, 700.0e0, 'good')
    ) as given (month, route, metric_name, is_complete, measurements, good_rate, p75_value, rating)
"""
SESSIONS = """
    create table experience_daily as
    select day::date as day, 'Web' as team, 'shop' as service, false as is_provisional, 'x' as other, *
        exclude (day)
    from (values
        ('2026-03-01', 10, 20.0e0, 20.0e0, 5.0e0, 19.0e0),
        ('2026-03-02', 30, 60.0e0, 30.0e0, 20.0e0, 57.0e0)
    ) as given (day, measured_sessions, sessions, judged_sessions, bounced_sessions, error_free_sessions)
"""
RATES = "alter table experience_daily add column {0} double"
JOURNEYS = """
    create table journey_daily as
    select day::date as day, 'shop' as service, 'buy' as journey, position, step, sessions, entered, completed,
        is_broken_step, null::double as completion_rate, null::double as baseline_drop_rate
    from (values
        ('2026-02-10', 1, 'cart', 100, 100.0e0, 80.0e0, false), ('2026-02-10', 2, 'pay', 80, 80.0e0, 80.0e0, false),
        ('2026-03-10', 1, 'cart', 50, 50.0e0, 30.0e0, true), ('2026-03-11', 1, 'cart', 50, 50.0e0, 40.0e0, false),
        ('2026-03-10', 2, 'pay', 0, 0.0e0, 0.0e0, false)
    ) as given (day, position, step, sessions, entered, completed, is_broken_step)
"""
DEGRADATIONS = """
    create table fct_degradations as
    select key as deployment_key, indicator, service, day::date as deployed_on, day::timestamp as finished_at, verdict,
        blamed as first_degraded_deployment_key, 270 as cases, 1155 as baseline_cases, rate as bad_rate,
        0.3e0 as baseline_bad_rate, rate - 0.3e0 as rise_rate, 0.1e0 as rise_rate_low, 0.25e0 as rise_rate_high,
        1 as telemetry_cases, 36.4e0 as expected_telemetry_cases
    from (values
        ('demo/a', 'bounced_sessions', 'shop', '2026-03-12 09:30', 'degraded', 'demo/a', 0.5e0),
        ('demo/a', 'poor_lcp_page_loads', 'shop', '2026-03-12 09:30', 'ok', null, 0.3e0),
        ('demo/b', 'bounced_sessions', 'shop', '2026-03-13 13:30', 'still_degraded', 'demo/a', 0.5e0),
        ('demo/c', 'bounced_sessions', 'panel', '2026-03-14 13:30', 'telemetry_lost', null, null),
        ('demo/d', 'bounced_sessions', 'shop', '2026-03-20 13:30', 'insufficient_data', null, 0.3e0),
        ('demo/e', 'bounced_sessions', 'shop', '2024-03-20 13:30', 'degraded', 'demo/e', 0.9e0)
    ) as given (key, indicator, service, day, verdict, blamed, rate)
"""
CONTRIBUTIONS = """
    create table degradation_contributions as
    select 'demo/a' as deployment_key, 'bounced_sessions' as indicator, *, 0.2e0 as change_rate
    from (values
        ('route', '/products/:slug', 0.6e0, 0.15e0, 1), ('route', '/', 0.4e0, 0.05e0, 2),
        ('component', 'gallery', 0.5e0, 0.18e0, 1), ('country', 'DE', 0.5e0, 0.2e0, 1),
        ('device_class', 'all', 1.0e0, 0.2e0, 1)
    ) as given (dimension, dimension_value, cases_rate, contribution, contribution_rank)
"""


def write_with(folder, *statements: str) -> Element:
    settings = publish(folder, [row("api", 98)])
    with duckdb.connect(settings.published_file) as connection:
        for statement in statements:
            connection.execute(statement)
    return parse(write_report(settings))


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    rates = [RATES.format(name) for name in ("bounce_rate", "error_free_session_rate")]
    return write_with(
        tmp_path_factory.mktemp("report"), VITALS, SESSIONS, *rates, JOURNEYS, DEGRADATIONS, CONTRIBUTIONS
    )


def cells(line: Element) -> list[str]:
    return [cell.text.replace(SPACE, " ") for cell in line.all("td")]


def test_months_show_the_front_end_as_a_whole_with_n_beside_each_figure(document):
    [section] = document.all("section", **{"class": "front-end"})
    lines = [line for body in section.one("table", **{"class": "months"}).all("tbody") for line in body.all("tr")]
    assert [line.one("th").text for line in lines] == ["Apr 2026 so far", "Mar 2026", "Feb 2026"]
    no_cls = [DASH] * 4
    assert cells(lines[1]) == [
        *("2.50 s", "needs improvement", "61.2 %", "1,234", "158 ms", "good", "90.0 %", "321", *no_cls),
        # 76 of 80 sessions and 25 of 50 judged ones: sums of days, no mean of rates.
        *("95.0 %", "50.0 %", "40"),
    ]
    assert cells(lines[2])[-3:] == [DASH] * 3
    assert "9,999" not in section.text


def test_charts_name_the_sample_of_the_last_final_month(document):
    captions = [caption.text.replace(SPACE, " ") for caption in document.all("figcaption")]
    assert "LCP, p752.50 s Mar 2026, over 1,234 page views, monthly 2.50 s in the year before" in captions
    assert "Bounced sessions50.0 % Mar 2026, over 40 sessions" in captions


def test_a_journey_shows_each_step_beside_its_past_and_where_it_broke(document):
    table = document.one("table", **{"class": "verdicts journeys"})
    assert table.one("caption").text == "Journey “buy”, Mar 2026"
    assert [cells(line) for line in table.one("tbody").all("tr")] == [
        ["100", "70", "70.0 %", "80.0 %", "10 Mar"],
        ["0", "0", DASH, "100 %", DASH],
    ]


def test_deployments_that_users_noticed_lead_to_a_route_and_a_component(document):
    section = document.one("section", **{"aria-labelledby": "degradations"})
    assert "1 degraded, 1 still degraded, 1 telemetry lost, 1 insufficient data." in section.text
    shown = {body.one("th", scope="rowgroup").text: body for body in section.all("tbody")}
    assert list(shown) == ["14 Mar 2026, 13:30", "13 Mar 2026, 13:30", "12 Mar 2026, 09:30"]
    compared = ["30.0 %", "1,155", "50.0 %", "270", "+20.0", "+10.0 to +25.0"]
    about = "route /products/:slug, 75.0 % of the change; component gallery, 90.0 % of the change"
    assert cells(shown["12 Mar 2026, 09:30"]) == ["shop", "degraded", *compared, about]
    since = "since the deployment of 12 Mar 2026, 09:30"
    assert cells(shown["13 Mar 2026, 13:30"]) == ["shop", "still degraded", *compared, since]
    lost = "1 came, 36 were to be expected"
    assert cells(shown["14 Mar 2026, 13:30"]) == ["panel", "telemetry lost", *[DASH] * 3, "270", DASH, DASH, lost]


def test_what_is_not_published_yet_is_said_in_one_line(tmp_path):
    document = write_with(tmp_path)
    section = document.one("section", **{"aria-labelledby": "experience"})
    assert section.one("p").text == (
        "Nothing is published yet about web vitals and sessions and about journeys and about deployments and what they "
        "did to users."
    )
    assert not section.all("table")


def test_a_month_of_sessions_is_a_ratio_of_sums():
    with duckdb.connect() as connection:
        connection.execute(SESSIONS)
        [(rate, bounce)] = connection.sql(f"select error_free_rate, bounce_rate from ({MONTHS_OF_SESSIONS})").fetchall()
    assert (rate, bounce) == (pytest.approx(76 / 80), pytest.approx(25 / 50))


def test_times_and_differences_read_as_a_person_says_them():
    assert [milliseconds(value).replace(SPACE, " ") for value in (64.2, 999, 1000, 2504)] == [
        *("64.2 ms", "999 ms", "1.00 s", "2.50 s")
    ]
    assert [points(value) for value in (0.123, -0.05, 0.0)] == ["+12.3", "\N{MINUS SIGN}5.0", "+0.0"]
