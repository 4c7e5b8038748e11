"""What the monthly report says of scorecards, audit, notes, rubric and rules, read back from the page."""

from __future__ import annotations

import re
from collections import Counter

import duckdb
import pytest

from dagster_project.contracts import OV_DIMENSIONS, RUBRIC
from dagster_project.reference import read_file
from dagster_project.report.layout import SPACE
from dagster_project.report.monthly import write_report
from dagster_project.report.outcome import GUARD
from tests.unit.test_report import DASH, Element, parse, publish, row

SCORECARD = """
    create table scorecard_quarterly as
    select quarter::date as quarter, team, layer, kpi, unit, is_actionable, is_complete, value, n, coverage_rate,
        verdict, baseline_mean, lower_limit, upper_limit, target, next_milestone, pair, pair_verdict, 2 as judged_kpis,
        0.02e0 as expected_false_verdicts
    from (values
        ('2026-01-01', 'Web', 'reliability', 'mttr', 'hours', true, true, 7.5e0, 12.0e0, 0.8e0, 'trade', 9.0e0, 8.0e0,
            30.0e0, 4.0e0, 6.5e0, 'change_failure_rate', 'worsening'),
        ('2026-01-01', 'Web', 'delivery_speed', 'deployment_frequency', 'deployments per day', true, true, 1.234e0,
            90.0e0, null, 'inconclusive', 1.0e0, 0.5e0, 1.5e0, null, null, 'mttr', null),
        ('2026-01-01', 'App', 'user_experience', 'support_tickets', 'share of sessions', false, true, 0.0123e0,
            1234.0e0, 1.0e0, 'baselining', null, null, null, 0.01e0, null, null, null),
        ('2026-01-01', 'all', 'reliability', 'mttr', 'hours', true, true, 8.0e0, 20.0e0, null, 'steady', 8.0e0, 7.0e0,
            9.0e0, null, null, null, null),
        ('2025-10-01', 'Web', 'reliability', 'old', 'hours', true, true, 1.0e0, 1.0e0, null, 'baselining', null, null,
            null, null, null, null, null),
        ('2026-04-01', 'Web', 'reliability', 'open', 'hours', true, false, 1.0e0, 1.0e0, null, null, null, null, null,
            null, null, null, null)
    ) as given (quarter, team, layer, kpi, unit, is_actionable, is_complete, value, n, coverage_rate, verdict,
        baseline_mean, lower_limit, upper_limit, target, next_milestone, pair, pair_verdict)
"""
AUDIT = """
    create table metric_audit_quarterly as
    select quarter::date as quarter, team, audit_kind, check_name, kpi, finding, claim, evidence
    from (values
        ('2026-01-01', 'Web', 'safety', 'silent_reviews', 'all', 'found', 'Reviews are silent.', '30 to 90'),
        ('2026-01-01', 'all', 'use', 'unused_kpi', 'mttr', 'found', 'Drop it.', 'none'),
        ('2026-01-01', 'App', 'safety', 'silent_reviews', 'all', 'not_found', 'Reviews are silent.', '30 to 31'),
        ('2025-10-01', 'App', 'safety', 'silent_reviews', 'all', 'found', 'Long ago.', '30 to 90'),
        ('2026-01-01', 'all', 'question', 'gamed', 'all', 'partly', 'Is a metric gamed?', 'head: <b>so</b>')
    ) as given (quarter, team, audit_kind, check_name, kpi, finding, claim, evidence)
"""
NOTES = """
    create table system_notes as
    select date '2026-01-01' as quarter, 'long_reviews' as note_kind, 'web' as subject, 'Reviews of web are long.'
        as note
    union all
    select date '2025-10-01', 'long_reviews', 'web', 'They were short.'
"""


def write_with(folder, *statements: str) -> Element:
    settings = publish(folder, [row("api", 98)])
    with duckdb.connect(settings.published_file) as connection:
        for statement in statements:
            connection.execute(statement)
    return parse(write_report(settings))


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return write_with(tmp_path_factory.mktemp("report"), SCORECARD, AUDIT, NOTES)


def lines(table: Element) -> list[list[str]]:
    return [
        [cell.text.replace(SPACE, " ") for cell in (*line.all("th"), *line.all("td"))]
        for line in table.one("tbody").all("tr")
    ]


def test_scorecards_of_the_last_complete_quarter_stand_by_team_and_layer(document):
    section = document.one("section", **{"aria-labelledby": "scorecards"})
    assert section.one("h2").text == "Scorecards, Q1 2026"
    organisation, app, web = section.all("table", **{"class": "verdicts scorecard"})
    assert [table.one("caption").text for table in (organisation, app, web)] == ["All teams", "App", "Web"]
    assert lines(web) == [
        [
            "deployment frequency",
            "1.23",
            "90",
            DASH,
            "inconclusive",
            "1.00",
            "0.50 to 1.50",
            DASH,
            DASH,
            "mttr without a verdict",
        ],
        [
            "mttr",
            "7.5 h",
            "12",
            "80.0 %",
            "trade",
            "9.0 h",
            "8.0 h to 30.0 h",
            "4.0 h",
            "6.5 h",
            "change failure rate worsening",
        ],
    ]
    assert [line[0] for line in lines(organisation)] == ["mttr"]
    assert lines(app) == [
        ["support tickets", "1.2 %", "1,234", "100 %", "baselining, for reporting", DASH, DASH, "1.0 %", DASH, DASH]
    ]
    assert "Of the 6 KPIs here that are judged, chance alone would call about 0.1 improving" in section.text


def test_findings_answers_and_notes_of_that_quarter_are_told(document):
    section = document.one("section", **{"aria-labelledby": "scorecards"})
    assert lines(section.one("table", **{"class": "bands findings"})) == [
        ["All teams", "mttr: Drop it.", "none"],
        ["Web", "Reviews are silent.", "30 to 90"],
    ]
    assert lines(section.one("table", **{"class": "bands answers"})) == [
        ["All teams", "Is a metric gamed?", "partly", "head: <b>so</b>"]
    ]
    assert [each.text for each in section.one("ul").all("li")] == ["Reviews of web are long."]


def test_the_rubric_and_every_rule_are_on_the_page(document, tmp_path):
    section = document.one("section", **{"aria-labelledby": "rules"})
    shipped = read_file(tmp_path, RUBRIC)
    shown = lines(section.one("table", **{"class": "bands rubric"}))
    assert [line[0] for line in shown] == [dimension.replace("_", " ") for dimension in OV_DIMENSIONS]
    assert {text for line in shown for text in line[1:]} == set(shipped["descriptor"])
    assert all(len(line) == 6 for line in shown)
    rules = section.all("details", **{"class": "rules"})
    assert [rule.one("summary").text for rule in rules] == [
        *("The guard: what is published about your work, and what is not",),
        *("Outcome value", "Scorecards", "Audit", "Decisions", "System notes"),
    ]
    # Decisions are told without a table.
    assert [rule.one("summary").text for rule in rules if not rule.all("table")] == ["Decisions"]
    assert "fct_decisions" in rules[4].text

    def words(text: str) -> Counter[str]:
        return Counter(re.findall(r"\w+", text))

    guard = re.sub(r"^\d\. ", "", GUARD.read_text(encoding="utf-8").split("\n", 1)[1], flags=re.MULTILINE)
    assert words(guard) <= words(rules[0].text)


def test_a_page_of_a_first_publication_has_the_rules_and_no_scorecard(tmp_path):
    document = write_with(tmp_path)
    assert not document.all("section", **{"aria-labelledby": "scorecards"})
    assert document.one("section", **{"aria-labelledby": "rules"})
