"""The monthly report, read back from the page as a browser would and compared with the published table."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.errors import PlumblineError
from dagster_project.report import charts
from dagster_project.report.charts import Chart, Point, highest_drawn, month_number, round_up
from dagster_project.report.layout import SPACE, hours, percent, top_of_scale
from dagster_project.report.monthly import JUDGED, LEAD_TIME, write_report
from dagster_project.settings import Settings

COLUMNS = {
    "month": "date",
    "team": "varchar",
    "service": "varchar",
    "component_kind": "varchar",
    "is_complete": "boolean",
    "is_provisional": "boolean",
    "deployments": "bigint",
    "deployments_per_day": "double",
    "rollbacks": "bigint",
    "redeploys": "bigint",
    "hotfixes": "bigint",
    "unplanned_deployments": "bigint",
    "rework_rate": "double",
    "changes": "bigint",
    "lead_time_changes": "bigint",
    "lead_time_median_hours": "double",
    "lead_time_p90_hours": "double",
    "lead_time_coverage_rate": "double",
    "slowest_segment": "varchar",
    "failed_deployments": "bigint",
    "change_failure_rate": "double",
    "change_failure_rate_low": "double",
    "change_failure_rate_high": "double",
    "recovered_deployments": "bigint",
    "recovery_median_hours": "double",
    "resolved_incidents": "bigint",
    "mttr_hours": "double",
    "evidenced_change_failure_rate": "double",
    "build_median_minutes": "double",
    "flaky_build_rate": "double",
    "good_lcp_rate": "double",
    "reported_profile": "varchar",
    "reported_deployments_per_day": "double",
    "reported_lead_time_hours": "double",
    "reported_change_failure_rate": "double",
    "reported_recovery_hours": "double",
    **dict.fromkeys([metric.trend for metric in JUDGED], "varchar"),
    **dict.fromkeys([metric.band for metric in JUDGED if metric.band], "varchar"),
    "dora_report_year": "bigint",
}
TREND_COLUMNS = {
    "service": "varchar",
    "month": "date",
    "metric": "varchar",
    "baseline_mean": "double",
    "lower_limit": "double",
    "upper_limit": "double",
    "verdict": "varchar",
    "paired_metric": "varchar",
    "paired_verdict": "varchar",
    "is_trade": "boolean",
}
BAND_COLUMNS = {
    "report_year": "bigint",
    "metric": "varchar",
    "band": "varchar",
    "lowest": "double",
    "stated": "varchar",
    "caveat": "varchar",
}
BANDS = [
    (2021, "lead_time", "elite", None, "Less than one hour", None),
    (2024, "lead_time", "high", 24.0, "Between one day and one week", None),
    (2024, "lead_time", "elite", None, "Less than one day", "A caveat <b>"),
]

# The published columns behind each column of the page, in its order.
CELLS = [
    ("deployments",),
    ("deployments_per_day",),
    ("redeploys",),
    ("changes",),
    ("lead_time_median_hours",),
    ("lead_time_p90_hours",),
    ("lead_time_changes",),
    ("lead_time_coverage_rate",),
    ("slowest_segment",),
    ("change_failure_rate",),
    ("change_failure_rate_low", "change_failure_rate_high"),
    ("failed_deployments",),
    ("evidenced_change_failure_rate",),
    ("rollbacks",),
    ("hotfixes",),
    ("rework_rate",),
    ("recovery_median_hours",),
    ("recovered_deployments",),
    ("mttr_hours",),
    ("resolved_incidents",),
    ("build_median_minutes",),
    ("flaky_build_rate",),
]

DASH = "–"
VOID = {"meta", "link", "col", "br"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if child.tag == tag and attributes.items() <= child.attributes.items():
                    found.append(child)
                found += child.all(tag, **attributes)
        return found

    def one(self, tag: str, **attributes: str) -> Element:
        [element] = self.all(tag, **attributes)
        return element

    @property
    def text(self) -> str:
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return re.sub(r"[ \n]+", " ", "".join(parts)).strip()


class StrictParser(HTMLParser):
    """Refuses what a browser would repair: a wrong or missing end tag, a repeated attribute or id."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self.open = [self.root]
        self.ids: set[str] = set()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"<{tag}> repeats an attribute"
        if "id" in attributes:
            assert attributes["id"] not in self.ids, f"id {attributes['id']} twice"
            assert not re.search(r"\s", attributes["id"])
            self.ids.add(attributes["id"])
        element = Element(tag, attributes)
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag, f"</{tag}> at line {self.getpos()[0]} closes another element"

    def handle_data(self, data):
        self.open[-1].children.append(data)


def parse(page: Path) -> Element:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>\n")
    parser = StrictParser()
    parser.feed(text)
    parser.close()
    assert parser.open == [parser.root]
    for element in parser.root.all("a"):
        assert element.attributes["href"].removeprefix("#") in parser.ids, element.attributes["href"]
    for element in (*parser.root.all("section"), *parser.root.all("svg")):
        assert set(element.attributes["aria-labelledby"].split()) <= parser.ids
    return parser.root


def month(number: int) -> date:
    """The first day of the month so many months after January 2018."""
    return date(2018 + number // 12, number % 12 + 1, 1)


def row(service: str, number: int, **values) -> dict:
    """A month of ordinary values; `values` replaces some."""
    return {
        "month": month(number),
        "team": "Web",
        "service": service,
        "component_kind": "node_service",
        "is_complete": True,
        "is_provisional": False,
        "deployments": 20 + number % 7,
        "deployments_per_day": 0.643 + number % 7 / 30,
        "rollbacks": 1,
        "redeploys": 2,
        "hotfixes": 3,
        "unplanned_deployments": 4,
        "rework_rate": 0.19,
        "changes": 1234 + number,
        "lead_time_changes": 1200 + number,
        "lead_time_median_hours": 7.77 * (1 + number % 5),
        "lead_time_p90_hours": 49.3 + number,
        "lead_time_coverage_rate": 0.9731,
        "slowest_segment": "merge_to_build",
        "failed_deployments": 2,
        "change_failure_rate": 2 / (20 + number % 7),
        "change_failure_rate_low": 0.0123,
        "change_failure_rate_high": 0.3012,
        "recovered_deployments": 1,
        "recovery_median_hours": 0.4321,
        "resolved_incidents": 5,
        "mttr_hours": 3.21,
        "evidenced_change_failure_rate": 0.0456,
        "build_median_minutes": 5.5,
        "flaky_build_rate": 0.0321,
        "good_lcp_rate": None,
        "reported_profile": "plumbline",
        "reported_deployments_per_day": 0.11,
        "reported_lead_time_hours": 12.3,
        "reported_change_failure_rate": 1.25,
        "reported_recovery_hours": None,
        **{metric.trend: "inconclusive" for metric in JUDGED},
        **{metric.band: None for metric in JUDGED if metric.band},
        "lead_time_dora_band": "high or medium",
        "dora_report_year": 2024,
    } | values


def trend(service: str, number: int, metric: str, **values) -> dict:
    return {
        "service": service,
        "month": month(number),
        "metric": metric,
        "baseline_mean": None if metric == "good_lcp_rate" else 0.5,
        "lower_limit": None if metric == "good_lcp_rate" else 0.25,
        "upper_limit": None if metric == "good_lcp_rate" else 0.75,
        "verdict": "baselining" if metric == "good_lcp_rate" else "inconclusive",
        "paired_metric": "good_lcp_rate" if metric == "lead_time_median_hours" else None,
        "paired_verdict": None,
        "is_trade": False,
    } | values


UNKNOWN_LEAD_TIME = {
    "lead_time_changes": 0,
    "lead_time_median_hours": None,
    "lead_time_p90_hours": None,
    "lead_time_coverage_rate": None,
    "slowest_segment": None,
}

EVIL = "<script>alert('x')</script> & \"friends\""

ORGANISATION = [
    *(row("storefront", number, is_complete=number < 99, is_provisional=number == 99) for number in range(100)),
    row("zebra-worker", 98, team="Payments", deployments=999),
    *(row("api", number, team="Payments", deployments=number, **UNKNOWN_LEAD_TIME) for number in range(90, 94)),
    row(EVIL, 97, team="Payments"),
]


def settings_in(folder: Path) -> Settings:
    return Settings(config_file=folder / "plumbline.yaml", data_dir=folder, sources=())


def publish(
    folder: Path,
    rows: list[dict],
    trends: dict[str, dict] | None = None,
    bands: list[tuple] = BANDS,
    without_comment: str | None = None,
) -> Settings:
    """Publish these months; `trends` replaces values of the verdicts of a metric, in every month and service."""
    settings = settings_in(folder)
    settings.published_dir.mkdir(parents=True, exist_ok=True)
    settings.published_file.unlink(missing_ok=True)
    verdicts = [
        trend(each["service"], month_number(each["month"]) - month_number(month(0)), metric.source)
        | (trends or {}).get(metric.source, {})
        for each in rows
        for metric in JUDGED
    ]
    tables = {
        "delivery_monthly": (COLUMNS, [[each[name] for name in COLUMNS] for each in rows]),
        "monthly_trends": (TREND_COLUMNS, [[each[name] for name in TREND_COLUMNS] for each in verdicts]),
        "dora_bands": (BAND_COLUMNS, bands),
    }
    with duckdb.connect(settings.published_file) as connection:
        for table, (columns, values) in tables.items():
            connection.execute(f"create table {table} ({', '.join(f'{name} {t}' for name, t in columns.items())})")
            if values:
                connection.executemany(f"insert into {table} values ({', '.join('?' * len(columns))})", values)
            for name in columns.keys() - {without_comment}:
                connection.execute(f"comment on column {table}.{name} is 'What {name} means: a < b & c.'")
    as_of = "2026-04-21T15:47:12.345678" if rows else None
    settings.manifest_file.write_text(json.dumps({"as_of": as_of}), encoding="utf-8")
    return settings


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return write_report(publish(tmp_path_factory.mktemp("report"), ORGANISATION))


@pytest.fixture(scope="module")
def document(page) -> Element:
    return parse(page)


def sections(document: Element) -> dict[str, Element]:
    return {section.one("h3").text: section for section in document.all("section", **{"class": "service"})}


def body_rows(element: Element) -> list[Element]:
    """The lines of a table of months, or of those of a section."""
    tables = [element] if element.tag == "table" else element.all("table", **{"class": "months"})
    return [line for table in tables for body in table.all("tbody") for line in body.all("tr")]


def shown_verdicts(section: Element) -> dict[str, list[str]]:
    """Cells of a service's verdicts by the name of their metric."""
    [body] = section.one("table", **{"class": "verdicts"}).all("tbody")
    return {line.one("th").text: [cell.text.replace(SPACE, " ") for cell in line.all("td")] for line in body.all("tr")}


def shown_months(section: Element) -> dict[str, list[str]]:
    """Cells by the name of their month, as in “Apr 2026”."""
    return {line.one("th").text[:8]: [cell.text for cell in line.all("td")] for line in body_rows(section)}


def number_in(text: str) -> tuple[float, float]:
    """The value that a cell shows, in the unit of the table, and half of its last digit."""
    digits, unit = re.fullmatch(r"([\d,.]+)\s?(\S*)", text).groups()
    scale = {"": 1, "%": 1 / 100, "min": 1 / 60, "h": 1, "d": 24}[unit]
    decimals = len(digits.partition(".")[2])
    return float(digits.replace(",", "")) * scale, 0.5 * 10**-decimals * scale


def assert_shows(text: str, value: float) -> None:
    shown, tolerance = number_in(text)
    assert shown == pytest.approx(value, abs=tolerance * 1.000001), text


def test_every_number_of_the_page_is_the_tables(document):
    services = sections(document)
    assert {name: len(body_rows(section)) for name, section in services.items()} == {
        "storefront": 100,
        "zebra-worker": 1,
        "api": 4,
        EVIL: 1,
    }
    for expected in ORGANISATION:
        cells = shown_months(services[expected["service"]])[f"{expected['month']:%b %Y}"]
        for text, names in zip(cells, CELLS, strict=True):
            values = [expected[name] for name in names]
            if None in values:
                assert text == DASH
            elif names == ("build_median_minutes",):
                assert_shows(text, values[0] / 60)
            elif names == ("slowest_segment",):
                assert text == "merge→build"
            elif len(names) == 2:
                low, high = text.split(DASH)
                assert_shows(f"{low} %", values[0])
                assert_shows(high, values[1])
            else:
                assert_shows(text, values[0])


def test_what_is_not_known_is_a_dash_and_never_a_zero(document):
    section = sections(document)["api"]
    for cells in shown_months(section).values():
        by_column = dict(zip(CELLS, cells, strict=True))
        for name in UNKNOWN_LEAD_TIME.keys() - {"lead_time_changes"}:
            assert by_column[(name,)] == DASH
    lead_time = section.all("figure")[1]
    assert lead_time.one("b").text == DASH
    assert not lead_time.all("circle")
    assert "never stands for zero" in document.one("main").text


def test_a_month_that_is_not_final_is_marked_hollow_and_compared_with_nothing(document):
    section = sections(document)["storefront"]
    newest, *others = body_rows(section)
    assert newest.one("th").text == "Apr 2026 so far"
    assert newest.attributes == {"class": "open"}
    assert not any(line.attributes for line in others)
    for figure in section.all("figure"):
        assert "Mar 2026" in figure.one("figcaption").text
        assert "Apr 2026" not in figure.one("figcaption").text
        [hollow] = figure.all("g", **{"class": "open"})
        assert hollow.one("title").text.startswith("Apr 2026 so far: ")
    last_joined = section.one("path", **{"class": "line"}).attributes["d"].split("L")[-1].split()[0]
    assert float(last_joined) < float(section.all("figure")[1].all("circle")[-1].attributes["cx"])


def test_a_finished_month_that_late_data_may_change_is_marked_provisional(tmp_path):
    rows = [row("api", 1), row("api", 2, is_provisional=True)]
    section = sections(parse(write_report(publish(tmp_path, rows))))["api"]
    assert [line.one("th").text for line in body_rows(section)] == ["Mar 2018 provisional", "Feb 2018"]
    assert section.all("figcaption")[0].text.startswith("Deployments21 Feb 2018")


def test_the_last_final_month_has_its_verdicts_with_what_they_rest_on(tmp_path):
    rows = [row("api", 1), row("api", 2, change_failure_rate=0.051), row("api", 3, is_provisional=True)]
    trends = {"change_failure_rate": {"verdict": "improving"}}
    section = sections(parse(write_report(publish(tmp_path, rows, trends))))["api"]
    verdicts = section.one("table", **{"class": "verdicts"})
    assert verdicts.one("caption").text.startswith("Mar 2018 and the month before")
    shown = shown_verdicts(section)
    # Without web vitals there is nothing to compare.
    assert list(shown) == [metric.label for metric in JUDGED[:-1]]
    assert shown["Change failure rate"] == ["5.1 %", "improving", "50.0 %", "25.0 % to 75.0 %", DASH]
    assert shown["Lead time, median"] == ["23.3 h", "inconclusive", "30 min", "15 min to 45 min", "high or medium"]


def test_an_improvement_beside_a_worse_pair_is_called_a_trade(tmp_path):
    traded = {"verdict": "improving", "paired_verdict": "worsening", "is_trade": True}
    trends = {"lead_time_median_hours": traded, "good_lcp_rate": {"verdict": "worsening", "baseline_mean": 0.9}}
    section = sections(parse(write_report(publish(tmp_path, [row("web", 1)], trends))))["web"]
    shown = shown_verdicts(section)
    assert shown["Lead time, median"][1] == "improving, a trade: Page views with a good LCP worsening"
    assert shown["Page views with a good LCP"] == [DASH, "worsening", "90.0 %", DASH, DASH]


def test_what_another_tool_reports_stands_there_only_if_its_profile_is_in_use(document, tmp_path):
    heading = "As devlake reports"
    assert heading not in document.text
    section = sections(parse(write_report(publish(tmp_path, [row("api", 1, reported_profile="devlake")]))))["api"]
    assert heading in [each.text for each in section.one("table", **{"class": "verdicts"}).all("th")]
    shown = {metric: cells[-1] for metric, cells in shown_verdicts(section).items()}
    assert shown["Lead time, median"] == "12.3 h"
    assert shown["Change failure rate"] == "125.0 %"
    assert shown["Recovery, median"] == shown["MTTR, mean"] == DASH


def test_the_page_says_how_many_verdicts_chance_alone_would_give(document, tmp_path):
    # Four services with a final month, five metrics each that have a baseline.
    assert "Of the 20 verdicts here that have a baseline, chance alone would call at most about 0.2" in document.text
    trends = {metric.source: {"verdict": "baselining"} for metric in JUDGED}
    assert "chance alone would call" not in parse(write_report(publish(tmp_path, [row("api", 1)], trends))).text


def test_the_bands_of_the_year_stand_there_with_their_caveats(document, tmp_path):
    [lines] = document.one("table", **{"class": "bands"}).all("tbody")
    assert [[cell.text for cell in line.all("td")] for line in lines.all("tr")] == [
        ["elite", "Less than one day", "A caveat <b>"],
        ["high", "Between one day and one week", DASH],
    ]
    without = parse(write_report(publish(tmp_path, [row("api", 1, dora_report_year=2025)])))
    assert not without.all("table", **{"class": "bands"})
    assert "DORA" not in without.text.partition("Definitions")[0]


def test_the_year_before_leaves_out_older_months_and_open_ones(tmp_path):
    deployments = [500, *[10, 12, 11, 14, 9, 13, 15, 10, 11, 12, 10, 17], 40, 700]
    rows = [row("api", n, deployments=count, is_complete=n < 14) for n, count in enumerate(deployments)]
    section = sections(parse(write_report(publish(tmp_path, rows))))["api"]
    assert section.all("figcaption")[0].text == "Deployments40 Feb 2019, monthly 9 to 17 in the year before"


def test_every_heading_leads_to_the_published_definition(document):
    tables = document.all("table", **{"class": "months"})
    assert len(tables) == 5
    entries = {entry.attributes["id"]: entry.one("dd").text for entry in document.one("dl").all("div")}
    assert entries == {name: f"What {name} means: a < b & c." for name in COLUMNS}
    for table in tables:
        links = [link.attributes["href"][1:] for heading in table.one("thead").all("th") for link in heading.all("a")]
        assert links == [names[0] for names in CELLS]


def test_thirteen_months_are_in_view_and_the_earlier_ones_fold(document):
    section = sections(document)["storefront"]
    folded = section.one("details")
    assert folded.one("summary").text == "Earlier months: Jan 2018 to Mar 2025"
    assert "open" not in folded.attributes
    assert len(body_rows(folded)) == 87
    names = [line.one("th").text[:8] for line in body_rows(section)]
    assert names == [f"{month(number):%b %Y}" for number in reversed(range(100))]
    assert not sections(document)["api"].all("details")


def test_services_stand_by_team_and_name_whatever_their_figures(document):
    assert list(sections(document)) == [EVIL, "api", "zebra-worker", "storefront"]
    contents = [link.text for link in document.one("nav").all("a")]
    entries = ["What users experience", "What was promised, and who was woken", "How work is assessed"]
    assert contents == [*sections(document), *entries]
    teams = [heading.text for heading in document.all("h2")]
    assert teams == [
        "How to read this page",
        "Services",
        "Payments",
        "Web",
        "What users experience",
        "What was promised, and who was woken",
        "How work is assessed",
        "DORA bands of 2024",
        "Definitions",
    ]


def test_a_name_made_of_markup_is_only_text(page, document):
    assert not document.all("script")
    assert EVIL in sections(document)
    assert "<script" not in page.read_text(encoding="utf-8")


def test_the_page_needs_no_network_and_no_script(page, document):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r'\b(?:src|srcset|href|action|data|poster)="([^"]*)"', text)
    assert targets
    assert {target[0] for target in targets if target != "data:,"} == {"#"}
    assert not re.search(r"https?:|@import|url\(| on[a-z]+=", text)
    policy = document.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    assert policy.startswith("default-src 'none';")


def test_the_same_data_give_the_same_bytes_in_any_order_of_rows(tmp_path, page):
    again = write_report(publish(tmp_path, ORGANISATION[::-1]))
    assert again.read_bytes() == page.read_bytes()
    assert [file.name for file in again.parent.iterdir()] == ["index.html"]


def test_the_page_states_the_watermark_of_its_data(document):
    assert document.one("time").attributes["datetime"] == "2026-04-21T15:47Z"
    assert document.one("p", **{"class": "lead"}).text == "Data up to 21 April 2026, 15:47 UTC."


def test_without_a_service_the_page_says_so(tmp_path):
    document = parse(write_report(publish(tmp_path, [], bands=[])))
    assert "No service has a month on record yet" in document.one("main").text
    assert document.one("p", **{"class": "lead"}).text == "No data yet."
    rules = document.one("section", **{"aria-labelledby": "rules"})
    assert document.all("table") == rules.all("table")


def test_a_service_without_a_final_month_has_nothing_to_hold_against(tmp_path):
    settings = publish(tmp_path, [row("new", 3, is_complete=False, team=None, component_kind=None)])
    document = parse(write_report(settings))
    section = sections(document)["new"]
    assert [caption.one("span").text for caption in section.all("figcaption")] == ["no final month yet"] * 3
    assert "No team" in [heading.text for heading in document.all("h2")]
    assert "None" not in document.one("main").text


def test_a_service_that_moved_stays_one_under_its_present_team(tmp_path):
    rows = [row("api", 1, team="Core"), row("api", 2, team="Web")]
    section = sections(parse(write_report(publish(tmp_path, rows))))["api"]
    assert section.one("p").text == "node service; earlier with Core"
    assert len(body_rows(section)) == 2


def test_tables_and_charts_can_be_read_aloud(document):
    for table in document.all("table"):
        assert table.one("caption").text
        assert {heading.attributes["scope"] for heading in table.all("th")} >= {"col", "row"}
    for table in document.all("table", **{"class": "months"}):
        assert {heading.attributes["scope"] for heading in table.all("th")} == {"col", "colgroup", "row"}
        widths = [1 + sum(int(group.attributes.get("span", 1)) for group in table.all("colgroup")[1:])]
        widths += [len(line.all("th") + line.all("td")) for line in body_rows(table)]
        assert set(widths) == {len(CELLS) + 1}
    for drawing in document.all("svg"):
        assert drawing.attributes["role"] == "img"
        named = [element for tag in ("title", "desc") for element in drawing.all(tag) if "id" in element.attributes]
        assert " ".join(element.attributes["id"] for element in named) == drawing.attributes["aria-labelledby"]


def test_text_stands_out_from_the_paper_in_light_and_dark(page):
    def luminance(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        channels = [part / 255 for part in bytes.fromhex(digits)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    palettes = re.findall(r":root \{([^}]*)\}", page.read_text(encoding="utf-8"))
    assert len(palettes) == 3
    for palette in palettes:
        colours = {name: luminance(value) for name, value in re.findall(r"--(\w+): #(\w{3}|\w{6});", palette)}
        for name in ("ink", "quiet", "accent"):
            darker, lighter = sorted([colours[name], colours["paper"]])
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (palette, name)


def test_without_a_publication_the_report_says_what_to_do(tmp_path):
    with pytest.raises(PlumblineError, match="nothing is published yet; start `plumbline run`"):
        write_report(settings_in(tmp_path))
    settings = publish(tmp_path, [])
    settings.manifest_file.unlink()
    with pytest.raises(PlumblineError, match=r"manifest\.json.*nothing is published yet"):
        write_report(settings)


def test_a_column_that_nobody_explains_is_refused(tmp_path):
    with pytest.raises(PlumblineError, match="does not explain mttr_hours"):
        write_report(publish(tmp_path, ORGANISATION, without_comment="mttr_hours"))


def test_a_publication_without_a_column_is_refused(tmp_path):
    settings = publish(tmp_path, ORGANISATION)
    with duckdb.connect(settings.published_file) as connection:
        connection.execute("alter table delivery_monthly drop column redeploys")
    with pytest.raises(PlumblineError, match="delivery_monthly lacks redeploys"):
        write_report(settings)


@given(st.floats(min_value=0, max_value=1e6))
def test_hours_read_back_as_what_they_were(value):
    text = hours(value)
    if text.startswith("<"):
        assert 0 < value < 1 / 60
    else:
        assert_shows(text, value)
        assert number_in(text)[0] > 0 or value == 0


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_rate_reads_as_none_or_all_only_if_it_is(part, whole):
    value = min(part, whole) / whole
    text = percent(value)
    if text[0] in "<>":
        assert 0 < value < 0.0005 if text[0] == "<" else 0.9995 <= value < 1
    else:
        assert_shows(text, value)
        assert (number_in(text)[0] in (0, 1)) == (value in (0, 1))


def point(number: int, value: float, is_final: bool = True) -> Point:
    return Point(month(number), value, is_final, tip="", bounds=())


def test_a_month_without_a_value_interrupts_the_line():
    points = [point(n, value=1) for n in (0, 1, 3, 4)] + [point(5, 1, is_final=False)]
    line = Chart(month(0), month(5), points, top=2).line
    assert re.findall("[ML]", line) == ["M", "L", "M", "L"]


@given(st.lists(st.floats(min_value=0, max_value=1e5), min_size=1, max_size=150))
def test_marks_stay_in_the_plot_in_order_and_to_scale(values):
    top = round_up(max(*values, 1))
    marks = Chart(month(0), month(len(values) - 1), [point(n, value) for n, value in enumerate(values)], top).marks
    assert [mark.index for mark in marks] == list(range(len(values)))
    for mark, value in zip(marks, values, strict=True):
        assert charts.LEFT <= mark.left < mark.middle < charts.RIGHT
        assert (charts.BOTTOM - mark.y) / (charts.BOTTOM - charts.TOP) == pytest.approx(value / top, abs=0.001)
        assert not mark.is_beyond


def test_one_extreme_month_does_not_flatten_the_others():
    usual = [20.0 + number for number in range(30)]
    assert highest_drawn([*usual, 5000.0]) == 49
    assert highest_drawn([*usual, 90.0]) == 90
    assert highest_drawn([1.0, 5000.0]) == 5000
    chart = Chart(month(0), month(30), [point(n, value) for n, value in enumerate([*usual, 5000.0])], top=50)
    assert [mark.is_beyond for mark in chart.marks] == [False] * 30 + [True]
    assert chart.marks[-1].y == charts.TOP


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_the_scale_ends_little_above_its_highest_value(value):
    assert value * (1 - 1e-9) <= round_up(value) <= 1.5 * value * (1 + 1e-9)


@given(st.floats(min_value=1e-3, max_value=1e5))
def test_the_label_of_a_scale_in_hours_is_its_end_to_the_digit(highest):
    top = top_of_scale(highest, LEAD_TIME)
    assert highest * (1 - 1e-9) <= top
    assert number_in(hours(top))[0] == pytest.approx(top)


@given(st.integers(0, 600), st.integers(1, 400))
def test_month_labels_never_crowd(first, months):
    chart = Chart(month(first), month(first + months - 1), [], top=1)
    places = [place for place, _ in chart.month_labels]
    assert 1 <= len(places) <= 8
    assert all(later - earlier >= 30 for earlier, later in pairwise(places))
