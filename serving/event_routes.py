"""The route that takes events: what applications push is queued here and turned into features by the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from serving.asking import problems

if TYPE_CHECKING:
    from features.stream_door import EventDoor, Taken

MAX_PUSHED = 5_000
_EXAMPLE = {
    "table": "lead_events",
    "row": {"lead_id": "L-000123", "kind": "pricing_view", "event_timestamp": "2026-01-05T09:30:00Z"},
}
Events = Annotated[
    list[Any],
    Body(
        max_length=MAX_PUSHED,
        description="Events, each with its `table` (lead_events, activities, leads or opportunities) and `row`: "
        "canonical columns, and for leads and opportunities the whole new version.",
        examples=[[_EXAMPLE]],
    ),
]

events = APIRouter(prefix="/api/v1/events", tags=["events"], responses=problems())


class RefusedEvent(BaseModel):
    """An event that was not taken."""

    index: int = Field(description="Its place in the list sent, from 0.")
    reason: str = Field(description="What is wrong with it, and what was expected.")
    field: str | None = Field(None, description="The field at fault.")


class TakenEvents(BaseModel):
    """What became of the events sent."""

    accepted: int = Field(description="Events that are safely queued; features know them within seconds.")
    known: int = Field(description="Those of them that were delivered before; they count once.")
    refused: list[RefusedEvent] = Field(description="Events that were not taken; the others were.")
    request_id: str = Field(description="Id of the request.")


@events.post("", status_code=202, summary="Push events")
async def push_events(request: Request, body: Events) -> TakenEvents:
    """Take what happened just now. What is accepted is never lost; the same event sent twice counts once."""
    taken = await run_in_threadpool(_take, request.app.state.door, body)
    refused = [RefusedEvent(index=each.index, reason=each.reason, field=each.field) for each in taken.refused]
    return TakenEvents(accepted=taken.accepted, known=taken.known, refused=refused, request_id=request.state.request_id)


def _take(door: EventDoor, body: list[Any]) -> Taken:
    door.require_room()
    return door.take(body)
