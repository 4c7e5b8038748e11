"""Alerts: one message a change of state, over a real socket, with nothing secret in an error."""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import duckdb
import pytest

from dagster_project.alerts import send_alerts
from dagster_project.errors import ConfigurationError, PlumblineError
from dagster_project.settings import EmailChannel, SlackChannel, load_settings

SLACK = SlackChannel(kind="slack", url_variable="TEST_WEBHOOK")
FIGURES = {"attainment_rate": 0.9871, "target": 0.99, "budget_remaining_rate": -0.29, "burn_rate_1h": 16.04}


def publish(settings, *states: tuple) -> None:
    """A published file in which the SLOs are in these (slo, state, verdict)."""
    settings.published_file.parent.mkdir(parents=True, exist_ok=True)
    settings.published_file.unlink(missing_ok=True)
    with duckdb.connect(settings.published_file) as connection:
        connection.execute(
            "create table slo_status (slo varchar, objective integer, display_name varchar, service varchar, "
            "owner_team varchar, state varchar, verdict varchar, attainment_rate double, target double, "
            "budget_remaining_rate double, burn_rate_1h double, hours_to_exhaustion double, action_to_take varchar)"
        )
        for slo, state, verdict in states:
            connection.execute(
                "insert into slo_status by name select ? as slo, 1 as objective, 'Checkout works' as display_name, "
                "'checkout-ui' as service, 'checkout' as owner_team, ? as state, ? as verdict, ? as attainment_rate, "
                "? as target, ? as budget_remaining_rate, ? as burn_rate_1h, 'Stop releases.' as action_to_take",
                [slo, state, verdict, *FIGURES.values()],
            )


@pytest.fixture
def webhook(monkeypatch):
    """An incoming webhook: the texts it was sent, and the status with which it answers."""
    texts: list[str] = []
    answer = {"status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(answer["status"])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TEST_WEBHOOK", f"http://127.0.0.1:{server.server_port}/services/secret")
    yield texts, answer
    server.shutdown()
    server.server_close()


@contextmanager
def mail_server():
    """An SMTP server without encryption; yields its port and the lines that it was sent."""
    lines: list[str] = []

    class Session(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 test\r\n")
            in_message = False
            for line in self.rfile:
                text = line.decode().rstrip()
                command = text.upper()
                lines.append(text)
                if in_message:
                    in_message = text != "."
                    reply = b"" if in_message else b"250 taken\r\n"
                else:
                    in_message = command == "DATA"
                    reply = {"DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}.get(command, b"250 fine\r\n")
                self.wfile.write(reply)
                if command == "QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], lines
        server.shutdown()


def with_channels(settings, *channels):
    return settings.model_copy(update={"alerts": channels})


def test_a_state_is_told_once_and_its_end_as_well(settings, webhook):
    texts, _ = webhook
    settings = with_channels(settings, SLACK)
    publish(settings, ("checkout", "healthy", "none"), ("search", "no_data", "none"))
    assert send_alerts(settings) == 0
    publish(settings, ("checkout", "burning", "page"), ("search", "insufficient_data", "none"))
    assert [send_alerts(settings), send_alerts(settings)] == [2, 0]
    publish(settings, ("checkout", "burning", "page"), ("search", "healthy", "none"))
    assert send_alerts(settings) == 0
    publish(settings, ("checkout", "healthy", "none"), ("search", "healthy", "none"))
    assert send_alerts(settings) == 1
    first, second = texts
    assert first.startswith(
        "Plumbline: 2 SLOs have changed, page\nhealthy → page: Checkout works (checkout-ui, owned by"
    )
    assert "98.710% good of 99.000% promised; -29% of the budget left; burning at 16.0 times" in first
    assert "What to do: Stop releases." in first
    assert second.startswith("Plumbline: 1 SLO has changed\npage → healthy: ")
    assert "What to do" not in second


def test_what_could_not_be_sent_is_tried_again_and_other_channels_hear_it_all_the_same(settings, webhook, monkeypatch):
    texts, answer = webhook
    answer["status"] = 500
    with mail_server() as (port, lines):
        email = EmailChannel(
            kind="email",
            host="127.0.0.1",
            port=port,
            security="none",
            sender="plumbline@example.org",
            recipients=("oncall@example.org",),
        )
        settings = with_channels(settings, SLACK, email)
        publish(settings, ("checkout", "exhausted", "none"))
        with pytest.raises(PlumblineError, match="slack TEST_WEBHOOK: refused with status 500; the next run") as caught:
            send_alerts(settings)
        assert "secret" not in str(caught.value)
        assert lines.count("data") == 1
        assert "rcpt TO:<oncall@example.org>" in lines
        answer["status"] = 200
        assert send_alerts(settings) == 1
        assert lines.count("data") == 1
    assert len(texts) == 2
    stored = (settings.data_dir / "alerts.json").read_text(encoding="utf-8")
    assert "@" not in stored
    assert "secret" not in stored


def test_a_channel_that_cannot_be_reached_is_named_without_its_secret(settings, monkeypatch):
    monkeypatch.setenv("TEST_WEBHOOK", "http://127.0.0.1:9/services/secret")
    settings = with_channels(settings, SLACK)
    publish(settings, ("checkout", "exhausted", "none"))
    with pytest.raises(PlumblineError, match="slack TEST_WEBHOOK: no answer") as caught:
        send_alerts(settings)
    assert "secret" not in str(caught.value)
    monkeypatch.delenv("TEST_WEBHOOK")
    with pytest.raises(PlumblineError, match="TEST_WEBHOOK is not set in the environment"):
        send_alerts(settings)


def test_without_channels_or_slos_nothing_is_sent(settings, webhook):
    texts, _ = webhook
    assert send_alerts(settings) == 0
    settings.published_file.parent.mkdir(parents=True)
    duckdb.connect(settings.published_file).close()
    assert send_alerts(with_channels(settings, SLACK)) == 0
    assert texts == []


@pytest.mark.parametrize(
    ("channel", "says"),
    [
        ("{kind: pager}", "alerts[0].kind: 'pager' is no kind of channel; allowed: slack, email"),
        ("{kind: slack}", "alerts[0].url_variable: missing; it is required"),
        ("{kind: slack, url_variable: 'https://hooks.example/secret'}", "alerts[0].url_variable: string should match"),
        ("{kind: slack, url: x}", "alerts[0].url: unknown key; allowed here: kind, url_variable"),
        ("{kind: email, host: h, sender: a@b.c, recipients: []}", "alerts[0].recipients: tuple should have at least 1"),
        ("{kind: email, host: h, sender: a@b.c, recipients: [d@e.f], user: u}", "user and password_variable belong"),
    ],
)
def test_a_wrong_channel_is_named_by_its_key(tmp_path, channel, says):
    file = tmp_path / "plumbline.yaml"
    file.write_text(f"data_dir: d\nsources: []\nalerts: [{channel}]\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)
