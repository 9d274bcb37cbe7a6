"""A process of our own beside the one that answers: started with the same settings, ended with it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from common.errors import UnavailableError
from common.locks import exclusive
from common.logs import configure_logging
from common.settings import Settings
from common.telemetry import disable_telemetry
from common.workspace import Workspace

_STOP_SECONDS = 10.0
_AFTER_FAILURE_SECONDS = 30.0

logger = logging.getLogger(__name__)


class ProcessBeside:
    """Runs one module of ours as a process, once at a time.

    Args:
        module: Its name; it is told `--parent` and the settings as environment variables.
        settings: What it is to read.
        workspace: Whose work it does.
    """

    def __init__(self, module: str, settings: Settings, workspace: Workspace) -> None:
        self.module = module
        self._settings = settings
        self._workspace = workspace
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, and before it first did."""
        return None if self._process is None else self._process.poll()

    def start(self, log: Path) -> None:
        """Start it; what it says goes to the end of `log`."""
        from serving.run import environment

        with log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                [sys.executable, "-m", self.module, "--parent", str(os.getpid())],
                env={**os.environ, **environment(self._settings, self._workspace)},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def ask_to_stop(self) -> None:
        """Ask it to end, without waiting until it has."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """Ask it to end, and kill it where it does not: what it works on, it takes up again."""
        self.ask_to_stop()
        if self._process is None:
            return
        try:
            self._process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class SoleProcess:
    """Keeps one process of a kind running for a workspace, however many processes answer for it.

    Args:
        what: What it does, for the log.
        beside: The process.
        lock: File that it holds locked as long as it runs.
        log: Where it writes what it has to say.
    """

    def __init__(self, what: str, beside: ProcessBeside, *, lock: Path, log: Path) -> None:
        self._what = what
        self._beside = beside
        self._lock = lock
        self._log = log
        self._not_before = 0.0

    def start(self) -> None:
        """Start it unless one runs, here or beside another answering process; after a failure not at once."""
        if self._beside.is_running or time.monotonic() < self._not_before:
            return
        try:
            with exclusive(self._lock, what=self._what, wait_seconds=0):
                pass
        except UnavailableError:
            return
        code = self._beside.exit_code
        if code is not None and code > 0 and self._not_before == 0.0:
            logger.warning("the process of %s ended with code %s; %s says why", self._what, code, self._log)
            self._not_before = time.monotonic() + _AFTER_FAILURE_SECONDS
            return
        if code is not None:
            logger.warning("the process of %s ended with code %s and is started again", self._what, code)
        self._not_before = 0.0
        self._beside.start(self._log)

    def ask_to_stop(self) -> None:
        """Ask it to end, without waiting until it has."""
        self._beside.ask_to_stop()

    def stop(self) -> None:
        """Let it end what is in hand."""
        self._beside.stop()


def begin(module: str, about: str | None, *, nice: int) -> tuple[Settings, Workspace, threading.Event]:
    """What every such process does first: settings and log as the one that started it, and it gives way to others.

    Args:
        module: Its name.
        about: What it does.
        nice: By how much it gives way.

    Returns:
        Settings, workspace, and an event that is set when it is to end: see `_stopped_with`.
    """
    parser = argparse.ArgumentParser(prog=module, description=about)
    parser.add_argument("--parent", type=int, required=True)
    stop = _stopped_with(parser.parse_args().parent)
    disable_telemetry()
    settings = Settings()
    configure_logging(settings.log_level)
    os.nice(nice)
    return settings, Workspace.of(settings), stop


def _stopped_with(parent: int) -> threading.Event:
    """An event that is set on SIGTERM or Ctrl-C, and when the process that started this one is gone."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def watch() -> None:
        while os.getppid() == parent and not stop.is_set():
            time.sleep(1.0)
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
    return stop
