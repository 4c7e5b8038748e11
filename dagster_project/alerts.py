"""Alerts about SLOs: to each channel of plumbline.yaml, once for each change of an SLO's state, not every run.

What a channel was told last stands in `data_dir/alerts.json`. A message that could not be sent is tried again by the
next run.
"""

from __future__ import annotations

import json
import os
import smtplib
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from typing import Any, NamedTuple

from slack_sdk.errors import SlackClientError
from slack_sdk.webhook import WebhookClient

from dagster_project.durable import write_durably
from dagster_project.errors import PlumblineError
from dagster_project.settings import EmailChannel, Settings, SlackChannel
from dagster_project.warehouse import open_published

TABLE = "slo_status"
# What nobody needs to hear of unless something else was told before.
QUIET = {"healthy", "no_data"}
TIMEOUT_SECONDS = 20


class Alert(NamedTuple):
    """What holds of one SLO now; `level` decides whether it is news."""

    subject: str
    level: str
    text: str


def read_alerts(settings: Settings) -> list[Alert]:
    """The present state of every SLO that is published; none where the file has no such table."""
    with open_published(settings.published_file) as connection:
        tables = connection.execute("select table_name from duckdb_tables()").fetchall()
        if (TABLE,) not in tables:
            return []
        result = connection.execute(f"from {TABLE} order by slo, objective")
        names = [name for name, *_ in result.description]
        return [_alert(dict(zip(names, row, strict=True))) for row in result.fetchall()]


def send_alerts(settings: Settings) -> int:
    """Tell every channel what has changed since it was told last; returns how many changes were told.

    Raises PlumblineError, naming the channels that could not be reached, after all were tried.
    """
    if not settings.alerts:
        return 0
    file = settings.data_dir / "alerts.json"
    told: dict[str, dict[str, str]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    alerts = read_alerts(settings)
    present = {alert.subject: alert.level for alert in alerts}
    sent, failures = 0, []
    for channel in settings.alerts:
        before = told.get(channel.name, {})
        news = [alert for alert in alerts if _is_news(alert, before)]
        try:
            if news:
                SENDERS[type(channel)](channel, *_message(news, before))
        except PlumblineError as error:
            failures.append(f"{channel.name}: {error}")
            continue
        sent += len(news)
        told[channel.name] = present
    names = [channel.name for channel in settings.alerts]
    kept = {name: levels for name, levels in told.items() if name in names}
    write_durably(file, json.dumps(kept, indent=2, sort_keys=True) + "\n")
    if failures:
        raise PlumblineError(
            f"published, but alerts could not be sent to {'; '.join(failures)}; the next run tries again"
        )
    return sent


def _alert(row: Mapping[str, Any]) -> Alert:
    level = row["verdict"] if row["verdict"] != "none" else row["state"]
    level = "healthy" if level == "insufficient_data" else level
    figures = [
        (row["attainment_rate"], "{:.3%} good of {:.3%} promised", row["target"]),
        (row["budget_remaining_rate"], "{:.0%} of the budget left"),
        (row["burn_rate_1h"], "burning at {:.1f} times the allowed speed over the last hour"),
        (row["hours_to_exhaustion"], "exhausted in {:.1f} hours at the speed of the last six"),
    ]
    shown = [form.format(value, *more) for value, form, *more in figures if value is not None]
    owner = f"{row['service']}, owned by {row['owner_team'] or 'nobody'}"
    text = f"{row['display_name'] or row['slo']} ({owner}): {'; '.join(shown) or 'no figures'}."
    if level not in QUIET:
        text += f" What to do: {row['action_to_take']}"
    return Alert(f"{row['slo']}/{row['objective']}", level, text)


def _is_news(alert: Alert, before: Mapping[str, str]) -> bool:
    return alert.level != before.get(alert.subject, alert.level if alert.level in QUIET else None)


def _message(news: list[Alert], before: Mapping[str, str]) -> tuple[str, str]:
    """Subject and text of one message about all that is new."""
    worst = next((level for level in ("page", "exhausted", "ticket") if level in {alert.level for alert in news}), None)
    count = "1 SLO has" if len(news) == 1 else f"{len(news)} SLOs have"
    subject = f"Plumbline: {count} changed{f', {worst}' if worst else ''}"
    lines = [
        f"{before[alert.subject]} → {alert.level}: {alert.text}"
        if alert.subject in before
        else f"{alert.level}: {alert.text}"
        for alert in news
    ]
    return subject, "\n".join(lines)


def _to_slack(channel: SlackChannel, subject: str, text: str) -> None:
    try:
        response = WebhookClient(_secret(channel.url_variable), timeout=TIMEOUT_SECONDS).send(text=f"{subject}\n{text}")
    # The error itself may name the URL, which is the secret.
    except (SlackClientError, OSError, ValueError) as error:
        raise PlumblineError(f"no answer ({type(error).__name__})") from None
    if response.status_code != 200:
        raise PlumblineError(f"refused with status {response.status_code}")


def _to_email(channel: EmailChannel, subject: str, text: str) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, channel.sender, ", ".join(channel.recipients)
    message.set_content(text)
    connect = smtplib.SMTP_SSL if channel.security == "tls" else smtplib.SMTP
    try:
        with connect(channel.host, channel.port, timeout=TIMEOUT_SECONDS) as server:
            if channel.security == "starttls":
                server.starttls()
            if channel.user:
                server.login(channel.user, _secret(channel.password_variable))
            server.send_message(message)
    # The error itself may name recipients.
    except (smtplib.SMTPException, OSError) as error:
        raise PlumblineError(f"not delivered ({type(error).__name__})") from None


def _secret(variable: str) -> str:
    if value := os.environ.get(variable):
        return value
    raise PlumblineError(f"{variable} is not set in the environment")


# A channel of another kind is a section in settings.py and its function here.
SENDERS: dict[type, Callable[[Any, str, str], None]] = {SlackChannel: _to_slack, EmailChannel: _to_email}
