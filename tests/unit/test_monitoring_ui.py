"""The local pages: ports, command lines, start and stop with small stand-in servers."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from common.errors import UnavailableError
from common.settings import Settings, UiSettings
from common.workspace import Workspace
from monitoring import ui
from monitoring.ui import UiProcess, free_port, prefect_environment, run_ui, ui_commands


@pytest.fixture
def busy_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def settings_at(tmp_path: Path, **ports: int) -> Settings:
    return Settings(_env_file=None, home=tmp_path / "home", mlruns=tmp_path / "mlruns", ui=UiSettings(**ports))


def server(name: str, port: int, *, code: str | None = None) -> UiProcess:
    """A small HTTP server, with a child process of its own as Prefect and MLflow have."""
    serve = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "import http.server\n"
        f"http.server.test(http.server.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')\n"
    )
    return UiProcess(
        name=name,
        command=(sys.executable, "-c", code or serve),
        environment={},
        wanted_port=port,
        port=port,
        health="/",
    )


def test_a_free_port_is_taken_as_wanted_and_a_busy_one_is_left(busy_port: int) -> None:
    assert free_port(busy_port) > busy_port
    with socket.create_server(("127.0.0.1", 0)) as other:
        wanted = other.getsockname()[1]
    assert free_port(wanted) == wanted
    assert free_port(wanted, taken={wanted}) > wanted


def test_no_free_port_is_an_error_that_names_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "_is_free", lambda port: False)
    with pytest.raises(UnavailableError, match=r"No port from 4200 to 4249 is free.*SALIENCE_UI__PREFECT_PORT"):
        free_port(4200)


def test_commands_use_the_projects_folders_the_loopback_and_distinct_ports(tmp_path: Path, busy_port: int) -> None:
    settings = settings_at(tmp_path, prefect_port=busy_port, mlflow_port=busy_port, evidently_port=busy_port)
    processes = ui_commands(settings, Workspace.of(settings))
    assert [process.name for process in processes] == ["prefect", "mlflow", "evidently"]
    assert len({process.port for process in processes} | {busy_port}) == 4
    for process in processes:
        assert process.command[process.command.index("--host") + 1] == "127.0.0.1"
        assert process.command[process.command.index("--port") + 1] == str(process.port)
        assert f"(port {busy_port} is in use)" in process.message
    prefect, mlflow, evidently = processes
    assert prefect.environment["PREFECT_HOME"] == str(tmp_path / "home" / "prefect")
    assert prefect.environment["PREFECT_API_URL"] == f"http://127.0.0.1:{prefect.port}/api"
    assert settings.mlflow_uri in mlflow.command
    assert str(tmp_path / "home" / "simulated" / "evidently") in evidently.command


def test_an_mlflow_server_of_ones_own_is_not_started_again(tmp_path: Path) -> None:
    settings = settings_at(tmp_path).model_copy(update={"tracking_uri": "http://mlflow.example"})
    assert [process.name for process in ui_commands(settings, Workspace.of(settings))] == ["prefect", "evidently"]


def test_prefects_home_is_below_ours_unless_the_user_set_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    assert prefect_environment(settings_at(tmp_path)) == {"PREFECT_HOME": str(tmp_path / "home" / "prefect")}
    monkeypatch.setenv("PREFECT_HOME", "/elsewhere")
    assert prefect_environment(settings_at(tmp_path)) == {"PREFECT_HOME": "/elsewhere"}


def test_pages_start_say_their_addresses_and_leave_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [free_port(18_600), free_port(18_700)]
    monkeypatch.setattr(ui, "ui_commands", lambda *_: [server("one", ports[0]), server("two", ports[1])])
    started: list[int] = []
    running = ui.subprocess.Popen

    def remember(*args, **kwargs):
        child = running(*args, **kwargs)
        started.append(child.pid)
        return child

    monkeypatch.setattr(ui.subprocess, "Popen", remember)
    said: list[str] = []
    stop = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("Ctrl-C"):
            stop.set()

    settings = settings_at(tmp_path)
    assert run_ui(settings, Workspace.of(settings), say=say, stop=stop) == 0
    assert said[0] == f"one       http://127.0.0.1:{ports[0]}"
    assert said[1] == f"two       http://127.0.0.1:{ports[1]}"
    assert said[-1] == "All pages are stopped."
    assert len(started) == 2
    for group in started:
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)


def test_a_page_that_ends_by_itself_is_an_error_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = server("one", free_port(18_800), code="raise SystemExit('the database is damaged')")
    monkeypatch.setattr(ui, "ui_commands", lambda *_: [broken])
    settings = settings_at(tmp_path)
    with pytest.raises(UnavailableError, match=r"one page ended by itself with exit code 1.*the database is damaged"):
        run_ui(settings, Workspace.of(settings), say=lambda _: None)


def test_a_page_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = server("one", free_port(18_900), code="import time; time.sleep(600)")
    monkeypatch.setattr(ui, "ui_commands", lambda *_: [silent])
    monkeypatch.setattr(ui, "_PATIENCE_S", 0.3)
    settings = settings_at(tmp_path)
    before = time.monotonic()
    with pytest.raises(UnavailableError, match="did not answer"):
        run_ui(settings, Workspace.of(settings), say=lambda _: None)
    assert time.monotonic() - before < 10
