"""Proof that a feature is one number on every path: training, batch, stream and online, on random entities and moments.

Everything happens in a temporary workspace over the given warehouse: its features and online store stay as they are.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import TooLittleDataError
from common.settings import OnlineStoreSettings
from common.workspace import Workspace
from features.catalogue import service_of, views_of
from features.specs import FeatureSpec, ViewSpec
from warehouse.contracts import UTC_MICROSECONDS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from features.repository import FeatureRepository
    from warehouse.store import Warehouse

PATHS = ("training", "batch", "stream", "online")
TOLERANCE = 1e-9
"""Largest difference of two floats that counts as none, relative where they are greater than 1."""
_CHUNK = 500
_SHOWN = 5
_THINGS = {"lead_id": "leads", "opportunity_id": "opportunities"}

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Difference:
    """One value that is not the same on all paths.

    Args:
        feature: Name of the feature.
        entity: Id of the scored thing.
        as_of: The moment, UTC.
        values: Value by path.
    """

    feature: str
    entity: str
    as_of: datetime
    values: Mapping[str, Any]


@dataclass(frozen=True)
class FeatureCheck:
    """What was compared of one feature.

    Args:
        feature: Its name.
        view: Its view.
        rows: Values compared.
        missing: Those of them that are missing on the batch path.
        differences: Rows on which the paths differ.
    """

    feature: str
    view: str
    rows: int
    missing: int
    differences: int


@dataclass(frozen=True)
class VerifyReport:
    """The paths compared.

    Args:
        service: Feature service.
        rows: Random (entity, as_of) compared.
        seed: Seed of the draw.
        features: One entry per feature.
        differences: At most five examples per feature that differs.
        seconds: How long each path took.
    """

    service: str
    rows: int
    seed: int
    features: tuple[FeatureCheck, ...]
    differences: tuple[Difference, ...]
    seconds: Mapping[str, float]

    @property
    def is_equal(self) -> bool:
        """Whether every path gave the same number for everything."""
        return all(check.differences == 0 for check in self.features)


def verify(
    repository: FeatureRepository,
    warehouse: Warehouse,
    *,
    service: str,
    rows: int = 10_000,
    seed: int = 7,
    progress: Progress | None = None,
) -> VerifyReport:
    """Compute every feature of a service on all four paths at random moments of random entities, and compare.

    Args:
        repository: Says which workspace it is about; nothing of it is changed.
        warehouse: The histories.
        service: Feature service.
        rows: How many (entity, as_of).
        seed: Seed of the draw.
        progress: Told the path, paths done, paths in all.

    Raises:
        NotFoundError: if there is no such service, or the warehouse lacks its tables.
        TooLittleDataError: if the warehouse knows no entity.
    """
    views = views_of(service, warehouse.tables())
    seconds: dict[str, float] = {}
    found: dict[str, dict[str, list[Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="salience-verify-") as folder:
        aside = _aside(repository, Path(folder), warehouse)
        spine, batch = _timed("batch", seconds, lambda: _batch(warehouse, service, views, rows=rows, seed=seed))
        found["batch"] = batch
        ways: dict[str, Callable[[], dict[str, list[Any]]]] = {
            "training": lambda: _training(aside, service, spine),
            "stream": lambda: _stream(warehouse, views, spine),
            "online": lambda: _online(aside, service, views, spine, warehouse),
        }
        for done, (name, way) in enumerate(ways.items(), start=1):
            if progress is not None:
                progress(name, done, len(PATHS))
            found[name] = _timed(name, seconds, way)
    return _report(service, views, spine, found, seed=seed, seconds=seconds)


def _aside(repository: FeatureRepository, folder: Path, warehouse: Warehouse) -> FeatureRepository:
    """A repository of its own over the same warehouse, with an empty registry and online store."""
    from features.repository import FeatureRepository as Repository

    aside = Repository(Workspace(repository.workspace.name, folder), warehouse, OnlineStoreSettings(kind="sqlite"))
    aside.apply()
    return aside


def _timed(name: str, seconds: dict[str, float], way: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = way()
    seconds[name] = time.perf_counter() - began
    return result


def random_moments(warehouse: Warehouse, join_key: str, *, rows: int, seed: int) -> pa.Table:
    """Random entities at random moments between their first version and the warehouse's cut, each pair once.

    Raises:
        TooLittleDataError: if there is no entity.
    """
    import numpy as np
    import pyarrow as pa

    names, first = _entities(warehouse, join_key)
    if not names:
        raise TooLittleDataError(f"The warehouse knows nothing by {join_key}", next_step="load a source that has it")
    cut = round(warehouse.cut().timestamp() * 1e6)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(names), rows)
    begins = np.asarray(first)[drawn]
    moments = begins + (rng.random(rows) * np.maximum(cut - begins, 1)).astype("int64")
    # One in ten at the very moment that something became known, where an off-by-one would show.
    moments = np.where(rng.random(rows) < 0.1, begins, moments)
    keys = pa.array(names, pa.string()).take(pa.array(drawn))
    table = pa.table({join_key: keys, "as_of": pa.array(moments, pa.int64()).cast(UTC_MICROSECONDS)})
    return table.group_by([join_key, "as_of"]).aggregate([]).sort_by([("as_of", "ascending"), (join_key, "ascending")])


def _entities(warehouse: Warehouse, join_key: str) -> tuple[list[str], list[int]]:
    """Ids and, in microseconds since 1970, when each was first known."""
    if join_key not in _THINGS:
        from features.spines import series_history_spine

        spine = series_history_spine(warehouse, until=warehouse.cut())
        found = spine.group_by("series_id").aggregate([("as_of", "min")]).sort_by("series_id")
        return found["series_id"].to_pylist(), found["as_of_min"].cast("int64").to_pylist()
    query = f"""SELECT {join_key}, min(epoch_us(greatest(event_timestamp, created_timestamp))) FROM {_THINGS[join_key]}
        GROUP BY 1 ORDER BY 1"""  # noqa: S608 - names are ours
    with warehouse.duckdb() as connection:
        rows = connection.execute(query).fetchall()
    return [name for name, _ in rows], [first for _, first in rows]


def _batch(
    warehouse: Warehouse, service: str, views: Sequence[ViewSpec], *, rows: int, seed: int
) -> tuple[pa.Table, dict[str, list[Any]]]:
    """The spine with the foreign keys that own views tell, and every feature computed on all of it at once."""
    from features.transform import compute

    spine = random_moments(warehouse, service_of(service).join_key, rows=rows, seed=seed)
    values: dict[str, list[Any]] = {}
    with warehouse.duckdb() as connection:
        for view in views:
            computed = compute(view, moments_of(spine, view), connection)
            values |= _aligned(view, spine, computed)
            for column, key in view.foreign_keys:
                if key not in spine.column_names:
                    spine = spine.append_column(key, _column(view, spine, computed, column))
    return spine, values


def _training(aside: FeatureRepository, service: str, spine: pa.Table) -> dict[str, list[Any]]:
    aside.build(service, spine)
    frame = aside.training_frame(service, spine)
    return {name: frame[name].to_pylist() for name in frame.column_names if name not in spine.column_names}


def _stream(warehouse: Warehouse, views: Sequence[ViewSpec], spine: pa.Table) -> dict[str, list[Any]]:
    """What the stream's worker computes once the entities' rows have come to it as events.

    Their histories come in random order, in small batches and every fifth row twice; views that rest on all rows are
    computed as its refresh does, on the warehouse, in small parts.
    """
    import pyarrow as pa

    from features.sql_book import SqlBook
    from features.stream_door import STREAMED
    from features.stream_state import EntityState, Snapshot, is_own
    from features.transform import compute

    values: dict[str, list[Any]] = {}
    book = SqlBook(None)
    own = [view for view in views if is_own(view, book)]
    for key in dict.fromkeys(view.join_key for view in own):
        state = EntityState(warehouse, key, [view for view in own if view.join_key == key], book=book)
        state.follow({table: Snapshot(-1, (), frozenset(), 0) for table in STREAMED})
        for table in state.tables:
            for events in _as_events(warehouse, table, key, spine):
                state.add(table, events)
        parts = [state.features(chunk) for chunk in _chunks(spine.select([key, "as_of"]))]
        for view in state.views:
            values |= _aligned(view, spine, pa.concat_tables([part[view.name] for part in parts]))
        state.close()
    with warehouse.duckdb() as connection:
        for view in (each for each in views if not is_own(each, book)):
            chunks = _chunks(moments_of(spine, view), rows=5 * _CHUNK)
            values |= _aligned(view, spine, pa.concat_tables([compute(view, chunk, connection) for chunk in chunks]))
    return values


def _as_events(warehouse: Warehouse, table: str, key: str, spine: pa.Table) -> list[pa.Table]:
    """The rows of the spine's entities in random order, every fifth twice, in batches."""
    with warehouse.duckdb() as connection:
        connection.register("asked", spine.select([key]))
        rows = connection.sql(
            f"""SELECT * EXCLUDE (times) FROM (SELECT t.*, unnest(CASE WHEN hash({key}, event_timestamp) % 5 = 0
                THEN [1, 2] ELSE [1] END) AS times FROM {table} t SEMI JOIN asked USING ({key}))
                ORDER BY hash({key}, event_timestamp, times)"""  # noqa: S608 - names are ours
        ).to_arrow_table()
    return _chunks(rows, rows=50 * _CHUNK)


def _online(
    aside: FeatureRepository, service: str, views: Sequence[ViewSpec], spine: pa.Table, warehouse: Warehouse
) -> dict[str, list[Any]]:
    """What is read by id after the rows were written.

    Each row of the spine is an entity of its own in the online store, with its own rep and segment, all as of one
    moment: so many moments of one entity can be read at once, and the foreign keys are followed as in production.
    """
    import pyarrow as pa

    from features.online_store_rows import open_rows
    from features.stream_writer import put_online
    from features.transform import compute

    at = warehouse.cut()
    names = pa.array([f"row-{place}" for place in range(spine.num_rows)], pa.string())
    store = open_rows(aside.workspace, aside.online_store)
    with warehouse.duckdb() as connection:
        for view in views:
            rows = by_row(view, spine, compute(view, moments_of(spine, view), connection))
            rows = rows.set_column(0, view.join_key, names)
            for column, _ in view.foreign_keys:
                followed = pa.compute.if_else(rows[column].is_valid(), names, pa.scalar(None, pa.string()))
                rows = rows.set_column(rows.column_names.index(column), column, followed)
            for name in ("event_timestamp", "created_timestamp"):
                times = pa.array([at] * rows.num_rows, UTC_MICROSECONDS)
                rows = rows.set_column(rows.column_names.index(name), name, times)
            put_online(store, view, rows.cast(view.schema))
    store.close()
    values: dict[str, list[Any]] = {}
    for chunk in _chunks(pa.table({"name": names})):
        answer = aside.online(service, chunk["name"].to_pylist(), at=at)
        for name, given in answer.values.items():
            values.setdefault(name, []).extend(given)
    return values


def moments_of(spine: pa.Table, view: ViewSpec) -> pa.Table:
    """The view's own moments of a spine, each once; rows without its key need none."""
    key = view.join_key
    return spine.filter(spine[key].is_valid()).group_by([key, "as_of"]).aggregate([]).select([key, "as_of"])


def _chunks(table: pa.Table, *, rows: int = _CHUNK) -> list[pa.Table]:
    return [table.slice(start, rows) for start in range(0, max(table.num_rows, 1), rows)]


def by_row(view: ViewSpec, spine: pa.Table, computed: pa.Table) -> pa.Table:
    """The computed rows in the spine's order, nulls where the key is missing."""
    import numpy as np
    import pyarrow as pa

    key = view.join_key
    asked = spine.select([key, "as_of"]).append_column("place", pa.array(np.arange(spine.num_rows)))
    joined = asked.join(computed, keys=[key, "as_of"], right_keys=[key, "event_timestamp"], join_type="left outer")
    joined = (
        joined.sort_by("place")
        .drop_columns(["place"])
        .rename_columns(
            ["event_timestamp" if name == "as_of" else name for name in joined.drop_columns(["place"]).column_names]
        )
    )
    return joined.select(view.schema.names)


def _aligned(view: ViewSpec, spine: pa.Table, computed: pa.Table) -> dict[str, list[Any]]:
    rows = by_row(view, spine, computed)
    return {feature.name: rows[feature.name].to_pylist() for feature in view.features}


def _column(view: ViewSpec, spine: pa.Table, computed: pa.Table, name: str) -> Any:
    return by_row(view, spine, computed)[name]


def _report(
    service: str,
    views: Sequence[ViewSpec],
    spine: pa.Table,
    found: Mapping[str, Mapping[str, list[Any]]],
    *,
    seed: int,
    seconds: Mapping[str, float],
) -> VerifyReport:
    keys, moments = spine[service_of(service).join_key].to_pylist(), spine["as_of"].to_pylist()
    checks, examples = [], []
    for view in views:
        for feature in view.features:
            values = {path: found[path][feature.name] for path in PATHS}
            places = differing(feature, values)
            missing = sum(value is None for value in values["batch"])
            checks.append(FeatureCheck(feature.name, view.name, len(keys), missing, len(places)))
            examples += [
                Difference(feature.name, keys[place], moments[place], {path: values[path][place] for path in PATHS})
                for place in places[:_SHOWN]
            ]
    return VerifyReport(service, len(keys), seed, tuple(checks), tuple(examples), dict(seconds))


def differing(feature: FeatureSpec, values: Mapping[str, Sequence[Any]]) -> list[int]:
    """Places at which not all paths have the same value: exact, floats to 1e-9, missing equal to missing alone."""
    import numpy as np

    first, *others = values.values()
    if feature.dtype != "float":
        return [place for place, row in enumerate(zip(first, *others, strict=True)) if len(set(row)) > 1]
    base = _floats(first)
    wrong = np.zeros(len(base), dtype=bool)
    for other in map(_floats, others):
        near = np.abs(base - other) <= TOLERANCE * np.maximum(1.0, np.abs(base))
        wrong |= ~(near | (np.isnan(base) & np.isnan(other)))
    return [int(place) for place in np.flatnonzero(wrong)]


def _floats(values: Sequence[Any]) -> np.ndarray:
    import numpy as np

    return np.array([np.nan if value is None else value for value in values], dtype="float64")
