"""Alerts against receivers on this machine: what arrives, how often, and when not."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from common.settings import AlertSettings
from common.workspace import Workspace
from monitoring.alerts import Alert, is_quiet, link_to, tell, told_causes
from monitoring.decisions import decision_log

NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)


class MailHandler(socketserver.StreamRequestHandler):
    """Speaks as much SMTP as a client needs to deliver."""

    def handle(self) -> None:
        self.wfile.write(b"220 local\r\n")
        data: list[str] | None = None
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            if data is not None:
                if line == ".":
                    self.server.mails.append("\n".join(data))  # type: ignore[attr-defined]
                    data = None
                    self.wfile.write(b"250 ok\r\n")
                else:
                    data.append(line)
                continue
            verb = line.split(" ")[0].upper()
            if verb == "DATA":
                data = []
            self.wfile.write({"DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n"))
            if verb == "QUIT":
                return


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailHandler) as server:
        server.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], server.mails  # type: ignore[attr-defined]
        server.shutdown()


@contextmanager
def hook(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]], list[int]]]:
    """A web hook, what it was sent, and the status it answers with (changeable)."""
    received: list[dict[str, Any]] = []
    answer = [status]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answer[0])
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", received, answer
        server.shutdown()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace("demo", tmp_path)


def alert(workspace: Workspace, **changes: Any) -> Alert:
    values = {
        "model": "demo-lead", "cause": "input drift: source", "title": "demo-lead 3: RETRAIN, input drift",
        "text": "Drift costs 12 %.", "page": workspace.reports / "lead.html",
    }  # fmt: skip
    return Alert(**(values | changes))


def send(workspace: Workspace, one: Alert, settings: AlertSettings, at: datetime = NOON) -> list[str]:
    log = decision_log(workspace)
    return tell(one, settings=settings, workspace=workspace, log=log, report_id="look-1", at=at)


def test_every_channel_gets_the_alert_once_with_a_link(workspace: Workspace) -> None:
    with mail_server() as (port, mails), hook() as (url, posts, _), hook() as (duty, events, _):
        settings = AlertSettings(
            email_to=("ada@example.com", "bob@example.com"), smtp_host="127.0.0.1", smtp_port=port, smtp_tls=False,
            webhook_url=url, pagerduty_key="KEY", pagerduty_url=duty, link="https://crm.example.com/salience/",
        )  # fmt: skip
        assert send(workspace, alert(workspace), settings) == ["email: sent", "webhook: sent", "pagerduty: sent"]
        assert send(workspace, alert(workspace), settings) == []
    link = "https://crm.example.com/salience/demo/reports/lead.html"
    assert len(mails) == len(posts) == len(events) == 1
    assert "Subject: demo-lead 3: RETRAIN, input drift" in mails[0]
    assert "To: ada@example.com, bob@example.com" in mails[0]
    assert link in mails[0]
    assert link in posts[0]["text"]
    assert (events[0]["event_action"], events[0]["routing_key"]) == ("trigger", "KEY")
    assert events[0]["payload"]["severity"] == "critical"
    assert events[0]["links"][0]["href"] == link


def test_another_cause_is_told_and_one_that_came_back_too(workspace: Workspace) -> None:
    with hook() as (url, posts, _):
        settings = AlertSettings(webhook_url=url)
        first, other = alert(workspace), alert(workspace, cause="real quality: regret")
        assert send(workspace, first, settings)
        assert send(workspace, other, settings)
        assert set(told_causes(decision_log(workspace), "demo-lead").values()) == {first.cause, other.cause}
        assert send(workspace, replace(first, severity="info"), settings)
        assert set(told_causes(decision_log(workspace), "demo-lead").values()) == {other.cause}
        assert send(workspace, first, settings)
    assert len(posts) == 4


def test_a_cause_that_went_away_resolves_the_event(workspace: Workspace) -> None:
    with hook() as (url, events, _):
        settings = AlertSettings(pagerduty_key="KEY", pagerduty_url=url)
        send(workspace, alert(workspace), settings)
        send(workspace, alert(workspace, severity="info"), settings)
    assert [event["event_action"] for event in events] == ["trigger", "resolve"]
    assert events[0]["dedup_key"] == events[1]["dedup_key"]


def test_a_channel_that_failed_is_tried_again_and_the_others_are_not(workspace: Workspace) -> None:
    with hook(500) as (url, posts, answer), hook() as (duty, events, _):
        settings = AlertSettings(webhook_url=url, pagerduty_key="KEY", pagerduty_url=duty)
        said = send(workspace, alert(workspace), settings)
        assert said[0].startswith("webhook: not sent, tried again by the next run")
        assert said[1] == "pagerduty: sent"
        answer[0] = 200
        assert send(workspace, alert(workspace), settings) == ["webhook: sent"]
    assert (len(posts), len(events)) == (2, 1)


def test_nobody_listening_is_said_and_stops_nothing(workspace: Workspace) -> None:
    settings = AlertSettings(email_to=("a@example.com",), smtp_host="127.0.0.1", smtp_port=9, smtp_tls=False)
    assert send(workspace, alert(workspace), settings)[0].startswith("email: not sent")


def test_in_quiet_hours_the_alert_waits(workspace: Workspace) -> None:
    with hook() as (url, posts, _):
        settings = AlertSettings(webhook_url=url, quiet_from="20:00", quiet_until="07:00", quiet_zone="Europe/Berlin")
        night, morning = datetime(2025, 6, 2, 19, tzinfo=UTC), datetime(2025, 6, 3, 5, 1, tzinfo=UTC)
        assert send(workspace, alert(workspace), settings, night) == [
            "webhook: waits for the end of the quiet hours (07:00)"
        ]
        assert posts == []
        assert send(workspace, alert(workspace), settings, morning) == ["webhook: sent"]


@pytest.mark.parametrize(
    ("start", "end", "hour", "quiet"),
    [("20:00", "07:00", 23, True), ("20:00", "07:00", 3, True), ("20:00", "07:00", 7, False),
     ("20:00", "07:00", 12, False), ("12:00", "13:00", 12, True), ("12:00", "13:00", 13, False)],
)  # fmt: skip
def test_quiet_hours_may_cross_midnight(start: str, end: str, hour: int, quiet: bool) -> None:
    settings = AlertSettings(quiet_from=start, quiet_until=end)
    assert is_quiet(settings, datetime(2025, 1, 6, hour, tzinfo=UTC)) is quiet


def test_an_unknown_time_zone_is_named() -> None:
    settings = AlertSettings(quiet_from="20:00", quiet_zone="Mars/Olympus")
    with pytest.raises(InputError, match="no time zone 'Mars/Olympus'"):
        is_quiet(settings, NOON)


def test_without_an_address_links_are_file_paths(workspace: Workspace) -> None:
    page = workspace.reports / "lead.html"
    assert link_to(page, AlertSettings(), home=workspace.home) == page.absolute().as_uri()


def test_no_channel_no_alert(workspace: Workspace) -> None:
    assert send(workspace, alert(workspace), AlertSettings()) == []
    assert list(decision_log(workspace).steps()) == []
