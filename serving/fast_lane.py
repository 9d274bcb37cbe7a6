"""The hottest question, the score of one stored lead or deal, answered without the web framework.

A request that carries nothing but an id needs no parsing, validating or dependency of FastAPI's, which together with
BentoML's layers cost several times the score itself. This lane asks the same engine as the route of that path, which
stays for everything else and for the documentation; a test holds both answers equal. What has to be computed and is
asked at the same moment is answered in one go.
"""

from __future__ import annotations

import functools
import re
from typing import Protocol

from serving.access import Caller, Territories
from serving.asgi import Scope
from serving.by_id import Question, answer_all, answer_kept, everything
from serving.engine import Engine
from serving.gatherer import Gatherer
from serving.payloads import MAX_ID_LENGTH

_PATH = re.compile(r"/api/v1/(leads|deals)/([^/]+)/score")
_TASKS = {"leads": "lead", "deals": "deal"}
TEMPLATES = {"lead": "/api/v1/leads/{lead_id}/score", "deal": "/api/v1/deals/{deal_id}/score"}


class Exchange(Protocol):
    """A request, as far as this lane looks at it."""

    request_id: str
    started: float


class FastLane:
    """Answers scores by id.

    Args:
        engine: What answers.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._gatherer = Gatherer(functools.partial(answer_all, engine))

    def asked(self, scope: Scope) -> tuple[str, str] | None:
        """Task and id that a request without a body asks for; None where the request belongs to the framework."""
        if scope["method"] != "POST" or not self._engine.reads_inline:
            return None
        matched = _PATH.fullmatch(scope["path"])
        if matched is None or len(matched[2]) > MAX_ID_LENGTH or _TASKS[matched[1]] not in self._engine.slots:
            return None
        return _TASKS[matched[1]], matched[2]

    async def answer(
        self, asked: tuple[str, str], exchange: Exchange, caller: Caller, territories: Territories
    ) -> bytes:
        """The answer's body.

        Args:
            asked: What `asked` gave.
            exchange: The request.
            caller: Who asks.
            territories: Whose leads and deals the caller may see.

        Raises:
            SalienceError: as `Engine.score_one`, or if it belongs to somebody else.
        """
        task, identifier = asked
        may_see = everything if not caller.is_scoped else functools.partial(territories.require, caller)
        question = Question(task, identifier, exchange.request_id, exchange.started, may_see)
        kept = answer_kept(self._engine, question)
        if kept is not None:
            return kept.to_json()
        return (await self._gatherer.ask(question)).to_json()
