"""The engine behind the routes: reads features, asks the models, stamps and logs the answers. No web framework here."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from common.errors import NotFoundError, SalienceError, UnavailableError
from serving.ahead_store import AheadReader
from serving.answered import Answered, Scores
from serving.by_id import MaySee, Question, answer_all, answer_kept, everything
from serving.champions import ALIAS, Champion, ChampionSlot
from serving.in_bulk import CHUNK_IDS, score_many
from serving.moment import Moment
from serving.open_things import OpenThings
from serving.patient_store import PatientStore
from serving.scored import Scored, scored_rows
from serving.sources import Features, Forecasts, Sink
from serving.stored_features import Reading
from serving.trial import Trial

if TYPE_CHECKING:
    from features.repository import OnlineAnswer

FOLLOW_SECONDS = 2.0
CLOCK_SECONDS = 10.0
"""Looking for changed tables costs some 10 ms; a history's clock is in no hurry."""
NO_SUCH_ID = "\u2205"
FORECAST_VALID = timedelta(hours=24)
SCORED = ("lead", "deal")
CACHED_SCORES = 4_000

logger = logging.getLogger(__name__)


class Engine:
    """Answers for one workspace.

    Args:
        workspace: Its name.
        slots: Slot of the champion of each task served.
        open_features: Opens the features; again before a new model answers, which may read views registered since.
        open_forecasts: Opens the forecasts, where they are served.
        moment: The service's now.
        left_out: Why a task is not served here, for tasks that the workspace's source cannot have.
        open_things: What is open, where that can be told; health looks at the first one's features.
        trial: The challengers on trial beside the champions, if any are.
        log: Where predictions are kept; None: nowhere.
        override_of: What a person decided about a task's lead or deal, if anybody did.
        cached_scores: Scores to keep for when nothing changed.
        ahead: Scores that another process made before anybody asked; None: there are none.
        reads_inline: Whether reading a few rows is quick enough for the event loop: a local file is, a network is not.
    """

    def __init__(
        self,
        workspace: str,
        *,
        slots: Mapping[str, ChampionSlot],
        open_features: Callable[[], Features],
        open_forecasts: Callable[[], Forecasts],
        moment: Moment,
        left_out: Mapping[str, str] | None = None,
        open_things: OpenThings | None = None,
        trial: Trial | None = None,
        log: Sink | None = None,
        override_of: Callable[[str, str], Mapping[str, Any] | None] = lambda _task, _id: None,
        cached_scores: int = CACHED_SCORES,
        ahead: AheadReader | None = None,
        reads_inline: bool = True,
    ) -> None:
        self.workspace = workspace
        self.slots = dict(slots)
        self.store = PatientStore(open_features, cached_scores=cached_scores, ahead=ahead)
        self.forecasts = open_forecasts() if "forecast" in self.slots else None
        self.moment = moment
        self.left_out = dict(left_out or {})
        self.trial = trial or Trial()
        self.log = log
        self.followed_at: datetime | None = None
        self.clock_problem: str | None = None
        self.reads_inline = reads_inline
        self.open_things = open_things
        self._override_of = override_of
        self._clock_at: float | None = None

    def follow(self, stop: threading.Event, *, every_seconds: float = FOLLOW_SECONDS) -> None:
        """Follow the registry's aliases and the warehouse's clock until `stop` is set."""
        while not stop.wait(every_seconds):
            self.refresh()

    def refresh(self) -> None:
        """Look at the registry and the warehouse once."""
        for slot in [*self.slots.values(), *self.trial.slots.values()]:
            slot.refresh(before_use=self._reopen)
        self._refresh_clock()
        self.store.makers.refresh([model for model in self._models() if model.scorer is not None])
        self.followed_at = datetime.now(UTC)

    def _reopen(self) -> None:
        if any(slot.current is not None for slot in self.slots.values()):
            self.store.reopen()

    def _models(self) -> list[Champion]:
        slots = [*self.slots.values(), *self.trial.slots.values()]
        return [slot.current for slot in slots if slot.current is not None]

    def _refresh_clock(self) -> None:
        # Measured by the monotonic clock: the wall's may jump.
        since = time.monotonic() - self._clock_at if self._clock_at is not None else math.inf
        if since < CLOCK_SECONDS:
            return
        try:
            self.moment.refresh()
            if self.open_things is not None:
                self.open_things.refresh(self.moment.now())
            self.clock_problem = None
        except SalienceError as error:
            self.clock_problem = error.what
        except OSError as error:
            self.clock_problem = f"The warehouse cannot be read: {error.strerror}"
        self._clock_at = time.monotonic()

    def warm_up(self) -> None:
        """Answer each kind of question once, so that no client waits for an import; models were asked when loaded."""
        for task in self.slots.keys() & set(SCORED):
            try:
                self.score(task, [NO_SUCH_ID], request_id="warm-up", kind=None)
            except SalienceError as error:
                logger.warning("%s answers cannot be given yet: %s", task, error)

    def is_ready(self) -> bool:
        """Whether every task served has a model."""
        return bool(self.slots) and all(slot.current is not None for slot in self.slots.values())

    def open_ids(self, task: str) -> Sequence[str] | None:
        """Ids of what was open when the clock last moved by an hour, in order; None where that cannot be told."""
        return None if self.open_things is None else self.open_things.ids(task)

    def slot(self, task: str) -> ChampionSlot:
        """The slot of `task`.

        Raises:
            NotFoundError: if the workspace's source cannot have such a model.
        """
        if task in self.left_out:
            raise NotFoundError(self.left_out[task], next_step="serve a workspace whose source has them")
        return self.slots[task]

    def model_for(self, task: str, identifier: str) -> Champion:
        """The model that answers for an id: the champion, or the challenger where it answers on trial.

        Raises:
            NotFoundError: if the workspace has no such model.
            UnavailableError: if there is no champion.
        """
        champion = self.slot(task).require()
        return self.trial.answering(task, identifier, champion) or champion

    def score_one(
        self, task: str, identifier: str, *, request_id: str, may_see: MaySee = everything, started: float | None = None
    ) -> Answered:
        """Score a stored lead or deal; the score made before is given again if nothing it rests on has changed.

        Args:
            task: `lead` or `deal`.
            identifier: Its id.
            request_id: Id of the request.
            may_see: Whether the caller may see what a rep owns; it raises where not.
            started: When the request came, by `time.perf_counter`.

        Raises:
            NotFoundError: if the store does not know it, or the workspace has no such model.
            UnavailableError: if there is no champion, or the store is away and the id was never answered before.
        """
        began = time.perf_counter() if started is None else started
        question = Question(task, identifier, request_id, began, may_see)
        kept = answer_kept(self, question)
        if kept is not None:
            return kept
        found = answer_all(self, [question])[0]
        if isinstance(found, SalienceError):
            raise found
        return found

    def score(
        self,
        task: str,
        ids: Sequence[str],
        *,
        request_id: str,
        may_see: Callable[[str | None], bool] = lambda _owner: True,
        kind: str | None = "batch",
    ) -> Scores:
        """Score stored leads or deals with the champion; see `serving.in_bulk.score_many`."""
        return score_many(self, task, ids, request_id=request_id, may_see=may_see, kind=kind)

    def score_payload(
        self,
        task: str,
        identifier: str,
        payload: Mapping[str, Any],
        *,
        newest: datetime | None,
        request_id: str,
        started: float | None = None,
    ) -> Answered:
        """Score a lead or deal as an application describes it.

        Args:
            task: `lead` or `deal`.
            identifier: Its id.
            payload: The thing and what happened to it, as `FeatureRepository.from_payload` takes it.
            newest: Newest time in the payload. A history's clock is put forward to it, so that nothing sent is unseen.
            request_id: Id of the request.
            started: When the request came, by `time.perf_counter`.
        """
        began = time.perf_counter() if started is None else started
        model = self.model_for(task, identifier)
        now = self.moment.now_with(newest)
        answer = self.store.features.from_payload(self._service(model), payload, at=now)
        if answer.ids != (identifier,):
            raise UnavailableError(f"The features of {identifier} came back for {', '.join(answer.ids) or 'nothing'}")
        self._require_features(model, answer)
        scored = scored_rows(task, model, Reading(answer, (None,)), at=datetime.now(UTC), as_of=now)[0]
        answered = self.answered(scored, now=now, request_id=request_id, is_cached=False, is_last_known=False)
        self.keep(answered, kind="payload", began=began)
        return answered

    def score_silently(self, task: str, identifier: str, *, request_id: str, model: Champion) -> None:
        """Score a stored lead or deal with a model on trial, for the log alone."""
        began, now = time.perf_counter(), self.moment.now()
        reading, is_last_known = self.features_of(model, [identifier], now=now)
        for scored in scored_rows(task, model, reading, at=datetime.now(UTC), as_of=now):
            answered = self.answered(
                scored, now=now, request_id=request_id, is_cached=False, is_last_known=is_last_known
            )
            self.keep(answered, kind="shadow", began=began)

    def explain(self, task: str, identifier: str, *, request_id: str, may_see: MaySee = everything) -> Answered:
        """The score of a stored lead or deal with every reason, computed exactly; see `score_one`."""
        model, now = self.model_for(task, identifier), self.moment.now()
        reading, is_last_known = self.features_of(model, [identifier], now=now)
        found = scored_rows(task, model, reading, at=datetime.now(UTC), as_of=now, exact=True)
        if not found:
            raise self.unknown(task, identifier)
        may_see(found[0].owner)
        return self.answered(found[0], now=now, request_id=request_id, is_cached=False, is_last_known=is_last_known)

    def values_of(self, task: str, ids: Sequence[str], *, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Some features of stored leads or deals by id; those that a source lacks are absent."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(ids), CHUNK_IDS):
            part = list(ids[start : start + CHUNK_IDS])
            reading, _ = self.store.read(self._service(self.slot(task).require()), part, now=self.moment.now())
            known = [name for name in names if name in reading.answer.values]
            for place, identifier in enumerate(reading.answer.ids):
                found[identifier] = {name: reading.answer.values[name][place] for name in known}
        return found

    def unknown(self, task: str, identifier: str) -> NotFoundError:
        """The error for an id that the store does not know."""
        return NotFoundError(
            f"There is no {task} '{identifier}' in the feature store of {self.workspace}",
            next_step=f"check the id; a {task} that is new since the last materialization can be sent as a payload",
            field=f"{task}_id",
        )

    def owner_of(self, task: str, identifier: str) -> str | None:
        """The rep who owns a stored lead or deal; None where the store does not say.

        Raises:
            NotFoundError: if the store does not know it.
        """
        reading, _ = self.store.read(self._service(self.slot(task).require()), [identifier], now=self.moment.now())
        if not reading.answer.found[0]:
            raise self.unknown(task, identifier)
        return reading.owners[0]

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

    def features_of(self, model: Champion, ids: list[str], *, now: datetime) -> tuple[Reading, bool]:
        """Features of stored leads or deals for a model, and whether they are the last known ones.

        Raises:
            UnavailableError: if the store is away and some id was never read before, or lacks what the model reads.
        """
        reading, is_last_known = self.store.read(self._service(model), ids, now=now)
        self._require_features(model, reading.answer)
        return reading, is_last_known

    def _service(self, champion: Champion) -> str:
        return champion.scorer_or_raise().manifest.feature_service

    def _require_features(self, model: Champion, answer: OnlineAnswer) -> None:
        missing = [name for name in model.scorer_or_raise().manifest.feature_names if name not in answer.values]
        if missing:
            raise UnavailableError(
                f"The feature store lacks {len(missing)} features that {model.name} reads, such as {missing[0]}",
                next_step="run: salience features build, then salience features materialize",
            )

    def answered(
        self, scored: Scored, *, now: datetime, request_id: str, is_cached: bool, is_last_known: bool
    ) -> Answered:
        """A score as it goes out, with what a person decided instead."""
        override = self._override_of(scored.task, scored.identifier)
        added = scored.added(
            now=now, request_id=request_id, is_cached=is_cached, is_last_known=is_last_known, override=override
        )
        return Answered(scored, added)

    def keep(self, answered: Answered, *, kind: str, began: float) -> None:
        """Write an answer to the prediction log, where there is one."""
        if self.log is not None:
            seconds = time.perf_counter() - began
            self.log.keep(answered.scored, added=answered.added, kind=kind, seconds=seconds)

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
