"""Scores of stored leads and deals by their ids: the hottest question, asked by many at once.

What was made before and still holds is given again. What has to be computed and is asked at the same moment is
answered by one reading of the store and one call of the model, which for thirty rows takes little longer than for
three. Each question keeps its own answer, error, right and line in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from common.errors import SalienceError, UnavailableError
from serving.answered import Answered
from serving.champions import Champion
from serving.scored import Scored, scored_rows

if TYPE_CHECKING:
    from serving.engine import Engine
    from serving.stored_features import Reading

MaySee: TypeAlias = "Callable[[str | None], Any]"
"""Asked with the rep who owns a lead or deal; raises where the caller may not see it."""


def everything(_owner: str | None) -> None:
    """A caller who may see everything."""


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody asks for the score of a stored lead or deal.

    Args:
        task: `lead` or `deal`.
        identifier: Its id.
        request_id: Id of the request.
        started: When the request came, by `time.perf_counter`.
        may_see: Whether the caller may see what a rep owns; it raises where not.
    """

    task: str
    identifier: str
    request_id: str
    started: float
    may_see: MaySee = everything


def answer_kept(engine: Engine, question: Question) -> Answered | None:
    """The score made before, if nothing it rests on has changed; None where it has to be computed.

    Args:
        engine: What answers.
        question: What is asked.

    Raises:
        NotFoundError: if the workspace has no such model.
        UnavailableError: if there is no champion.
        SalienceError: whatever `may_see` raises.
    """
    now, wall = engine.moment.now(), datetime.now(UTC)
    model = engine.model_for(question.task, question.identifier)
    scored = engine.store.cached(_key(model, question), model, now=now, wall=wall)
    return None if scored is None else _finished(engine, question, scored, now=now, is_cached=True)


def answer_all(engine: Engine, questions: Sequence[Question]) -> list[Answered | SalienceError]:
    """Score stored leads and deals, whatever was made before.

    Args:
        engine: What answers.
        questions: Whatever is asked at this moment, at most some dozens: they are answered in one go.

    Returns:
        One answer or error per question, in order. Errors: NotFoundError, if the store does not know the id or the
            workspace has no such model; UnavailableError, if there is no champion, or the store is away and the id was
            never answered before; whatever `may_see` raises.
    """
    now, wall = engine.moment.now(), datetime.now(UTC)
    answers: dict[int, Answered | SalienceError] = {}
    # By task and alias, so that a challenger on trial answers its share.
    to_score: dict[tuple[str, str], tuple[Champion, list[int]]] = {}
    for place, question in enumerate(questions):
        try:
            model = engine.model_for(question.task, question.identifier)
            to_score.setdefault((question.task, model.alias), (model, []))[1].append(place)
        except SalienceError as error:
            answers[place] = error
    for model, places in to_score.values():
        asked = [questions[place] for place in places]
        answers |= zip(places, _fresh(engine, model, asked, now=now, wall=wall), strict=True)
    return [answers[place] for place in range(len(questions))]


def _fresh(
    engine: Engine, model: Champion, questions: Sequence[Question], *, now: datetime, wall: datetime
) -> list[Answered | SalienceError]:
    """Answers of one model to questions of one task, all computed."""
    ids = list(dict.fromkeys(question.identifier for question in questions))
    try:
        reading, is_last_known = engine.features_of(model, ids, now=now)
        found = scored_rows(questions[0].task, model, reading, at=wall, as_of=now)
    except SalienceError as error:
        if len(questions) == 1:
            return [_last_known(engine, model, questions[0], now=now, error=error)]
        # What ails one of them, such as an id that was never read before the store went away, is not the others'.
        return [answer for one in questions for answer in _fresh(engine, model, [one], now=now, wall=wall)]
    by_id = {scored.identifier: scored for scored in found}
    if not is_last_known:
        _remember(engine, model, reading, by_id)
    answers: list[Answered | SalienceError] = []
    for question in questions:
        try:
            scored = by_id.get(question.identifier)
            if scored is None:
                raise engine.unknown(question.task, question.identifier)
            answers.append(_finished(engine, question, scored, now=now, is_last_known=is_last_known))
        except SalienceError as error:
            answers.append(error)
    return answers


def _remember(engine: Engine, model: Champion, reading: Reading, by_id: Mapping[str, Scored]) -> None:
    if not engine.store.cache.keeps:
        return
    for place, identifier in enumerate(reading.answer.ids):
        if identifier in by_id:
            scored = by_id[identifier]
            engine.store.keep((model.alias, scored.task, identifier), model, scored, reading.mark_of(place))


def _last_known(
    engine: Engine, model: Champion, question: Question, *, now: datetime, error: SalienceError
) -> Answered | SalienceError:
    """The last score of features that cannot be read now, said to be so; else what went wrong."""
    scored = engine.store.last_score(_key(model, question), model) if isinstance(error, UnavailableError) else None
    if scored is None:
        return error
    try:
        return _finished(engine, question, scored, now=now, is_cached=True, is_last_known=True)
    except SalienceError as refused:
        return refused


def _finished(
    engine: Engine,
    question: Question,
    scored: Scored,
    *,
    now: datetime,
    is_cached: bool = False,
    is_last_known: bool = False,
) -> Answered:
    """The answer to one question, in the log before it goes out."""
    question.may_see(scored.owner)
    answered = engine.answered(
        scored, now=now, request_id=question.request_id, is_cached=is_cached, is_last_known=is_last_known
    )
    engine.keep(answered, kind="id", began=question.started)
    engine.trial.shadow(
        engine, question.task, question.identifier, request_id=question.request_id, answered_by=scored.champion
    )
    return answered


def _key(model: Champion, question: Question) -> tuple[str, str, str]:
    return (model.alias, question.task, question.identifier)
