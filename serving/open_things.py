"""What is open at the service's now, looked for in the background whenever that has moved by an hour."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from common.errors import SalienceError

VALID = timedelta(hours=1)
FIRST_LOOK_SECONDS = 20.0
AGAIN_SECONDS = 60.0

logger = logging.getLogger(__name__)

FindOpen: TypeAlias = "Callable[[datetime], Mapping[str, Sequence[str]]]"
"""Ids of what is open at a moment, by task and in order; raises a SalienceError where that cannot be told."""


class OpenThings:
    """Ids of the leads and deals that are open.

    To tell it takes the whole warehouse's history and some seconds; meanwhile what was found before stands.

    Args:
        find: Tells what is open.
        again_seconds: Least time between a look that failed and the next.
    """

    def __init__(self, find: FindOpen, *, again_seconds: float = AGAIN_SECONDS) -> None:
        self._find = find
        self._again_seconds = again_seconds
        self._not_before = 0.0
        self._at: datetime | None = None
        self._ids: Mapping[str, Sequence[str]] = {}
        self._looked = threading.Event()
        self._thread: threading.Thread | None = None
        self._problem: str | None = None

    def refresh(self, now: datetime) -> None:
        """Look again where `now` has moved far enough, in a thread of its own."""
        is_looking = self._thread is not None and self._thread.is_alive()
        is_fresh = self._at is not None and abs(now - self._at) <= VALID
        if is_looking or is_fresh or time.monotonic() < self._not_before:
            return
        self._thread = threading.Thread(target=self._look, args=(now,), name="open-things", daemon=True)
        self._thread.start()

    def ids(self, task: str) -> Sequence[str] | None:
        """What is open, in order; None where that cannot be told. The caller's thread waits for the first look."""
        if not self._looked.is_set() and self._thread is not None:
            self._looked.wait(FIRST_LOOK_SECONDS)
        return self._ids.get(task)

    def _look(self, now: datetime) -> None:
        try:
            self._ids = self._find(now)
            self._at, self._problem = now, None
        except SalienceError as error:
            self._not_before = time.monotonic() + self._again_seconds
            if error.what != self._problem:
                logger.warning("What is open cannot be told: %s", error)
            self._problem = error.what
        finally:
            self._looked.set()
