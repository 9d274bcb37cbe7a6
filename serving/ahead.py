"""Scores what is in the online store before anybody asks: most questions are about things that have not changed.

A score costs one and a half milliseconds and its twin from the file a tenth of that. So whatever the store holds is
scored once, in the background and in batches, and again when its features, its model or its validity end. A sweep
looks at everything; where nobody has written anything since the last one, there is nothing to look at.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from common.errors import SalienceError, UnavailableError
from serving.ahead_store import AheadWriter, Made
from serving.champions import Champion
from serving.engine import SCORED, Engine
from serving.gatherer import MOST_AT_ONCE
from serving.patient_store import away_errors
from serving.score_cache import Kept, Key
from serving.scored import scored_rows
from serving.stored_features import Mark

PAUSE_SECONDS = 1.0
_PAUSE_PER_SECOND = 3.0
"""A sweep of so long is followed by a pause so many times as long: at most a quarter of one core."""
_RENEW_BEFORE = timedelta(minutes=10)
_LOOK_FOR_DUE_SECONDS = 30.0
_SWEEP_ANYWAY_SECONDS = 300.0
"""Where the store does not say whether anything was written."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is in the file, as far as a sweep has to know: `Kept` without the score itself."""

    maker: str
    scored_at: datetime
    valid_until: datetime
    mark: Mark

    def holds(self, *, maker: str, now: datetime, wall: datetime) -> bool:
        until = self.mark.until
        is_due = wall < self.scored_at or wall + _RENEW_BEFORE >= self.valid_until
        return self.maker == maker and not is_due and now >= self.mark.at and (until is None or now <= until)


class Ahead:
    """Keeps the file of scores made ahead up to date.

    Args:
        engine: What scores; it keeps no scores of its own and no log.
        writer: Where they go.
        most: Leads, and deals, that are scored ahead; what is beyond is scored when asked for.
    """

    def __init__(self, engine: Engine, writer: AheadWriter, *, most: int) -> None:
        self._engine = engine
        self._writer = writer
        self._most = most
        self._known: dict[Key, _Known] = {}
        self._swept: tuple[object, ...] | None = None
        self._swept_at = -_SWEEP_ANYWAY_SECONDS
        self._looked_at = time.monotonic()
        self._problem: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Sweep until `stop` is set; what fails is said once, and tried again."""
        while not stop.is_set():
            began = time.monotonic()
            try:
                self._engine.refresh()
                made = self.sweep(stop)
                if made:
                    logger.info("%d scores made ahead in %.1f s", made, time.monotonic() - began)
                self._problem = None
            except _expected_errors() as error:
                if str(error) != self._problem:
                    logger.warning("No scores can be made ahead: %s", error)
                self._problem = str(error)
            stop.wait(max(PAUSE_SECONDS, _PAUSE_PER_SECOND * (time.monotonic() - began)))

    def sweep(self, stop: threading.Event) -> int:
        """Look at everything once, if anything can have changed; gives back how many scores were made.

        Raises:
            UnavailableError: if the store is away.
        """
        models = {task: slot.current for task, slot in self._engine.slots.items() if task in SCORED}
        present = {task: model for task, model in models.items() if model is not None and model.scorer is not None}
        state = self._state(present)
        if state is not None and state == self._swept and not self._any_due():
            return 0
        if state is None and time.monotonic() - self._swept_at < _SWEEP_ANYWAY_SECONDS:
            return 0
        made, wanted = 0, set[Key]()
        for task, model in present.items():
            ids = self._engine.store.features.ids(model.scorer_or_raise().manifest.feature_service)[: self._most]
            for part in _parts(ids, MOST_AT_ONCE):
                if stop.is_set():
                    return made
                made += self._renew(task, part, wanted)
        gone = [key for key in self._known if key not in wanted]
        self._writer.remove(gone)
        for key in gone:
            del self._known[key]
        self._swept, self._swept_at = state, time.monotonic()
        return made

    def _state(self, models: Mapping[str, Champion]) -> tuple[object, ...] | None:
        """What everything rests on; None where the store does not tell its version."""
        version = self._engine.store.features.version()
        if version is None:
            return None
        trial = self._engine.trial
        on_trial = [slot.current for slot in trial.slots.values() if slot.current is not None]
        return (version, *(self._engine.store.makers.of(model) for model in [*models.values(), *on_trial]))

    def _any_due(self) -> bool:
        """Whether any score's time is over; not looked at every second."""
        if time.monotonic() - self._looked_at < _LOOK_FOR_DUE_SECONDS:
            return False
        self._looked_at = time.monotonic()
        now, wall = self._engine.moment.now(), datetime.now(UTC)
        return any(not known.holds(maker=known.maker, now=now, wall=wall) for known in self._known.values())

    def _renew(self, task: str, ids: Sequence[str], wanted: set[Key]) -> int:
        """Make those scores of some ids that do not hold any more."""
        engine, now, wall = self._engine, self._engine.moment.now(), datetime.now(UTC)
        stale: dict[str, tuple[Champion, list[str]]] = {}
        confirmed: dict[Key, str | None] = {}
        for identifier in ids:
            model = engine.model_for(task, identifier)
            key = (model.alias, task, identifier)
            wanted.add(key)
            known = self._known.get(key)
            if known is not None and known.holds(maker=engine.store.makers.of(model), now=now, wall=wall):
                before = known.mark.version[0]
                if engine.store.features.is_unchanged(known.mark):
                    if known.mark.version[0] != before:
                        confirmed[key] = known.mark.version[0]
                    continue
            stale.setdefault(model.alias, (model, []))[1].append(identifier)
        if confirmed:
            self._writer.confirm(confirmed)
        return sum(self._make(task, model, some) for model, some in stale.values())

    def _make(self, task: str, model: Champion, ids: Sequence[str]) -> int:
        engine, now, wall = self._engine, self._engine.moment.now(), datetime.now(UTC)
        maker = engine.store.makers.of(model)
        reading, is_last_known = engine.features_of(model, list(ids), now=now)
        if is_last_known:
            raise UnavailableError("The feature store is away")
        scores = {scored.identifier: scored for scored in scored_rows(task, model, reading, at=wall, as_of=now)}
        made: list[Made] = []
        for place, identifier in enumerate(reading.answer.ids):
            mark = reading.mark_of(place) if identifier in scores else None
            if mark is not None:
                scored = scores[identifier]
                made.append(Made((model.alias, task, identifier), Kept(scored, mark, maker)))
        self._writer.put(made)
        for one in made:
            self._known[one.key] = _Known(maker, one.kept.scored.scored_at, one.kept.scored.valid_until, one.kept.mark)
        return len(made)


def _parts(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _expected_errors() -> tuple[type[Exception], ...]:
    """What a sweep may meet and the next one may not."""
    return (SalienceError, *away_errors())
