"""Feast's page: it only reads, and there is one only once features are registered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from common.settings import Settings
from common.workspace import Workspace
from features.definitions import registry_file
from features.feast_page import ReadOnly, has_registry
from monitoring.ui import ui_commands


async def _says_ok(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


def _asked(method: str) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(ReadOnly(_says_ok)({"type": "http", "method": method}, None, send))
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_reads_is_passed_on(method: str) -> None:
    assert _asked(method) == (200, b"page")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_would_write_is_refused_with_the_reason(method: str) -> None:
    status, body = _asked(method)
    assert status == 405
    assert "features/catalogue.py" in json.loads(body)["detail"]


def test_there_is_nothing_to_show_before_features_are_registered(tmp_path: Path) -> None:
    workspace = Workspace(name="w", home=tmp_path)
    assert not has_registry(workspace)
    registry_file(workspace).parent.mkdir(parents=True)
    registry_file(workspace).touch()
    assert has_registry(workspace)


def test_it_is_one_of_the_pages_on_the_loopback_once_there_is_something_to_show(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path / "home", mlruns=tmp_path / "mlruns")
    workspace = Workspace.of(settings)
    registry_file(workspace).parent.mkdir(parents=True)
    registry_file(workspace).touch()
    page = next(each for each in ui_commands(settings, workspace) if each.name == "feast")
    assert page.command[page.command.index("--host") + 1] == "127.0.0.1"
    assert page.command[page.command.index("--home") + 1] == str(tmp_path / "home")
    assert page.health == "/health"
