"""The process that turns pushed events into features, beside those that answer.

As a thread of an answering process it took half of that process's time while views were recomputed, and the memory of
the libraries that compute them (DuckDB, Ibis, Delta): a request waited for the interpreter while a plan was compiled.
"""

from __future__ import annotations

from common.settings import Settings
from common.workspace import Workspace
from features.stream_door import worker_lock
from serving.beside import ProcessBeside, SoleProcess, begin

_NICE = 5


def stream_process(settings: Settings, workspace: Workspace) -> SoleProcess:
    """The process that works on a workspace's stream; what it has not acknowledged when it ends stays queued.

    Args:
        settings: What that process is to read.
        workspace: Whose events.
    """
    beside = ProcessBeside("serving.stream_runner", settings, workspace)
    return SoleProcess("the stream", beside, lock=worker_lock(workspace), log=workspace.root / "stream.log")


def main() -> None:
    """Entry point: work on the stream of the workspace that the settings name."""
    settings, workspace, stop = begin("serving.stream_runner", __doc__, nice=_NICE)
    from features.repository import FeatureRepository
    from features.streaming import StreamUpdater
    from warehouse.store import Warehouse

    repository = FeatureRepository(workspace, Warehouse(workspace.warehouse), settings.online_store)
    StreamUpdater(repository, settings).run(stop)


if __name__ == "__main__":
    main()
