"""Scores answered before, for as long as nothing they rest on has changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from serving.scored import Scored
from serving.stored_features import Mark


@dataclass(frozen=True, slots=True)
class _Entry:
    scored: Scored
    mark: Mark


class ScoreCache:
    """Keeps the newest scores, `most` at most; the ones unused longest go first. Safe to use from any thread.

    A score is given again only if the same version of the model would read the same rows: see `Mark`.

    Args:
        most: Scores to keep; each takes some 10 KB.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[tuple[str, str, str], _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def get(
        self,
        key: tuple[str, str, str],
        *,
        version: str,
        now: datetime,
        wall: datetime,
        is_unchanged: Callable[[Mark], bool],
    ) -> Scored | None:
        """The score under `key` if it still holds.

        Args:
            key: Alias, task and id.
            version: The model's version in use.
            now: The service's now, at which no further value may have expired.
            wall: The clock on the wall, for the score's own validity.
            is_unchanged: Whether the store holds what was read.
        """
        entry = self._entries.get(key)
        if entry is None or entry.scored.champion.version != version or wall >= entry.scored.valid_until:
            self.misses += 1
            return None
        until = entry.mark.until
        if now < entry.mark.at or (until is not None and now > until) or not is_unchanged(entry.mark):
            self.misses += 1
            return None
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
        self.hits += 1
        return entry.scored

    @property
    def keeps(self) -> bool:
        """Whether anything is kept at all."""
        return self._most > 0

    def clear(self) -> None:
        """Forget all scores."""
        with self._lock:
            self._entries.clear()

    def put(self, key: tuple[str, str, str], scored: Scored, mark: Mark | None) -> None:
        """Keep a score; without a mark nothing could tell later that it still holds."""
        if mark is None or self._most == 0:
            return
        with self._lock:
            self._entries[key] = _Entry(scored, mark)
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
