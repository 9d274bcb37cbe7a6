"""Features read for serving: with the rep who owns each thing, and a mark by which "nothing changed" can be told.

An answer costs a model and its reasons; to read the rows again and find them equal costs a tenth of that, and to find
that nobody has written anything costs next to nothing. So a reading keeps the store's version and a digest of the
packed rows it was made from, and `is_unchanged` compares them with what the store holds now.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from features.catalogue import SERVICES
from features.online_reader import OnlineReader, read_answer
from features.online_store_layout import KEY_PREFIX, entity_key, said, to_microseconds
from features.online_store_rows import Found

if TYPE_CHECKING:
    from features.online_reader import OnlineAnswer, StoredRow
    from features.online_store_layout import Layout
    from features.online_store_rows import RowStore
    from features.repository import FeatureRepository
    from features.specs import ViewSpec

REP_KEY = "rep_id"


@dataclass(frozen=True)
class Mark:
    """What one reading saw: the rows asked for, as the store gave them.

    Args:
        asked: (view, keys) in the order read.
        seen: Digest of what each held, see `digest_of`.
        at: The moment of the question; nothing that was read lies after it.
        until: The moment from which a value counts as expired that does not yet; None where nothing expires.
        version: The store's own version before it was read, in a list: a comparison that finds all equal renews it.
    """

    asked: tuple[tuple[str, tuple[bytes, ...]], ...]
    seen: bytes
    at: datetime
    until: datetime | None = None
    version: list[str | None] = field(default_factory=lambda: [None])


def digest_of(found: Sequence[Found]) -> bytes:
    """Sixteen bytes that say what a store held, whenever it was written: equal rows have equal ones."""
    digest = hashlib.blake2b(digest_size=16)
    for each in found:
        digest.update(each.state.to_bytes() + len(each.rows).to_bytes(4, "big"))
        for key in sorted(each.rows):
            for part in (key, *said(each.rows[key])):
                digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


@dataclass(frozen=True)
class Reading:
    """Features of some ids.

    Args:
        answer: The features.
        owners: Rep who owns each id's lead or deal, as far as the store says; None where it does not.
        mark_of: What was seen of the id at a place; None where a later comparison would prove nothing.
    """

    answer: OnlineAnswer
    owners: tuple[str | None, ...]
    mark_of: Callable[[int], Mark | None] = lambda _place: None


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
        marks = _Marks(views, own, answer, join_key=key, seen=seen, at=at, version=version)
        return Reading(answer=answer, owners=_owners(mine, own, ids), mark_of=marks.of)

    def version(self) -> str | None:
        """What stays equal, for every process, while nothing is written; None where that cannot be told."""
        return self._rows.version()

    def is_unchanged(self, mark: Mark) -> bool:
        """Whether the store still holds exactly what a reading saw."""
        version = self._rows.version()
        if version is not None and version == mark.version[0]:
            return True
        is_equal = digest_of(self._rows.read(mark.asked)) == mark.seen
        if is_equal:
            mark.version[0] = version
        return is_equal

    def ids(self, service: str) -> list[str]:
        """Ids of the leads or deals that the store holds: what was open when it was filled, and what came since.

        Args:
            service: Name of the feature service.

        Raises:
            UnavailableError: if the store or a view is not there.
        """
        views, key = self._views_of(service), SERVICES[service].join_key
        first = next(view.name for view in views if view.join_key == key)
        return [key[len(KEY_PREFIX) :].decode() for key in self._rows.strays(first, ()) if key.startswith(KEY_PREFIX)]

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


class _Marks:
    """What a reading of several ids saw of each.

    Args:
        views: The service's views.
        own: Rows of those keyed by the ids themselves, in the views' order.
        answer: What came of it.
        join_key: Name of the ids' key.
        seen: Everything that was read: (view, keys) and what they held.
        at: The moment of the question, UTC.
        version: The store's version before it was read.
    """

    def __init__(
        self,
        views: Sequence[ViewSpec],
        own: Sequence[Mapping[str, StoredRow]],
        answer: OnlineAnswer,
        *,
        join_key: str,
        seen: Sequence[tuple[tuple[str, tuple[bytes, ...]], Found]],
        at: datetime,
        version: str | None,
    ) -> None:
        self._views = views
        self._own = own
        self._answer = answer
        self._join_key = join_key
        self._seen = seen
        self._at = at
        self._version = version

    def of(self, place: int) -> Mark | None:
        """What was seen of the id at a place of the answer; None where a later comparison would prove nothing."""
        if not self._answer.found[place]:
            # It may come as a new key.
            return None
        wanted = self._keys(self._answer.ids[place])
        asked: list[tuple[str, tuple[bytes, ...]]] = []
        found: list[Found] = []
        for (view, keys), there in self._seen:
            mine = tuple(key for key in wanted[view] if key in keys)
            if mine:
                asked.append((view, mine))
                found.append(Found(there.state, {key: there.rows[key] for key in mine if key in there.rows}))
        moment = to_microseconds(self._at)
        if any(there.state.as_of(row) > moment for there in found for row in there.rows.values()):
            # A row that is not visible yet will be, without a change.
            return None
        until = _expiry(self._views, self._answer, place, at=self._at)
        return Mark(tuple(asked), digest_of(found), self._at, until, [self._version])

    def _keys(self, identifier: str) -> dict[str, list[bytes]]:
        """Keys by view: the id's own, and those that its own rows name, with what stands in for an unseen one."""
        named: dict[str, str | None] = {}
        mine = iter(self._own)
        keys: dict[str, list[bytes]] = {}
        for view in self._views:
            if view.join_key == self._join_key:
                keys[view.name] = [entity_key(identifier)]
                row = next(mine).get(identifier)
                named |= {key: None if row is None else row.values.get(column) for column, key in view.foreign_keys}
        for view in self._views:
            if view.name not in keys:
                key = named.get(view.join_key)
                others = () if key is None or view.unseen is None else view.unseen(key)
                keys[view.name] = [] if key is None else [entity_key(each) for each in (key, *others)]
        return keys


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


def _expiry(views: Sequence[ViewSpec], answer: OnlineAnswer, place: int, *, at: datetime) -> datetime | None:
    """When the first value of the id at a place that is alive at `at` will be past its time to live."""
    ends = []
    for view in views:
        moments = answer.view_timestamps.get(view.name, ())
        if moments and (moment := moments[place]) is not None:
            ends.append(moment + timedelta(days=view.ttl_days))
    return min((end for end in ends if end >= at), default=None)
