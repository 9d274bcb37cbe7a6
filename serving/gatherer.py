"""Questions that come at the same moment, answered in one go: the event loop's own pace makes the batches.

A question waits until the loop has looked at everything that had come with it, which takes some microseconds, and no
longer: nobody waits for a batch to fill. While a batch is answered the next one comes in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from common.errors import SalienceError
from serving.answered import Answered
from serving.by_id import Question

MOST_AT_ONCE = 32
"""So many rows are computed by the same steps as one, so that the answers are equal to the last bit."""

AnswerAll: TypeAlias = "Callable[[Sequence[Question]], list[Answered | SalienceError]]"


class Gatherer:
    """Gathers questions of one event loop.

    Args:
        answer_all: Answers several, in order; it may not block for long.
    """

    def __init__(self, answer_all: AnswerAll) -> None:
        self._answer_all = answer_all
        self._waiting: list[tuple[Question, asyncio.Future[Answered]]] = []

    async def ask(self, question: Question) -> Answered:
        """The answer to one question.

        Raises:
            SalienceError: as the question's own answer says.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answered] = loop.create_future()
        self._waiting.append((question, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._answer, loop)
        return await answer

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        if self._waiting:
            loop.call_soon(self._answer, loop)
        found: Sequence[Answered | Exception]
        try:
            found = self._answer_all([question for question, _ in batch])
        except Exception as error:  # noqa: BLE001 - a defect is each asker's to log and to answer
            found = [error] * len(batch)
        for (_, answer), what in zip(batch, found, strict=True):
            # A client that has gone does not wait any more.
            if answer.done():
                continue
            if isinstance(what, Answered):
                answer.set_result(what)
            else:
                answer.set_exception(what)
