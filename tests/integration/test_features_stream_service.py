"""An application pushes an event over HTTP, and a score asked for seconds later knows it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import SmallWorld

from common.workspace import Workspace
from features.spines import open_lead_spine
from serving.run import running_service
from warehouse.store import Warehouse


@pytest.fixture
def client(small_world: SmallWorld, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the services on a copy of the small world, which the events change."""
    home = tmp_path / "home"
    shutil.copytree(small_world.settings.home, home)
    settings = small_world.settings.model_copy(update={"home": home})
    workspace = Workspace(small_world.workspace.name, home)
    with (
        running_service(settings, workspace, timeout_s=120, is_ready="/ready") as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def test_a_score_knows_an_event_within_seconds_and_a_second_delivery_changes_nothing(
    client: httpx.Client, small_world: SmallWorld, tmp_path: Path
) -> None:
    lead = open_lead_spine(small_world.warehouse, small_world.now)["lead_id"].to_pylist()[0]
    before = _score(client, lead)
    now = small_world.now
    events: list[Any] = [
        {
            "table": "lead_events",
            "row": {
                "lead_id": lead,
                "kind": ("demo_request", "pricing_view", "email_reply")[number % 3],
                "event_timestamp": (now + timedelta(minutes=number + 1)).isoformat(),
            },
        }
        for number in range(9)
    ]
    answer = client.post("/api/v1/events", json=[*events, {"table": "lead_events", "row": {"kind": "nap"}}])
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == 9
    assert [each["index"] for each in answer.json()["refused"]] == [9]
    after = _becomes_other(client, lead, than=before)
    assert after["as_of"] > before["as_of"]
    assert client.post("/api/v1/events", json=events).status_code == 202
    warehouse = Warehouse(Workspace(small_world.workspace.name, tmp_path / "home").warehouse)
    until = time.monotonic() + 30
    while warehouse.row_count("lead_events") < small_world.warehouse.row_count("lead_events") + 9:
        assert time.monotonic() < until, "the events did not reach the warehouse"
        time.sleep(0.2)
    time.sleep(3)
    assert warehouse.row_count("lead_events") == small_world.warehouse.row_count("lead_events") + 9
    assert _score(client, lead)["conversion_probability"] == after["conversion_probability"]


def test_the_streams_process_is_started_again_when_it_was_killed_and_what_was_pushed_is_not_lost(
    client: httpx.Client, small_world: SmallWorld
) -> None:
    lead = open_lead_spine(small_world.warehouse, small_world.now)["lead_id"].to_pylist()[1]
    before = _score(client, lead)
    killed = _stream_process()
    killed.kill()
    killed.wait(10)
    event = {
        "table": "lead_events",
        "row": {
            "lead_id": lead,
            "kind": "demo_request",
            "event_timestamp": (small_world.now + timedelta(minutes=1)).isoformat(),
        },
    }
    assert client.post("/api/v1/events", json=[event]).json()["accepted"] == 1
    _becomes_other(client, lead, than=before)
    assert _stream_process().pid != killed.pid


def _stream_process() -> psutil.Process:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for child in psutil.Process().children(recursive=True):
            if "serving.stream_runner" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                return child
        time.sleep(0.1)
    raise AssertionError("no process works on the stream")


def test_a_body_that_is_no_list_is_refused(client: httpx.Client) -> None:
    assert client.post("/api/v1/events", json={"table": "leads"}).status_code == 422
    assert client.post("/api/v1/events", json=[]).json()["accepted"] == 0


def _score(client: httpx.Client, lead: str) -> dict[str, Any]:
    response = client.post(f"/api/v1/leads/{lead}/score")
    assert response.status_code == 200, response.text
    score: dict[str, Any] = response.json()
    return score


def _becomes_other(client: httpx.Client, lead: str, *, than: dict[str, Any]) -> dict[str, Any]:
    """The lead's score once it says something else; the clock moves a moment before the features do."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        score = _score(client, lead)
        if score["conversion_probability"] != than["conversion_probability"]:
            return score
        time.sleep(0.1)
    raise AssertionError("the score did not come to know the event")
