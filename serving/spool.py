"""A file of lines that one process appends to: a line is in it whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path


class Spool:
    """An append-only file, locked by its process for as long as that lives.

    Args:
        path: The file; it is made, with its folder.
        header: Its first line.

    Raises:
        OSError: if it cannot be made.
    """

    def __init__(self, path: Path, *, header: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.size = 0
        self._made_at = time.monotonic()
        self._is_dirty = False
        # Under its own name only once it is locked: whoever saw it without a lock would take it for one left behind.
        unlocked = path.with_name(f".{path.name}.new")
        self._file = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self.append(header)
            unlocked.rename(path)
        except OSError:
            self.close()
            unlocked.unlink(missing_ok=True)
            raise

    @property
    def age_seconds(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._made_at

    def append(self, line: bytes) -> None:
        """Add a line; the operating system has it when this returns.

        Raises:
            OSError: if it cannot be written; then nothing of it is in the file.
        """
        done = os.write(self._file, line)
        if done < len(line):
            # A disk that fills up takes a part.
            os.ftruncate(self._file, self.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += done
        self._is_dirty = True

    def sync(self) -> None:
        """Bring all lines to the disk."""
        if self._is_dirty:
            self._is_dirty = False
            os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file and give up its lock."""
        os.close(self._file)


def is_orphan(path: Path) -> bool:
    """Whether the process that wrote a spool is gone: nobody holds its lock."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True
