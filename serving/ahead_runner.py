"""The process that scores ahead, beside those that answer: in one of them it would take turns with the answers."""

from __future__ import annotations

import logging
import sqlite3
import sys

from common.errors import SalienceError, UnavailableError
from common.locks import exclusive
from common.settings import Settings
from common.workspace import Workspace
from serving.ahead_store import ahead_file
from serving.beside import ProcessBeside, SoleProcess, begin

_NICE = 10

logger = logging.getLogger(__name__)


def ahead_process(settings: Settings, workspace: Workspace) -> SoleProcess:
    """The process that keeps a workspace's scores made ahead.

    Args:
        settings: What that process is to read.
        workspace: Whose leads and deals.
    """
    beside = ProcessBeside("serving.ahead_runner", settings, workspace)
    lock = ahead_file(workspace).with_suffix(".lock")
    return SoleProcess("scores made ahead", beside, lock=lock, log=workspace.root / "ahead.log")


def main() -> None:
    """Entry point: score ahead for the workspace that the settings name, until told to end."""
    settings, workspace, stop = begin("serving.ahead_runner", __doc__, nice=_NICE)
    file = ahead_file(workspace)
    try:
        with exclusive(file.with_suffix(".lock"), what="scores made ahead", wait_seconds=0):
            from serving.ahead import Ahead
            from serving.ahead_store import AheadWriter
            from serving.assembly import open_engine
            from serving.lean import import_libraries, settle, use_few_arenas

            use_few_arenas()
            import_libraries()
            engine = open_engine(settings, workspace, tasks=("lead", "deal"), tells_open=False)
            settle()
            Ahead(engine, AheadWriter(file), most=settings.serving.scores_ahead).run(stop)
    except UnavailableError as error:
        logger.info("%s", error)
    except (SalienceError, OSError, sqlite3.Error) as error:
        logger.error("no scores are made ahead: %s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
