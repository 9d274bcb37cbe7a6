"""What the lead and deal routes share: one score, many, an explanation, and a decision to put in their place."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from common.errors import NotFoundError
from serving.access import ForbiddenError
from serving.answered import Answered
from serving.asking import JSON, asker_of, engine_of, in_lane
from serving.decisions import Decision, DecisionRecord
from serving.payloads import MAX_IDS_IN_ADDRESS, Id
from serving.scored import to_json

GivenIds = Annotated[
    list[Id],
    Query(
        min_length=1,
        max_length=MAX_IDS_IN_ADDRESS,
        description="Ids; repeat the parameter, at most 500 times. For more use the POST.",
        examples=[["L-000123", "L-000124"]],
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=128,
        description="A name of your choice for this request. Sent again with the same name it is recorded once; with "
        "another content, or by somebody else, it is refused.",
        examples=["7d8f5c3e-override-D-005984"],
    ),
]


async def score_one(request: Request, task: str, identifier: str, payload: Mapping[str, Any] | None) -> Response:
    """The score of a stored or a described lead or deal."""
    engine, state, asker = engine_of(request), request.state, asker_of(request)
    started = getattr(state, "started", None)
    if payload is None:
        read = functools.partial(
            engine.score_one, task, identifier, request_id=state.request_id, may_see=asker.require, started=started
        )
        answered = read() if engine.reads_inline else await in_lane(request, "online", read)
        return Response(answered.to_json(), media_type=JSON)

    def compute() -> Answered:
        if asker.caller.is_scoped:
            _require_own_payload(request, task, identifier, payload)
        return engine.score_payload(
            task, identifier, payload, newest=newest_time(payload), request_id=state.request_id, started=started
        )

    answered = await in_lane(request, "compute", compute)
    return Response(answered.to_json(), media_type=JSON)


async def score_many(request: Request, task: str, ids: Sequence[str], *, named: str) -> Response:
    """Scores of stored leads or deals, in the order asked."""
    engine, request_id, asker = engine_of(request), request.state.request_id, asker_of(request)

    def work() -> bytes:
        scores = engine.score(task, ids, request_id=request_id, may_see=asker.sees)
        shared = to_json({**scores.stamp, "not_found": scores.not_found, "request_id": request_id})
        rows = b",".join(row.to_json() for row in scores.rows)
        return b'%s,"%s":[%s]}' % (shared[:-1], named.encode(), rows)

    return Response(await in_lane(request, "batch", work), media_type=JSON)


async def explain_one(request: Request, task: str, identifier: str) -> Response:
    """The score of a stored lead or deal with every reason, each computed exactly."""
    engine, request_id, asker = engine_of(request), request.state.request_id, asker_of(request)
    answered = await in_lane(
        request, "compute", lambda: engine.explain(task, identifier, request_id=request_id, may_see=asker.require)
    )
    return Response(answered.to_json(), media_type=JSON)


def record_decision(
    request: Request,
    task: str,
    identifier: str,
    *,
    value: str | float | None,
    justification: str,
    model_said: Mapping[str, Any],
    idempotency_key: str | None,
) -> Decision:
    """Record what the caller decided instead of the model."""
    record: DecisionRecord = request.app.state.decisions
    caller = asker_of(request).caller
    return record.decide(
        task,
        identifier,
        value=value,
        justification=justification,
        caller=caller.name,
        role=caller.role,
        request_id=request.state.request_id,
        model_said=model_said,
        idempotency_key=idempotency_key,
    )


def row(body: BaseModel) -> dict[str, Any]:
    """A body's fields that were sent."""
    return body.model_dump(exclude_none=True)


def history(newest: BaseModel, earlier: Sequence[BaseModel], of: Mapping[str, str]) -> Any:
    """A thing as the feature repository takes it: a record, or the list of its versions."""
    record = {**row(newest), **of}
    return [record, *({**row(version), **of} for version in earlier)] if earlier else record


def newest_time(payload: Mapping[str, Any]) -> datetime | None:
    """The newest moment anywhere in a payload; None if it holds none."""
    found: list[datetime] = []
    for value in payload.values():
        if isinstance(value, datetime):
            found.append(value)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                found += filter(None, [newest_time(part)])
    return max(found, default=None)


def _require_own_payload(request: Request, task: str, identifier: str, payload: Mapping[str, Any]) -> None:
    """Refuse a scoped caller somebody else's payload: the reps' figures and the stored thing's would show through."""
    asker, engine = asker_of(request), engine_of(request)
    things = payload[task] if isinstance(payload[task], list) else [payload[task]]
    for thing in things:
        asker.require(thing.get("rep_id"))
    try:
        owner = engine.owner_of(task, identifier)
    except NotFoundError:
        return
    if not asker.sees(owner):
        raise ForbiddenError(
            f"The id {identifier} belongs to another territory than yours", next_step="describe it under a new id"
        )
