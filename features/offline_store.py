"""Feast's offline store for this product: an ASOF join in DuckDB that respects both times and the TTL.

Feast's own DuckDB store joins by inequality and then numbers the rows, which with hot keys (few entities with long
histories: reps, segments, teams) costs tens of times as much; its default store loses and doubles rows. This one is
named by its class path in the repository's configuration. Importing this module imports Feast: only Feast does so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
from feast.feature_view import FeatureView
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig

from common.errors import ContractError
from features.point_in_time import RequestedView, join_views
from warehouse.views import open_connection


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
        entity_df: pa.Table | pd.DataFrame | str,
        registry: BaseRegistry,  # noqa: ARG004
        project: str,  # noqa: ARG004
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = True,  # noqa: ARG004
    ) -> AsofRetrievalJob:
        """Join each view's newest visible row to every entity row; never lose, double or reorder an entity row.

        Values recorded after the entity row's moment are not visible, whatever `filter_by_created_timestamp` says: to
        see them is never right in training.

        Args:
            config: Feast's configuration.
            feature_views: The views asked for.
            feature_refs: The features asked for, `view:feature`.
            entity_df: Entity rows: a data frame as Feast's users give it, an Arrow table, which is taken as it is, or
                a query that DuckDB can run, such as `SELECT * FROM 'rows.parquet'`.
            registry: Feast's registry.
            project: Feast's project.
            full_feature_names: Whether features carry their view's name.
            filter_by_created_timestamp: Always so.

        Raises:
            ContractError: if the entity rows are none of these, or lack a view's join key.
        """
        rows = _entity_rows(entity_df)
        dtypes = rows.schema.empty_table().to_pandas().dtypes.to_dict()
        return AsofRetrievalJob(
            entity_rows=rows,
            time_column=infer_event_timestamp_from_entity_df(dtypes),
            views=[_requested(view, feature_refs, full_feature_names) for view in feature_views],
            feature_refs=feature_refs,
            full_feature_names=full_feature_names,
        )


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
        return join_views(self._entity_rows, self._views, time_column=self._time_column)


def _entity_rows(entity_df: Any) -> pa.Table:
    if isinstance(entity_df, pa.Table):
        return entity_df
    if isinstance(entity_df, pd.DataFrame):
        return pa.Table.from_pandas(entity_df, preserve_index=False)
    if isinstance(entity_df, str):
        with open_connection() as connection:
            return connection.sql(entity_df).to_arrow_table()
    raise ContractError("Entity rows must be a data frame, an Arrow table or a query", got=type(entity_df).__name__)


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
