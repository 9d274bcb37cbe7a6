"""Features read for serving: with the rep who owns each thing, and a mark by which "nothing changed" can be told.

An answer costs a model and its reasons; to read the rows again and find them equal costs a tenth of that. So a reading
keeps the packed rows it was made from, and `is_unchanged` compares them with what the store holds now.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from features.catalogue import SERVICES
from features.online_reader import OnlineReader, read_answer
from features.online_store_layout import to_microseconds

if TYPE_CHECKING:
    from features.online_reader import OnlineAnswer, StoredRow
    from features.online_store_layout import Layout
    from features.online_store_rows import Found, RowStore
    from features.repository import FeatureRepository
    from features.specs import ViewSpec

REP_KEY = "rep_id"


@dataclass(frozen=True)
class Mark:
    """What one reading saw: the rows asked for, as the store gave them.

    Args:
        asked: (view, keys) in the order read.
        found: What each held.
        at: The moment of the question; nothing that was read lies after it.
        version: The store's own version before it was read, in a list: a comparison that finds all equal renews it.
        until: The moment from which a value counts as expired that does not yet; None where nothing expires.
    """

    asked: tuple[tuple[str, tuple[bytes, ...]], ...]
    found: tuple[Found, ...]
    at: datetime
    until: datetime | None = None
    version: list[object] = field(default_factory=lambda: [None])


@dataclass(frozen=True)
class Reading:
    """Features of some ids.

    Args:
        answer: The features.
        owners: Rep who owns each id's lead or deal, as far as the store says; None where it does not.
        mark: What was seen; None where a later comparison would prove nothing.
    """

    answer: OnlineAnswer
    owners: tuple[str | None, ...]
    mark: Mark | None = None


class StoredFeatures:
    """The features of a workspace, as serving reads them.

    Args:
        repository: Computes features from payloads and knows the services' views.
        rows: The online store.
    """

    def __init__(self, repository: FeatureRepository, rows: RowStore) -> None:
        self._repository = repository
        self._rows = rows
        self._seen = _Seen(rows)
        # Reading asks a store for nothing else.
        self._reader = OnlineReader(cast("RowStore", self._seen))
        self._views: dict[str, tuple[ViewSpec, ...]] = {}

    def read(self, service: str, ids: Sequence[str], *, at: datetime) -> Reading:
        """Features of stored leads or deals, their owners, and what was seen.

        Args:
            service: Name of the feature service.
            ids: Values of its join key.
            at: The moment of the question, UTC.

        Raises:
            UnavailableError: if the store or a view is not there.
        """
        views, key = self._views_of(service), SERVICES[service].join_key
        mine = [view for view in views if view.join_key == key]
        version = self._rows.version()
        with self._seen.keeping() as seen:
            own = self._reader.read_all([(view, ids) for view in mine])
            answer = read_answer(views, ids, at=at, join_key=key, own=own, read_all=self._reader.read_all)
        asked, found = zip(*seen, strict=True) if seen else ((), ())
        moment = to_microseconds(at)
        is_seen = all(each.state.as_of(row) <= moment for each in found for row in each.rows.values())
        # A row that is not visible yet will be, without a change; what was not found may come as a new key.
        until = _expiry(views, answer, at=at)
        mark = Mark(asked, found, at, until, [version]) if is_seen and all(answer.found) else None
        return Reading(answer=answer, owners=_owners(mine, own, ids), mark=mark)

    def is_unchanged(self, mark: Mark) -> bool:
        """Whether the store still holds exactly what a reading saw."""
        version = self._rows.version()
        if version is not None and version == mark.version[0]:
            return True
        is_equal = all(
            now.rows == before.rows and now.state == before.state
            for now, before in zip(self._rows.read(mark.asked), mark.found, strict=True)
        )
        if is_equal:
            mark.version[0] = version
        return is_equal

    def from_payload(self, service: str, payload: Mapping[str, Any], *, at: datetime) -> OnlineAnswer:
        """Features computed from what an application sent."""
        return self._repository.from_payload(service, payload, at=at)

    def _views_of(self, service: str) -> tuple[ViewSpec, ...]:
        if service not in self._views:
            self._repository.require_applied()
            self._views[service] = self._repository.views(service)
        return self._views[service]


class _Seen:
    """A `RowStore` for reading that keeps what it gave."""

    def __init__(self, rows: RowStore) -> None:
        self._rows = rows
        self._threads = threading.local()

    @contextmanager
    def keeping(self) -> Iterator[list[tuple[tuple[str, tuple[bytes, ...]], Found]]]:
        """What this thread reads in the block."""
        kept: list[tuple[tuple[str, tuple[bytes, ...]], Found]] = []
        self._threads.kept = kept
        try:
            yield kept
        finally:
            self._threads.kept = None

    def read(self, asked: Sequence[tuple[str, Sequence[bytes]]]) -> list[Found]:
        """Rows of several (view, keys)."""
        found = self._rows.read(asked)
        kept = getattr(self._threads, "kept", None)
        if kept is not None:
            kept += [((view, tuple(keys)), each) for (view, keys), each in zip(asked, found, strict=True)]
        return found

    def layout(self, view: str, identifier: bytes) -> Layout:
        """A layout that rows of the view were packed by."""
        return self._rows.layout(view, identifier)


def _owners(
    views: Sequence[ViewSpec], own: Sequence[Mapping[str, StoredRow]], ids: Sequence[str]
) -> tuple[str | None, ...]:
    """The rep that each thing's own row names, expired or not."""
    for view, rows in zip(views, own, strict=True):
        column = next((column for column, key in view.foreign_keys if key == REP_KEY), None)
        if column is not None:
            found = (rows.get(identifier) for identifier in ids)
            return tuple(None if row is None else row.values.get(column) for row in found)
    return (None,) * len(ids)


def _expiry(views: Sequence[ViewSpec], answer: OnlineAnswer, *, at: datetime) -> datetime | None:
    """When the first value of an answer that is alive at `at` will be past its time to live."""
    ends = [
        moment + timedelta(days=view.ttl_days)
        for view in views
        for moment in answer.view_timestamps.get(view.name, ())
        if moment is not None
    ]
    return min((end for end in ends if end >= at), default=None)
