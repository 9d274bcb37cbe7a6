"""Alerts: e-mail, Slack-compatible webhook, PagerDuty-compatible event; with a link, once per cause, not at night.

What was sent is a step of the decision log. A cause that is still there at the next look is not told again; one that
went away and comes back is. A channel that failed is tried again by the next run.
"""

from __future__ import annotations

import hashlib
import logging
import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from common.clock import utc
from common.errors import InputError
from common.settings import AlertSettings
from common.workspace import Workspace
from monitoring.decisions import ALERT, DecisionLog, Step

_log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_SOURCE = "salience"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One thing to tell.

    Args:
        model: Registered model.
        cause: What is wrong, in words that stay the same from look to look.
        title: One line.
        text: A few sentences: what, since when, what it costs, what is recommended.
        page: Page to open.
        severity: `critical` where something has to be done, `info` where a cause went away.
    """

    model: str
    cause: str
    title: str
    text: str
    page: Path
    severity: str = "critical"

    @property
    def key(self) -> str:
        """Short name of model and cause, the same at each look."""
        return hashlib.sha256(f"{self.model}|{self.cause}".encode()).hexdigest()[:16]


def link_to(page: Path, settings: AlertSettings, *, home: Path) -> str:
    """Address of a page: below the settings' link where there is one, else the file's own."""
    if settings.link is None:
        return page.absolute().as_uri()
    return f"{settings.link.rstrip('/')}/{page.absolute().relative_to(home.absolute()).as_posix()}"


def is_quiet(settings: AlertSettings, at: datetime) -> bool:
    """Whether nothing is sent at that moment.

    Raises:
        InputError: if the settings' time zone is unknown.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if settings.quiet_from is None:
        return False
    try:
        zone = ZoneInfo(settings.quiet_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(
            f"There is no time zone '{settings.quiet_zone}'", expected="such as Europe/Berlin", field="quiet_zone"
        ) from error
    now = utc(at).astimezone(zone).time()
    start, end = (time.fromisoformat(text) for text in (settings.quiet_from, settings.quiet_until))
    return start <= now < end if start <= end else now >= start or now < end


def tell(
    alert: Alert, *, settings: AlertSettings, workspace: Workspace, log: DecisionLog, report_id: str, at: datetime
) -> list[str]:
    """Send an alert over every channel that has not had it yet, and record what was sent.

    Args:
        alert: What to tell.
        settings: Channels and quiet hours.
        workspace: For the link.
        log: The decision log.
        report_id: Look it belongs to.
        at: The present, by the clock on the wall.

    Returns:
        What was done, in words, one a channel; empty where there is no channel, or nothing new to tell.
    """
    channels = _channels(settings)
    due = [name for name in channels if name not in _had(log, alert)]
    if not due:
        return []
    if is_quiet(settings, at):
        return [f"{name}: waits for the end of the quiet hours ({settings.quiet_until})" for name in due]
    link = link_to(alert.page, settings, home=workspace.home)
    said, sent = [], []
    for name in due:
        try:
            channels[name](alert, link, settings)
        except (OSError, smtplib.SMTPException, _http_error()) as error:
            _log.warning("The alert '%s' could not be sent over %s: %s", alert.title, name, error)
            said.append(f"{name}: not sent, tried again by the next run ({error})")
        else:
            sent.append(name)
            said.append(f"{name}: sent")
    if sent:
        record = {"key": alert.key, "cause": alert.cause, "model": alert.model, "severity": alert.severity,
                  "title": alert.title, "channels": sent}  # fmt: skip
        log.add(Step(step=ALERT, report_id=report_id, at=utc(at).isoformat(), record=record))
    return said


def told_causes(log: DecisionLog, model: str) -> dict[str, str]:
    """Causes of a model that were told and have not been taken back, by key."""
    open_causes: dict[str, str] = {}
    for step in log.steps(step=ALERT):
        if step.record["model"] != model:
            continue
        if step.record["severity"] == "info":
            open_causes.pop(step.record["key"], None)
        else:
            open_causes[step.record["key"]] = step.record["cause"]
    return open_causes


def _had(log: DecisionLog, alert: Alert) -> set[str]:
    """Channels that have had this alert since its cause was last told to have gone."""
    had: set[str] = set()
    for step in log.steps(step=ALERT):
        if step.record["key"] == alert.key:
            if step.record["severity"] == alert.severity:
                had |= set(step.record["channels"])
            else:
                had = set()
    return had


def _channels(settings: AlertSettings) -> dict[str, Callable[[Alert, str, AlertSettings], None]]:
    known: dict[str, tuple[bool, Callable[[Alert, str, AlertSettings], None]]] = {
        "email": (bool(settings.email_to and settings.smtp_host), _mail),
        "webhook": (settings.webhook_url is not None, _post_webhook),
        "pagerduty": (settings.pagerduty_key is not None, _post_event),
    }
    return {name: send for name, (is_set, send) in known.items() if is_set}


def _mail(alert: Alert, link: str, settings: AlertSettings) -> None:
    message = EmailMessage()
    message["Subject"] = alert.title
    message["From"] = settings.email_from
    message["To"] = ", ".join(settings.email_to)
    message["X-Salience-Cause"] = alert.key
    message.set_content(f"{alert.text}\n\n{link}\n")
    with smtplib.SMTP(settings.smtp_host or "", settings.smtp_port, timeout=_TIMEOUT_S) as server:
        if settings.smtp_tls:
            server.starttls()
        if settings.smtp_user and settings.smtp_password:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        server.send_message(message)


def _post_webhook(alert: Alert, link: str, settings: AlertSettings) -> None:
    url = settings.webhook_url.get_secret_value() if settings.webhook_url else ""
    _post(url, {"text": f"*{alert.title}*\n{alert.text}\n<{link}|What should I do?>"})


def _post_event(alert: Alert, link: str, settings: AlertSettings) -> None:
    key = settings.pagerduty_key.get_secret_value() if settings.pagerduty_key else ""
    if alert.severity == "info":
        _post(settings.pagerduty_url, {"routing_key": key, "event_action": "resolve", "dedup_key": alert.key})
        return
    payload = {
        "summary": alert.title,
        "source": _SOURCE,
        "severity": alert.severity,
        "component": alert.model,
        "custom_details": {"text": alert.text, "cause": alert.cause},
    }
    event = {
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": alert.key,
        "payload": payload,
        "links": [{"href": link, "text": "What should I do?"}],
    }
    _post(settings.pagerduty_url, event)


def _post(url: str, values: dict[str, Any]) -> None:
    import httpx

    httpx.post(url, json=values, timeout=_TIMEOUT_S).raise_for_status()


def _http_error() -> type[Exception]:
    import httpx

    return httpx.HTTPError
