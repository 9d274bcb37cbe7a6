"""Starting and stopping the services: here until Ctrl-C, or in a process of their own for as long as a block lasts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import InputError, UnavailableError
from common.settings import Settings
from common.telemetry import QUIET
from common.workspace import Workspace
from serving.ports import bind, listening_on

SERVICES = {"lead": "LeadService", "deal": "DealService", "forecast": "ForecastService", "sales": "Sales"}
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.1


def serve(
    settings: Settings,
    workspace: Workspace,
    *,
    service: str = "sales",
    port: int | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        settings: Host, port, workers and everything the engine reads.
        workspace: What to serve.
        service: `lead`, `deal`, `forecast`, or `sales` for all three in one process.
        port: First port to try; default the settings'.
        say: Told in words where the service listens, before the models are loaded.

    Returns:
        Exit code: 0 after a stop that was asked for.

    Raises:
        InputError: if there is no such service, or others than this machine could call without a key.
        UnavailableError: if no port is free.
    """
    name = _service_name(service)
    require_known_callers(settings)
    wanted = settings.serving.port if port is None else port
    listener = bind(settings.serving.host, wanted)
    listening = listening_on(listener, wanted)
    if say is not None:
        say(f"{listening.message} (Ctrl-C stops it; / lists what it answers)")
    os.environ.update(environment(settings, workspace))
    from serving.process import serve_here, serve_supervised

    if settings.serving.workers == 1:
        serve_here(name, listener, log_level=settings.log_level)
    else:
        listener.close()
        serve_supervised(name, settings, listening.port)
    return 0


@contextmanager
def running_service(
    settings: Settings,
    workspace: Workspace,
    *,
    service: str = "sales",
    port: int | None = None,
    timeout_s: float = 60.0,
    is_ready: str = "/livez",
) -> Iterator[str]:
    """A service in a process of its own, for as long as the block lasts; it ends with this process at the latest.

    Args:
        settings: As for `serve`.
        workspace: What to serve.
        service: As for `serve`.
        port: First port to try; default the settings'.
        timeout_s: Seconds to wait for it.
        is_ready: Path that has to answer 200 before the block starts; `/ready` waits for the models, too.

    Yields:
        The base URL.

    Raises:
        UnavailableError: if it ends, or is not ready in time; with the last lines of its log.
    """
    wanted = settings.serving.port if port is None else port
    name = _service_name(service)
    require_known_callers(settings)
    listener = bind(settings.serving.host, wanted)
    listening = listening_on(listener, wanted)
    workspace.root.mkdir(parents=True, exist_ok=True)
    log_file = workspace.root / f"serving-{service}.log"
    command = [
        sys.executable,
        "-m",
        "serving.process",
        name,
        "--fd",
        str(listener.fileno()),
        "--parent",
        str(os.getpid()),
    ]
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            command,
            env={**os.environ, **environment(settings, workspace)},
            pass_fds=(listener.fileno(),),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    listener.close()
    try:
        _wait_until_ready(process, f"{listening.url}{is_ready}", log_file, timeout_s=timeout_s)
        yield listening.url
    finally:
        stop(process)


def require_known_callers(settings: Settings) -> None:
    """Refuse to listen where others than this machine can call, as long as nobody needs a key.

    Raises:
        InputError: if the host is not this machine's own and access is `local`.
    """
    host = settings.serving.host
    if settings.access.mode == "local" and host != "localhost" and not _is_loopback(host):
        raise InputError(
            f"Without keys the services listen on this machine alone, not on {host}",
            expected="127.0.0.1, or keys",
            field="serving.host",
            next_step="set SALIENCE_ACCESS__MODE=required and make a key: salience keys add NAME --role application",
        )


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a service: ask, wait, and only then kill. Returns its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def environment(settings: Settings, workspace: Workspace) -> dict[str, str]:
    """The settings as `SALIENCE_*` variables, so that another process reads the same; BentoML's files stay at home."""
    import json

    values = settings.model_dump(mode="json", exclude_none=True)
    values |= {
        "home": str(workspace.home.absolute()),
        "mlruns": str(settings.mlruns.absolute()),
        "workspace": workspace.name,
    }
    named = {
        f"SALIENCE_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }
    return {**QUIET, **named, "BENTOML_HOME": str(workspace.home.absolute() / "bentoml")}


def _service_name(service: str) -> str:
    if service not in SERVICES:
        raise InputError(f"There is no service '{service}'", expected=f"one of {', '.join(SERVICES)}", field="service")
    return SERVICES[service]


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log_file: Path, *, timeout_s: float) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise UnavailableError(
                f"The service ended with code {process.returncode} while starting",
                got=_last_lines(log_file),
                next_step=f"read {log_file}",
            )
        try:
            # A socket that is bound but not yet served takes the connection and is silent: ask again.
            with urlopen(url, timeout=min(2.0, timeout_s)):  # noqa: S310 - our own http address
                return
        except (URLError, OSError):
            time.sleep(_POLL_SECONDS)
    raise UnavailableError(
        f"The service was not ready within {timeout_s:.0f} seconds",
        got=_last_lines(log_file),
        next_step=f"read {log_file}",
    )


def _last_lines(file: Path, *, lines: int = 5) -> str:
    text = file.read_text(encoding="utf-8", errors="replace").strip()
    return " | ".join(text.splitlines()[-lines:]) or "an empty log"
