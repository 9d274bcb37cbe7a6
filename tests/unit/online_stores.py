"""Online stores for the tests: a view, rows of it, SQLite files, and a Redis server of the tests' own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from features.catalogue import FeatureSpec, ViewSpec
from features.online_store_redis import RedisRows
from features.online_store_rows import RowStore
from features.online_store_sqlite import SqliteRows

START = datetime(2025, 1, 1, tzinfo=UTC)
Opener = Callable[[str], RowStore]


def hour(number: float) -> datetime:
    """The moment `number` hours after 2025-01-01 00:00 UTC."""
    return START + timedelta(hours=number)


def feature(name: str, dtype: Any) -> FeatureSpec:
    return FeatureSpec(name=name, dtype=dtype, about="About.", unit="unit", group="fit", phrase="{value}")


def view_of(name: str = "lead_view", **features: str) -> ViewSpec:
    """A view of leads; by default with a feature of each type and one foreign key."""
    given = features or {"score": "float", "visits": "int", "is_big": "bool", "channel": "category"}
    return ViewSpec(
        name=name,
        about="A view.",
        join_key="lead_id",
        ttl_days=1,
        tables=(),
        features=tuple(feature(each, dtype) for each, dtype in given.items()),
        transformation=lambda spine, tables: spine,
        foreign_keys=(("rep_of_lead", "rep_id"),) if not features else (),
    )


def rows_of(view: ViewSpec, at: float, rows: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Rows of the view by key, all as of hour `at`; values not given are null."""
    times = {"event_timestamp": hour(at), "created_timestamp": hour(at)}
    listed = [{view.join_key: key, **values, **times} for key, values in sorted(rows.items())]
    return pa.Table.from_pylist(listed, schema=view.schema)


def content(store: RowStore, view: ViewSpec) -> dict[str, tuple[datetime, dict[str, Any]]]:
    """All that the store holds of a view: as_of and values by key."""
    from features.online_reader import OnlineReader

    keys = [key[1:].decode() for key in store.strays(view.name, [])]
    read = OnlineReader(store).read(view, keys)
    return {key: (read[key].as_of, dict(read[key].values)) for key in sorted(read)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Redis of these tests' own; the test is skipped, and says so, where none is installed."""
    import redis

    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        try:
            with redis.Redis(port=port) as client:
                for _ in range(200):
                    try:
                        client.ping()
                        break
                    except redis.ConnectionError:
                        time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture(params=["sqlite", "redis"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens a project's rows in one store of each kind; everything opened is closed afterwards."""
    opened: list[RowStore] = []
    address = request.getfixturevalue("redis_server") if request.param == "redis" else ""
    if address:
        import redis

        host, port = address.split(":")
        with redis.Redis(host=host, port=int(port)) as client:
            client.flushall()

    def opener(project: str = "one") -> RowStore:
        store = RedisRows(address, project=project) if address else SqliteRows(tmp_path / "online.db", project=project)
        opened.append(store)
        return store

    yield opener
    for store in opened:
        store.close()
