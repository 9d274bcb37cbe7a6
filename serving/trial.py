"""A challenger on trial: a share of the leads and deals, always the same ones, answered or silently scored by it."""

from __future__ import annotations

import logging
import queue
import threading
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from common.errors import SalienceError
from serving.champions import Champion, ChampionSlot

if TYPE_CHECKING:
    from serving.engine import Engine

Mode = Literal["off", "shadow", "answer"]
CHALLENGER = "challenger"
_MOST_WAITING = 2_000
_BUCKETS = 2**32

logger = logging.getLogger(__name__)


class Trial:
    """Which ids a challenger gets, and the thread that scores in its shadow.

    Args:
        mode: `off`; `shadow`: the challenger scores after the answer went out, for the log alone; `answer`: it answers.
        share: Share of the ids, 0 to 1. An id is in or out for good: by its name, not by chance.
        slots: The challengers' slots by task.
    """

    def __init__(
        self, mode: Mode = "off", *, share: float = 0.0, slots: Mapping[str, ChampionSlot] | None = None
    ) -> None:
        self.mode = mode
        self.share = share
        self.slots = dict(slots or {}) if mode != "off" else {}
        self.left_out = 0
        self._waiting: queue.Queue[tuple[Engine, str, str, str, Champion] | None] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None

    def has(self, task: str, identifier: str) -> bool:
        """Whether the id is in the challenger's share."""
        return zlib.crc32(f"{task}:{identifier}".encode()) < self.share * _BUCKETS

    def challenger(self, task: str, champion: Champion) -> Champion | None:
        """The challenger of `task`, where one is loaded that is not the champion itself."""
        slot = self.slots.get(task)
        found = slot.current if slot is not None else None
        return None if found is None or found.version == champion.version else found

    def answering(self, task: str, identifier: str, champion: Champion) -> Champion | None:
        """The challenger, where it is to answer for this id."""
        if self.mode != "answer" or not self.has(task, identifier):
            return None
        return self.challenger(task, champion)

    def shadow(self, engine: Engine, task: str, identifier: str, *, request_id: str, answered_by: Champion) -> None:
        """Have the challenger score the id too, later and for the log alone; left out where too much waits."""
        if self.mode != "shadow" or not self.has(task, identifier):
            return
        challenger = self.challenger(task, answered_by)
        if challenger is None:
            return
        try:
            self._waiting.put_nowait((engine, task, identifier, request_id, challenger))
        except queue.Full:
            self.left_out += 1

    def start(self) -> None:
        """Start the thread that scores in the shadow."""
        if self.mode == "shadow" and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End that thread after what waits."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(timeout=5)
            self._thread = None

    def work_off(self) -> None:
        """Score all that waits, in this thread."""
        while not self._waiting.empty():
            self._score(self._waiting.get())

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None:
            self._score(work)

    def _score(self, work: tuple[Engine, str, str, str, Champion] | None) -> None:
        if work is None:
            return
        engine, task, identifier, request_id, challenger = work
        try:
            engine.score_silently(task, identifier, request_id=request_id, model=challenger)
        except SalienceError as error:
            logger.warning("%s version %s failed in the shadow: %s", challenger.name, challenger.version, error)
