"""Feast's offline store for this product: an ASOF join in DuckDB that respects both times and the TTL.

Feast's own DuckDB store joins by inequality and then numbers the rows, which with hot keys (few entities with long
histories: reps, segments, teams) costs tens of times as much; its default store loses and doubles rows. This one is
named by its class path in the repository's configuration. Importing this module imports Feast: only Feast does so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from feast.feature_view import FeatureView
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig

from common.errors import ContractError
from warehouse.views import open_connection

ROW = "_salience_row"


class AsofOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc] # Feast is untyped here
    """Settings of the store: those of Feast's DuckDB store."""

    type: str = "features.offline_store.AsofOfflineStore"


class AsofOfflineStore(DuckDBOfflineStore):  # type: ignore[misc] # Feast is untyped here
    """Feast's DuckDB store with the point-in-time join replaced."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,  # noqa: ARG004 - Feast's signature
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str,
        registry: BaseRegistry,  # noqa: ARG004
        project: str,  # noqa: ARG004
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = True,  # noqa: ARG004
    ) -> AsofRetrievalJob:
        """Join each view's newest visible row to every entity row; never lose, double or reorder an entity row.

        Values recorded after the entity row's moment are not visible, whatever `filter_by_created_timestamp` says: to
        see them is never right in training.

        Raises:
            ContractError: if the entity rows are not a frame or lack a view's join key.
        """
        if not isinstance(entity_df, pd.DataFrame):
            raise ContractError("Entity rows must be a data frame", got=type(entity_df).__name__)
        time_column = infer_event_timestamp_from_entity_df(dict(zip(entity_df.columns, entity_df.dtypes, strict=True)))
        return AsofRetrievalJob(
            entity_rows=pa.Table.from_pandas(entity_df, preserve_index=False),
            time_column=time_column,
            views=[_requested(view, feature_refs, full_feature_names) for view in feature_views],
            feature_refs=feature_refs,
            full_feature_names=full_feature_names,
        )


class RequestedView:
    """What one view contributes: its files, keys, times, TTL, and its columns under their names in the answer."""

    def __init__(
        self,
        *,
        path: str,
        join_keys: dict[str, str],
        event_column: str,
        created_column: str,
        ttl: timedelta | None,
        columns: dict[str, str],
    ) -> None:
        self.path = path
        self.join_keys = join_keys
        self.event_column = event_column
        self.created_column = created_column or event_column
        self.ttl = ttl
        self.columns = columns


class AsofRetrievalJob(RetrievalJob):  # type: ignore[misc] # Feast is untyped here
    """A retrieval that runs when its rows are asked for."""

    def __init__(
        self,
        *,
        entity_rows: pa.Table,
        time_column: str,
        views: Sequence[RequestedView],
        feature_refs: list[str],
        full_feature_names: bool,
    ) -> None:
        self._entity_rows = entity_rows
        self._time_column = time_column
        self._views = views
        self._feature_refs = feature_refs
        self._full_feature_names = full_feature_names

    @property
    def full_feature_names(self) -> bool:
        """Whether features carry their view's name."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        """None: the maths lives in features/transformations."""
        return []

    @property
    def metadata(self) -> RetrievalMetadata:
        """What was asked, for Feast's own records."""
        keys = [name for name in self._entity_rows.column_names if name != self._time_column]
        return RetrievalMetadata(features=self._feature_refs, keys=keys)

    def to_arrow(self, validation_reference: Any = None, timeout: int | None = None) -> pa.Table:  # noqa: ARG002
        """The entity rows in their order, with the features beside them; without Feast's metrics around it."""
        return self._to_arrow_internal(timeout=timeout)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout=timeout).to_pandas()
        return frame

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002 - Feast's signature
        """The entity rows in their order, with the features beside them."""
        rows = self._entity_rows
        with open_connection() as connection:
            numbered = rows.append_column(ROW, pa.array(range(rows.num_rows), pa.int64()))
            connection.register("entity_rows", numbered)
            for view in self._views:
                rows = _with_view(connection, rows, view, time_column=self._time_column)
        return rows


def _with_view(
    connection: duckdb.DuckDBPyConnection, rows: pa.Table, view: RequestedView, *, time_column: str
) -> pa.Table:
    """`rows` with the view's columns appended, row by row."""
    missing = [key for key in view.join_keys.values() if key not in rows.column_names]
    if missing:
        raise ContractError(f"The entity rows lack {', '.join(missing)}", got=", ".join(rows.column_names))
    answer = connection.sql(asof_sql(view, time_column=time_column)).to_arrow_table()
    if answer.num_rows != rows.num_rows:
        raise ContractError(
            f"The point-in-time join of {view.path} lost or doubled rows",
            expected=str(rows.num_rows),
            got=str(answer.num_rows),
        )
    for name in view.columns.values():
        rows = rows.append_column(name, answer[name])
    return rows


def asof_sql(view: RequestedView, *, time_column: str) -> str:
    """SQL that gives, for each row of `entity_rows`, the view's newest visible row, ordered by the entity rows.

    A stored row can be seen from the later of its two times on. Along that line of time only rows that are newer by
    (event, created) than all before them ever win, so one ASOF on the slim table of winners finds the row; its values
    are joined back by number. The TTL is measured from the winner's event time.
    """
    keys = [_quoted(key) for key in view.join_keys]
    spine_keys = [_quoted(key) for key in view.join_keys.values()]
    event, created, moment = _quoted(view.event_column), _quoted(view.created_column), _quoted(time_column)
    by_key = f"PARTITION BY {', '.join(keys)}"
    on_keys = " AND ".join(f"s.{left} = w.{right}" for left, right in zip(spine_keys, keys, strict=True))
    alive = "true"
    if view.ttl:
        alive = f"w._event >= s.{moment} - to_microseconds({view.ttl // timedelta(microseconds=1)})"
    columns = "".join(
        f", CASE WHEN {alive} THEN v.{_quoted(column)} END AS {_quoted(name)}" for column, name in view.columns.items()
    )
    return f"""
        WITH stored AS MATERIALIZED (
            SELECT *, row_number() OVER () AS _number,
                   greatest({event}, coalesce({created}, {event})) AS _seen
            FROM {_relation(view.path)}
        ), ranked AS (
            SELECT {", ".join(keys)}, {event} AS _event, _seen, _number,
                   row_number() OVER ({by_key} ORDER BY {event}, {created}, _number) AS _rank
            FROM stored
        ), winners AS (
            SELECT *, max(_rank) OVER ({by_key} ORDER BY _seen, _rank ROWS UNBOUNDED PRECEDING) AS _newest
            FROM ranked
        ), slim AS (
            SELECT {", ".join(keys)}, _event, _seen, _number FROM winners
            WHERE _rank = _newest
            QUALIFY lead(_seen) OVER ({by_key} ORDER BY _seen, _rank) IS DISTINCT FROM _seen
        )
        SELECT s.{ROW}{columns}
        FROM entity_rows s
        ASOF LEFT JOIN slim w ON {on_keys} AND s.{moment} >= w._seen
        LEFT JOIN stored v ON v._number = w._number
        ORDER BY s.{ROW}
    """  # noqa: S608 - identifiers come from the catalogue and are quoted


def _requested(view: FeatureView, feature_refs: list[str], full_feature_names: bool) -> RequestedView:
    name = view.projection.name_to_use()
    wanted = [reference.split(":", 1)[1] for reference in feature_refs if reference.startswith(f"{name}:")]
    source = view.batch_source
    prefix = f"{name}__" if full_feature_names else ""
    keys = {column.name: column.name for column in view.entity_columns}
    return RequestedView(
        path=source.path,
        join_keys={key: view.projection.join_key_map.get(key, key) for key in keys},
        event_column=source.timestamp_field,
        created_column=source.created_timestamp_column,
        ttl=view.ttl,
        columns={feature: f"{prefix}{feature}" for feature in wanted},
    )


def _relation(path: str) -> str:
    pattern = str(Path(path) / "*.parquet") if Path(path).is_dir() else path
    quoted = pattern.replace("'", "''")
    return f"read_parquet('{quoted}', union_by_name = true)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
