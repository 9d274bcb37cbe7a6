"""The features of the newest answers, for the time when the store is away."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from serving.stored_features import Reading

if TYPE_CHECKING:
    from features.repository import OnlineAnswer

MAX_ROWS = 5_000


@dataclass(frozen=True)
class _Row:
    values: tuple[Any, ...]
    timestamp: datetime | None
    expired: tuple[str, ...]
    owner: str | None


class LastKnown:
    """Keeps the features of the ids answered last, `max_rows` at most.

    Args:
        max_rows: Rows to keep; the ones unused longest go first. A row of 40 features takes about 1 KB.
    """

    def __init__(self, *, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self._rows: OrderedDict[tuple[str, str], _Row] = OrderedDict()
        self._names: dict[str, tuple[str, ...]] = {}
        self._newest: dict[str, OnlineAnswer] = {}
        self._lock = threading.Lock()

    def remember(self, service: str, reading: Reading) -> None:
        """Keep what the store said about the ids it knew."""
        answer = reading.answer
        names = tuple(answer.values)
        with self._lock:
            if self._names.get(service) != names:
                self._forget(service)
                self._names[service] = names
            self._newest[service] = answer
            values = zip(*answer.values.values(), strict=True)
            moments, owners = answer.feature_timestamps, reading.owners
            rows = map(_Row, values, moments, answer.expired, owners)
            for identifier, is_found, row in zip(answer.ids, answer.found, rows, strict=True):
                if is_found:
                    self._rows[(service, identifier)] = row
                    self._rows.move_to_end((service, identifier))
            while len(self._rows) > self._max_rows:
                self._rows.popitem(last=False)

    def recall(self, service: str, ids: Sequence[str]) -> Reading | None:
        """What the store last said about `ids`; None unless it is known for all of them."""
        with self._lock:
            rows = [self._rows.get((service, identifier)) for identifier in ids]
            names = self._names.get(service, ())
            newest = self._newest.get(service)
        known = [row for row in rows if row is not None]
        if newest is None or len(known) < len(rows):
            return None
        answer = replace(
            newest,
            ids=tuple(ids),
            found=(True,) * len(ids),
            values={name: [row.values[position] for row in known] for position, name in enumerate(names)},
            feature_timestamps=tuple(row.timestamp for row in known),
            expired=tuple(row.expired for row in known),
            view_timestamps={},
        )
        return Reading(answer, tuple(row.owner for row in known))

    def _forget(self, service: str) -> None:
        for key in [key for key in self._rows if key[0] == service]:
            del self._rows[key]
