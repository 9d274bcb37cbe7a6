"""The prediction log: every answer's features, score and reasons, kept before the answer goes out.

A prediction is one line, written to a spool file of this process before its answer is sent: what was answered survives
the process being killed at any moment. A thread brings the lines to the disk a few times a second (a power cut loses
no more than that), and turns full or old spools into Parquet segments of the shape in `common.logged_predictions`.
Spools that a killed process left behind are taken up by the next one. While the disk cannot be written, lines wait in
memory, bounded, and `problem` says so. Where another process makes the segments (`serving.segment_runner`), this one
only lets go of its full spools: under load that work took a fifth of what a process could answer.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.workspace import Workspace
from features.online_store_layout import to_microseconds
from serving.log_segments import SPOOL_SUFFIX, header_of, left_spools, turn_into_segment
from serving.scored import Scored, to_json
from serving.spool import Spool

FLUSH_SECONDS = 0.2
ROLL_SECONDS = 30.0
ROLL_BYTES = 16 * 2**20
MOST_WAITING = 20_000
_SEGMENTS_AGAIN_SECONDS = 5.0
_BEHIND_SECONDS = 60.0

logger = logging.getLogger(__name__)


class PredictionLog:
    """Keeps predictions of a workspace; safe to use from any thread.

    Args:
        workspace: Whose predictions.
        most_waiting: Lines that may wait in memory while the disk cannot be written; the oldest are given up first.
        roll_seconds: Age at which a spool becomes a segment.
        segments_here: Whether this process makes the segments; another one that runs beside it does where not.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        most_waiting: int = MOST_WAITING,
        roll_seconds: float = ROLL_SECONDS,
        segments_here: bool = True,
    ) -> None:
        self.folder = workspace.root / "predictions"
        self.spool_folder = self.folder / "spool"
        self.written = 0
        self.lost = 0
        self._write_problem: str | None = None
        self._segment_problem: str | None = None
        self._segments_from = 0.0
        self._most_waiting = most_waiting
        self._roll_seconds = roll_seconds
        self._segments_here = segments_here
        self._spools: dict[tuple[str, str], Spool] = {}
        self._waiting: deque[tuple[Scored, bytes]] = deque()
        self._lock = threading.Lock()
        self._number = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def problem(self) -> str | None:
        """Why predictions cannot be written, or made into segments; None while they can."""
        return self._write_problem or self._segment_problem

    @property
    def waiting(self) -> int:
        """Predictions in memory because the disk cannot be written."""
        return len(self._waiting)

    def keep(self, scored: Scored, *, added: Mapping[str, Any], kind: str, seconds: float) -> None:
        """Keep one prediction; it is in a file, or waits in memory, when this returns.

        Args:
            scored: The score.
            added: What the answer said beside it.
            kind: `id`, `payload`, `batch`, `job` or `shadow`.
            seconds: Time that the answer took.
        """
        line = _line(scored, added=added, kind=kind, seconds=seconds)
        with self._lock:
            if self._waiting:
                self._wait(scored, line)
                return
            try:
                self._spool(scored).append(line)
            except OSError as error:
                self._trouble(error)
                self._wait(scored, line)
            else:
                self.written += 1

    def start(self) -> None:
        """Start the thread that flushes and makes segments."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End that thread and turn everything into segments."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
            self._thread = None
        self.flush()
        self.roll(everything=True)

    def flush(self) -> None:
        """Write what waits, and bring all lines to the disk."""
        with self._lock:
            while self._waiting:
                scored, line = self._waiting[0]
                try:
                    self._spool(scored).append(line)
                except OSError as error:
                    self._trouble(error)
                    break
                self._waiting.popleft()
                self.written += 1
            spools = list(self._spools.values())
        try:
            for spool in spools:
                spool.sync()
        except OSError as error:
            self._trouble(error)
            return
        if self._write_problem is not None and not self._waiting:
            logger.warning("The prediction log can be written again")
            self._write_problem = None

    def roll(self, *, everything: bool = False) -> None:
        """Turn spools that are full or old into segments, and those that a killed process left.

        Args:
            everything: All of them now, and in this process: it ends.
        """
        if time.monotonic() < self._segments_from:
            return
        with self._lock:
            due = [
                key
                for key, spool in self._spools.items()
                if everything or spool.size >= ROLL_BYTES or spool.age_seconds >= self._roll_seconds
            ]
            done = [self._spools.pop(key) for key in due]
        if not self._segments_here and not everything:
            for spool in done:
                spool.close()
            self._look_for_others()
            return
        for spool in done:
            self._segment(spool.path, spool)
        for path in left_spools(self.spool_folder, mine={spool.path for spool in self._spools.values()}):
            self._segment(path, None)

    def _look_for_others(self) -> None:
        """Say so where the process that makes the segments does not."""
        self._segments_from = time.monotonic() + _SEGMENTS_AGAIN_SECONDS
        behind = [path for path in left_spools(self.spool_folder) if _age_seconds(path) > _BEHIND_SECONDS]
        text = f"{len(behind)} spools of the prediction log are not made into segments" if behind else None
        if text is not None and self._segment_problem is None:
            logger.warning("%s; their lines stay in %s", text, self.spool_folder)
        self._segment_problem = text

    def _segment(self, path: Path, spool: Spool | None) -> None:
        try:
            turn_into_segment(path, self.folder)
        except OSError as error:
            # The spool stays, and is taken up again.
            self._segment_problem = f"Segments cannot be written: {error.strerror or type(error).__name__}"
            self._segments_from = time.monotonic() + _SEGMENTS_AGAIN_SECONDS
            logger.warning("%s; their lines stay in %s", self._segment_problem, path)
        else:
            self._segment_problem = None
        finally:
            if spool is not None:
                spool.close()

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            try:
                self.flush()
                self.roll()
            except Exception:
                # A defect here must not end the log; it shows in the log and in /health.
                logger.exception("The prediction log met a defect")
                self._write_problem = "The prediction log met a defect; the service's log has the place"

    def _spool(self, scored: Scored) -> Spool:
        champion = scored.champion
        key = (scored.task, champion.version)
        spool = self._spools.get(key)
        if spool is None:
            self._number += 1
            now = datetime.now(UTC)
            version = champion.version.replace(".", "-")
            name = f"{scored.task}.{version}.{now:%Y%m%dT%H%M%S}.{os.getpid()}.{self._number}{SPOOL_SUFFIX}"
            manifest = champion.scorer_or_raise().manifest
            header = header_of(scored.task, champion.name, champion.version, manifest.features, scored.views)
            spool = self._spools[key] = Spool(self.spool_folder / name, header=header)
        return spool

    def _wait(self, scored: Scored, line: bytes) -> None:
        self._waiting.append((scored, line))
        while len(self._waiting) > self._most_waiting:
            self._waiting.popleft()
            self.lost += 1

    def _trouble(self, error: OSError) -> None:
        text = f"The prediction log cannot be written: {error.strerror or type(error).__name__}"
        if self._write_problem != text:
            logger.warning("%s; predictions wait in memory", text)
        self._write_problem = text


def _age_seconds(path: Path) -> float:
    """Seconds since anything was written to a file; 0 for one that has gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _line(scored: Scored, *, added: Mapping[str, Any], kind: str, seconds: float) -> bytes:
    own = {
        "request_id": added["request_id"],
        "entity_id": scored.identifier,
        "alias": scored.champion.alias,
        "scored_at": to_microseconds(scored.scored_at),
        "as_of": to_microseconds(added["as_of"]),
        "answered_at": time.time_ns() // 1_000,
        "probability": scored.probability,
        "latency_ms": round(1_000.0 * seconds, 3),
        "kind": kind,
        "is_cached": added["is_cached"],
        "is_last_known": added["features"]["is_last_known"],
    }
    return b"%s,%s}\n" % (to_json(own)[:-1], scored.logged)
