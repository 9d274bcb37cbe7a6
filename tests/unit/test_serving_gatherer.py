"""Questions of the same moment are answered in one go, each with its own answer or error."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving_stand_ins import Stand, stand

from common.errors import NotFoundError, SalienceError
from serving.access import ForbiddenError
from serving.answered import Answered
from serving.by_id import Question, answer_all, answer_kept
from serving.gatherer import MOST_AT_ONCE, Gatherer


@pytest.fixture
def served(tmp_path: Path) -> Stand:
    return stand(tmp_path)


def question(identifier: str, task: str = "lead", **more: Any) -> Question:
    return Question(task, identifier, f"r-{identifier}", 0.0, **more)


def forbidden(_owner: str | None) -> None:
    raise ForbiddenError("Not yours")


def test_each_question_gets_its_own_answer_or_error(served: Stand) -> None:
    asked = [
        question("a"),
        question("nobody"),
        question("b", may_see=forbidden),
        question("c"),
        question("a"),
        question("a", "deal"),
    ]
    answers = answer_all(served.engine, asked)
    assert [type(answer) for answer in answers] == [
        Answered,
        NotFoundError,
        ForbiddenError,
        Answered,
        Answered,
        Answered,
    ]
    tasks = [answer.scored.task for answer in answers if isinstance(answer, Answered)]
    assert tasks == ["lead", "lead", "lead", "deal"]
    assert served.features.reads == 2


def test_many_say_what_each_alone_says(served: Stand) -> None:
    together = answer_all(served.engine, [question(each) for each in "abc"])
    served.engine.store.cache.clear()
    alone = [answer_all(served.engine, [question(each)])[0] for each in "abc"]
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, Answered)
        assert isinstance(other, Answered)
        moments = ("scored_at", "valid_until")
        assert {k: v for k, v in one.scored.record.items() if k not in moments} == {
            k: v for k, v in other.scored.record.items() if k not in moments
        }


def test_a_score_of_a_batch_is_given_again_until_its_own_row_changes(served: Stand) -> None:
    answer_all(served.engine, [question(each) for each in "abc"])
    served.features.rows["b"] = (5.0, 5.0)
    again = [answer_kept(served.engine, question(each)) for each in "abc"]
    assert [kept is not None and kept.added["is_cached"] for kept in again] == [True, False, True]


def test_one_that_was_never_read_does_not_cost_the_others_their_answers_when_the_store_is_away(served: Stand) -> None:
    answer_all(served.engine, [question("a")])
    served.engine.store.cache.clear()
    served.features.is_away = True
    known, unknown = answer_all(served.engine, [question("a"), question("b")])
    assert isinstance(known, Answered)
    assert known.added["features"]["is_last_known"]
    assert isinstance(unknown, SalienceError)


def test_what_comes_together_is_answered_in_batches_of_bounded_size() -> None:
    sizes: list[int] = []

    def answer_them(asked: Sequence[Question]) -> list[Answered | SalienceError]:
        sizes.append(len(asked))
        return [NotFoundError(one.identifier) for one in asked]

    async def ask(count: int) -> list[str]:
        gatherer = Gatherer(answer_them)
        found = await asyncio.gather(
            *(gatherer.ask(question(str(number))) for number in range(count)), return_exceptions=True
        )
        return [error.what for error in found if isinstance(error, NotFoundError)]

    count = 2 * MOST_AT_ONCE + 3
    assert asyncio.run(ask(count)) == [str(number) for number in range(count)]
    assert sizes == [MOST_AT_ONCE, MOST_AT_ONCE, 3]


def test_a_client_that_has_gone_does_not_keep_the_others_waiting(served: Stand) -> None:
    async def ask() -> Any:
        gatherer = Gatherer(lambda asked: answer_all(served.engine, asked))
        gone, stays = (asyncio.create_task(gatherer.ask(question(each))) for each in "ab")
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(ask()).scored.identifier == "b"


def test_a_defect_is_answered_to_everybody_and_the_next_questions_go_on(served: Stand) -> None:
    async def ask(client: httpx.AsyncClient) -> list[int]:
        answers = await asyncio.gather(*(client.post(f"/api/v1/leads/{each}/score") for each in "abc"))
        return [answer.status_code for answer in answers]

    async def run() -> list[list[int]]:
        transport = httpx.ASGITransport(app=served.client.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            served.features.defect = RuntimeError("broken")
            broken = await ask(client)
            served.features.defect = None
            return [broken, await ask(client)]

    assert asyncio.run(run()) == [[500] * 3, [200] * 3]
