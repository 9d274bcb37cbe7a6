"""One serving process: BentoML's application under uvicorn until a signal ends it, or BentoML's supervisor.

With one worker the application runs in this very process, as BentoML's own worker runs it, without the supervisor that
`bentoml serve` puts beside it (half the start-up time, half the memory). With more, the supervisor starts them.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from common.errors import UnavailableError
from common.logs import configure_logging
from common.settings import Settings
from common.telemetry import disable_telemetry


def serve_here(name: str, listener: socket.socket, *, log_level: str) -> None:
    """Run BentoML's application in this process until a signal ends it."""
    disable_telemetry()
    with tempfile.TemporaryDirectory(prefix="salience-metrics-") as folder, _quiet_signals():
        # BentoML's metrics need a folder before prometheus_client is imported; its default is shared by all services.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        import uvicorn
        from bentoml._internal.context import server_context

        from serving import service as services

        service = getattr(services, name)
        # Labels of BentoML's metrics, as its own worker sets them.
        server_context.service_type, server_context.service_name = "entry_service", service.name
        server_context.bento_name, server_context.bento_version = service.name, "not available"
        app = service.to_asgi()
        configure_logging(log_level)
        # A line per start, stop and lost connection is BentoML's and uvicorn's; warnings are worth a user's attention.
        for chatty in ("uvicorn", "bentoml"):
            logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(log_level)))
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=5, lifespan="on"
        )
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        if not server.started:
            raise UnavailableError("The service could not start", next_step="read the log above")


def serve_supervised(name: str, settings: Settings, port: int) -> None:
    """Let BentoML's supervisor run several workers until a signal ends it."""
    disable_telemetry()
    from serving import service as services

    getattr(services, name).serve_http(host=settings.serving.host, port=port)


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Let uvicorn end on Ctrl-C and SIGTERM; the signal it raises again when done must not kill this process."""

    def ignore(*_: Any) -> None:
        return

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with(parent: int) -> None:
    """Ask this process to stop once its parent is gone, however that ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """Entry point of the process that `running_service` starts."""
    parser = argparse.ArgumentParser(prog="serving.process", description=__doc__)
    parser.add_argument("service")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    given = parser.parse_args()
    settings = Settings()
    configure_logging(settings.log_level)
    _end_with(given.parent)
    serve_here(given.service, socket.socket(fileno=given.fd), log_level=settings.log_level)


if __name__ == "__main__":
    main()
