"""A process of our own beside the one that answers: started with the same settings, ended with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from common.settings import Settings
from common.workspace import Workspace

_STOP_SECONDS = 10.0


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

    def stop(self) -> None:
        """Ask it to end, and kill it where it does not: what it works on, it takes up again."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
