"""The works that benchmarks/features.py measures, each in a process of its own: `feature_works.py WORK FOLDER OPTIONS`.

A work prints one line of JSON: seconds of each of its parts, run by run, and the process' peak memory. Names of parts:
`ours`, `limit` (the same by hand), `feast` (Feast as it comes: its DuckDB, SQLite and Redis stores).
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
NOW = BEGIN + timedelta(days=100)
TTL_DAYS = 400
KEY = "lead_id"
WIDE = "wide_view"


def join_views(features: int = 10) -> list[Any]:
    """Four views of ten numbers each."""
    return [_view(f"view_{place}", [f"f{place}_{number}" for number in range(features)]) for place in range(4)]


def wide_view() -> Any:
    """The view of twenty features that is materialized."""
    return _view(WIDE, [f"x{number}" for number in range(14)], counts=4, categories=2)


def _view(name: str, numbers: Sequence[str], *, counts: int = 0, categories: int = 0) -> Any:
    from features.catalogue import FeatureSpec, ViewSpec

    kinds = {
        **dict.fromkeys(numbers, "float"),
        **{f"n{place}": "int" for place in range(counts)},
        **{f"c{place}": "category" for place in range(categories)},
    }
    features = tuple(
        FeatureSpec(name=each, dtype=kind, about="-", unit="-", group="fit", phrase="-")  # type: ignore[arg-type]
        for each, kind in kinds.items()
    )
    return ViewSpec(
        name=name, about="-", join_key=KEY, ttl_days=TTL_DAYS, tables=(), features=features, transformation=_unused
    )


def _unused(spine: Any, tables: Any) -> Any:
    raise AssertionError(f"these features are made, not computed from {spine} and {tables}")


def values_sql(view: Any) -> str:
    """Made-up values of the view's columns for row `i`: one number in twenty is missing."""
    made = {
        "float": "CASE WHEN hash(i, {place}) % 20 > 0 THEN (hash(i, {place}, 1) % 1000000) / 997.0 END",
        "int": "(hash(i, {place}) % 90)::BIGINT",
        "category": "['web', 'ads', 'mail', 'fair'][1 + (hash(i, {place}) % 4)::INT]",
    }
    return ", ".join(
        f"{made[each.dtype].format(place=place)} AS {each.name}" for place, each in enumerate(view.features)
    )


def feast_store(folder: Path, *, offline: str, online: dict[str, Any], views: Sequence[Any]) -> Any:
    """A Feast repository over the Parquet files `folder/<view>.parquet`, applied."""
    from features.feast_import import feast

    module = feast()
    from feast.repo_config import RepoConfig
    from feast.types import Float64, Int64, String

    own = folder / f"feast-{time.time_ns()}"
    own.mkdir()
    store = module.FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(own / "registry.db"),
            offline_store={"type": offline},
            online_store=online,
            entity_key_serialization_version=3,
            repo_path=own,
        )
    )
    types = {"float": Float64, "int": Int64, "category": String}
    lead = module.Entity(name=KEY, join_keys=[KEY], value_type=module.ValueType.STRING)
    objects = [lead]
    for view in views:
        source = module.FileSource(
            path=str(folder / f"{view.name}.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        )
        fields = [module.Field(name=KEY, dtype=String)]
        fields += [module.Field(name=each.name, dtype=types[each.dtype]) for each in view.features]
        ttl = timedelta(days=view.ttl_days)
        objects.append(module.FeatureView(name=view.name, entities=[lead], schema=fields, source=source, ttl=ttl))
    store.apply(objects)
    return store


def timed(parts: dict[str, Callable[[], object]], *, runs: int) -> dict[str, list[float]]:
    """Seconds of each part; the parts take turns, after one run each that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for run in range(runs + 1):
        for name, part in parts.items():
            began = time.perf_counter()
            part()
            if run or runs == 0:
                taken[name].append(time.perf_counter() - began)
    return taken


def make_join(folder: Path, *, rows: int, asked: int, keys: int) -> None:
    """Files of four views with histories of `keys` entities, and the rows that are asked for."""
    from warehouse.views import open_connection

    folder.mkdir(parents=True)
    key = f"'L' || (hash(i, 98) % {keys})::VARCHAR AS {KEY}"
    moment = f"TIMESTAMPTZ '{BEGIN.isoformat()}' + to_microseconds((hash(i, 99) % 8640000000000)::BIGINT)"
    with open_connection() as connection:
        for place, view in enumerate(join_views()):
            first = place * rows
            made = (
                f"SELECT {key}, {values_sql(view)}, {moment} AS event_timestamp "
                f"FROM range({first}, {first + rows}) t(i)"
            )
            connection.execute(
                f"COPY (SELECT *, event_timestamp AS created_timestamp FROM ({made})) TO '{folder / view.name}.parquet'"
            )
        spine = f"SELECT {key}, {moment} AS event_timestamp FROM range({10**9}, {10**9 + asked}) t(i)"
        connection.execute(f"COPY ({spine}) TO '{folder}/spine.parquet'")


def join(folder: Path, *, runs: int, feast_limit_gb: float = 0) -> dict[str, list[float]]:
    """The training frame: by our store and by hand, or, within a limit of memory, by Feast's DuckDB store."""
    import pyarrow.parquet as pq

    views, spine = join_views(), pq.read_table(folder / "spine.parquet")
    names = [f"{view.name}:{each.name}" for view in views for each in view.features]
    online = {"type": "sqlite", "path": str(folder / "online.db")}
    ours_or_feast = "duckdb" if feast_limit_gb else "features.offline_store.AsofOfflineStore"
    store = feast_store(folder, offline=ours_or_feast, online=online, views=views)
    frame = spine.to_pandas()

    def retrieve() -> None:
        table = store.get_historical_features(
            entity_df=frame, features=names, filter_by_created_timestamp=True
        ).to_arrow()
        require(table.num_rows == spine.num_rows, f"{table.num_rows:,} rows of {spine.num_rows:,}")

    if feast_limit_gb:
        limit = int(feast_limit_gb * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        return timed({"feast": retrieve}, runs=runs)
    parts = {"ours": retrieve, "limit": lambda: _join_by_hand(folder, spine), "scan": lambda: _scan(folder)}
    return timed(parts, runs=runs)


def _join_by_hand(folder: Path, spine: Any) -> None:
    from warehouse.views import open_connection

    views = join_views()
    columns = ", ".join(f"{view.name}.{each.name}" for view in views for each in view.features)
    joins = " ".join(
        f"ASOF LEFT JOIN '{folder / view.name}.parquet' {view.name} ON s.{KEY} = {view.name}.{KEY} "
        f"AND s.event_timestamp >= {view.name}.event_timestamp"
        for view in views
    )
    with open_connection() as connection:
        connection.register("s", spine)
        table = connection.sql(f"SELECT s.*, {columns} FROM s {joins}").to_arrow_table()
    require(table.num_rows == spine.num_rows, "the join by hand lost rows")


def _scan(folder: Path) -> None:
    """Every column of the four views read once, and nothing more: no join can take less."""
    from warehouse.views import open_connection

    with open_connection() as connection:
        for view in join_views():
            connection.execute(f"SELECT max(hash(COLUMNS(*))) FROM '{folder / view.name}.parquet'").fetchall()


def make_wide(folder: Path, *, rows: int, name: str = WIDE) -> None:
    """A file with one row of twenty features for each entity, as of NOW, ordered by key."""
    from warehouse.views import open_connection

    folder.mkdir(parents=True, exist_ok=True)
    at = f"TIMESTAMPTZ '{NOW.isoformat()}'"
    made = (
        f"SELECT 'L' || lpad(i::VARCHAR, 8, '0') AS {KEY}, {values_sql(wide_view())}, {at} AS event_timestamp, "
        f"{at} AS created_timestamp FROM range({rows}) t(i)"
    )
    with open_connection() as connection:
        connection.execute(f"COPY ({made}) TO '{folder / name}.parquet'")


def materialize(folder: Path, *, runs: int, redis: str = "") -> dict[str, list[float]]:
    """From the file into an empty store: our path, and the store's own fastest way to take strings of that size."""
    import pyarrow.parquet as pq

    from features.materializing import replace_rows

    view = wide_view()

    def ours() -> None:
        with fresh_rows(folder, redis) as store:
            rows = pq.read_table(folder / f"{WIDE}.parquet").cast(view.schema)
            written = replace_rows(store, view, rows, at=NOW).written
            require(written == rows.num_rows, f"{written:,} rows were written of {rows.num_rows:,}")

    def again() -> None:
        with fresh_rows(folder, redis, keep=True) as store:
            rows = pq.read_table(folder / f"{WIDE}.parquet").cast(view.schema)
            require(replace_rows(store, view, rows, at=NOW).written == 0, "rows were written that had not changed")

    return timed({"ours": ours, "again": again, "limit": lambda: _put_strings(folder, redis)}, runs=runs)


@contextmanager
def fresh_rows(folder: Path, redis: str, *, keep: bool = False) -> Iterator[Any]:
    """Our rows in SQLite or Redis, empty unless they are kept."""
    from features.online_store_redis import RedisRows
    from features.online_store_sqlite import SqliteRows

    path = folder / "ours.db"
    if not keep and not redis:
        for each in folder.glob("ours.db*"):
            each.unlink()
    store = RedisRows(redis, project="bench") if redis else SqliteRows(path, project="bench")
    if not keep:
        store.drop(WIDE)
    yield store
    store.close()


def _put_strings(folder: Path, redis: str) -> None:
    """Ready strings, as long as ours, into the store by itself."""
    import sqlite3

    import pyarrow.parquet as pq

    rows = pq.read_metadata(folder / f"{WIDE}.parquet").num_rows
    blob = b"x" * 200
    if redis:
        with redis_client(redis) as client:
            client.delete("strings")
            for start in range(0, rows, 10_000):
                client.hset("strings", mapping={f"=L{i:08d}": blob for i in range(start, min(start + 10_000, rows))})
            client.unlink("strings")
        return
    for each in folder.glob("limit.db*"):
        each.unlink()
    connection = sqlite3.connect(folder / "limit.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE strings (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID")
    for start in range(0, rows, 20_000):
        connection.execute("BEGIN")
        pairs = ((b"=L%08d" % i, blob) for i in range(start, min(start + 20_000, rows)))
        connection.executemany("INSERT INTO strings VALUES (?, ?)", pairs)
        connection.execute("COMMIT")
    connection.close()


def materialize_feast(folder: Path, *, runs: int, redis: str = "") -> dict[str, list[float]]:
    """The same by `FeatureStore.materialize` into Feast's own online store, from its DuckDB store."""
    warnings.simplefilter("ignore")
    path = folder / "feast-online.db"
    online = {"type": "redis", "connection_string": redis} if redis else {"type": "sqlite", "path": str(path)}
    store = feast_store(folder, offline="duckdb", online=online, views=[wide_view()])

    def work() -> None:
        with quiet():
            store.materialize(start_date=NOW - timedelta(days=1), end_date=NOW + timedelta(days=1))

    return timed({"feast": work}, runs=runs)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Feast's progress on the screen."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def read(folder: Path, *, reads: int, redis: str = "") -> dict[str, list[float]]:
    """One entity, forty features of four views, by our reader, by Feast from its own store, and raw from ours."""
    from features.materializing import replace_rows
    from features.online_reader import OnlineReader, read_answer
    from features.online_store_layout import entity_key

    entities, views = 2_000, join_views()
    rows = {view.name: _entity_rows(view, entities) for view in views}
    online = (
        {"type": "redis", "connection_string": redis} if redis else {"type": "sqlite", "path": str(folder / "f.db")}
    )
    for view in views:
        _write_parquet(folder / f"{view.name}.parquet", rows[view.name])
    feast = feast_store(folder, offline="duckdb", online=online, views=views)
    with fresh_rows(folder, redis) as store:
        for view in views:
            replace_rows(store, view, rows[view.name], at=NOW)
            feast.write_to_online_store(view.name, rows[view.name].to_pandas())
        names = [f"{view.name}:{each.name}" for view in views for each in view.features]
        reader = OnlineReader(store)

        def ours(key: str) -> None:
            own = reader.read_all([(view, [key]) for view in views])
            answer = read_answer(views, [key], at=NOW, join_key=KEY, own=own, read_all=reader.read_all)
            require(answer.found[0] and len(answer.values) == len(names), "an answer is not whole")

        by_feast = {"feast": lambda key: feast.get_online_features(features=names, entity_rows=[{KEY: key}]).to_dict()}
        with raw_reader(folder, redis, [view.name for view in views]) as raw:
            parts = {"ours": ours, "limit": lambda key: raw(entity_key(key)), **by_feast}
            return _each_key(parts, entities=entities, reads=reads)


def _each_key(parts: dict[str, Callable[[str], object]], *, entities: int, reads: int) -> dict[str, list[float]]:
    import gc

    taken: dict[str, list[float]] = {name: [] for name in parts}
    gc.collect()
    gc.freeze()
    for run in range(reads):
        key = f"L{run * 7919 % entities}"
        turn = run % len(parts)  # the first to read a key finds it cold
        for name, part in [*parts.items()][turn:] + [*parts.items()][:turn]:
            began = time.perf_counter()
            part(key)
            taken[name].append(time.perf_counter() - began)
    return {name: times[min(100, reads // 10) :] for name, times in taken.items()}


@contextmanager
def raw_reader(folder: Path, redis: str, names: Sequence[str]) -> Iterator[Callable[[bytes], list[Any]]]:
    """Reads the strings of one key and nothing more: one statement per view, or one round trip."""
    import sqlite3

    if redis:
        with redis_client(redis) as client:

            def from_redis(key: bytes) -> list[Any]:
                with client.pipeline(transaction=False) as pipeline:
                    for name in names:
                        pipeline.hget(f"salience:{{bench/{name}}}", key)
                    found: list[Any] = pipeline.execute()
                    return found

            yield from_redis
        return
    connection = sqlite3.connect(f"file:{folder / 'ours.db'}?mode=ro", uri=True)
    queries = [f'SELECT row FROM "bench/{name}" WHERE entity_key = ?' for name in names]
    yield lambda key: [connection.execute(query, [key]).fetchone() for query in queries]
    connection.close()


def _entity_rows(view: Any, entities: int) -> Any:
    from warehouse.views import open_connection

    at = f"TIMESTAMPTZ '{NOW.isoformat()}'"
    query = (
        f"SELECT 'L' || i::VARCHAR AS {KEY}, {values_sql(view)}, {at} AS event_timestamp, {at} AS created_timestamp "
        f"FROM range({entities}) t(i)"
    )
    with open_connection() as connection:
        return connection.sql(query).to_arrow_table().cast(view.schema)


def _write_parquet(path: Path, rows: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(rows, path)


def stream(folder: Path, *, events: int, rate: int) -> dict[str, list[float]]:
    """Events to fresh online features in a small world: as fast as they come, and the lag at a steady rate.

    All tables that take events are pushed to, over all open leads and deals, and every view of theirs is computed.
    """
    from features.streaming import StreamUpdater

    repository, settings, now = _world(folder)
    kinds = _kinds_of_event(repository.warehouse, now)
    pushed = [_event(kinds, number, now) for number in range(2 * events)]
    updater = StreamUpdater(repository, settings)
    door = updater._door
    # A worker that runs has read what is open, and has compiled its maths.
    updater._open()
    taken = door.take(pushed[:events])
    require(taken.accepted == events, f"events were refused: {taken.refused[:1]}")
    began = time.perf_counter()
    while updater.step():
        pass
    seconds = time.perf_counter() - began
    require(updater.figures.events == events, f"{updater.figures.events:,} events were worked on of {events:,}")
    updater.commit()
    require(updater.figures.quarantined == 0, f"{updater.figures.quarantined:,} events broke their contract")
    lags = _lags(updater, door, pushed[events:], rate=rate)
    return {"ours": [seconds], "lag": lags, "feast": _push_by_feast(folder / "feast", events=min(events, 2_000))}


def _world(folder: Path) -> tuple[Any, Any, datetime]:
    from common.settings import Settings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from warehouse.ingest import ingest
    from warehouse.present import present
    from warehouse.simulator import SimulationConfig, simulate
    from warehouse.sources import load_source
    from warehouse.store import Warehouse

    settings = Settings(home=folder / "home", mlruns=folder / "mlruns")
    workspace = Workspace(name=settings.workspace, home=settings.home)
    config = SimulationConfig(years=1, leads=6_000, deals=800)
    simulate(config, landing=folder / "landing", truth=folder / "truth")
    warehouse = Warehouse(workspace.warehouse)
    ingest(load_source("simulated"), folder / "landing", warehouse)
    repository = FeatureRepository(workspace, warehouse, settings.online_store)
    repository.apply()
    now = present(settings, warehouse)
    repository.materialize(now)
    return repository, settings, now


def _kinds_of_event(warehouse: Any, now: datetime) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Of each table that takes events: its name, its id's column, and rows to make events of.

    They come in turn, by weight: five of ten events are of leads, three are activities, two new versions.
    """
    from features.spines import open_deal_spine, open_lead_spine

    leads, deals = open_lead_spine(warehouse, now), open_deal_spine(warehouse, now)
    events = [{KEY: lead, "kind": kind} for lead in leads[KEY].to_pylist() for kind in ("page_view", "email_open")]
    deal_key = "opportunity_id"
    activities = [{deal_key: deal, "kind": kind} for deal in deals[deal_key].to_pylist() for kind in ("call", "email")]
    versions = [_newest(warehouse, table, spine) for table, spine in (("leads", leads), ("opportunities", deals))]
    return [
        *[("lead_events", "event_id", events)] * 5,
        *[("activities", "activity_id", activities)] * 3,
        ("leads", "", versions[0]),
        ("opportunities", "", versions[1]),
    ]


def _newest(warehouse: Any, table: str, spine: Any) -> list[dict[str, Any]]:
    """The newest versions of open things, as an application would send them back."""
    key = spine.schema.names[0]
    with warehouse.duckdb() as connection:
        connection.register("open_ones", spine.select([key]))
        rows = connection.sql(
            f"SELECT * EXCLUDE (event_timestamp, created_timestamp) FROM {table} SEMI JOIN open_ones USING ({key}) "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY event_timestamp DESC, created_timestamp DESC) = 1"
        ).to_arrow_table()
    return [
        {name: value if isinstance(value, str | int | float) else value.isoformat() for name, value in row.items()}
        for row in ({name: value for name, value in row.items() if value is not None} for row in rows.to_pylist())
    ]


def _event(kinds: Sequence[tuple[str, str, list[dict[str, Any]]]], number: int, now: datetime) -> dict[str, Any]:
    table, event_id, rows = kinds[number % len(kinds)]
    identity = {event_id: f"bench-{number}"} if event_id else {}
    row = rows[number * 7919 % len(rows)]
    return {
        "table": table,
        "row": {**row, **identity, "event_timestamp": (now + timedelta(milliseconds=number)).isoformat()},
    }


def _lags(updater: Any, door: Any, events: Sequence[Any], *, rate: int) -> list[float]:
    """Seconds from being pushed to being in the online features, while the worker also commits and refreshes."""
    import threading

    stop, portion = threading.Event(), max(1, rate // 20)
    updater.figures.lag_seconds.clear()
    worker = threading.Thread(target=updater.run, args=(stop,))
    worker.start()
    began = time.perf_counter()
    for start in range(0, len(events), portion):
        door.take(events[start : start + portion])
        time.sleep(max(0.0, (start + portion) / rate - (time.perf_counter() - began)))
    until = time.monotonic() + 60
    while len(updater.figures.lag_seconds) < len(events) and time.monotonic() < until:
        time.sleep(0.05)
    stop.set()
    worker.join()
    lags = list(updater.figures.lag_seconds)
    require(len(lags) == len(events), f"{len(lags):,} events came through of {len(events):,}")
    return lags


def _push_by_feast(folder: Path, *, events: int) -> list[float]:
    """Feast's own write of ready rows, in batches of 500, into its SQLite store; nothing is computed."""
    warnings.simplefilter("ignore")
    folder.mkdir()
    view = wide_view()
    rows = _entity_rows(view, events)
    _write_parquet(folder / f"{WIDE}.parquet", rows)
    online = {"type": "sqlite", "path": str(folder / "f.db")}
    store = feast_store(folder, offline="duckdb", online=online, views=[view])
    frames = [rows.slice(start, 500).to_pandas() for start in range(0, events, 500)]
    began = time.perf_counter()
    for frame in frames:
        store.write_to_online_store(view.name, frame)
    return [(time.perf_counter() - began) / events]


def redis_client(address: str) -> Any:
    """A client of `host:port`."""
    import redis

    host, port = address.split(":")
    return redis.Redis(host=host, port=int(port))


def require(is_true: bool, otherwise: str) -> None:
    """A work that is quick because it left something out counts for nothing."""
    if not is_true:
        raise SystemExit(otherwise)


WORKS: dict[str, Callable[..., Any]] = {
    "make_join": make_join,
    "join": join,
    "make_wide": make_wide,
    "materialize": materialize,
    "materialize_feast": materialize_feast,
    "read": read,
    "stream": stream,
}


def main() -> None:
    work, folder, options = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    seconds = WORKS[work](folder, **options)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds or {}, "peak_gb": peak_gb}))


if __name__ == "__main__":
    # This file's folder is first on the path, and holds a file named like the package `features`.
    sys.path.pop(0)
    from common.telemetry import disable_telemetry

    disable_telemetry()
    main()
