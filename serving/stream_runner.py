"""The process that turns pushed events into features, beside those that answer.

As a thread of an answering process it took half of that process's time while views were recomputed, and the memory of
the libraries that compute them (DuckDB, Ibis, Delta): a request waited for the interpreter while a plan was compiled.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
import time

from common.errors import UnavailableError
from common.locks import exclusive
from common.logs import configure_logging
from common.settings import Settings
from common.telemetry import disable_telemetry
from common.workspace import Workspace
from features.stream_door import worker_lock
from serving.beside import ProcessBeside

_NICE = 5

logger = logging.getLogger(__name__)


class StreamStarter:
    """Starts the process that works on a workspace's stream, where none does.

    Args:
        settings: What that process is to read.
        workspace: Whose events.
    """

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self._workspace = workspace
        self._beside = ProcessBeside("serving.stream_runner", settings, workspace)

    def start(self) -> None:
        """Start it unless one runs, here or beside another answering process."""
        if self._beside.is_running:
            return
        try:
            with exclusive(worker_lock(self._workspace), what="stream", wait_seconds=0):
                pass
        except UnavailableError:
            return
        if self._beside.exit_code is not None:
            logger.warning("the stream's process ended with code %s and is started again", self._beside.exit_code)
        self._beside.start(self._workspace.root / "stream.log")

    def stop(self) -> None:
        """Let it commit what is in hand and end; what it has not acknowledged stays queued."""
        self._beside.stop()


def _stop_with(parent: int, stop: threading.Event) -> None:
    """Set `stop` on SIGTERM or Ctrl-C, and when the process that started this one is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def watch() -> None:
        while os.getppid() == parent and not stop.is_set():
            time.sleep(1.0)
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """Entry point: work on the stream of the workspace that the settings name."""
    parser = argparse.ArgumentParser(prog="serving.stream_runner", description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    stop = threading.Event()
    _stop_with(parser.parse_args().parent, stop)
    disable_telemetry()
    settings = Settings()
    configure_logging(settings.log_level)
    os.nice(_NICE)
    workspace = Workspace.of(settings)
    from features.repository import FeatureRepository
    from features.streaming import StreamUpdater
    from warehouse.store import Warehouse

    repository = FeatureRepository(workspace, Warehouse(workspace.warehouse), settings.online_store)
    StreamUpdater(repository, settings).run(stop)


if __name__ == "__main__":
    main()
