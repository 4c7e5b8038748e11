"""What the monthly report says of SLOs and on-call, read back from the page and compared with the published tables."""

from __future__ import annotations

import pytest

from dagster_project.report.layout import SPACE
from dagster_project.report.reliability import ONCALL, REVIEW, SHOWN, STATUS, budget, share
from tests.unit.test_report import DASH, Element
from tests.unit.test_report_experience import cells, write_with

# One SLO with two objectives, one of nobody's service, and one without data.
STATUSES = """
    create table slo_status as
    select slo, objective, 'objective ' || objective as objective_name, name as display_name, service,
        team as owner_team, target, attained as attainment_rate, n as window_total, '28d' as window_duration,
        state, verdict, remaining as budget_remaining_rate, lasts as hours_to_exhaustion,
        'Repair ' || name || '.' as action_to_take
    from (values
        ('pay', 1, 'Payments', 'api', 'Pay', 0.99e0, 0.99482e0, 12345, 0.482e0, 'burning', 'page', 30.0e0),
        ('pay', 2, 'Payments', 'api', 'Pay', 0.999e0, 0.99482e0, 12345, -4.18e0, 'exhausted', 'none', 0.0e0),
        ('mail', 1, 'Mails', 'mailer', null, 0.9e0, null, 0, null, 'no_data', 'none', null)
    ) as given (slo, objective, name, service, team, target, attained, n, remaining, state, verdict, lasts)
"""
# The month before the last has another finding; the last is not over.
REVIEWS = """
    create table slo_review_monthly as
    select month::date as month, is_complete, slo, objective, 'Pay' as team, finding,
        left_over as lowest_budget_remaining_rate, exhausted as exhausted_days, 31 as judged_days,
        0.5e0 as support_tickets_per_1000_active_users, null::double as support_tickets_per_1000_active_users_before,
        null::double as bounce_rate, null::double as bounce_rate_before, '2026-01-09'::date as reviewed_on
    from (values
        ('2026-02-01', true, 'pay', 1, 'stale', 0.3e0, 0), ('2026-03-01', true, 'pay', 1, 'matches', 0.3e0, 0),
        ('2026-03-01', true, 'pay', 2, 'always_missed', -5.0e0, 31), ('2026-04-01', false, 'pay', 1, 'stale', 0.3e0, 0)
    ) as given (month, is_complete, slo, objective, finding, left_over, exhausted)
"""
WEEKS = """
    create table oncall_weekly as
    select week::date as week, 'Pay' as team, 'primary' as rotation, is_complete, pages, 3 as interruptions,
        1 as off_hours_interruptions, 2 as sleep_interruptions, incidents, shifts,
        incidents / shifts as incidents_per_shift, 1 as shifts_over_norm, closed as closed_incidents,
        false_ones as false_positives, false_ones / closed as false_positive_rate, 0 as keyed_incidents,
        0 as recurrences, null::double as recurrence_rate, 4 as reviewable_incidents, 3 as reviewed_incidents,
        0.75e0 as review_completion_rate, 0 as due_actions, 0 as actions_closed_on_time,
        null::double as actions_on_time_rate, quarter::date as response_quarter,
        minutes / 60 as acknowledge_median_hours, 9 as acknowledge_incidents,
        null::double as action_median_hours, 0 as action_incidents,
        minutes / 6 as mitigate_median_hours, 7 as mitigate_incidents,
        null::double as resolve_median_hours, 0 as resolve_incidents
    from (values
        ('2026-03-02', true, 10, 4, 14.0e0, 4, 1, '2026-01-01', 3.0e0),
        ('2026-03-09', true, 20, 10, 14.0e0, 6, 3, '2026-01-01', 3.0e0),
        ('2026-04-06', true, 1, 1, 14.0e0, 1, 0, null, null)
    ) as given (week, is_complete, pages, incidents, shifts, closed, false_ones, quarter, minutes)
"""


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    comments = [
        f"comment on column {table}.{column} is 'what it means'"
        for table, columns in SHOWN.items()
        for column in columns
    ]
    return write_with(tmp_path_factory.mktemp("report"), STATUSES, REVIEWS, WEEKS, *comments)


def lines(section: Element) -> dict[str, list[str]]:
    return {
        line.all("th", scope="row")[0].text: cells(line) for body in section.all("tbody") for line in body.all("tr")
    }


def test_each_objective_shows_what_is_left_of_its_budget_under_its_owner(document):
    section = document.one("section", **{"aria-labelledby": "slos"})
    assert [head.text for head in section.all("th", scope="rowgroup")] == ["Pay", "No team"]
    assert lines(section) == {
        "Payments, objective 1": [*("api", "99 %", "99.482 %", "12,345", "28d", "48 %", "burning", "page", "30.0 h")],
        "Payments, objective 2": [
            *("api", "99.9 %", "99.482 %", "12,345", "28d", "\N{MINUS SIGN}418 %", "exhausted", "none", "0 min")
        ],
        "Mails": ["mailer", "90 %", DASH, "0", "28d", DASH, "no data", "none", DASH],
    }
    assert [item.text for item in section.all("li")] == [
        "Payments, objective 1 (burning): Repair Payments.",
        "Payments, objective 2 (exhausted): Repair Payments.",
    ]


def test_the_review_is_that_of_the_last_month_that_is_over(document):
    section = document.one("section", **{"aria-labelledby": "review"})
    assert section.one("p").text == "In Mar 2026 1 of 2 objectives did."
    assert lines(section) == {
        "Payments, objective 2": [
            *("always missed", "\N{MINUS SIGN}500 %", "31", "31", "0.50", DASH, DASH, DASH, "9 Jan 2026")
        ]
    }


def test_a_month_on_call_is_made_of_sums_and_response_times_name_their_quarter(document):
    [section] = document.all("section", **{"class": "rotation"})
    assert section.one("p").text.replace(SPACE, " ") == (
        "Pay; Q1 2026, medians: acknowledged in 3 min (n 9), mitigated in 30 min (n 7)"
    )
    assert lines(section) == {
        "Apr 2026 so far": [*("1", "3", "1", "2", "0.07", "1", "0 %", "1", DASH, "0", "75.0 %", "4", DASH, "0")],
        "Mar 2026": [*("30", "6", "2", "4", "0.50", "2", "40.0 %", "10", DASH, "0", "75.0 %", "8", DASH, "0")],
    }


def test_every_heading_leads_to_a_definition(document):
    linked = {link.attributes["href"] for link in document.all("a") if link.attributes["href"].startswith("#")}
    defined = {f"#{entry.attributes['id']}" for entry in document.all("div") if "id" in entry.attributes}
    wanted = {link for link in linked if link.split(".")[0] in (f"#{STATUS}", f"#{REVIEW}", f"#{ONCALL}")}
    assert len(wanted) > 20
    assert wanted <= defined


def test_what_is_not_published_yet_is_said_in_one_line(tmp_path):
    section = write_with(tmp_path).one("section", **{"aria-labelledby": "reliability"})
    assert section.one("p").text == "Nothing is published yet about SLOs and about on-call."
    assert not section.all("table")


def test_shares_and_budgets_show_what_matters():
    assert [share(value).replace(SPACE, " ") for value in (1.0, 0.995, 0.99999, 0.999995)] == [
        *("100 %", "99.5 %", "99.999 %", "99.999 %")
    ]
    assert [budget(value).replace(SPACE, " ") for value in (1, 0.004, -12.5)] == [
        "100 %",
        "0 %",
        "\N{MINUS SIGN}1,250 %",
    ]
