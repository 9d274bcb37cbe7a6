"""A materialization killed at random moments ends as an undisturbed one, in SQLite and in Redis."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.online_store_redis import RedisRows
from features.online_store_rows import RowStore
from features.online_store_sqlite import SqliteRows

VIEW = "scores"
WORKER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import pyarrow as pa
from features.catalogue import FeatureSpec, ViewSpec
from features.materializing import replace_rows
from features.online_store_redis import RedisRows
from features.online_store_sqlite import SqliteRows

place, project, first, last, at = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
spec = dict(about="About.", unit="unit", group="fit", phrase="{value}")
view = ViewSpec(
    name="scores", about="A view.", join_key="lead_id", ttl_days=1, tables=(), transformation=None,
    features=(FeatureSpec(name="score", dtype="float", **spec), FeatureSpec(name="word", dtype="category", **spec)),
)
moment = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=at)
names = [f"L-{n:06d}" for n in range(first, last)]
rows = pa.table({
    "lead_id": names,
    "score": [float(n if n % 3 else n + at) for n in range(first, last)],
    "word": [f"w{n}" for n in range(first, last)],
    "event_timestamp": [moment] * len(names),
    "created_timestamp": [moment] * len(names),
}, schema=view.schema)
store = RedisRows(place, project=project) if ":" in place else SqliteRows(Path(place), project=project)
print("go", flush=True)
changes = replace_rows(store, view, rows, at=moment, chunk_rows=200)
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of these tests' own; skipped, and said so, where none is installed."""
    import redis

    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path_factory.mktemp("redis"))]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        with redis.Redis(port=port) as client:
            for _ in range(200):
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.05)
        yield f"127.0.0.1:{port}"
        server.terminate()


def _materialize(place: str, project: str, first: int, last: int, at: int, *, killed_after: float | None) -> bool:
    """Run the worker, kill it some seconds after it began to write; gives back whether it ended by itself."""
    command = [sys.executable, "-c", WORKER, place, project, *map(str, (first, last, at))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "go\n"
        if killed_after is not None:
            time.sleep(killed_after)
            worker.kill()
        return worker.stdout.readline() == "done\n"


def _content(store: RowStore) -> dict[bytes, tuple[int, bytes]]:
    """Moment and body of every row, less the time of writing."""
    found = store.read([(VIEW, sorted(store.strays(VIEW, [])))])[0]
    return {key: (found.state.as_of(row), row[26:]) for key, row in found.rows.items()}


def _open(place: str, project: str) -> RowStore:
    return RedisRows(place, project=project) if ":" in place else SqliteRows(Path(place), project=project)


def _check_kills(place: str, *, rows: int, kills: int, longest: float) -> None:
    chance = random.Random(3)  # noqa: S311 - when to kill is no secret
    _open(place, "killed").prepare(VIEW)
    for at, (first, last) in ((1, (0, rows)), (2, (rows // 4, rows + rows // 4))):
        assert _materialize(place, "calm", first, last, at, killed_after=None)
        for _ in range(kills):
            _materialize(place, "killed", first, last, at, killed_after=chance.uniform(0, longest))
            halfway = _content(_open(place, "killed"))
            assert all(moment in _MOMENTS[:at] for moment, _ in halfway.values())
        assert _materialize(place, "killed", first, last, at, killed_after=None)
        killed, calm = _content(_open(place, "killed")), _content(_open(place, "calm"))
        assert killed == calm
        assert len(calm) == rows
        assert {moment for moment, _ in calm.values()} == {_MOMENTS[at - 1]}


_MOMENTS = [1_735_689_600_000_000 + hours * 3_600_000_000 for hours in (1, 2)]


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file, or a server's address."""
    if request.param == "sqlite":
        return str(tmp_path / "online.db")
    address: str = request.getfixturevalue("redis_address")
    for project in ("calm", "killed"):
        RedisRows(address, project=project).drop(VIEW)
    return address


def test_killed_at_random_moments_it_ends_as_an_undisturbed_one(place: str) -> None:
    _check_kills(place, rows=4_000, kills=2, longest=0.06)


@pytest.mark.slow
def test_killed_many_times_in_a_large_view_it_ends_as_an_undisturbed_one(place: str) -> None:
    _check_kills(place, rows=200_000, kills=25, longest=2.0)
