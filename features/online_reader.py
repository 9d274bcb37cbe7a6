"""Reading features online: by id, by name, within their TTL, along foreign keys."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from features.specs import ViewSpec

_CHUNK = 500
"""Ids per read: far below SQLite's limit of parameters."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OnlineAnswer:
    """Features of some ids.

    Args:
        ids: What was asked.
        found: Whether the store held the id at the moment asked about.
        values: Feature name to one value per id; None where missing or expired.
        feature_timestamps: Oldest as_of of what was read for the id, expired values included; None where nothing was.
        expired: Names of the features that are missing because of their TTL, per id.
    """

    ids: tuple[str, ...]
    found: tuple[bool, ...]
    values: dict[str, list[Any]]
    feature_timestamps: tuple[datetime | None, ...]
    expired: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class StoredRow:
    """One entity's row of a view as it was read: its as_of and its values by name."""

    as_of: datetime
    values: Mapping[str, Any]


class OnlineReader:
    """Reads views through Feast's online store.

    Feast does not enforce TTLs online (its issue 6821), answers in an order that changes from process to process, and
    on Redis calls a missing entity present; so rows are read view by view with their timestamps and judged here.

    Args:
        store: A `feast.FeatureStore`.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._views: dict[str, Any] = {}
        # SQLite's store shares one connection among threads.
        self._turn: Any = threading.Lock() if store.config.online_store.type == "sqlite" else nullcontext()

    def read(self, view: ViewSpec, keys: Sequence[str]) -> dict[str, StoredRow]:
        """Rows of the view by key; keys that the store does not hold are absent."""
        unique = list(dict.fromkeys(keys))
        rows: dict[str, StoredRow] = {}
        for start in range(0, len(unique), _CHUNK):
            chunk = unique[start : start + _CHUNK]
            entity_keys = [self._entity_key(view.join_key, key) for key in chunk]
            with self._turn:
                read = self._store.provider.online_read(self._store.config, self._feature_view(view), entity_keys)
            for key, (moment, values) in zip(chunk, read, strict=True):
                # Redis answers for a key it does not hold with nulls as of 1970.
                if moment is not None and values is not None and _aware(moment) > _EPOCH:
                    plain = {name: _plain(value) for name, value in values.items()}
                    rows[key] = StoredRow(as_of=_aware(moment), values=plain)
        return rows

    def _feature_view(self, view: ViewSpec) -> Any:
        if view.name not in self._views:
            self._views[view.name] = self._store.get_feature_view(view.name)
        return self._views[view.name]

    @staticmethod
    def _entity_key(name: str, value: str) -> Any:
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        return EntityKey(join_keys=[name], entity_values=[Value(string_val=value)])


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

    def add_foreign(self, view: ViewSpec, read: Callable[[ViewSpec, Sequence[str]], Mapping[str, StoredRow]]) -> None:
        """Read and take a view that is keyed by what an earlier view told, such as the lead's rep."""
        keys = self._keys.get(view.join_key, [None] * len(self.ids))
        rows = read(view, [key for key in keys if key is not None])
        if view.unseen is not None:
            strangers = {key: view.unseen(key) for key in keys if key is not None and key not in rows}
            fallback = read(view, [other for others in strangers.values() for other in others]) if strangers else {}
            stand_ins = {
                key: next((fallback[other] for other in others if other in fallback), None)
                for key, others in strangers.items()
            }
            rows = {**rows, **{key: row for key, row in stand_ins.items() if row is not None}}
        self._take(view, [rows.get(key) if key is not None else None for key in keys])
        for place, is_expired in enumerate(self._keys_expired.get(view.join_key, [])):
            if is_expired:
                self._expired[place] += [feature.name for feature in view.features]

    def answer(self) -> OnlineAnswer:
        """The answer to what was taken."""
        return OnlineAnswer(
            ids=self.ids,
            found=tuple(self._found),
            values=self._values,
            feature_timestamps=tuple(self._oldest),
            expired=tuple(tuple(names) for names in self._expired),
        )

    def _take(self, view: ViewSpec, rows: Sequence[StoredRow | None]) -> list[StoredRow | None]:
        """Add one row per id to the answer; gives back those that are alive."""
        alive: list[StoredRow | None] = []
        for place, row in enumerate(rows):
            known = row if row is not None and row.as_of <= self._at else None
            is_expired = known is not None and self._at - known.as_of > timedelta(days=view.ttl_days)
            if known is not None:
                before = self._oldest[place]
                self._oldest[place] = known.as_of if before is None else min(before, known.as_of)
            if is_expired:
                self._expired[place] += [feature.name for feature in view.features]
            alive.append(None if is_expired else known)
        for feature in view.features:
            self._values[feature.name] = [None if row is None else row.values.get(feature.name) for row in alive]
        return alive


def _plain(value: Any) -> Any:
    """A Feast value as a Python one; None for null and NaN."""
    kind = value.WhichOneof("val")
    if kind is None or kind == "null_val":
        return None
    plain = getattr(value, kind)
    return None if isinstance(plain, float) and math.isnan(plain) else plain


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
