"""The engine behind the routes: reads features, asks the champions, stamps the answers. No web framework in here."""

from __future__ import annotations

import logging
import math
import sqlite3
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from common.errors import NotFoundError, SalienceError, UnavailableError
from serving.aliases import ALIAS
from serving.champions import Champion, ChampionSlot
from serving.last_known import LastKnown
from serving.moment import Moment

if TYPE_CHECKING:
    from features.repository import OnlineAnswer

FOLLOW_SECONDS = 2.0
CLOCK_SECONDS = 10.0
"""Looking for changed tables costs some 10 ms; a history's clock is in no hurry."""
SAMPLE_VALID = timedelta(hours=1)
NO_SUCH_ID = "\u2205"
FORECAST_VALID = timedelta(hours=24)
SCORED = ("lead", "deal")

logger = logging.getLogger(__name__)


def away_errors() -> tuple[type[Exception], ...]:
    """What reading the online store raises when the store cannot be reached."""
    redis = sys.modules.get("redis")
    named: tuple[type[Exception], ...] = (UnavailableError, sqlite3.Error, OSError)
    return named if redis is None else (*named, redis.RedisError)


class Features(Protocol):
    """The part of `FeatureRepository` that serving reads."""

    def online(self, service: str, ids: Sequence[str], *, at: datetime) -> OnlineAnswer:
        """Features from the online store."""
        ...

    def from_payload(self, service: str, payload: Mapping[str, Any], *, at: datetime) -> OnlineAnswer:
        """Features computed from what an application sent."""
        ...


class Forecasts(Protocol):
    """The part of `ForecastStore` that serving reads."""

    def latest_id(self) -> str:
        """Id of the newest forecast."""
        ...

    def answer(self, *, level: str, entity_id: str, period: str) -> dict[str, Any]:
        """The newest forecast for an entity and period."""
        ...

    def get(self, forecast_id: str) -> dict[str, Any]:
        """The forecast that was answered under this id."""
        ...


@dataclass(frozen=True)
class Scores:
    """Scores of one request.

    Args:
        rows: One record per id that was found, in the order asked.
        not_found: Ids that the store does not know.
        stamp: Model, alias and moments of the whole request.
    """

    rows: list[dict[str, Any]]
    not_found: list[str]
    stamp: dict[str, Any]


class Engine:
    """Answers for one workspace.

    Args:
        workspace: Its name.
        slots: Slot of the champion of each task served.
        open_repository: Opens the features; again after a new champion, which may read views registered since.
        open_forecasts: Opens the forecasts, where they are served.
        moment: The service's now.
        left_out: Why a task is not served here, for tasks that the workspace's source cannot have.
        find_sample: Id of something open at a moment, whose features health looks at; None where nothing is open.
    """

    def __init__(
        self,
        workspace: str,
        *,
        slots: Mapping[str, ChampionSlot],
        open_repository: Callable[[], Features],
        open_forecasts: Callable[[], Forecasts],
        moment: Moment,
        left_out: Mapping[str, str] | None = None,
        find_sample: Callable[[str, datetime], str | None] | None = None,
    ) -> None:
        self.workspace = workspace
        self.slots = dict(slots)
        self.repository = open_repository()
        self.forecasts = open_forecasts() if "forecast" in self.slots else None
        self.moment = moment
        self.left_out = dict(left_out or {})
        self.followed_at: datetime | None = None
        self.clock_problem: str | None = None
        self._open_repository = open_repository
        self._find_sample = find_sample
        self._samples: dict[str, tuple[datetime | None, str | None]] = {}
        self._clock_at: datetime | None = None
        self._last_known = LastKnown()

    def follow(self, stop: threading.Event, *, every_seconds: float = FOLLOW_SECONDS) -> None:
        """Follow the registry's aliases and the warehouse's clock until `stop` is set."""
        while not stop.wait(every_seconds):
            self.refresh()

    def refresh(self) -> None:
        """Look at the registry and the warehouse once."""
        had_models = any(slot.current is not None for slot in self.slots.values())
        changed = [slot.refresh() for slot in self.slots.values()]
        if had_models and any(changed):
            self.repository = self._open_repository()
        self._refresh_clock()
        self.followed_at = datetime.now(UTC)

    def _refresh_clock(self) -> None:
        since = (datetime.now(UTC) - self._clock_at).total_seconds() if self._clock_at is not None else math.inf
        if since < CLOCK_SECONDS:
            return
        try:
            self.moment.refresh()
            now = self.moment.now()
            for task in self.slots.keys() & set(SCORED):
                self._refresh_sample(task, now)
            self.clock_problem = None
        except SalienceError as error:
            self.clock_problem = error.what
        except OSError as error:
            self.clock_problem = f"The warehouse cannot be read: {error.strerror}"
        self._clock_at = datetime.now(UTC)

    def warm_up(self) -> None:
        """Answer each kind of question once, so that no client waits for an import."""
        for task in self.slots.keys() & set(SCORED):
            try:
                self.score(task, [self.sample(task) or NO_SUCH_ID])
            except SalienceError as error:
                logger.warning("%s answers cannot be given yet: %s", task, error)

    def is_ready(self) -> bool:
        """Whether every task served has a model."""
        return bool(self.slots) and all(slot.current is not None for slot in self.slots.values())

    def _refresh_sample(self, task: str, now: datetime) -> None:
        found_at = self._samples.get(task, (None, None))[0]
        if self._find_sample is not None and (found_at is None or abs(now - found_at) > SAMPLE_VALID):
            self._samples[task] = (now, self._find_sample(task, now))

    def sample(self, task: str) -> str | None:
        """Id of a lead or deal that is open now; None where none is. Looked for at start and when the clock moves."""
        return self._samples.get(task, (None, None))[1]

    def slot(self, task: str) -> ChampionSlot:
        """The slot of `task`.

        Raises:
            NotFoundError: if the workspace's source cannot have such a model.
        """
        if task in self.left_out:
            raise NotFoundError(self.left_out[task], next_step="serve a workspace whose source has them")
        return self.slots[task]

    def score(self, task: str, ids: Sequence[str]) -> Scores:
        """Score stored leads or deals.

        Raises:
            NotFoundError: if the workspace has no such model.
            UnavailableError: if there is no champion, or the store is away and some id was never answered before.
        """
        champion, asked = self.slot(task).require(), list(dict.fromkeys(ids))
        now = self.moment.now()
        answer, is_last_known = self._read(self._service(champion), asked, now=now)
        return self._records(champion, answer, now=now, is_last_known=is_last_known)

    def score_payload(
        self, task: str, identifier: str, payload: Mapping[str, Any], *, newest: datetime | None
    ) -> Scores:
        """Score a lead or deal as an application describes it.

        Args:
            task: `lead` or `deal`.
            identifier: Its id.
            payload: The thing and what happened to it, as `FeatureRepository.from_payload` takes it.
            newest: Newest time in the payload. A history's clock is put forward to it, so that nothing sent is unseen.
        """
        champion = self.slot(task).require()
        now = self.moment.now_with(newest)
        answer = self.repository.from_payload(self._service(champion), payload, at=now)
        if answer.ids != (identifier,):
            raise UnavailableError(f"The features of {identifier} came back for {', '.join(answer.ids) or 'nothing'}")
        return self._records(champion, answer, now=now, is_last_known=False)

    def forecast(self, *, level: str, entity_id: str | None, period: str) -> dict[str, Any]:
        """The forecast for an entity and period; the highest level has one entity, named as the level is.

        Raises:
            NotFoundError: if there is no such level or entity.
            InputError: if the period is outside the horizon.
            UnavailableError: if there is no champion.
        """
        champion, forecasts = self._forecasting()
        entity = level if entity_id is None else entity_id
        return self._stamped(champion, forecasts.answer(level=level, entity_id=entity, period=period))

    def forecast_by_id(self, forecast_id: str) -> dict[str, Any]:
        """A forecast that was answered before.

        Raises:
            NotFoundError: if there is none of that id.
        """
        champion, forecasts = self._forecasting()
        return self._stamped(champion, forecasts.get(forecast_id))

    def _forecasting(self) -> tuple[Champion, Forecasts]:
        champion = self.slot("forecast").require()
        if self.forecasts is None:
            raise UnavailableError("This service gives no forecasts", next_step="run: salience serve")
        return champion, self.forecasts

    def _service(self, champion: Champion) -> str:
        if champion.scorer is None:
            raise UnavailableError(f"{champion.name} version {champion.version} cannot score")
        return champion.scorer.manifest.feature_service

    def _read(self, service: str, ids: list[str], *, now: datetime) -> tuple[OnlineAnswer, bool]:
        try:
            answer = self.repository.online(service, ids, at=now)
        except away_errors() as error:
            known = self._last_known.recall(service, ids)
            if known is not None:
                logger.warning("feature store away (%s); answered from the last known features", type(error).__name__)
                return known, True
            raise UnavailableError(
                "The feature store is away, and this was not asked for before",
                next_step="see GET /health; to fill the store: salience features materialize",
            ) from error
        self._last_known.remember(service, answer)
        return answer, False

    def _records(self, champion: Champion, answer: OnlineAnswer, *, now: datetime, is_last_known: bool) -> Scores:
        scorer = champion.scorer
        if scorer is None:
            raise UnavailableError(f"{champion.name} version {champion.version} cannot score")
        missing = [name for name in scorer.manifest.feature_names if name not in answer.values]
        if missing:
            raise UnavailableError(
                f"The feature store lacks {len(missing)} features that {champion.name} reads, such as {missing[0]}",
                next_step="run: salience features build, then salience features materialize",
            )
        rows = [row for row, is_found in enumerate(answer.found) if is_found]
        columns = {name: [answer.values[name][row] for row in rows] for name in scorer.manifest.feature_names}
        scored_at = datetime.now(UTC)
        records = scorer.record(columns, ids=[answer.ids[row] for row in rows], at=scored_at) if rows else []
        stamp = {
            "model_name": champion.name,
            "model_version": champion.version,
            "alias": ALIAS,
            "scored_at": scored_at,
            "as_of": now,
        }
        stamped = [
            {**record, **stamp, "features": _freshness(answer, row, now=now, is_last_known=is_last_known)}
            for record, row in zip(records, rows, strict=True)
        ]
        not_found = [identifier for identifier, found in zip(answer.ids, answer.found, strict=True) if not found]
        return Scores(rows=stamped, not_found=not_found, stamp=stamp)

    def _stamped(self, champion: Champion, answer: Mapping[str, Any]) -> dict[str, Any]:
        scored_at = datetime.now(UTC)
        made_for = datetime.fromisoformat(answer["as_of"])
        return {
            **answer,
            "model_name": champion.name,
            "alias": ALIAS,
            "scored_at": scored_at,
            "valid_until": scored_at + FORECAST_VALID,
            "age_seconds": (self.moment.now() - made_for).total_seconds(),
        }


def _freshness(answer: OnlineAnswer, row: int, *, now: datetime, is_last_known: bool) -> dict[str, Any]:
    oldest = answer.feature_timestamps[row]
    return {
        "oldest_at": oldest,
        "age_seconds": (now - oldest).total_seconds() if oldest is not None else None,
        "expired": list(answer.expired[row]),
        "is_last_known": is_last_known,
    }
