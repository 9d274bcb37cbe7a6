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
from features.catalogue import SERVICES, OwnFields, own_fields, service_of, views_of
from features.definitions import feast_objects, offline_folder, registry_file, repo_config, served_views
from features.feast_import import feast
from features.online_reader import OnlineAnswer, OnlineReader, StoredRow, read_answer
from features.specs import ViewSpec
from features.view_files import ViewFiles, one_writer

if TYPE_CHECKING:
    import pyarrow as pa

    from features.online_store_rows import RowStore
    from features.sql_book import SqlBook
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
        self._rows_opened: RowStore | None = None
        self._held: tuple[tuple[str, ...], OwnFields] | None = None
        self._book: SqlBook | None = None
        self._services: dict[str, Any] = {}
        self._threads = threading.local()

    def apply(self) -> tuple[str, ...]:
        """Register in Feast every view and service that the warehouse can fill, and forget those it cannot.

        Returns:
            Names of the registered views.
        """
        self._held = None
        with one_writer(self.workspace.features):
            store = self._store()
            objects = feast_objects(self.workspace, self._tables(), extensions=self._own_fields())
            names = {each.name for each in objects}
            stale = [*store.list_feature_services(), *store.list_feature_views()]
            store.apply(objects, objects_to_delete=[each for each in stale if each.name not in names], partial=False)
        self._services.clear()
        self._reader_opened = None
        return tuple(view.name for view in self.served_views())

    def build(self, service: str, spine: pa.Table, *, progress: Progress | None = None) -> int:
        """Compute the service's views on a spine and keep them; rows that are there already are reused.

        Args:
            service: Name of the feature service.
            spine: Columns of `features.spines`: the join key, as_of, and the foreign keys of the other views.
            progress: Told the view, its rows done, its rows to compute.

        Returns:
            Rows computed, over all views.

        Raises:
            ContractError: if the spine lacks a key.
            NotFoundError: if the service does not exist or the warehouse lacks its tables.
        """
        views = self.views(service)
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
        views = self.views(service)
        _check_spine(service, spine, views)
        for view in views:
            self._check_built(view, spine)
        asked = spine.select(list(dict.fromkeys(["as_of", *(view.join_key for view in views)])))
        asked = asked.rename_columns({"as_of": "event_timestamp"})
        # Values recorded after the row's moment are never visible. Feast hands an Arrow table to our store as it is.
        job = self._store().get_historical_features(
            entity_df=asked, features=self._service(service), filter_by_created_timestamp=True
        )
        joined = job.to_arrow()
        for feature in (feature for view in views for feature in view.features):
            spine = spine.append_column(feature.name, joined[feature.name].cast(feature.arrow_type))
        return spine

    def materialize(self, at: datetime, *, progress: Progress | None = None) -> dict[str, int]:
        """Compute everything open at `at`, as `build` does, and make the online store hold it, as of `at`.

        Views of reps and segments are written for every rep and segment known at `at`, and for one that nobody has
        seen. Only rows whose values changed are written; what is not open any more is removed. Killed and run again,
        it does what is left; readers go on meanwhile. See `features.materializing`.

        Args:
            at: The moment, aware.
            progress: Told the view, views done, views in all; then the view, rows done, rows in all.

        Returns:
            Rows written, by view.

        Raises:
            InputError: if the online store holds a view as of a later moment.
        """
        from features.materializing import replace_rows
        from features.online_keys import keys_to_materialize

        moments = keys_to_materialize(self.warehouse, self.served_views(), utc(at))
        written: dict[str, int] = {}
        with one_writer(self.workspace.features):
            self._build(moments, progress=progress)
            for name, keys in moments.items():
                view = self._view(name)
                rows = self._files(view).rows_at(utc(at), keys)
                changes = replace_rows(self._online_rows(), view, rows, at=at, progress=progress)
                written[name] = changes.written
            for view in self.served_views():
                # So that neither a service's first payload nor the stream's first event has to wait for it.
                self.sql_book.sql(view)
        return written

    def empty_online(self) -> None:
        """Forget everything that was materialized, so that an earlier moment can be."""
        with one_writer(self.workspace.features):
            for view in self.served_views():
                self._online_rows().drop(view.name)
                self._online_rows().prepare(view.name)

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
        views, key = self.views(service), SERVICES[service].join_key
        reader = self._reader()
        own = reader.read_all([(view, ids) for view in views if view.join_key == key])
        return read_answer(views, ids, at=utc(at), join_key=key, own=own, read_all=reader.read_all)

    def from_payload(self, service: str, payload: Mapping[str, Any], *, at: datetime) -> OnlineAnswer:
        """Compute the service's features of a lead or deal that a caller describes, by the same transformations.

        Views of its rep, segment and the like are read online, and so are views that compare it with others of its
        kind, if the thing is known there.

        Args:
            service: `lead_score_v1` or `deal_win_v1`.
            payload: `{"lead": {...}, "events": [...], "activities": [...]}`, or `{"deal": {...}, "activities": [...]}`,
                in canonical columns; see `features.payload`.
            at: The moment of scoring, aware.

        Raises:
            InputError: naming the field at fault.
            UnavailableError: if the repository was never applied.
        """
        from features.payload import payload_tables

        key = service_of(service).join_key
        views = self.views(service)
        identifier, given = payload_tables(payload, join_key=key, at=at, extensions=self._own_fields())
        moments = _one_moment(key, identifier, utc(at))
        connection = self._scratch()
        for name, table in given.items():
            connection.register(name, table)
        read_all = self._reader().read_all
        # What comes of comparing it with others a payload cannot tell: it is read online if the thing is known there.
        own = [
            {identifier: StoredRow(as_of=utc(at), values=self._computed(view, moments, connection))}
            if view.own_rows_only
            else read_all([(view, [identifier])])[0]
            for view in views
            if view.join_key == key
        ]
        return read_answer(views, [identifier], at=utc(at), join_key=key, own=own, read_all=read_all)

    def _computed(self, view: ViewSpec, moments: pa.Table, connection: Any) -> dict[str, Any]:
        """A view's row of one moment by name."""
        from features.transform import compute

        row: dict[str, Any] = compute(view, moments, connection, sql=self.sql_book.sql(view)).to_pylist()[0]
        return row

    @property
    def sql_book(self) -> SqlBook:
        """Where the SQL of the workspace's views is kept compiled."""
        from features.sql_book import SqlBook

        if self._book is None:
            self._book = SqlBook(self.workspace.features / ".sql")
        return self._book

    def _build(self, spines: Mapping[str, pa.Table], *, progress: Progress | None) -> int:
        from features.building import build_views

        wanted = [(self._files(self._view(name)), spine) for name, spine in spines.items()]
        builds = build_views(self.warehouse, wanted, scratch=self.workspace.features / ".scratch", progress=progress)
        return sum(build.computed for build in builds.values())

    def _check_built(self, view: ViewSpec, spine: pa.Table) -> None:
        missing = self._files(view).missing(spine.select([view.join_key, "as_of"]))
        if missing.num_rows:
            raise UnavailableError(
                f"{missing.num_rows} rows of view {view.name} have not been built",
                got=f"{view.join_key} {shorten(missing[view.join_key].to_pylist()[:6])}",
                next_step="build the service on this spine first: `salience features build`",
            )

    def _files(self, view: ViewSpec) -> ViewFiles:
        return ViewFiles(offline_folder(self.workspace, view), view, book=self.sql_book)

    def views(self, service: str) -> tuple[ViewSpec, ...]:
        """The service's views as this warehouse fills them, the source's own fields among the features.

        Raises:
            NotFoundError: if the service does not exist or the warehouse lacks its tables.
        """
        return views_of(service, self._tables(), extensions=self._own_fields())

    def served_views(self) -> tuple[ViewSpec, ...]:
        """All views of all services that this warehouse can fill, each once."""
        return served_views(self._tables(), extensions=self._own_fields())

    def _view(self, name: str) -> ViewSpec:
        return next(view for view in self.served_views() if view.name == name)

    def _tables(self) -> tuple[str, ...]:
        return self._holdings()[0]

    def _own_fields(self) -> OwnFields:
        return self._holdings()[1]

    def _holdings(self) -> tuple[tuple[str, ...], OwnFields]:
        if self._held is None:
            self._held = self.warehouse.tables(), own_fields(self.warehouse)
        return self._held

    def _store(self) -> Any:
        if self._opened is None:
            self._opened = feast().FeatureStore(config=repo_config(self.workspace, self.online_store))
        return self._opened

    def _service(self, name: str) -> Any:
        """Feast's object of a service, fetched once: fetching costs milliseconds."""
        if name not in self._services:
            self.require_applied()
            self._services[name] = self._store().get_feature_service(name)
        return self._services[name]

    def _reader(self) -> OnlineReader:
        if self._reader_opened is None:
            self.require_applied()
            self._reader_opened = OnlineReader(self._online_rows())
        return self._reader_opened

    def _online_rows(self) -> RowStore:
        if self._rows_opened is None:
            from features.online_store_rows import open_rows

            self._rows_opened = open_rows(self.workspace, self.online_store)
        return self._rows_opened

    def _scratch(self) -> Any:
        """A DuckDB connection of this thread's own, for a payload's few rows; opening one costs more than using it."""
        from warehouse.views import open_connection

        if not hasattr(self._threads, "connection"):
            self._threads.connection = open_connection()
            self._threads.connection.execute("SET threads = 1")
        return self._threads.connection

    def require_applied(self) -> None:
        """Raise an `UnavailableError` if the repository was never applied."""
        if not registry_file(self.workspace).is_file():
            raise UnavailableError(
                f"The feature repository of workspace '{self.workspace.name}' was never applied",
                next_step="build the features first: `salience features build`",
            )


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
