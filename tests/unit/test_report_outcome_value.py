"""What the monthly report says of outcome value, readiness and calibration, read back from the page."""

from __future__ import annotations

import pytest

from dagster_project.report.layout import SPACE
from tests.unit.test_report import DASH, Element
from tests.unit.test_report_outcome import lines, write_with

VALUES = """
    create table ov_team_quarterly as
    select quarter::date as quarter, team, dimension, status, value_quarter::date as value_quarter,
        value_quarter < quarter as is_stale, mean_low, mean_high, people_band, assessed_share_band, refused_scores,
        recent_evidence_band, 264 as deployments, 0.059e0 as change_failure_rate, 16 as recovered_deployments,
        1.7e0 as recovery_median_hours, 4 as slo_objectives, 3 as met_slo_objectives
    from (values
        ('2026-01-01', 'Web', 'technical_quality', 'published', '2026-01-01', 4.0e0, 4.5e0, '8-11', '80%+', 0,
            'over_half'),
        ('2026-01-01', 'Web', 'business_impact', 'suppressed', null, null, null, null, null, null, null),
        ('2026-01-01', 'App', 'business_impact', 'carried_forward', '2025-10-01', 2.5e0, 3.0e0, '5-7', '<50%', null,
            'about_a_third'),
        ('2026-01-01', 'App', 'technical_quality', 'in_teams_below', null, null, null, null, null, null, null),
        ('2025-10-01', 'Old', 'business_impact', 'published', '2025-10-01', 3.0e0, 3.5e0, '12+', '80%+', 3, null)
    ) as given (quarter, team, dimension, status, value_quarter, mean_low, mean_high, people_band, assessed_share_band,
        refused_scores, recent_evidence_band)
"""
READINESS = """
    create table readiness_quarterly as
    select date '2026-01-01' as quarter, '12+' as people_band, 42 as level_recorded_people, 9 as clear_growth_people,
        null::bigint as promotion_ready_people
"""
CALIBRATION = """
    create table calibration_quarterly as
    select date '2026-01-01' as quarter, 2 as sessions, 210 as claims_reviewed, 40 as claims_challenged,
        12 as claims_changed, 0.75e0 as evidenced_change_rate, 2 as assessor_groups, 'under_half' as calibration_drift,
        1234 as evidence_entries, 0.4e0 as last_month_evidence_rate
"""
COMMENT = "comment on column ov_team_quarterly.mean_low is 'Lower end of the band.'"


@pytest.fixture(scope="module")
def document(tmp_path_factory) -> Element:
    return write_with(tmp_path_factory.mktemp("report"), VALUES, COMMENT, READINESS, CALIBRATION)


@pytest.fixture
def section(document) -> Element:
    return document.one("section", **{"aria-labelledby": "outcome-value"})


def test_teams_stand_by_name_and_dimensions_in_the_order_of_the_rubric(section):
    assert section.one("h2").text == "Outcome value, Q1 2026"
    teams = {
        table.one("caption").text: lines(table) for table in section.all("table", **{"class": "verdicts outcome-value"})
    }
    assert list(teams) == ["App", "Web"]
    nothing = [DASH] * 5
    assert teams == {
        "App": [
            [
                *("business impact", "2.5 to 3, Q4 2025", "5-7", "<50%", DASH, "about a third"),
                "as in Q4 2025: new values would tell too much",
            ],
            ["technical quality", *nothing, "in the rows of the teams below"],
        ],
        "Web": [
            ["business impact", *nothing, "withheld by the guard"],
            ["technical quality", "4 to 4.5", "8-11", "80%+", "0", "over half", "published"],
        ],
    }


def test_system_signals_stand_beside_the_bands_and_in_no_table(section):
    beside = {
        " ".join(each.text.replace(SPACE, " ").split()) for each in section.all("p", **{"class": "quiet signals"})
    }
    assert beside == {
        "Beside it, of its own services: 264 deployments, 5.9 % of them failed, 1.7 h to recover (median of 16), "
        "3 of 4 SLO objectives attained."
    }


def test_the_organisation_has_readiness_and_calibration_each_in_a_row_of_its_own(section):
    assert lines(section.one("table", **{"class": "verdicts organisation"})) == [
        ["People in teams", "12+"],
        ["Current level recorded", "42"],
        ["Clear signs of growth", "9"],
        ["Ready for promotion", DASH],
        ["Calibration sessions", "2"],
        ["Claims reviewed", "210"],
        ["Claims challenged", "40"],
        ["Claims changed", "12"],
        ["Changes with evidence", "75.0 %"],
        ["Groups compared", "2"],
        ["Largest difference of groups", "under half a point"],
        ["Entries of evidence", "1,234"],
        ["Of them in the last month", "40.0 %"],
    ]


def test_every_figure_leads_to_its_definition_and_the_section_to_rubric_and_guard(document, section):
    targets = {element.attributes.get("id") for tag in ("div", "h2", "details") for element in document.all(tag)}
    links = {link.attributes["href"].removeprefix("#") for link in section.all("a")}
    assert {"rules", "guard", "ov_team_quarterly.mean_low", "readiness_quarterly.promotion_ready_people"} <= links
    assert links <= targets
    [meaning] = document.all("div", id="ov_team_quarterly.mean_low")
    assert "Lower end of the band." in meaning.text


def test_without_a_closed_quarter_there_is_no_section(tmp_path):
    document = write_with(tmp_path, VALUES + "limit 0")
    assert not document.all("section", **{"aria-labelledby": "outcome-value"})
    assert "#outcome-value" not in {link.attributes["href"] for link in document.all("a")}
