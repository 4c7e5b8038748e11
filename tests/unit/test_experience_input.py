"""What browsers, collectors and servers send becomes rows; what they should not have sent is kept nowhere."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl
import pytest
from conftest import SHARED
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dagster_project import load_files
from dagster_project.contexts import insert_rows
from dagster_project.contracts import RUM_EVENTS
from dagster_project.errors import ConfigurationError
from dagster_project.extract import landing as landing_module
from dagster_project.extract import landing_formats
from dagster_project.extract.bodies import time_of
from dagster_project.extract.landing import extract
from dagster_project.extract.landing_formats import BODIES, LandedFile, _LinesOfRows, _nth, filled_lines, json_text
from dagster_project.load_files import settle
from dagster_project.settings import LandingSource, load_settings
from dagster_project.warehouse import Warehouse, stored_columns

# The tables that hold beacons.
STORED = [*stored_columns(RUM_EVENTS)]
PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36"
BEACON = {
    "name": "LCP",
    "value": 2504.2,
    "id": "v5-1718000000000-1",
    "delta": 2504.2,
    "rating": "needs-improvement",
    "navigationType": "navigate",
    "service": "web",
    "occurred_at": "2024-03-01T12:00:00.000Z",
    "session_id": "s1",
    "url": "https://shop.example/orders/4711?token=hush-hush#top",
    "user_agent": PHONE,
    "ip": "203.0.113.77",
    "country": "DE",
}
VITAL = {
    "service": "web",
    "occurred_at": "2024-03-01T12:00:00Z",
    "event_type": "vital",
    "session_id": "s1",
    "metric_name": "LCP",
    "metric_value": 2500,
}


class Landing:
    """A landing folder; `take` extracts it once and gives the counts (read, loaded, duplicate, quarantined)."""

    def __init__(self, settings, connection) -> None:
        self.folder = settings.data_dir / "landing"
        self.folder.mkdir(parents=True)
        self.settings = settings
        self.connection = connection
        self.warnings: list[str] = []

    def put(self, name: str, *lines: object) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")

    def take(self, **changes) -> list[tuple[int, int, int, int]]:
        source = LandingSource(kind="landing", location=str(self.folder), settle_seconds=0)
        batches = extract(source, self.settings.model_copy(update=changes), self.connection)
        self.warnings = [warning for batch in batches for warning in batch.warnings]
        return [(batch.read, batch.loaded, batch.duplicate, batch.quarantined) for batch in batches]

    def rows(self, query: str) -> list[tuple]:
        return self.connection.sql(query).fetchall()

    def reasons(self) -> list[str]:
        return [reason for (reason,) in self.rows("select reason from raw.quarantine order by rowid")]


@pytest.fixture
def landing(settings, connection) -> Landing:
    return Landing(settings, connection)


def payload(*parts: str) -> str:
    file = SHARED.joinpath("payloads", *parts)
    if not file.exists():
        pytest.skip("the recorded payloads are not beside this checkout")
    return file.read_text(encoding="utf-8")


# Our own beacons


def test_a_beacon_as_web_vitals_makes_it_is_a_vital(landing):
    landing.put("rum_events/a.ndjson", BEACON)
    assert landing.take() == [(1, 1, 0, 0)]
    assert landing.rows(
        "select event_type, metric_name, metric_value, navigation_type, route, device_class, country, "
        "metric_id = hash('v5-1718000000000-1') from raw.rum_events"
    ) == [("vital", "LCP", 2504.2, "navigate", "/orders/:id", "mobile", "DE", True)]


@pytest.mark.parametrize("others", [0, 60])
def test_addresses_user_agents_and_queries_are_stored_nowhere(settings, monkeypatch, others):
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    with Warehouse(settings).connect() as connection:
        landing = Landing(settings, connection)
        landing.put(
            "rum_events/a.ndjson",
            BEACON,
            BEACON | {"value": "fast", "release": "ada@example.org"},
            BEACON | {"country": {"ip": "203.0.113.77"}},
            *(BEACON | {"session_id": f"other {number}"} for number in range(others)),
        )
        landing.put("rum_events/faro/a.ndjson", faro({"exceptions": [{"timestamp": "yesterday"}]}))
        assert landing.take() == [(3 + others, 1 + others, 0, 2), (1, 0, 0, 1)]
        connection.execute("checkpoint")
    content = settings.warehouse_file.read_bytes()
    for secret in (b"203.0.113.77", b"Pixel 8", b"hush-hush", b"shop.example", b"4711", b"ada@example.org"):
        assert secret not in content


def test_beacons_are_the_same_as_ndjson_csv_parquet_and_in_batches(landing, connection):
    rows = [BEACON | {"id": f"v5-{number}"} for number in range(3)]
    landing.put("rum_events/a.ndjson", *rows)
    landing.put("rum_events/batch/b.ndjson", rows[:2], rows[2:])
    frame = pl.DataFrame(rows)
    frame.write_csv(landing.folder / "rum_events/c.csv")
    frame.write_parquet(landing.folder / "rum_events/d.parquet")
    assert landing.take() == [(3, 3, 0, 0), *[(3, 0, 3, 0)] * 3]


def test_a_column_wins_over_the_field_that_would_fill_it(landing):
    row = BEACON | {"route": "/orders/:number", "device_class": "tablet", "metric_value": 7, "event_type": "vital"}
    landing.put("rum_events/a.ndjson", row)
    landing.take()
    assert landing.rows("select route, device_class, metric_value from raw.rum_events") == [
        ("/orders/:number", "tablet", 7.0)
    ]


def test_several_reports_of_one_metric_are_all_kept_for_the_models(landing):
    later = {"value": 3000, "occurred_at": "2024-03-01T12:00:05.000Z"}
    landing.put("rum_events/a.ndjson", BEACON, BEACON | later, BEACON)
    assert landing.take() == [(3, 2, 1, 0)]
    assert landing.rows("select count(distinct metric_id), count(distinct event_id) from raw.rum_events") == [(1, 2)]


# Faro


def faro(content: dict, **meta) -> dict:
    return {
        "meta": {
            "app": {"name": "web", "version": "1.2.3", "environment": "production"},
            "session": {"id": "s1"},
            "page": {"url": "https://shop.example/orders/4711?token=hush-hush"},
            "browser": {"userAgent": PHONE, "mobile": True},
            "user": {"email": "ada@example.org"},
            **meta,
        }
    } | content


AT = {"timestamp": "2024-03-01T12:00:00.000Z"}


def test_the_parts_of_a_faro_body_become_events(landing, caplog):
    caplog.set_level("INFO")
    vital = AT | {
        "type": "web-vitals",
        "values": {"lcp": 2504.2, "delta": 2504.2, "time_to_first_byte": 90},
        "context": {"id": "v5-1", "rating": "good", "navigation_type": "reload", "navigation_entry_id": "n1"},
        "trace": {"trace_id": "ABCD", "span_id": "1"},
    }
    body = faro(
        {
            "measurements": [vital, AT | {"type": "custom", "values": {"cart_items": 3}}],
            "exceptions": [AT | {"type": "Error", "value": "ada@example.org", "context": {"component": "Cart"}}],
            "events": [
                AT | {"name": "session_start"},
                AT | {"name": "faro.performance.navigation", "attributes": {"faroNavigationId": "n1"}},
                AT
                | {
                    "name": "route_change",
                    "attributes": {"toUrl": "https://shop.example/cart/?a=1", "success": "true"},
                },
                AT | {"name": "click_buy"},
                AT | {"name": "clickstream_loaded"},
                AT | {"name": "journey_step", "attributes": {"step": "shipping", "is_success": "false"}},
                AT | {"name": "accessibility_check", "attributes": {"step": "image-alt", "is_success": "true"}},
                AT | {"name": "payment", "attributes": {"is_success": "false", "is_retry_visible": "true"}},
            ],
            "logs": [AT | {"message": "hello"}],
        }
    )
    landing.put("rum_events/faro/a.json", json.dumps(body, indent=2))
    assert landing.take() == [(8, 8, 0, 0)]
    assert landing.rows("""
        select event_type, route, step, is_success, metric_name, metric_value, component, device_class, release,
            is_authenticated from raw.rum_events order by event_type::varchar, step
    """) == [
        (kind, route, step, success, metric, value, component, "mobile", "1.2.3", True)
        for kind, route, step, success, metric, value, component in (
            ("accessibility_check", "/orders/:id", "image-alt", True, None, None, None),
            ("error", "/orders/:id", None, None, None, None, "Cart"),
            ("interaction", "/orders/:id", "click_buy", None, None, None, None),
            ("journey_step", "/orders/:id", "shipping", False, None, None, None),
            ("page_view", "/orders/:id", None, None, None, None, None),
            ("payment", "/orders/:id", None, False, None, None, None),
            ("route_change", "/cart", None, True, None, None, None),
            ("vital", "/orders/:id", None, None, "LCP", 2504.2, None),
        )
    ]
    page, vital_page = landing.rows("select page_view_id from raw.rum_events where page_view_id is not null")
    assert page == vital_page
    assert "left out, since they are no rum_events: 2 events, 1 logs, 1 measurements" in caplog.text


def test_a_body_of_another_environment_is_left_out(landing):
    landing.put("rum_events/faro/a.ndjson", faro({"exceptions": [AT]}, app={"name": "web", "environment": "staging"}))
    assert landing.take() == [(0, 0, 0, 0)]


def test_an_event_that_breaks_its_contract_is_found_by_line_and_place(landing):
    landing.put("rum_events/faro/a.ndjson", faro({"exceptions": [AT]}), faro({"exceptions": [AT, {}]}), "{", [1])
    assert landing.take() == [(5, 1, 1, 3)]
    places = [
        place.split(" (byte")[0] + place.split(")")[1] for (place,) in landing.rows("select place from raw.quarantine")
    ]
    assert places == ["rum_events/faro/a.ndjson:2, exceptions[1]", *(f"rum_events/faro/a.ndjson:{n}" for n in (3, 4))]
    assert landing.reasons()[2].startswith("not a Faro body")


@pytest.mark.parametrize("name", ["alloy_payload.json", "alloy_payload_2.json"])
def test_a_recorded_faro_body_is_read(landing, name):
    landing.put("rum_events/faro/a.json", payload("faro", name))
    clicks = 2 if name == "alloy_payload.json" else 0
    assert landing.take() == [(2 + clicks, 2 + clicks, 0, 0)]
    assert landing.rows(
        "select service, release, route, metric_value from raw.rum_events where metric_name = 'TTFB'"
    ) == [("testapp", "abcdefg", "/page", 14.0)]
    assert landing.rows("select count(*) from raw.rum_events where event_type = 'error'") == [(1,)]
    assert landing.rows("select distinct device_class from raw.rum_events") == [("desktop",)]


# OTLP


def attributes(**given) -> list[dict]:
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return [
        {"key": key.replace("__", "."), "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
        for key, value in given.items()
    ]


def logs(*records: dict, **resource) -> dict:
    given = attributes(service__name="web", service__version="1.2.3", **resource)
    return {"resourceLogs": [{"resource": {"attributes": given}, "scopeLogs": [{"logRecords": list(records)}]}]}


def record(name: str, **given) -> dict:
    return {
        "eventName": name,
        "timeUnixNano": "1709294400123456789",
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "attributes": attributes(session__id="s1", **given),
    }


def spans(*given: dict, service: str = "api") -> dict:
    resource = attributes(service__name=service, service__version="abc")
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": list(given)}]}]}


def span(number: int = 1, kind: int = 2, **given) -> dict:
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": f"{number:016x}",
        "kind": kind,
        "startTimeUnixNano": "1709294400000000000",
        "endTimeUnixNano": "1709294400012500000",
        "attributes": attributes(**given),
        "status": {},
    }


GET = {"http__request__method": "GET", "http__route": "/orders/:id", "http__response__status_code": 200}


def test_otlp_browser_events_become_events(landing):
    vital = record("browser.web_vital") | {
        "body": {"kvlistValue": {"values": attributes(name="LCP", value=2504.2, id="v5-1", navigationType="reload")}}
    }
    landing.put(
        "rum_events/otlp/a.ndjson",
        logs(
            vital,
            record("browser.page_view", type=0, url="https://shop.example/orders/4711"),
            record("browser.page_view", type=1, url="https://shop.example/cart"),
            record("exception", exception__type="Error", exception__message="ada@example.org"),
            record("browser.user_action", step="buy"),
            record("device.crash"),
            user_agent__original=PHONE,
        ),
    )
    assert landing.take() == [(5, 5, 0, 0)]
    assert landing.rows(
        "select event_type, route, metric_value, step, device_class, release from raw.rum_events "
        "order by event_type::varchar"
    ) == [
        ("error", None, None, None, "mobile", "1.2.3"),
        ("interaction", None, None, "buy", "mobile", "1.2.3"),
        ("page_view", "/orders/:id", None, None, "mobile", "1.2.3"),
        ("route_change", "/cart", None, None, "mobile", "1.2.3"),
        ("vital", None, 2504.2, None, "mobile", "1.2.3"),
    ]
    assert landing.rows("select distinct occurred_at from raw.rum_events") == [
        (datetime(2024, 3, 1, 12, 0, 0, 123456),)
    ]


def test_only_server_spans_of_http_become_requests(landing):
    landing.put(
        "requests/otlp/a.json",
        spans(
            span(1, **GET),
            span(2, kind=3, **GET),
            span(3, rpc__system="grpc"),
            span(4, **GET | {"http__response__status_code": 404}),
            span(5, http__request__method="POST", url__path="/orders/17", http__response__status_code=201),
            span(6, http__method="PURGE", http__status_code=503),
            span(7, http__request__method="GET"),
        ),
    )
    assert landing.take() == [(5, 5, 0, 0)]
    assert landing.rows("select route, method, status, duration_ms, release from raw.requests order by status") == [
        (None, "GET", 0, 12.5, "abc"),
        ("/orders/:id", "GET", 200, 12.5, "abc"),
        (None, "POST", 201, 12.5, "abc"),
        ("/orders/:id", "GET", 404, 12.5, "abc"),
        (None, "OTHER", 503, 12.5, "abc"),
    ]


def test_a_browser_step_and_its_api_write_share_their_ids_whatever_brings_them(landing):
    landing.put("rum_events/otlp/a.ndjson", logs(record("browser.user_action")))
    landing.put("requests/otlp/a.ndjson", spans(span(1, **GET, session__id="s1")))
    log_line = {"service": "api", "occurred_at": "2024-03-01T12:00:01Z", "status": 201, "session_id": "s1"}
    landing.put("requests/b.ndjson", log_line | {"trace_id": "5B8EFFF798038103D269B633813FC60C"})
    landing.take()
    assert landing.rows("select count(*) from raw.rum_events join raw.requests using (trace_id, session_id)") == [(2,)]


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        ("1709294400000000000", "1709294399000000000", "duration_ms: below 0"),
        ("soon", "1709294399000000000", "occurred_at: not a time in ISO 8601; duration_ms: not a finite number"),
        ("9" * 30, "9" * 30, "occurred_at: not a time in ISO 8601"),
        (None, None, "occurred_at: missing"),
    ],
)
def test_a_span_of_impossible_times_is_quarantined(landing, start, end, reason):
    landing.put("requests/otlp/a.ndjson", spans(span(**GET) | {"startTimeUnixNano": start, "endTimeUnixNano": end}))
    assert landing.take() == [(1, 0, 0, 1)]
    assert landing.reasons() == [reason]


def test_nanoseconds_may_be_strings_or_numbers():
    assert time_of(1709294400123456789) == time_of("1709294400123456789") == "2024-03-01T12:00:00.123456Z"
    assert time_of("0") is None


def test_recorded_otlp_is_read(landing):
    landing.put("rum_events/otlp/events.json", payload("otlp", "events.json"))
    landing.put("rum_events/otlp/logs.json", payload("otlp", "logs.json"))
    landing.put("rum_events/otlp/metrics.json", payload("otlp", "metrics.json"))
    landing.put("requests/otlp/trace.json", payload("otlp", "trace.json"))
    # A page view without a session; a log that is no event; no logs at all; a server span that is not HTTP.
    assert landing.take() == [(0, 0, 0, 0), (1, 0, 0, 1), (0, 0, 0, 0), (1, 0, 0, 1)]
    assert landing.reasons()[0] == "session_id: missing"


NAMES_IN_BODIES = [
    *("meta", "app", "events", "exceptions", "measurements", "values", "name", "lcp", "attributes", "context"),
    *("resource", "key", "value", "body", "kvlistValue", "resourceLogs", "scopeLogs", "logRecords", "resourceSpans"),
    *("scopeSpans", "spans", "stringValue", "kind", "startTimeUnixNano"),
]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(NAMES_IN_BODIES),
                inner,
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
@hypothesis_settings(max_examples=300, deadline=None)
def test_an_adapter_fails_over_no_body(body):
    for adapter in BODIES.values():
        with suppress(ValueError):
            assert all(row is None or isinstance(row, dict) for _, row in adapter(body))


# Routes


def rules(landing: Landing, *rows: str) -> None:
    file = landing.settings.reference_dir / "route_rules.csv"
    file.write_text("\n".join(("service,template", *rows)) + "\n", encoding="utf-8")


def test_the_templates_of_the_organisation_decide_first(landing):
    rules(landing, "web,/shoes/:slug", ",/404")
    landing.put("rum_events/a.ndjson", *(VITAL | {"route": r, "metric_id": r} for r in ("/shoes/red", "/404", "/503")))
    landing.take()
    assert landing.rows("select route from raw.rum_events order by all") == [("/404",), ("/:id",), ("/shoes/:slug",)]


@pytest.mark.parametrize(
    ("row", "says"), [("web,shoes", "a template starts with /"), ("web,/a/*/b", "only the end of a template may be *")]
)
def test_a_wrong_route_rule_is_a_wrong_configuration(landing, row, says):
    rules(landing, row)
    with pytest.raises(ConfigurationError, match=f"route_rules.csv line 2: .*{says[:20]}"):
        landing.take()


def test_routes_beyond_the_maximum_become_one_and_are_reported(landing):
    routes = ["/", "/", "/cart", *(f"/shoes/{name}" for name in ("red", "blue", "green", "black"))]
    landing.put("rum_events/a.ndjson", *(VITAL | {"route": r, "metric_id": str(n)} for n, r in enumerate(routes)))
    assert landing.take(maximum_routes=3) == [(7, 7, 0, 0)]
    kept = "select route, count(*) from raw.rum_events group by all order by all"
    assert landing.rows(kept) == [("(other)", 3), ("/", 2), ("/cart", 1), ("/shoes/black", 1)]
    assert landing.warnings == [
        "web: 3 routes beyond the first 3 became (other) in 3 rows; most are of the form /shoes/:name: add that "
        "template to route_rules.csv and let the files land again, or raise maximum_routes"
    ]
    # A known route stays one, another service has room of its own, and a new route has none.
    more = [VITAL | {"route": "/cart", "metric_id": "x"}, VITAL | {"route": "/new", "metric_id": "y"}]
    landing.put("rum_events/b.ndjson", *more, VITAL | {"route": "/new", "service": "admin"})
    landing.take(maximum_routes=3)
    assert landing.rows(kept) == [("(other)", 4), ("/", 2), ("/cart", 2), ("/new", 1), ("/shoes/black", 1)]


def test_with_its_template_the_files_that_land_again_get_their_route_back(landing):
    rows = [VITAL | {"route": f"/shoes/{name}", "metric_id": name} for name in ("red", "blue", "green")]
    landing.put("rum_events/a.ndjson", *rows)
    landing.take(maximum_routes=1)
    rules(landing, "web,/shoes/:slug")
    landing.put("rum_events/a.ndjson", *rows, VITAL)
    landing.take(maximum_routes=2)
    assert landing.rows("select route, count(*) from raw.rum_events group by all order by all") == [
        ("/shoes/:slug", 3),
        (None, 1),
    ]


# Bad input


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"component": "x" * 2**20}, "component: longer than 1000 characters"),
        ({"route": "/" + "a" * 10_000}, "route: longer than 1000 characters"),
        ({"metric_value": float("nan")}, "metric_value: not a finite number"),
        ({"metric_value": float("-inf")}, "metric_value: not a finite number"),
        ({"metric_value": -1}, "metric_value: below 0"),
        ({"sample_rate": 0}, "sample_rate: below 1e-06"),
        ({"occurred_at": (datetime.now(UTC) + timedelta(days=2)).isoformat()}, "occurred_at: in the future"),
        ({"occurred_at": "2001-01-01T00:00:00Z"}, "occurred_at: older than the retention of 10000 days"),
        ({"occurred_at": "0024-03-01T12:00:00Z"}, "occurred_at: before 1970"),
        ({"metric_name": "FID"}, "metric_name: not one of LCP, INP, CLS, FCP, TTFB"),
        ({"session_id": None}, "session_id: missing"),
        ({"route": "/" + "a" * 2000 + "1"}, None),
        ({"occurred_at": (datetime.now(UTC) + timedelta(hours=20)).isoformat()}, None),
        ({"event_type": "page_view", "metric_name": None, "metric_value": None}, None),
    ],
)
def test_a_beacon_out_of_bounds_is_quarantined_with_its_reason_and_the_others_are_loaded(landing, change, reason):
    days = (datetime.now(UTC) - datetime(2001, 1, 2, tzinfo=UTC)).days if reason and "10000" in reason else None
    landing.put("rum_events/a.ndjson", VITAL, VITAL | {"session_id": "s2"} | change)
    assert landing.take(retention_days=days) == [(2, 1, 0, 1) if reason else (2, 2, 0, 0)]
    assert landing.reasons() == ([reason.replace("10000", str(days))] if reason else [])


def test_deep_json_is_quarantined_by_place_and_its_neighbours_are_loaded(landing):
    deep = '{"service": ' + "[" * 100_000 + "]" * 100_000 + "}"
    landing.put("rum_events/a.ndjson", VITAL, deep, VITAL | {"session_id": "s2"})
    landing.put("rum_events/faro/b.ndjson", deep, faro({"exceptions": [AT]}))
    assert landing.take() == [(3, 2, 0, 1), (2, 1, 0, 1)]
    assert [place.split(" ")[0] for (place,) in landing.rows("select place from raw.quarantine")] == [
        "rum_events/a.ndjson:2",
        "rum_events/faro/b.ndjson:1",
    ]


def test_an_event_that_comes_late_or_twice_is_stored_once(landing):
    landing.put("rum_events/1.ndjson", VITAL | {"occurred_at": "2024-03-05T00:00:00Z"})
    landing.put("rum_events/2.ndjson", VITAL, VITAL)
    landing.put("rum_events/3.ndjson", VITAL, VITAL | {"occurred_at": "2024-03-09T00:00:00Z"})
    assert landing.take() == [(1, 1, 0, 0), (2, 1, 1, 0), (2, 1, 1, 0)]


def test_the_same_id_at_another_time_is_another_event(landing):
    row = VITAL | {"event_id": "e1"}
    landing.put("rum_events/a.ndjson", row, row | {"occurred_at": "2024-03-02T12:00:00Z"}, row)
    assert landing.take() == [(3, 2, 1, 0)]


def test_a_warehouse_that_was_hashed_otherwise_is_refused(settings):
    with Warehouse(settings).connect() as connection:
        connection.execute("update raw.hash_function set probe = probe + 1")
    with pytest.raises(ConfigurationError, match="hashes otherwise"), Warehouse(settings).connect():
        pass


@given(st.lists(st.sampled_from([b"{}", b'{"a": 1}', b"", b" ", b"\t\r", b" {}", b"x" * 40]), max_size=30), st.data())
@hypothesis_settings(max_examples=200, deadline=None)
def test_places_are_found_without_a_look_at_each_line(tmp_path_factory, lines, data):
    path = Path(tmp_path_factory.getbasetemp()) / "lines.ndjson"
    path.write_bytes(b"\n".join(lines))
    file = LandedFile(path, "lines", "lines.ndjson", RUM_EVENTS, "ndjson", "uncompressed", 2**20)
    every = [(line.number, line.offset) for line in filled_lines(file)]
    numbers = sorted(data.draw(st.sets(st.integers(1, max(1, len(every))))))
    numbers = [number for number in numbers if number <= len(every)]
    expected = [(line.number, line.offset) for line in _nth(filled_lines(file), numbers)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing_formats, "PIECE_BYTES", data.draw(st.integers(1, 40)))
        lines = _LinesOfRows(file)
        lines.copied(numbers, data.draw(st.sampled_from([len(every), 0])), path.with_suffix(".copy"))
        assert [(line.number, line.offset) for line in lines.numbered(numbers)] == expected
    copied = [line.content for line in filled_lines(replace(file, path=path.with_suffix(".copy")))]
    assert copied == [line.content for line in _nth(filled_lines(file), numbers)]


# One pass against two

# Of each field: what is in order, and what is not or has to be looked at twice.
VALUES = {
    "session_id": (["s1", "s2"], ["", None]),
    "occurred_at": (
        ["2024-03-01T12:00:00Z", "2024-03-01T13:00:00+02:00", "2024-03-03T12:00:00Z"],
        ["2024-03-02", "soon", "2099-01-01T00:00:00Z", "1999-01-01T00:00:00Z"],
    ),
    "metric_value": ([1, 2.5, "7"], [-1, "NaN", None]),
    "event_id": ([None, "e1", *range(60)], [""]),
    "route": (["/cart", "/orders/4711", "/x?y=1"], ["/a@b.example", "/@home", "[slug]", {"a": 1}]),
    "release": ([None, "1"], ["x@1.2.3"]),
    "step": ([None, "pay"], ["", "p" * 1001]),
    # Rare, so that the first rows may hold no text of no characters.
    "page_view_id": ([None, "p1"], ["", {}]),
    "trace_id": (["t1", "t2"], [""]),
    "navigation_type": (["navigate"], [""]),
    "metric_name": (["LCP"], [""]),
    "is_authenticated": ([True, "false"], ["", "perhaps"]),
    # Rare, so that the first rows may leave them empty.
    "component": ([None], ["card", ""]),
    "is_success": ([None], [True, "perhaps"]),
    "url": ([None], ["https://shop.example/help?x=1"]),
    "source": ([None, "other"], ["{}"]),
    "service": (["web", "shop"], [None]),
    "user_agent": ([None, PHONE], [7]),
}


def messy(random: Random) -> dict:
    return VITAL | {
        name: random.choice(odd if random.random() < 0.02 else good) for name, (good, odd) in VALUES.items()
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """An installation with a landing folder, and its open build file, for many examples."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "plumbline.yaml").write_text(
        "data_dir: data\nretention_days: 9000\nsources: [{kind: landing, location: landing, settle_seconds: 0}]\n",
        encoding="utf-8",
    )
    settings = load_settings(folder / "plumbline.yaml")
    with Warehouse(settings).connect() as connection:
        yield settings, connection


def left_by(
    settings, connection, maximum_share: float, maximum_routes: int, first_rows: int, sampled_places: int
) -> list[list[tuple]]:
    """What the files in the landing folder leave in an empty warehouse."""
    bookkeeping = (f"raw.{name}" for name in ("batches", "quarantine", "replaced_events", "routes", "landing_files"))
    for table in (*STORED, *bookkeeping):
        connection.execute(f"delete from {table}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing_formats, "SAMPLED_PLACES", sampled_places)
        patch.setattr(load_files, "MINIMUM_BYTES", 0)
        patch.setattr(load_files, "MAXIMUM_SHARE", maximum_share)
        patch.setattr(load_files, "FIRST_ROWS", first_rows)
        patch.setattr(load_files, "SORTED_KEYS", 50)
        batches = extract(
            settings.sources[0], settings.model_copy(update={"maximum_routes": maximum_routes}), connection
        )
    queries = (
        "select * exclude (loaded_at, batch_id) from raw.rum_events",
        "select origin, place, reason, fields from raw.quarantine",
        "select * exclude (batch_id) from raw.replaced_events",
        "from raw.routes",
        "select count(*) from raw.rum_events semi join raw.batches using (batch_id)",
        "from raw.open_batches",
    )
    return [
        [(batch.read, batch.loaded, batch.duplicate, batch.quarantined, batch.warnings) for batch in batches],
        *(connection.sql(f"{query} order by all").fetchall() for query in queries),
    ]


@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 100]),
    st.sampled_from([1, 20, 200]),
    st.sampled_from([1, 2000]),
    st.booleans(),
)
@hypothesis_settings(max_examples=8, deadline=None)
def test_one_pass_leaves_what_two_leave(shared, seed, maximum_routes, first_rows, sampled_places, is_parquet):
    settings, connection = shared
    folder = settings.config_file.parent / "landing/rum_events"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    random = Random(seed)
    for number in range(2):
        rows = [messy(random) for _ in range(200)]
        if is_parquet:
            texts = [{name: json_text(value) for name, value in row.items()} for row in rows]
            pl.DataFrame(texts, infer_schema_length=None).write_parquet(folder / f"{number}.parquet")
        else:
            text = "".join(f"{json.dumps(row)}\n" for row in rows)
            (folder / f"{number}.ndjson").write_text(text, encoding="utf-8")
    one, two = (left_by(settings, connection, share, maximum_routes, first_rows, sampled_places) for share in (1, -1))
    assert one == two


def many(number: int, bad: int = 1) -> list[dict]:
    return [VITAL | {"session_id": f"s{n}", "metric_value": n if n >= bad else -1} for n in range(number)]


def test_files_with_few_faults_go_in_one_pass_and_others_do_not(landing, monkeypatch):
    settled = []
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    monkeypatch.setattr(landing_module, "settle", lambda *given, **more: settled.append(1) or settle(*given, **more))
    landing.put("rum_events/a.ndjson", *many(100, 5))
    landing.put("rum_events/b.ndjson", *many(100, 6))
    assert landing.take() == [(100, 95, 0, 5), (100, 0, 94, 6)]
    assert settled == [1]


@pytest.mark.parametrize("name", ["step", "page_view_id"])
@pytest.mark.parametrize("is_blank_first", [True, False])
def test_a_blank_and_nothing_are_one_key_in_one_pass_too(landing, monkeypatch, name, is_blank_first):
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    monkeypatch.setattr(load_files, "FIRST_ROWS", 50)
    monkeypatch.setattr(load_files, "MAXIMUM_SHARE", 1)
    first = [each | {name: "pay", "component": "card"} for each in many(50, 0)]
    pair = [VITAL | {"component": "nothing"}, VITAL | {name: "", "component": "blank"}]
    landing.put("rum_events/a.ndjson", *first, *(reversed(pair) if is_blank_first else pair))
    assert landing.take() == [(52, 51, 0, 1)]
    last = "nothing" if is_blank_first else "blank"
    assert landing.rows("select component from raw.rum_events where component <> 'card'") == [(last,)]
    assert landing.rows("select place from raw.quarantine")[0][0].startswith("rum_events/a.ndjson:51 ")


def test_a_nested_value_is_none_of_those_that_are_allowed(landing):
    file = landing.folder / "rum_events/a.parquet"
    file.parent.mkdir(parents=True)
    pl.DataFrame([VITAL | {"device_class": {"family": 1}}]).write_parquet(file)
    landing.put("rum_events/b.ndjson", VITAL)
    assert landing.take() == [(1, 0, 0, 1), (1, 1, 0, 0)]
    assert "device_class: not one of" in landing.rows("select reason from raw.quarantine")[0][0]


def test_rows_that_stay_are_not_written_again(landing, monkeypatch):
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    landing.put("rum_events/a.ndjson", *many(100), *many(2), VITAL | {"session_id": "s5", "metric_value": 5.0})
    assert landing.take() == [(103, 99, 2, 2)]
    assert landing.rows("select count(*), count(distinct loaded_at) from raw.rum_events") == [(99, 1)]


@pytest.mark.parametrize("moment", ["_take_out", "settle", "store"])
def test_a_run_that_is_killed_between_the_two_commits_leaves_nothing(settings, moment, monkeypatch):
    with Warehouse(settings).connect() as connection:
        landing = Landing(settings, connection)
        landing.put("rum_events/0.ndjson", VITAL | {"session_id": "before"})
        landing.take()
        landing.put("rum_events/a.ndjson", *many(100), *many(2))
        module = landing_module if moment == "settle" else load_files
        monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
        with monkeypatch.context() as patch:
            # As a killed process does: it cleans nothing up.
            patch.setattr(landing_module, "remove_open_batches", lambda connection: None)
            patch.setattr(module, moment, interrupted)
            with pytest.raises(KeyboardInterrupt):
                landing.take()
        assert landing.rows(f"select count(*) from {RUM_EVENTS.stored_name}") == [(103,)]
        assert landing.rows("select count(*) from raw.landing_files") == [(1,)]
    with Warehouse(settings).connect() as connection:
        landing.connection = connection
        assert landing.rows("select count(*) from raw.rum_events") == [(1,)]
        assert landing.rows("from raw.open_batches") == []
        assert landing.take() == [(102, 99, 1, 2)]
        assert landing.rows("select count(*) from raw.rum_events") == [(100,)]


@pytest.mark.parametrize("brought", [{"source": "other"}, {}])
def test_of_a_row_that_may_be_broken_no_free_text_is_stored_before_it_is_examined(landing, brought, monkeypatch):
    texts = ("release", "component", "country", "feature_flags", "navigation_type", "step")
    frequent = BEACON | {"url": "/cart"} | dict.fromkeys(texts, "usual") | brought
    # A row whose number alone tells that it is none of these beacons, and one with an address.
    shifted = frequent | {name: f"secret-{name}" for name in (*texts, *brought)} | {"url": "/secret", "value": -1}
    addressed = frequent | {"service": "secret@shop.example"}
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    monkeypatch.setattr(load_files, "FIRST_ROWS", 50)
    # As a killed process does: it cleans nothing up.
    monkeypatch.setattr(landing_module, "remove_open_batches", lambda connection: None)
    monkeypatch.setattr(landing_module, "settle", interrupted)
    landing.put("rum_events/a.ndjson", *(frequent | {"id": str(n)} for n in range(100)), shifted, addressed)
    with pytest.raises(KeyboardInterrupt):
        landing.take()
    assert landing.rows(f"select count(*) from {RUM_EVENTS.stored_name}") == [(102,)]
    assert landing.rows("select count(*), count(step) from raw.rum_events") == [(100, 100)]
    for table in STORED:
        texts = landing.rows(f"select cast(stored as varchar) from {table} as stored")
        assert not [text for (text,) in texts if "secret" in text]


def test_what_is_interrupted_between_the_two_commits_is_undone_at_once(landing, monkeypatch):
    landing.put("rum_events/a.ndjson", *many(100))
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    monkeypatch.setattr(landing_module, "settle", interrupted)
    with pytest.raises(KeyboardInterrupt):
        landing.take()
    assert landing.rows(f"select count(*) from {RUM_EVENTS.stored_name}") == [(0,)]
    assert landing.rows("from raw.open_batches") == []


def test_a_file_without_any_text_goes_through_a_table_between(landing, monkeypatch):
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    file = landing.folder / "rum_events/a.parquet"
    file.parent.mkdir(parents=True)
    pl.DataFrame([{"session_id": "s", "occurred_at": "2024-03-01T12:00:00Z", "event_type": "error"}]).write_parquet(
        file
    )
    assert landing.take() == [(1, 0, 0, 1)]
    assert landing.rows("select reason from raw.quarantine") == [("service: missing",)]


def test_a_combination_that_an_earlier_contract_let_in_is_examined_like_any_other(landing, monkeypatch):
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    insert_rows(landing.connection, RUM_EVENTS, "select 'web' as service, 'old@shop.example' as component")
    landing.put("rum_events/a.ndjson", *many(100, 0), VITAL | {"session_id": "t", "component": "old@shop.example"})
    assert landing.take() == [(101, 100, 0, 1)]


def test_of_too_many_combinations_a_file_goes_through_a_table_between(landing, monkeypatch):
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    monkeypatch.setattr(load_files, "MAXIMUM_COMBINATIONS", 10)
    monkeypatch.setattr(landing_module, "settle", interrupted)
    landing.put("rum_events/a.ndjson", *(each | {"component": str(n)} for n, each in enumerate(many(100, 0))))
    assert landing.take() == [(100, 100, 0, 0)]
    assert landing.rows("select count(distinct component) from raw.rum_events") == [(100,)]


def test_paths_of_one_template_are_one_combination(landing, monkeypatch):
    settled = []
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    monkeypatch.setattr(load_files, "MAXIMUM_COMBINATIONS", 10)
    monkeypatch.setattr(landing_module, "settle", lambda *given, **more: settled.append(1) or settle(*given, **more))
    landing.put("rum_events/a.ndjson", *(each | {"route": f"/orders/{n}"} for n, each in enumerate(many(100, 0))))
    assert landing.take() == [(100, 100, 0, 0)]
    assert settled == [1]


def test_what_a_file_brought_for_contexts_does_not_stay(landing, monkeypatch):
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    landing.put("rum_events/a.ndjson", *many(100), VITAL | {"component": "a@shop.example"})
    landing.take()
    assert landing.rows("select table_name from duckdb_tables() where temporary and table_name like '%texts'") == []


@pytest.mark.parametrize("ending", ["ndjson", "parquet"])
def test_texts_that_no_sampled_row_has_are_stored_too(landing, monkeypatch, ending):
    settled = []
    monkeypatch.setattr(load_files, "MINIMUM_BYTES", 0)
    monkeypatch.setattr(landing_formats, "SAMPLED_PLACES", 1)
    monkeypatch.setattr(landing_module, "settle", lambda *given, **more: settled.append(1) or settle(*given, **more))

    def put(name: str, rows: list[dict]) -> None:
        landing.put(f"rum_events/{name}.ndjson", *rows)
        if ending == "parquet":
            file = landing.folder / f"rum_events/{name}.ndjson"
            pl.read_ndjson(file, infer_schema_length=None).write_parquet(file.with_suffix(".parquet"))
            file.unlink()

    put("a", [*many(150, 0), *(VITAL | {"session_id": f"r{n}", "component": f"card-{n}"} for n in range(5))])
    assert landing.take() == [(155, 155, 0, 0)]
    assert settled == [1]
    assert landing.rows("select component from raw.rum_events where component is not null order by all") == [
        (f"card-{n}",) for n in range(5)
    ]
    # More of them than one pass is for.
    put("b", [*many(150, 0), *(VITAL | {"session_id": f"t{n}", "release": str(n)} for n in range(20))])
    assert landing.take() == [(170, 20, 150, 0)]
    assert settled == [1]


def interrupted(*arguments, **options):
    raise KeyboardInterrupt
