"""The stream's clock: how far a history's now has been put forward by its events, for every process that answers."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from common.clock import utc
from common.whole_files import write_whole
from common.workspace import Workspace


class StreamClock:
    """A moment in a file, written by the stream's worker and read by services, cheaply enough for every request.

    Args:
        workspace: Whose stream.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._path: Path = workspace.root / "stream" / "now"
        self._name = str(self._path)
        self._seen: tuple[int, int] | None = None
        self._moment: datetime | None = None

    def tell(self, now: datetime) -> None:
        """Put the clock forward; it never goes back."""
        before = self.now()
        if before is None or now > before:
            write_whole(self._path, utc(now).isoformat())

    def now(self) -> datetime | None:
        """The newest moment told, UTC; None if there is none."""
        try:
            found = os.stat(self._name)  # noqa: PTH116 - every request asks, and this takes half the time
            if self._seen != (found.st_mtime_ns, found.st_ino):
                self._moment = datetime.fromisoformat(self._path.read_text(encoding="utf-8"))
                self._seen = (found.st_mtime_ns, found.st_ino)
        except FileNotFoundError:
            return None
        return self._moment
