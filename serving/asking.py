"""What the routes share: the engine, who asks, and the lanes in which slower work runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Request

from serving.access import LOCAL, Caller, Territories
from serving.engine import Engine
from serving.guard import OverloadError
from serving.problems import MEDIA_TYPE

JSON = "application/json"
_ABOUT = {
    400: "The body is not JSON.",
    401: "No valid API key or token came with the request.",
    403: "The caller's role or territory does not allow this.",
    404: "No such id.",
    408: "The body did not come whole in time.",
    409: "The Idempotency-Key was used for another decision; or a job has no result yet.",
    413: "The body is larger than 4 MB.",
    422: "A field is wrong; `errors` names it.",
    429: "The caller asks too often; `Retry-After` says when to try again.",
    500: "A defect of the service; its log has the request id.",
    503: "A model or a store is away, or the service is full; `Retry-After` says when to try again.",
    504: "It took too long and was given up.",
}
_MOST_IN_A_LANE = 64
T = TypeVar("T")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for the documentation; those that any request can meet are always among them."""
    wanted = sorted({400, 401, 403, 408, 413, 422, 429, 500, 503, 504, *statuses})
    schema = {"$ref": "#/components/schemas/Problem"}
    return {status: {"description": _ABOUT[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in wanted}


@dataclass(frozen=True)
class Asker:
    """Who asks, and what they may see."""

    caller: Caller
    territories: Territories

    def sees(self, owner: str | None) -> bool:
        """Whether the caller may see what a rep owns."""
        return self.territories.may_see(self.caller, owner)

    def require(self, owner: str | None) -> None:
        """Refuse what is not the caller's.

        Raises:
            ForbiddenError: if it belongs to another territory.
        """
        self.territories.require(self.caller, owner)


class Lanes:
    """Lanes of one thread each: look-ups, batches, and computing from payloads. The event loop stays free.

    A lane that has too much to do refuses more at once, so that nobody waits for an answer that comes too late.
    """

    def __init__(self) -> None:
        self._limits = {name: anyio.CapacityLimiter(1) for name in ("online", "batch", "compute")}

    async def run(self, lane: str, work: Callable[[], T]) -> T:
        """Run `work` in a lane.

        Raises:
            OverloadError: if too much waits there.
        """
        limit = self._limits[lane]
        if limit.statistics().tasks_waiting >= _MOST_IN_A_LANE:
            raise OverloadError(
                f"{_MOST_IN_A_LANE} requests of this kind wait already", next_step="wait, and ask again"
            )
        return await anyio.to_thread.run_sync(work, limiter=limit)


def engine_of(request: Request) -> Engine:
    """The engine that answers."""
    engine: Engine = request.app.state.engine
    return engine


def asker_of(request: Request) -> Asker:
    """Who asks; whoever is on this machine where nothing says otherwise."""
    caller = getattr(request.state, "caller", None) or LOCAL
    return Asker(caller, getattr(request.state, "territories", None) or Territories())


async def in_lane(request: Request, lane: str, work: Callable[[], T]) -> T:
    """Run `work` in a lane of this process."""
    if request.app.state.lanes is None:
        request.app.state.lanes = Lanes()
    lanes: Lanes = request.app.state.lanes
    return await lanes.run(lane, work)
