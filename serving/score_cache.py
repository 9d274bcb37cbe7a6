"""Scores answered before, for as long as nothing they rest on has changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from serving.scored import Scored
from serving.stored_features import Mark

Key: TypeAlias = "tuple[str, str, str]"
"""Alias, task and id."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A score with all that it rests on.

    Args:
        scored: The score.
        mark: What was read for it.
        maker: What made it, see `serving.makers`.
    """

    scored: Scored
    mark: Mark
    maker: str

    def holds(self, *, maker: str, now: datetime, wall: datetime, is_unchanged: Callable[[Mark], bool]) -> bool:
        """Whether the same would be said now.

        Args:
            maker: What would make it now.
            now: The service's now, at which no further value may have expired.
            wall: The clock on the wall, for the score's own validity.
            is_unchanged: Whether the store holds what was read.
        """
        # A clock that was put back leaves scores of what is now the future.
        if self.maker != maker or not self.scored.scored_at <= wall < self.scored.valid_until:
            return False
        until = self.mark.until
        return now >= self.mark.at and (until is None or now <= until) and is_unchanged(self.mark)


class ScoreCache:
    """Keeps the newest scores, `most` at most; the ones unused longest go first. Safe to use from any thread.

    Args:
        most: Scores to keep; each takes some 8 KB.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[Key, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Kept | None:
        """What is kept under `key`, whether it still holds or not."""
        entry = self._entries.get(key)
        if entry is not None:
            with self._lock:
                if key in self._entries:
                    self._entries.move_to_end(key)
        return entry

    @property
    def keeps(self) -> bool:
        """Whether anything is kept at all."""
        return self._most > 0

    def clear(self) -> None:
        """Forget all scores."""
        with self._lock:
            self._entries.clear()

    def put(self, key: Key, kept: Kept) -> None:
        """Keep a score."""
        if self._most == 0:
            return
        with self._lock:
            self._entries[key] = kept
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
