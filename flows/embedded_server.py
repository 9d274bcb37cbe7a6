"""A temporary Prefect server for one command: in memory, deaf to the terminal's Ctrl-C, gone when the command is.

Prefect's own temporary server dies of the Ctrl-C that interrupts the flow, whose last reports then wait minutes for it;
and it stays behind when the command is killed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from common.errors import UnavailableError

HOST = "127.0.0.1"
# It takes about 8 s to start where nothing else runs.
PATIENCE_S = 180.0
_GRACE_S = 5.0
_ENVIRONMENT = {
    # File SQLite answers "database is locked" under Prefect's own load.
    "PREFECT_API_DATABASE_CONNECTION_URL": (
        "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true&check_same_thread=false"
    ),
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
}


@contextlib.contextmanager
def embedded_server() -> Iterator[str]:
    """Start the server, wait until it answers, give the address of its API, and stop it afterwards.

    Raises:
        UnavailableError: if it ends early or does not answer in time.
    """
    with socket.create_server((HOST, 0)) as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}/api"
        command = [
            sys.executable,
            "-m",
            "flows.embedded_server",
            "--fd",
            str(listener.fileno()),
            "--parent",
            str(os.getpid()),
        ]
        process = subprocess.Popen(command, env={**os.environ, **_ENVIRONMENT}, pass_fds=[listener.fileno()])  # noqa: S603
    try:
        _wait_until_healthy(url, process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    import httpx

    deadline = time.monotonic() + PATIENCE_S
    with httpx.Client(timeout=PATIENCE_S) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return
            time.sleep(0.1)
    how = f"ended with code {process.poll()}" if process.poll() is not None else f"did not answer in {PATIENCE_S:.0f} s"
    raise UnavailableError(
        f"The embedded Prefect server {how}",
        next_step="run the command again, or set PREFECT_API_URL to a running server",
    )


def _end_with(parent: int) -> None:
    """End this process once its parent is gone, however that ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """Run the server on an inherited socket until terminated."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with(given.parent)
    import uvicorn
    from prefect.server.api.server import create_app

    class Deaf(uvicorn.Server):
        """Leaves signals alone: Ctrl-C is for the command, termination needs no grace in memory."""

        def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
            return contextlib.nullcontext()

    Deaf(uvicorn.Config(create_app(ephemeral=True), fd=given.fd, log_level="critical", lifespan="on")).run()


if __name__ == "__main__":
    main()
