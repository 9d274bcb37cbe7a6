"""The feature store as a service meets it: at times slow, at times away, often unchanged since it was last asked."""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from collections.abc import Callable
from datetime import datetime

from common.errors import UnavailableError
from serving.ahead_store import AheadReader
from serving.champions import Champion
from serving.last_known import LastKnown
from serving.makers import Makers
from serving.score_cache import Kept, Key, ScoreCache
from serving.scored import Scored
from serving.sources import Features
from serving.stored_features import Mark, Reading

_SLOW_SECONDS, _LEFT_ALONE_SECONDS = 0.2, 1.0
"""A store that takes so long to fail is not asked again for so long: requests would pile up behind it."""

logger = logging.getLogger(__name__)


def away_errors() -> tuple[type[Exception], ...]:
    """What reading the online store raises when the store cannot be reached."""
    redis = sys.modules.get("redis")
    named: tuple[type[Exception], ...] = (UnavailableError, sqlite3.Error, OSError)
    return named if redis is None else (*named, redis.RedisError)


class PatientStore:
    """Reads features, and scores made before, from a store that may be away.

    Args:
        open_features: Opens the features; again where a new model may read views registered since.
        cached_scores: Scores to keep for when nothing changed.
        ahead: Scores that another process made before anybody asked; None: there are none.
    """

    def __init__(
        self, open_features: Callable[[], Features], *, cached_scores: int, ahead: AheadReader | None = None
    ) -> None:
        self.features = open_features()
        self.cache = ScoreCache(most=cached_scores)
        self.makers = Makers()
        self.hits = 0
        self.ahead_hits = 0
        self.misses = 0
        self._ahead = ahead
        self._open_features = open_features
        self._last_known = LastKnown()
        self._store_from = 0.0

    def reopen(self) -> None:
        """Open the features again."""
        self.features = self._open_features()

    def cached(self, key: Key, model: Champion, *, now: datetime, wall: datetime) -> Scored | None:
        """A score made before, if neither its model nor its features have changed; None too while the store is away."""
        began = time.monotonic()
        if began < self._store_from:
            return None
        maker, is_unchanged = self.makers.of(model), self.features.is_unchanged
        try:
            kept = self.cache.get(key)
            if kept is not None and kept.holds(maker=maker, now=now, wall=wall, is_unchanged=is_unchanged):
                self.hits += 1
                return kept.scored
            made = None if self._ahead is None else self._ahead.get(key, model)
            if made is not None and made.holds(maker=maker, now=now, wall=wall, is_unchanged=is_unchanged):
                self.cache.put(key, made)
                self.ahead_hits += 1
                return made.scored
        except away_errors():
            # Reading will meet the same, and knows what to do about it.
            self._away(began)
        self.misses += 1
        return None

    def keep(self, key: Key, model: Champion, scored: Scored, mark: Mark | None) -> None:
        """Keep a score for when nothing changed; without a mark nothing could tell later that it still holds."""
        if mark is not None:
            self.cache.put(key, Kept(scored, mark, self.makers.of(model)))

    def last_score(self, key: Key, model: Champion) -> Scored | None:
        """The score last made by this very model, of features that cannot be read now; None where there is none."""
        maker = self.makers.of(model)
        kept = self.cache.get(key)
        if (kept is None or kept.maker != maker) and self._ahead is not None:
            kept = self._ahead.get(key, model)
        return kept.scored if kept is not None and kept.maker == maker else None

    def read(self, service: str, ids: list[str], *, now: datetime) -> tuple[Reading, bool]:
        """Features of some ids, and whether they are the last known ones because the store is away.

        Raises:
            UnavailableError: if the store is away and some id was never read before.
        """
        began = time.monotonic()
        try:
            if began < self._store_from:
                raise UnavailableError("The feature store did not answer a moment ago")
            reading = self.features.read(service, ids, at=now)
        except away_errors() as error:
            self._away(began)
            known = self._last_known.recall(service, ids)
            if known is not None:
                logger.warning("feature store away (%s); answered from the last known features", type(error).__name__)
                return known, True
            raise UnavailableError(
                "The feature store is away, and this was not asked for before",
                next_step="see GET /health; to fill the store: salience features materialize",
            ) from error
        self._last_known.remember(service, reading)
        return reading, False

    def _away(self, began: float) -> None:
        """Note that the store could not be read: if that took its time, it is left alone for a moment."""
        now = time.monotonic()
        if now - began > _SLOW_SECONDS:
            self._store_from = now + _LEFT_ALONE_SECONDS
