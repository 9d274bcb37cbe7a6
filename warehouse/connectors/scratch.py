"""Folders for staged copies of a source's files, which may hold personal data and so outlive no load."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from pathlib import Path

_PREFIX = "salience-load-"
_LOCK = ".lock"
_YOUNG_SECONDS = 60


class Scratch:
    """A temporary folder, removed by `close`; those that killed processes left behind are removed when one is made.

    Args:
        parent: Folder to make it in; None: the system's folder of temporary files.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        # The system frees the lock when the process ends, however it ends.
        self._lock = (self.path / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        for left in parent.glob(f"{_PREFIX}*"):
            if left != self.path and _is_abandoned(left):
                shutil.rmtree(left, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _is_abandoned(folder: Path) -> bool:
    """Whether no process holds a folder's lock; a folder just made may not have one yet."""
    try:
        if time.time() - folder.stat().st_mtime < _YOUNG_SECONDS:
            return False
        with (folder / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return folder.is_dir()
    except OSError:  # held by a running load, or somebody else's
        return False
    return True
