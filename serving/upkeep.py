"""What a service looks after beside answering: registry, keys, decisions, territories, jobs, stream and its figures."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from common.errors import SalienceError
from serving.beside import SoleProcess
from serving.decisions import DecisionRecord
from serving.engine import FOLLOW_SECONDS, Engine
from serving.guard import Guard
from serving.jobs import JobStarter
from serving.metrics import ServiceMetrics
from serving.prediction_log import PredictionLog

_TERRITORIES_SECONDS = 300.0

logger = logging.getLogger(__name__)


class Upkeep:
    """Looks after one process's service in a thread.

    Args:
        engine: Follows the registry and the clock.
        guard: Its tokens' keys, and the territories of reps.
        decisions: What others decided.
        jobs: Starts the process that works on jobs, where one is left over.
        beside: Processes that are to run beside the answers, by what they do.
        metrics: Told how things are.
        log: Whose figures they are.
        read_territories: Territory by rep, from the warehouse; None where nobody is scoped.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        guard: Guard,
        decisions: DecisionRecord,
        jobs: JobStarter,
        beside: Mapping[str, SoleProcess],
        metrics: ServiceMetrics,
        log: PredictionLog | None,
        read_territories: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        self._engine = engine
        self._guard = guard
        self._decisions = decisions
        self._jobs = jobs
        self._beside = dict(beside)
        self._metrics = metrics
        self._log = log
        self._read_territories = read_territories
        self._territories_at: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._failing: set[str] = set()

    def start(self) -> None:
        """Look at everything once, then go on in a thread."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and the processes that work on jobs and on the stream."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        # All at once: one after the other they could take longer than whoever stops this process waits.
        for process in self._beside.values():
            process.ask_to_stop()
        self._jobs.stop()
        for process in self._beside.values():
            process.stop()

    def look(self) -> None:
        """Look at everything once; what fails is said once, and the rest goes on."""
        for name, part in (
            ("keys", self._guard.refresh),
            ("decisions", self._decisions.refresh),
            ("territories", self._refresh_territories),
            ("jobs", self._jobs.start),
            *((name, process.start) for name, process in self._beside.items()),
            ("figures", self._tell),
        ):
            try:
                part()
                self._failing.discard(name)
            except (SalienceError, OSError) as error:
                if name not in self._failing:
                    logger.warning("%s cannot be looked after: %s", name, error)
                self._failing.add(name)

    def _run(self) -> None:
        while not self._stop.wait(FOLLOW_SECONDS):
            self._engine.refresh()
            self.look()

    def _refresh_territories(self) -> None:
        if self._read_territories is None:
            return
        now = time.monotonic()
        if self._territories_at is None or now - self._territories_at > _TERRITORIES_SECONDS:
            self._guard.territories.of_rep = self._read_territories()
            self._territories_at = now

    def _tell(self) -> None:
        store, slots = self._engine.store, self._engine.slots.values()
        self._metrics.tell(
            cache_hits=store.hits,
            ahead_hits=store.ahead_hits,
            cache_misses=store.misses,
            model_swaps=sum(slot.swaps for slot in slots),
        )
        if self._log is not None:
            log = self._log
            self._metrics.tell(log_waiting=log.waiting, log_lost=log.lost, log_written=log.written)
