"""The door of the stream: what applications push is checked row by row, completed, and queued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from common.clock import utc
from common.errors import InputError, UnavailableError
from common.settings import Settings
from common.workspace import Workspace
from features.payload import canonical_row
from features.stream_queue import EventQueue, SqliteQueue, StreamEvent
from warehouse.contracts import CONTRACTS, Contract
from warehouse.extensions import extended_contract

STREAMED = ("lead_events", "activities", "leads", "opportunities")
"""Canonical tables that take events."""
MOST_WAITING = 1_000_000
"""Events in the queue at which no more are taken until the worker has caught up."""
_CLOCK_TOLERANCE = timedelta(minutes=5)
_READ_LINES = 5_000


@dataclass(frozen=True)
class Refusal:
    """An event that was not taken.

    Args:
        index: Its place among those sent, from 0.
        reason: What is wrong with it.
        field: The field at fault, if one is.
    """

    index: int
    reason: str
    field: str | None = None


@dataclass(frozen=True)
class Taken:
    """What became of the events pushed together: ``sent == accepted + len(refused)``.

    Args:
        accepted: Events that are in the queue, or were before.
        known: Those of them that were delivered before.
        refused: The others, each with its reason.
    """

    accepted: int
    known: int
    refused: tuple[Refusal, ...]


class EventDoor:
    """Takes events into a queue.

    An event is `{"table": "lead_events", "row": {...canonical columns...}}`; `leads` and `opportunities` take new
    versions, whole. A row without `created_timestamp` is known when it arrives (clock `wall`), or since it happened
    (clock `data`, for histories). An event without an id gets one from its content, so that a second delivery is the
    same event.

    Args:
        queue: Where accepted events wait.
        clock: The settings' clock.
        warehouse: Folder of the warehouse, whose sources' own fields a row may have; None: canonical columns alone.
    """

    def __init__(self, queue: EventQueue, *, clock: Literal["data", "wall"], warehouse: Path | None = None) -> None:
        self.queue = queue
        self._clock = clock
        self._warehouse = warehouse

    def require_room(self) -> None:
        """Refuse more while too much waits.

        Raises:
            UnavailableError: if the queue is full.
        """
        if self.queue.depth() >= MOST_WAITING:
            raise UnavailableError(
                f"{MOST_WAITING:,} events wait to be worked on already",
                next_step="see that `salience features stream` or `salience serve` runs, and send again later",
            )

    def take(self, events: Sequence[Any]) -> Taken:
        """Check events and queue those that are right; they are durable when this returns."""
        arrived = datetime.now(UTC)
        contracts = {table: self._contract(table) for table in STREAMED}
        right: list[StreamEvent] = []
        refused: list[Refusal] = []
        for index, event in enumerate(events):
            try:
                right.append(self._event(event, arrived, contracts))
            except InputError as error:
                refused.append(Refusal(index, error.message, error.field))
        fresh = self.queue.push(right)
        return Taken(accepted=len(right), known=len(right) - fresh, refused=tuple(refused))

    def _contract(self, table: str) -> Contract:
        return CONTRACTS[table] if self._warehouse is None else extended_contract(self._warehouse, CONTRACTS[table])

    def _event(self, event: Any, arrived: datetime, contracts: Mapping[str, Contract]) -> StreamEvent:
        if not isinstance(event, Mapping) or set(event) != {"table", "row"}:
            raise InputError("An event is an object with 'table' and 'row'", got=_kind(event))
        table, given = event["table"], event["row"]
        if table not in STREAMED:
            raise InputError(f"Events for '{table}' are not taken", expected=", ".join(STREAMED), field="table")
        if not isinstance(given, Mapping):
            raise InputError("'row' is not a record", got=type(given).__name__, field="row")
        given = {name: value for name, value in given.items() if value is not None}
        contract = contracts[table]
        if contract.kind == "event":
            given = {contract.key: _content_id(table, given), **given}
        row = canonical_row(given, "row", table, own=contract.extension)
        if "event_timestamp" not in row:
            raise InputError(
                "'row.event_timestamp' is missing", expected="when it happened", field="row.event_timestamp"
            )
        is_told = "created_timestamp" in row
        row = {**row, "created_timestamp": row["created_timestamp"] if is_told else self._known_at(row, arrived)}
        for name in ("event_timestamp", "created_timestamp"):
            if row[name] > arrived + _CLOCK_TOLERANCE:
                raise InputError(f"'row.{name}' lies in the future", got=row[name].isoformat(), field=f"row.{name}")
        digest = None if is_told or self._clock == "data" else hashlib.sha256(_canonical(table, given)).digest()
        return StreamEvent(table=table, row={name: _plain(value) for name, value in row.items()}, digest=digest)

    def _known_at(self, row: Mapping[str, Any], arrived: datetime) -> datetime:
        happened: datetime = row["event_timestamp"]
        return happened if self._clock == "data" else max(happened, arrived)


def worker_lock(workspace: Workspace) -> Path:
    """The file that the one worker of a workspace's stream locks."""
    return stream_folder(workspace) / "worker.lock"


def stream_folder(workspace: Workspace) -> Path:
    """Where a workspace keeps its stream's queue and clock."""
    return workspace.root / "stream"


def open_door(settings: Settings, workspace: Workspace) -> EventDoor:
    """The door of a workspace, with the embedded queue behind it."""
    queue = SqliteQueue(stream_folder(workspace) / "queue.db")
    return EventDoor(queue, clock=settings.clock, warehouse=workspace.warehouse)


def read_lines(lines: Iterable[str], door: EventDoor) -> tuple[int, list[tuple[str, str]]]:
    """Take a file's lines, one event as JSON each.

    Returns:
        Events accepted, and the refused lines, each with its reason.
    """
    accepted = 0
    refused: list[tuple[str, str]] = []
    texts = (line.strip() for line in lines if line.strip())
    while chunk := list(islice(texts, _READ_LINES)):
        taken = door.take([_parsed(text) for text in chunk])
        accepted += taken.accepted
        refused += [(chunk[each.index], each.reason) for each in taken.refused]
    return accepted, refused


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _content_id(table: str, given: Mapping[str, Any]) -> str:
    return f"content-{hashlib.sha256(_canonical(table, given)).hexdigest()[:32]}"


def _canonical(table: str, given: Mapping[str, Any]) -> bytes:
    return json.dumps([table, given], sort_keys=True, default=str).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def _kind(event: Any) -> str:
    return f"the fields {', '.join(map(str, event)) or 'none'}" if isinstance(event, Mapping) else type(event).__name__
