"""Feast's online stores for this product: packed rows in SQLite or Redis, named by class path in its configuration.

Feast's SDK (`get_online_features`, `push`, `write_to_online_store`, `materialize`), command line and UI work on them.
Unlike Feast's own they write one packed row per entity and view, never let an older row replace a newer one, and keep
projects apart. Importing this module imports Feast: only Feast does so. What is of interest without Feast lives in
`features.online_store_rows`.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel

from features.online_store_layout import Layout, PackedRows, aligned, entity_key, to_microseconds
from features.online_store_redis import RedisRows
from features.online_store_rows import LayoutBook, RowStore
from features.online_store_sqlite import SqliteRows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = {"Float64": "float", "Float32": "single", "Int64": "int", "Int32": "short", "Bool": "bool", "String": "text"}
_FIELDS = {
    "float": "double_val",
    "single": "float_val",
    "int": "int64_val",
    "short": "int32_val",
    "bool": "bool_val",
    "text": "string_val",
    "bytes": "bytes_val",
}
_Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class RowOnlineStore(OnlineStore):  # type: ignore[misc] # Feast is untyped here
    """An online store of packed rows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: dict[str, tuple[RowStore, LayoutBook]] = {}

    @abstractmethod
    def open_rows(self, config: RepoConfig) -> RowStore:
        """The rows of the configuration's project."""

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[_Row], progress: Callable[[int], Any] | None
    ) -> None:
        """Write rows of Feast's values; a row that is older than what is there changes nothing."""
        layout = _layout(table)
        written = to_microseconds(datetime.now(UTC))
        keys = [_key(key, config) for key, _, _, _ in data]
        as_of = [to_microseconds(moment) for _, _, moment, _ in data]
        created = [
            moment if known is None else to_microseconds(known)
            for moment, (_, _, _, known) in zip(as_of, data, strict=True)
        ]
        rows = [
            layout.pack(_native(values, layout), as_of=moment, created=known, written=written)
            for (_, values, _, _), moment, known in zip(data, as_of, created, strict=True)
        ]
        store, _ = self._rows(config)
        store.put(_name(table, config), layout, PackedRows(keys, as_of, created, rows), only_changed=False)
        if progress is not None:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Rows of some entities with the moments as of which they are true; (None, None) for one that is not there."""
        store, layouts = self._rows(config)
        name, wanted = _name(table, config), _layout(table)
        keys = [_key(key, config) for key in entity_keys]
        found = store.read([(name, keys)])[0]
        answers: list[tuple[datetime | None, dict[str, Value] | None]] = []
        for key in keys:
            row = found.rows.get(key)
            if row is None:
                answers.append((None, None))
                continue
            layout = layouts.layout(name, row)
            values = aligned(layout.unpack(row), layout, wanted)
            asked = wanted.names if requested_features is None else requested_features
            kinds = dict(zip(wanted.names, wanted.kinds, strict=True))
            moment = _EPOCH + timedelta(microseconds=found.state.as_of(row))
            answers.append((moment, {each: _value(values.get(each), kinds.get(each)) for each in asked}))
        return answers

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],  # noqa: ARG002 - Feast's signature
        entities_to_keep: Sequence[Entity],  # noqa: ARG002
        partial: bool,  # noqa: ARG002
    ) -> None:
        """Make room for the views that are there, and forget those that are gone."""
        store, _ = self._rows(config)
        for table in tables_to_delete:
            store.drop(_name(table, config))
        for table in tables_to_keep:
            store.prepare(_name(table, config))

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:  # noqa: ARG002
        """Forget the views of this project, and of no other."""
        store, _ = self._rows(config)
        for table in tables:
            store.drop(_name(table, config))
        store.close()

    def _rows(self, config: RepoConfig) -> tuple[RowStore, LayoutBook]:
        with self._lock:
            if config.project not in self._opened:
                store = self.open_rows(config)
                self._opened[config.project] = (store, LayoutBook(store))
            return self._opened[config.project]


class SqliteRowOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc] # Feast is untyped here
    """Settings of the store in SQLite."""

    type: str = "features.online_store.SqliteRowOnlineStore"
    path: str


class SqliteRowOnlineStore(RowOnlineStore):
    """Packed rows in a SQLite file."""

    def open_rows(self, config: RepoConfig) -> RowStore:
        """The rows in the file; a relative path is taken from the repository's folder."""
        return SqliteRows(Path(config.repo_path or ".") / config.online_store.path, project=config.project)


class RedisRowOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc] # Feast is untyped here
    """Settings of the store in Redis."""

    type: str = "features.online_store.RedisRowOnlineStore"
    connection_string: str = "localhost:6379"


class RedisRowOnlineStore(RowOnlineStore):
    """Packed rows in a Redis server."""

    def open_rows(self, config: RepoConfig) -> RowStore:
        """The rows on the server."""
        return RedisRows(config.online_store.connection_string, project=config.project)


def _name(table: FeatureView, config: RepoConfig) -> str:
    name: str = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
    return name


def _layout(table: FeatureView) -> Layout:
    names = tuple(field.name for field in table.features)
    return Layout(names, tuple(_KINDS.get(str(field.dtype), "proto") for field in table.features))


def _key(key: EntityKey, config: RepoConfig) -> bytes:
    if len(key.entity_values) == 1 and key.entity_values[0].WhichOneof("val") == "string_val":
        return entity_key(key.entity_values[0].string_val)
    serialized: bytes = serialize_entity_key(key, config.entity_key_serialization_version)
    return b"~" + serialized


def _native(values: dict[str, Value], layout: Layout) -> dict[str, Any]:
    """Feast's values as those of the layout; a value of another kind than the view's is missing."""
    native: dict[str, Any] = {}
    for name, kind in zip(layout.names, layout.kinds, strict=True):
        value = values.get(name)
        given = None if value is None else value.WhichOneof("val")
        if value is None or given in (None, "null_val"):
            continue
        if kind == "proto":
            native[name] = value.SerializeToString()
        elif given == _FIELDS[kind]:
            native[name] = getattr(value, given)
    return native


def _value(plain: Any, kind: str | None) -> Value:
    if plain is None or kind is None:
        return Value()
    if kind == "proto":
        value = Value()
        value.ParseFromString(plain)
        return value
    return Value(**{_FIELDS[kind]: plain})


__all__ = [
    "RedisRowOnlineStore",
    "RedisRowOnlineStoreConfig",
    "RowOnlineStore",
    "SqliteRowOnlineStore",
    "SqliteRowOnlineStoreConfig",
]
