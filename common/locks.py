"""Locks between processes, held on files: a killed process lets go of them by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import UnavailableError

_PAUSE_SECONDS = 0.05


@contextmanager
def exclusive(path: Path, *, what: str, wait_seconds: float) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; no two processes or threads hold it at once.

    Args:
        path: Lock file; it and its folder are made when absent, and it stays.
        what: What the lock guards, for the error message.
        wait_seconds: How long to wait for another holder.

    Raises:
        UnavailableError: if another process held it all that time.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        until = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise UnavailableError(
                        f"Another process has been writing {what} for more than {wait_seconds:.0f} s",
                        next_step="wait for it to end, or stop it, and run the same command again",
                    ) from None
                time.sleep(_PAUSE_SECONDS)
        yield
