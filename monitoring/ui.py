"""The local pages: Prefect's, MLflow's, Evidently's and Feast's, started together and stopped together.

Prefect's server keeps its database below `settings.home / "prefect"` (its `PREFECT_HOME`), so nothing outside the
project is touched and its runs are there again next time. Flows appear on it when they run with the `PREFECT_API_URL`
that `run_ui` prints. File SQLite makes Prefect answer 503 now and then under load; its clients try again, and the in-
memory database that would not is gone with the server, history and deployments with it.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from common.errors import UnavailableError
from common.settings import Settings
from common.telemetry import QUIET
from common.workspace import Workspace
from features.feast_page import has_registry

HOST = "127.0.0.1"
_PORTS_TRIED = 50
# Feast's own default.
_FEAST_PORT = 8888
# A cold start of Prefect's server on a busy machine takes a minute.
_PATIENCE_S = 180.0
_GRACE_S = 10.0
_TAIL_BYTES = 2_000

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class UiProcess:
    """One page's server: what to start and where it will answer.

    Args:
        name: prefect, mlflow, evidently or feast.
        command: Program and arguments.
        environment: Variables it needs on top of this process's.
        wanted_port: Port asked for.
        port: Port it gets.
        health: Path that answers once it is ready.
        hint: What to tell the user beside the address.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    wanted_port: int
    port: int
    health: str
    hint: str = ""

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://{HOST}:{self.port}"

    @property
    def message(self) -> str:
        """What to tell the user once it answers."""
        moved = "" if self.port == self.wanted_port else f" (port {self.wanted_port} is in use)"
        return f"{self.name:<10}{self.url}{moved}{'  ' + self.hint if self.hint else ''}"


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Variables for every process that runs Prefect here: its home is below ours unless the user set one."""
    return {"PREFECT_HOME": os.environ.get("PREFECT_HOME", str(settings.home.absolute() / "prefect"))}


def ui_commands(settings: Settings, workspace: Workspace) -> list[UiProcess]:
    """What to start, each on a port that is free now.

    MLflow is left out where `tracking_uri` names a server that has its own page, Feast before features are registered.

    Raises:
        UnavailableError: if no port is free near a wanted one.
    """
    ports = settings.ui
    taken: set[int] = set()
    processes = [_prefect(settings, _choose(ports.prefect_port, taken))]
    if not settings.mlflow_uri.startswith(("http://", "https://")):
        processes.append(_mlflow(settings, _choose(ports.mlflow_port, taken)))
    processes.append(_evidently(workspace, ports.evidently_port, _choose(ports.evidently_port, taken)))
    if has_registry(workspace):
        processes.append(_feast(workspace, _choose(_FEAST_PORT, taken)))
    return processes


def free_port(wanted: int, *, taken: Collection[int] = ()) -> int:
    """The wanted port, or the next one up that nobody listens on.

    Args:
        wanted: First port to try.
        taken: Ports that are promised to others.

    Raises:
        UnavailableError: if none of the next 50 is free.
    """
    for port in range(wanted, min(wanted + _PORTS_TRIED, 65_536)):
        if port not in taken and _is_free(port):
            return port
    raise UnavailableError(
        f"No port from {wanted} to {min(wanted + _PORTS_TRIED, 65_536) - 1} is free",
        next_step="stop what uses them, or choose others with SALIENCE_UI__PREFECT_PORT, "
        "SALIENCE_UI__MLFLOW_PORT and SALIENCE_UI__EVIDENTLY_PORT",
    )


def run_ui(settings: Settings, workspace: Workspace, *, say: Say, stop: threading.Event | None = None) -> int:
    """Start the pages, say their addresses, and keep them until Ctrl-C, SIGTERM or `stop`; then stop them all.

    Args:
        settings: Ports and folders.
        workspace: Whose Evidently folder is shown.
        say: Told each line for the user.
        stop: Ends the run when set.

    Returns:
        Exit code, 0.

    Raises:
        UnavailableError: if a page does not start, or ends by itself; the end of its log is in the message.
    """
    ended = stop if stop is not None else threading.Event()
    logs = settings.home.absolute() / "logs"
    with _stop_signals(ended):
        processes = ui_commands(settings, workspace)
        if settings.mlflow_uri.startswith(("http://", "https://")):
            say(f"{'mlflow':<10}{settings.mlflow_uri}  (not ours to start)")
        with running(processes, logs=logs) as started:
            for process, child in started:
                if _wait_until_ready(process, child, logs=logs, ended=ended):
                    say(process.message)
            if not has_registry(workspace):
                say(f"{'feast':<10}comes once features are registered: `salience features build`")
            if not ended.is_set():
                say("Ctrl-C stops them all.")
            while not ended.wait(0.5):
                _check_alive(started, logs=logs)
    say("All pages are stopped.")
    return 0


@contextmanager
def running(processes: Sequence[UiProcess], *, logs: Path) -> Iterator[list[tuple[UiProcess, subprocess.Popen[bytes]]]]:
    """Start processes, each in a group of its own with its log in `logs`; stop every group at the end."""
    logs.mkdir(parents=True, exist_ok=True)
    started: list[tuple[UiProcess, subprocess.Popen[bytes]]] = []
    try:
        for process in processes:
            with (logs / f"{process.name}.log").open("wb") as log:
                child = subprocess.Popen(  # noqa: S603 (our own command lines)
                    process.command,
                    env={**QUIET, **os.environ, **process.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            started.append((process, child))
        yield started
    finally:
        _stop_groups([child for _, child in started])


def _prefect(settings: Settings, port: int) -> UiProcess:
    home = Path(prefect_environment(settings)["PREFECT_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    url = f"http://{HOST}:{port}"
    return UiProcess(
        name="prefect",
        command=(sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)),
        environment={
            **prefect_environment(settings),
            # The page in the browser and the server's own services must speak to this server, whatever the user set.
            "PREFECT_API_URL": f"{url}/api",
            "PREFECT_SERVER_UI_API_URL": f"{url}/api",
        },
        wanted_port=settings.ui.prefect_port,
        port=port,
        health="/api/health",
        hint=f"flows show up with PREFECT_API_URL={url}/api",
    )


def _mlflow(settings: Settings, port: int) -> UiProcess:
    home = settings.mlruns.absolute()
    home.mkdir(parents=True, exist_ok=True)
    options = (
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
        "--artifacts-destination",
        str(home / "artifacts"),
    )
    return UiProcess(
        name="mlflow",
        command=(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", settings.mlflow_uri, *options),
        # Jobs are for its LLM judges; they would add processes of their own.
        environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        wanted_port=settings.ui.mlflow_port,
        port=port,
        health="/health",
    )


def _evidently(workspace: Workspace, wanted: int, port: int) -> UiProcess:
    workspace.evidently.mkdir(parents=True, exist_ok=True)
    options = ("--workspace", str(workspace.evidently), "--host", HOST, "--port", str(port))
    return UiProcess(
        name="evidently",
        command=(sys.executable, "-W", "ignore", "-m", "evidently.cli", "ui", *options),
        environment={},
        wanted_port=wanted,
        port=port,
        health="/api/version",
    )


def _feast(workspace: Workspace, port: int) -> UiProcess:
    options = ("--workspace", workspace.name, "--home", str(workspace.home.absolute()))
    return UiProcess(
        name="feast",
        command=(sys.executable, "-m", "features.feast_page", *options, "--host", HOST, "--port", str(port)),
        environment={},
        wanted_port=_FEAST_PORT,
        port=port,
        health="/health",
    )


def _choose(wanted: int, taken: set[int]) -> int:
    port = free_port(wanted, taken=taken)
    taken.add(port)
    return port


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            return False
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


@contextmanager
def _stop_signals(ended: threading.Event) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM set `ended` instead of ending this process in the middle of something."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_until_ready(
    process: UiProcess, child: subprocess.Popen[bytes], *, logs: Path, ended: threading.Event
) -> bool:
    """Wait for the health path to answer; False if the run was ended before.

    Raises:
        UnavailableError: if the process ends or does not answer in time.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while not ended.wait(0.2):
        if _answers(process.url + process.health):
            return True
        _check_alive([(process, child)], logs=logs)
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"The {process.name} page did not answer on {process.url} within {_PATIENCE_S:.0f} s",
                got=_tail(logs / f"{process.name}.log"),
                next_step=f"read {logs / (process.name + '.log')}",
            )
    return False


def _answers(url: str) -> bool:
    # An empty proxy table: the loopback is never asked through a proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return 200 <= int(answer.status) < 300
    except (urllib.error.URLError, OSError):
        return False


def _check_alive(started: Sequence[tuple[UiProcess, subprocess.Popen[bytes]]], *, logs: Path) -> None:
    for process, child in started:
        if child.poll() is not None:
            raise UnavailableError(
                f"The {process.name} page ended by itself with exit code {child.returncode}",
                got=_tail(logs / f"{process.name}.log"),
                next_step=f"read {logs / (process.name + '.log')}",
            )


def _tail(log: Path) -> str:
    lines = log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip().splitlines()
    return " / ".join(lines[-3:]) if lines else "an empty log"


def _stop_groups(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask every group to end; after a grace period end what is left of it, children of children too."""
    for child in children:
        _signal_group(child, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    for child in children:
        try:
            child.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            continue
    while time.monotonic() < deadline and any(_group_lives(child) for child in children):
        time.sleep(0.05)
    for child in children:
        _signal_group(child, signal.SIGKILL)
        child.wait()


def _group_lives(child: subprocess.Popen[bytes]) -> bool:
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return
