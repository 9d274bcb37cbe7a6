"""The process that makes the prediction log's segments, beside those that answer and write its lines."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from common.errors import UnavailableError
from common.locks import exclusive
from common.settings import Settings
from common.workspace import Workspace
from serving.beside import ProcessBeside, SoleProcess, begin
from serving.log_segments import left_spools, turn_into_segment

EVERY_SECONDS = 1.0
_NICE = 10
_LOCK = "segments.lock"

logger = logging.getLogger(__name__)


def segment_process(settings: Settings, workspace: Workspace) -> SoleProcess:
    """The process that makes the segments of a workspace's prediction log.

    Args:
        settings: What that process is to read.
        workspace: Whose log.
    """
    beside = ProcessBeside("serving.segment_runner", settings, workspace)
    lock = workspace.root / "predictions" / _LOCK
    return SoleProcess("the prediction log's segments", beside, lock=lock, log=workspace.root / "segments.log")


def make_segments(folder: Path, stop: threading.Event) -> None:
    """Make segments of all spools that are left, until `stop` is set; one that fails is tried again.

    Args:
        folder: Folder of the prediction log.
        stop: Ends it.
    """
    problem: str | None = None
    while not stop.is_set():
        try:
            for spool in left_spools(folder / "spool"):
                turn_into_segment(spool, folder)
            problem = None
        except OSError as error:
            if str(error) != problem:
                logger.warning("Segments cannot be written: %s; their lines stay in %s", error, folder / "spool")
            problem = str(error)
        stop.wait(EVERY_SECONDS)


def main() -> None:
    """Entry point: make segments for the workspace that the settings name, until told to end."""
    _, workspace, stop = begin("serving.segment_runner", __doc__, nice=_NICE)
    folder = workspace.root / "predictions"
    try:
        with exclusive(folder / _LOCK, what="the prediction log's segments", wait_seconds=0):
            make_segments(folder, stop)
    except UnavailableError as error:
        logger.info("%s", error)


if __name__ == "__main__":
    main()
