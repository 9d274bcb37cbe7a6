"""Reading features online: by id, by name, within their TTL, along foreign keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from features.online_store_layout import aligned, entity_key, layout_of
from features.online_store_rows import LayoutBook, RowStore
from features.specs import ViewSpec

if TYPE_CHECKING:
    from features.online_store_rows import Found

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT_ROWS = 256
"""Unpacked rows kept per view; each takes some kilobytes."""


@dataclass(frozen=True)
class OnlineAnswer:
    """Features of some ids.

    Args:
        ids: What was asked.
        found: Whether the store held the id at the moment asked about.
        values: Feature name to one value per id; None where missing or expired.
        feature_timestamps: Oldest as_of of what was read for the id, expired values included; None where nothing was.
        expired: Names of the features that are missing because of their TTL, per id.
        view_timestamps: View name to one as_of per id, expired ones included, None where nothing was read: the age of
            each value is the moment asked about less this.
    """

    ids: tuple[str, ...]
    found: tuple[bool, ...]
    values: dict[str, list[Any]]
    feature_timestamps: tuple[datetime | None, ...]
    expired: tuple[tuple[str, ...], ...]
    view_timestamps: dict[str, tuple[datetime | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredRow:
    """One entity's row of a view as it was read: its as_of and its values by name."""

    as_of: datetime
    values: Mapping[str, Any]


Asked: TypeAlias = "Sequence[tuple[ViewSpec, Sequence[str]]]"
ReadAll: TypeAlias = "Callable[[Asked], list[dict[str, StoredRow]]]"
"""Reads several views at once: per view, its rows by key."""


class OnlineReader:
    """Reads views straight from their packed rows, from any thread.

    Feast's own read neither enforces TTLs (its issue 6821) nor keeps an order of features; so rows are read with their
    moments, by name, and judged by `AnswerBuilder`.

    Args:
        rows: The online store, from `features.online_store_rows.open_rows`.
    """

    def __init__(self, rows: RowStore) -> None:
        self._rows = rows
        self._layouts = LayoutBook(rows)
        self._unpacked: dict[str, dict[bytes, Mapping[str, Any]]] = {}

    def read(self, view: ViewSpec, keys: Sequence[str]) -> dict[str, StoredRow]:
        """Rows of the view by key; keys that the store does not hold are absent.

        Raises:
            UnavailableError: if the store does not hold the view.
        """
        return self.read_all([(view, keys)])[0]

    def read_all(self, asked: Asked) -> list[dict[str, StoredRow]]:
        """`read` of several views, in one round trip where the store is on a network."""
        if not any(keys for _, keys in asked):
            return [{} for _ in asked]
        keys = [[entity_key(key) for key in dict.fromkeys(keys)] for _, keys in asked]
        found = self._rows.read([(view.name, stored) for (view, _), stored in zip(asked, keys, strict=True)])
        return [self._decoded(view, each) for (view, _), each in zip(asked, found, strict=True)]

    def _decoded(self, view: ViewSpec, found: Found) -> dict[str, StoredRow]:
        as_of, rows = found.state.as_of, {}
        for key, row in found.rows.items():
            moment = _EPOCH + timedelta(microseconds=as_of(row))
            rows[key[1:].decode()] = StoredRow(as_of=moment, values=self._values(view, row))
        return rows

    def _values(self, view: ViewSpec, row: bytes) -> Mapping[str, Any]:
        """What a packed row holds; the rows of the few reps and segments, which many ids share, are unpacked once."""
        known = self._unpacked.setdefault(view.name, {})
        values = known.get(row)
        if values is None:
            layout = self._layouts.layout(view.name, row)
            values = aligned(layout.unpack(row), layout, layout_of(view))
            if len(known) >= _KEPT_ROWS:
                known.clear()
            known[row] = values
        return values


def read_answer(
    views: Sequence[ViewSpec],
    ids: Sequence[str],
    *,
    at: datetime,
    join_key: str,
    own: Sequence[Mapping[str, StoredRow]],
    read_all: ReadAll,
) -> OnlineAnswer:
    """The answer for some ids, given their own rows: views keyed by what these name are read next, all at once.

    Args:
        views: The service's views, in order.
        ids: What was asked.
        at: Moment of the question, aware.
        join_key: Name of the ids' key.
        own: Rows of each view keyed by the ids, in the views' order.
        read_all: Reads the others.
    """
    answer = AnswerBuilder(ids, at=at)
    mine = iter(own)
    for place, view in enumerate(views):
        if view.join_key == join_key:
            answer.add_own(view, next(mine), is_first=place == 0)
    others = [view for view in views if view.join_key != join_key]
    for view, rows in zip(others, _read_on(answer, others, read_all), strict=True):
        answer.add_foreign(view, rows)
    return answer.answer(feature.name for view in views for feature in view.features)


def _read_on(answer: AnswerBuilder, views: Sequence[ViewSpec], read_all: ReadAll) -> list[dict[str, StoredRow]]:
    """Rows of the foreign views; for a key that nobody has seen, the row of those the view falls back on."""
    asked = [(view, answer.keys_of(view.join_key)) for view in views]
    found = read_all(asked)
    strangers = [
        {key: view.unseen(key) for key in keys if key not in rows} if view.unseen is not None else {}
        for (view, keys), rows in zip(asked, found, strict=True)
    ]
    if not any(strangers):
        return found
    instead = [[other for others in each.values() for other in others] for each in strangers]
    fallback = read_all(list(zip(views, instead, strict=True)))
    for rows, unknown, known in zip(found, strangers, fallback, strict=True):
        for key, others in unknown.items():
            stand_in = next((known[other] for other in others if other in known), None)
            if stand_in is not None:
                rows[key] = stand_in
    return found


class AnswerBuilder:
    """Puts an answer together, view by view.

    Args:
        ids: What was asked.
        at: Moment of the question, aware; a row is alive if its as_of lies in [at - TTL, at].
    """

    def __init__(self, ids: Sequence[str], *, at: datetime) -> None:
        self.ids = tuple(ids)
        self._at = at
        self._found = [False] * len(self.ids)
        self._values: dict[str, list[Any]] = {}
        self._oldest: list[datetime | None] = [None] * len(self.ids)
        self._expired: list[list[str]] = [[] for _ in self.ids]
        self._times: dict[str, tuple[datetime | None, ...]] = {}
        self._keys: dict[str, list[str | None]] = {}
        self._keys_expired: dict[str, list[bool]] = {}

    def add_own(self, view: ViewSpec, rows: Mapping[str, StoredRow], *, is_first: bool) -> None:
        """Take the rows of a view that is keyed by the ids themselves."""
        names = [column for column, _ in view.foreign_keys]
        mine = [rows.get(key) for key in self.ids]
        alive = self._take(view, mine)
        for place, row in enumerate(mine):
            if is_first and row is not None and row.as_of <= self._at:
                self._found[place] = True
        for column, key in zip(names, (key for _, key in view.foreign_keys), strict=True):
            self._keys[key] = [row.values.get(column) if row is not None else None for row in alive]
            self._keys_expired[key] = [
                row is not None and found is None and row.as_of <= self._at
                for row, found in zip(mine, alive, strict=True)
            ]

    def keys_of(self, join_key: str) -> list[str]:
        """The keys that the ids' own rows name, each once."""
        return list(dict.fromkeys(key for key in self._keys.get(join_key, []) if key is not None))

    def add_foreign(self, view: ViewSpec, rows: Mapping[str, StoredRow]) -> None:
        """Take the rows of a view that is keyed by what an own view told, such as the lead's rep."""
        keys = self._keys.get(view.join_key, [None] * len(self.ids))
        self._take(view, [rows.get(key) if key is not None else None for key in keys])
        for place, is_expired in enumerate(self._keys_expired.get(view.join_key, [])):
            if is_expired:
                self._expired[place] += [feature.name for feature in view.features]

    def answer(self, names: Iterable[str]) -> OnlineAnswer:
        """The answer to what was taken, the features in the order of `names`."""
        return OnlineAnswer(
            ids=self.ids,
            found=tuple(self._found),
            values={name: self._values[name] for name in names},
            feature_timestamps=tuple(self._oldest),
            expired=tuple(tuple(names) for names in self._expired),
            view_timestamps=self._times,
        )

    def _take(self, view: ViewSpec, rows: Sequence[StoredRow | None]) -> list[StoredRow | None]:
        """Add one row per id to the answer; gives back those that are alive."""
        alive: list[StoredRow | None] = []
        visible = [row if row is not None and row.as_of <= self._at else None for row in rows]
        self._times[view.name] = tuple(None if row is None else row.as_of for row in visible)
        for place, known in enumerate(visible):
            is_expired = known is not None and self._at - known.as_of > timedelta(days=view.ttl_days)
            if known is not None:
                before = self._oldest[place]
                self._oldest[place] = known.as_of if before is None else min(before, known.as_of)
            if is_expired:
                self._expired[place] += [feature.name for feature in view.features]
            alive.append(None if is_expired else known)
        names = tuple(feature.name for feature in view.features)
        pick, nothing = _picker(names), (None,) * len(names)
        picked = [nothing if row is None else pick(row.values) for row in alive]
        for name, *values in zip(names, *picked, strict=True):
            self._values[name] = values
        return alive


@lru_cache(maxsize=1_000)
def _picker(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Gives the values of some names, in C where there are several."""
    if len(names) < 2:
        return lambda values: tuple(values[name] for name in names)
    return itemgetter(*names)
