"""The feature repository of a workspace: compute, keep, serve. Feast is registry, offline join and online store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from common.clock import utc
from common.errors import ContractError, UnavailableError, shorten
from common.settings import OnlineStoreSettings
from common.workspace import Workspace
from features.catalogue import SERVICES, VIEWS, features_of, service_of, views_of
from features.definitions import feast_objects, offline_folder, online_database, repo_config, served_views
from features.feast_import import feast
from features.online_reader import AnswerBuilder, OnlineAnswer, OnlineReader, StoredRow
from features.specs import ViewSpec
from features.view_files import ViewFiles, one_writer

if TYPE_CHECKING:
    import pyarrow as pa

    from warehouse.store import Warehouse

__all__ = ["FeatureRepository", "OnlineAnswer"]

Progress = Callable[[str, int, int], None]


class FeatureRepository:
    """Features of one workspace, the same on every path.

    Args:
        workspace: Its `features` folder holds the registry, the offline files and the SQLite online store.
        warehouse: Where histories are.
        online_store: SQLite or Redis.
    """

    def __init__(self, workspace: Workspace, warehouse: Warehouse, online_store: OnlineStoreSettings) -> None:
        self.workspace = workspace
        self.warehouse = warehouse
        self.online_store = online_store
        self._opened: Any = None
        self._reader_opened: OnlineReader | None = None
        self._tables_known: tuple[str, ...] | None = None
        self._services: dict[str, Any] = {}
        self._threads = threading.local()

    def apply(self) -> tuple[str, ...]:
        """Register in Feast every view and service that the warehouse can fill, and forget those it cannot.

        Returns:
            Names of the registered views.
        """
        self._tables_known = None
        with one_writer(self.workspace.features):
            store = self._store()
            objects = feast_objects(self.workspace, self._tables())
            names = {each.name for each in objects}
            stale = [*store.list_feature_services(), *store.list_feature_views()]
            store.apply(objects, objects_to_delete=[each for each in stale if each.name not in names], partial=False)
            if self.online_store.kind == "sqlite":
                self._let_readers_pass()
        self._services.clear()
        self._reader_opened = None
        return tuple(view.name for view in served_views(self._tables()))

    def build(self, service: str, spine: pa.Table, *, progress: Progress | None = None) -> int:
        """Compute the service's views on a spine and keep them; rows that are there already are reused.

        Args:
            service: Name of the feature service.
            spine: Columns of `features.spines`: the join key, as_of, and the foreign keys of the other views.
            progress: Told the view, views done, views in all.

        Returns:
            Rows computed, over all views.

        Raises:
            ContractError: if the spine lacks a key.
            NotFoundError: if the service does not exist or the warehouse lacks its tables.
        """
        views = views_of(service, self._tables())
        _check_spine(service, spine, views)
        with one_writer(self.workspace.features):
            return self._build({view.name: spine for view in views}, progress=progress)

    def training_frame(self, service: str, spine: pa.Table) -> pa.Table:
        """The spine's columns, in its order, with the service's features beside them, joined by Feast as of each row.

        Args:
            service: Name of the feature service.
            spine: A spine whose rows were built.

        Raises:
            ContractError: if the spine lacks a key.
            UnavailableError: if rows of the spine have not been built.
            NotFoundError: if the service does not exist or the warehouse lacks its tables.
        """
        views = views_of(service, self._tables())
        _check_spine(service, spine, views)
        for view in views:
            self._check_built(view, spine)
        frame = spine.to_pandas().rename(columns={"as_of": "event_timestamp"})
        # Values recorded after the row's moment are never visible.
        job = self._store().get_historical_features(
            entity_df=frame, features=self._service(service), filter_by_created_timestamp=True
        )
        joined = job.to_arrow()
        for feature in features_of(service, self._tables()):
            spine = spine.append_column(feature.name, joined[feature.name].cast(feature.arrow_type))
        return spine

    def materialize(self, at: datetime, *, progress: Progress | None = None) -> dict[str, int]:
        """Compute everything open at `at`, as `build` does, and write it to the online store.

        Views of reps and segments are written for every rep and segment known at `at`, and for one that nobody has
        seen.

        Args:
            at: The moment, aware.
            progress: Told the view, views done, views in all.

        Returns:
            Rows written, by view.
        """
        from features.online_keys import keys_to_materialize

        moments = keys_to_materialize(self.warehouse, served_views(self._tables()), utc(at))
        written: dict[str, int] = {}
        with one_writer(self.workspace.features):
            self._build(moments, progress=progress)
            for name, keys in moments.items():
                written[name] = self._write_online(VIEWS[name], utc(at), keys)
        return written

    def online(self, service: str, ids: Sequence[str], *, at: datetime) -> OnlineAnswer:
        """Read the service's features of some ids from the online store.

        The id's own views come first; they name its rep and segment, whose views are read next. A value older than its
        view's TTL at `at` is missing and listed as expired; one newer than `at` is not visible.

        Args:
            service: Name of the feature service.
            ids: Values of its join key.
            at: The moment of the question, aware.

        Raises:
            UnavailableError: if the repository was never applied.
            NotFoundError: if the service does not exist or the warehouse lacks its tables.
        """
        views = views_of(service, self._tables())
        reader = self._reader()
        answer = AnswerBuilder(ids, at=utc(at))
        for place, view in enumerate(views):
            if view.join_key == SERVICES[service].join_key:
                answer.add_own(view, reader.read(view, ids), is_first=place == 0)
            else:
                answer.add_foreign(view, reader.read)
        return answer.answer()

    def from_payload(self, service: str, payload: Mapping[str, Any], *, at: datetime) -> OnlineAnswer:
        """Compute the service's features of a lead or deal that a caller describes, by the same transformations.

        Views of its rep and segment are read online.

        Args:
            service: `lead_score_v1` or `deal_win_v1`.
            payload: `{"lead": {...}, "events": [...]}` or `{"deal": {...}, "activities": [...]}` in canonical columns;
                see `features.payload`.
            at: The moment of scoring, aware.

        Raises:
            InputError: naming the field at fault.
            UnavailableError: if the repository was never applied.
        """
        from features.payload import payload_tables
        from features.transform import compute

        key = service_of(service).join_key
        views = views_of(service, self._tables())
        identifier, given = payload_tables(payload, join_key=key, at=at)
        moments = _one_moment(key, identifier, utc(at))
        answer = AnswerBuilder([identifier], at=utc(at))
        connection = self._scratch()
        for name, table in given.items():
            connection.register(name, table)
        for place, view in enumerate(views):
            if view.join_key == key:
                row = compute(view, moments, connection).to_pylist()[0]
                answer.add_own(view, {identifier: StoredRow(as_of=utc(at), values=row)}, is_first=place == 0)
            else:
                answer.add_foreign(view, self._reader().read)
        return answer.answer()

    def _build(self, spines: Mapping[str, pa.Table], *, progress: Progress | None) -> int:
        from features.transform import compute

        fingerprint = self.warehouse.fingerprint()
        connection: Any = None
        computed = 0
        for done, (name, spine) in enumerate(spines.items()):
            if progress is not None:
                progress(name, done, len(spines))
            files = self._files(VIEWS[name])
            files.prepare(fingerprint)
            missing = files.missing(spine.select([VIEWS[name].join_key, "as_of"]))
            if missing.num_rows:
                connection = connection or self.warehouse.duckdb()
                files.add(compute(VIEWS[name], missing, connection))
            computed += missing.num_rows
        if progress is not None:
            progress("features", len(spines), len(spines))
        return computed

    def _write_online(self, view: ViewSpec, at: datetime, keys: pa.Table) -> int:
        """Write the computed rows of `keys` at `at` by Feast's own conversion and write path."""
        from feast.utils import _convert_arrow_to_proto

        store = self._store()
        feature_view = store.get_feature_view(view.name)
        join_keys = {column.name: column.dtype.to_value_type() for column in feature_view.entity_columns}
        rows = self._files(view).rows_at(at, keys)
        # One record batch at a time: Feast converts only the first chunk of a table.
        for batch in rows.to_batches(max_chunksize=10_000):
            store.provider.online_write_batch(
                store.config, feature_view, _convert_arrow_to_proto(batch, feature_view, join_keys), progress=None
            )
        return int(rows.num_rows)

    def _check_built(self, view: ViewSpec, spine: pa.Table) -> None:
        missing = self._files(view).missing(spine.select([view.join_key, "as_of"]))
        if missing.num_rows:
            raise UnavailableError(
                f"{missing.num_rows} rows of view {view.name} have not been built",
                got=f"{view.join_key} {shorten(missing[view.join_key].to_pylist()[:6])}",
                next_step="build the service on this spine first: `salience features build`",
            )

    def _files(self, view: ViewSpec) -> ViewFiles:
        return ViewFiles(offline_folder(self.workspace, view), view)

    def _tables(self) -> tuple[str, ...]:
        if self._tables_known is None:
            self._tables_known = self.warehouse.tables()
        return self._tables_known

    def _store(self) -> Any:
        if self._opened is None:
            self._opened = feast().FeatureStore(config=repo_config(self.workspace, self.online_store))
        return self._opened

    def _service(self, name: str) -> Any:
        """Feast's object of a service, fetched once: fetching costs milliseconds."""
        if name not in self._services:
            self._require_applied()
            self._services[name] = self._store().get_feature_service(name)
        return self._services[name]

    def _reader(self) -> OnlineReader:
        if self._reader_opened is None:
            self._require_applied()
            self._reader_opened = OnlineReader(self._store())
        return self._reader_opened

    def _scratch(self) -> Any:
        """A DuckDB connection of this thread's own, for a payload's few rows; opening one costs more than using it."""
        from warehouse.views import open_connection

        if not hasattr(self._threads, "connection"):
            self._threads.connection = open_connection()
            self._threads.connection.execute("SET threads = 1")
        return self._threads.connection

    def _require_applied(self) -> None:
        if not (self.workspace.features / "registry.db").is_file():
            raise UnavailableError(
                f"The feature repository of workspace '{self.workspace.name}' was never applied",
                next_step="build the features first: `salience features build`",
            )

    def _let_readers_pass(self) -> None:
        """Let services read the SQLite online store while it is written."""
        import sqlite3

        connection = sqlite3.connect(online_database(self.workspace))
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()


def _check_spine(service: str, spine: pa.Table, views: Iterable[ViewSpec]) -> None:
    needed = list(dict.fromkeys(["as_of", *(view.join_key for view in views)]))
    missing = [name for name in needed if name not in spine.column_names]
    if missing:
        raise ContractError(
            f"The spine for {service} lacks {', '.join(missing)}",
            expected=f"columns {', '.join(needed)}",
            got=", ".join(spine.column_names),
        )


def _one_moment(key: str, identifier: str, at: datetime) -> pa.Table:
    import pyarrow as pa

    from warehouse.contracts import UTC_MICROSECONDS

    return pa.table({key: pa.array([identifier], pa.string()), "as_of": pa.array([at], UTC_MICROSECONDS)})
