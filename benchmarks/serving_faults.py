"""Faults under load: each is caused for real, and told with what clients met and how soon all was well again.

    python benchmarks/serving_faults.py [--only FAULT ...] [--seconds N] [--check]

Over 127.0.0.1, on the demo's workspace in a home of its own (`make demo` first). "Lost" are predictions that were
answered and are not in the prediction log afterwards. Some faults need what not every machine allows: a small disk
(tmpfs, root), a Redis server and libfaketime; where one cannot be caused it is said, and counts as missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

RATE = 100.0
BACK_WITHIN_SECONDS = 10.0


@dataclass
class Met:
    """What a steady load met."""

    statuses: dict[int, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    lost_connections: int = 0
    bad_at: list[float] = field(default_factory=list)
    slowest_ms: float = 0.0
    versions: set[str] = field(default_factory=set)
    flagged: int = 0

    def __str__(self) -> str:
        counted = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        broken = f", {self.lost_connections} connections lost" if self.lost_connections else ""
        return f"{counted}{broken}; slowest {self.slowest_ms:.0f} ms"


class Load(threading.Thread):
    """Asks for leads at a steady pace until it is stopped; every answer is looked at."""

    def __init__(self, url: str, ids: list[str], *, rate: float = RATE, threads: int = 4) -> None:
        super().__init__(daemon=True)
        self.met = Met()
        self._url, self._ids, self._rate, self._threads = url, ids, rate, threads
        self._done = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Ask from several threads until stopped."""
        workers = [threading.Thread(target=self._ask, args=(place,)) for place in range(self._threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def end(self) -> Met:
        """Stop, and give what was met."""
        self._done.set()
        self.join()
        return self.met

    def _ask(self, place: int) -> None:
        number, pause = place, self._threads / self._rate
        with httpx.Client(base_url=self._url, timeout=20) as client:
            while not self._done.wait(pause):
                number += self._threads
                name = f"f-{os.getpid()}-{id(self)}-{number}"
                began = time.perf_counter()
                try:
                    path = f"/api/v1/leads/{self._ids[number % len(self._ids)]}/score"
                    answer = client.post(path, headers={"X-Request-ID": name})
                except httpx.HTTPError:
                    with self._lock:
                        self.met.lost_connections += 1
                        self.met.bad_at.append(time.monotonic())
                    continue
                self._look(answer, name, 1_000 * (time.perf_counter() - began))

    def _look(self, answer: httpx.Response, name: str, milliseconds: float) -> None:
        met = self.met
        with self._lock:
            met.statuses[answer.status_code] = met.statuses.get(answer.status_code, 0) + 1
            met.slowest_ms = max(met.slowest_ms, milliseconds)
            if answer.status_code == 200:
                told = answer.json()
                met.ids.append(name)
                met.versions.add(told["model_version"])
                met.flagged += told["features"]["is_last_known"]
            else:
                met.bad_at.append(time.monotonic())
                answer.json()["next_step"]


@dataclass(frozen=True)
class Row:
    """A fault, what was met, and whether the bar held."""

    fault: str
    met: str
    bar: str
    passed: bool


class Stand:
    """A service of a fault's own."""

    def __init__(self, home: Path, **serving: Any) -> None:
        from benchmarks.serving_stand import open_ids, settings_for, stand_up

        self.workspace = stand_up(home)
        self.settings = settings_for(home, **serving)
        self.ids = open_ids(self.workspace, "lead")

    @contextmanager
    def serving(self) -> Iterator[tuple[str, int]]:
        """The service's address and process."""
        from benchmarks.serving_stand import ours

        with ours(self.settings, self.workspace) as (url, _, pid):
            httpx.post(f"{url}/api/v1/leads/{self.ids[0]}/score", timeout=30)
            yield url, pid

    def missing(self, met: Met) -> int:
        """Answered predictions that the log lacks, once the service has ended."""
        import pyarrow.parquet as pq

        from common.logged_predictions import segments
        from serving.prediction_log import PredictionLog

        log = PredictionLog(self.workspace)
        log.roll()
        found: set[str] = set()
        for path in segments(self.workspace, "lead"):
            found.update(pq.read_table(path, columns=["request_id"])["request_id"].to_pylist())
        return len(set(met.ids) - found)


def _well_after(url: str, ids: list[str]) -> float:
    """Seconds until ten good answers in a row."""
    began, good = time.monotonic(), 0
    while good < 10 and time.monotonic() - began < 60:
        try:
            answer = httpx.post(f"{url}/api/v1/leads/{ids[good]}/score", timeout=5)
            good = good + 1 if answer.status_code == 200 else 0
        except httpx.HTTPError:
            good = 0
        time.sleep(0.02)
    return time.monotonic() - began


def worker_killed(home: Path, seconds: float) -> Row:
    """SIGKILL to the process that answers, which is started again at once, as a supervisor does."""
    from common.workspace import Workspace
    from serving.run import environment

    stand = Stand(home)
    port = _free_port()
    code = "from flows.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", str(port)]
    told = {**os.environ, **environment(stand.settings, Workspace(stand.workspace.name, stand.workspace.home))}
    url = f"http://127.0.0.1:{port}"
    first = subprocess.Popen(command, env=told, stdout=subprocess.DEVNULL)
    _wait(f"{url}/ready")
    load = Load(url, stand.ids)
    load.start()
    time.sleep(seconds / 2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    killed = time.monotonic()
    second = subprocess.Popen(command, env=told, stdout=subprocess.DEVNULL)
    _wait(f"{url}/ready")
    ready = time.monotonic() - killed
    time.sleep(2)
    met = load.end()
    second.terminate()
    second.wait()
    missing = stand.missing(met)
    text = f"{met}; ready again after {ready:.1f} s; {missing} lost"
    return Row(
        "process killed under load, started again",
        text,
        "nothing lost, ready < 10 s",
        missing == 0 and ready < BACK_WITHIN_SECONDS,
    )


def registry_locked(home: Path, seconds: float) -> Row:
    """MLflow's database locked by another process."""
    stand = Stand(home)
    copy = home / "mlruns"
    shutil.copytree(stand.settings.mlruns, copy)
    stand.settings = stand.settings.model_copy(update={"mlruns": copy})
    with stand.serving() as (url, _):
        load = Load(url, stand.ids)
        load.start()
        with sqlite3.connect(copy / "mlflow.db", isolation_level=None) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
            lock.execute("ROLLBACK")
        lock.close()
        back = _well_after(url, stand.ids)
        met = load.end()
    return Row(
        "registry's file locked", f"{met}; well after {back:.1f} s", "every answer 200", set(met.statuses) == {200}
    )


def alias_moved(home: Path, seconds: float) -> Row:  # noqa: ARG001
    """The alias moved fifty times between two versions."""
    stand = Stand(home)
    copy = home / "mlruns"
    shutil.copytree(stand.settings.mlruns, copy)
    stand.settings = stand.settings.model_copy(update={"mlruns": copy})
    name = stand.workspace.model_name("lead")
    bundles = copy / "bundles" / name
    first = _alias(copy, name)
    second = f"{first}00"
    shutil.copytree(bundles / first, bundles / second)
    with stand.serving() as (url, _):
        load = Load(url, stand.ids)
        load.start()
        slowest = 0.0
        for turn in range(50):
            wanted = second if turn % 2 == 0 else first
            _move(copy, name, wanted)
            began = time.monotonic()
            while time.monotonic() - began < 30:
                served = {
                    model["task"]: model["version"]
                    for model in httpx.get(f"{url}/api/v1/models", timeout=20).json()["models"]
                }
                if served["lead"] == wanted:
                    break
                time.sleep(0.05)
            slowest = max(slowest, time.monotonic() - began)
        met = load.end()
    passed = set(met.statuses) == {200} and not met.lost_connections and slowest < 5.0
    return Row(
        "alias moved 50 times under load",
        f"{met}; followed within {slowest:.1f} s at most",
        "every answer 200, < 5 s",
        passed,
    )


def store_killed(home: Path, seconds: float) -> Row:
    """Redis killed and started again."""
    program = shutil.which("redis-server")
    if program is None:
        return Row("online store (Redis) killed and back", "redis-server is not installed", "", False)
    from common.settings import OnlineStoreSettings
    from features.repository import FeatureRepository
    from warehouse.store import Warehouse

    stand = Stand(home)
    port = _free_port()
    options = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(home)]
    redis = subprocess.Popen([*options, "--appendonly", "yes"], stdout=subprocess.DEVNULL)
    store = OnlineStoreSettings(kind="redis", redis_address=f"127.0.0.1:{port}")
    stand.settings = stand.settings.model_copy(update={"online_store": store})
    warehouse = Warehouse(stand.workspace.warehouse)
    time.sleep(1)
    FeatureRepository(stand.workspace, warehouse, store).materialize(warehouse.cut())
    known = stand.ids[:50]
    with stand.serving() as (url, _):
        for identifier in known:
            httpx.post(f"{url}/api/v1/leads/{identifier}/score", timeout=30)
        load = Load(url, known)
        load.start()
        redis.send_signal(signal.SIGKILL)
        redis.wait()
        time.sleep(seconds)
        never = httpx.post(f"{url}/api/v1/leads/{stand.ids[-1]}/score", timeout=30)
        redis = subprocess.Popen([*options, "--appendonly", "yes"], stdout=subprocess.DEVNULL)
        _wait_port(port)
        back = _well_after(url, stand.ids[-20:])
        met = load.end()
    redis.terminate()
    redis.wait()
    passed = set(met.statuses) == {200} and met.flagged > 0 and never.status_code == 503 and back < BACK_WITHIN_SECONDS
    text = f"{met}; {met.flagged} flagged as last known; one never asked: {never.status_code}; well after {back:.1f} s"
    return Row("online store (Redis) killed and back", text, "known 200 flagged, else 503", passed)


def disk_full(home: Path, seconds: float) -> Row:  # noqa: ARG001
    """The prediction log on a disk of 1 MB that fills up, and gets room again."""
    stand = Stand(home)
    folder = stand.workspace.root / "predictions"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        return Row("disk full for the log", "a small disk cannot be mounted here", "", False)
    try:
        with stand.serving() as (url, _):
            load = Load(url, stand.ids, rate=400)
            load.start()
            said, until = "", time.monotonic() + 60
            while "wait in memory" not in said and time.monotonic() < until:
                said = httpx.get(f"{url}/health", timeout=20).json().get("detail", "")
                time.sleep(0.2)
            time.sleep(2)
            subprocess.run(["mount", "-o", "remount,size=300m", str(folder)], check=True)
            began = time.monotonic()
            while httpx.get(f"{url}/health", timeout=20).status_code != 200 and time.monotonic() - began < 60:
                time.sleep(0.2)
            back = time.monotonic() - began
            met = load.end()
        missing = stand.missing(met)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
    passed = set(met.statuses) == {200} and missing == 0 and back < BACK_WITHIN_SECONDS and "wait in memory" in said
    text = f"{met}; health said '{said[:60]}…'; well after {back:.1f} s; {missing} lost"
    return Row("disk full for the log", text, "every answer 200, nothing lost", passed)


def overload(home: Path, seconds: float) -> Row:
    """Ten times as many requests at once as it answers well: 1,280 connections that ask without a pause."""
    from benchmarks.serving_load import closed_loop

    stand = Stand(home, cached_scores=0)
    paths = [f"/api/v1/leads/{identifier}/score" for identifier in stand.ids]
    with stand.serving() as (url, pid):
        calm = closed_loop(url, paths, connections=32, seconds=3)
        stormy = closed_loop(url, paths, connections=1_280, seconds=seconds)
        back = _well_after(url, stand.ids)
        after = closed_loop(url, paths, connections=1, seconds=2)
        from benchmarks.serving_stand import memory_mb

        memory = memory_mb(pid)
    text = (
        f"{calm.rps:.0f}/s calm, {stormy.rps:.0f}/s and p99 {stormy.p99_ms:.0f} ms at 1,280 at once, "
        f"{stormy.errors} turned away; well after {back:.1f} s, then p50 {after.p50_ms:.1f} ms; {memory:.0f} MB"
    )
    passed = back < BACK_WITHIN_SECONDS and stormy.rps > 0.5 * calm.rps and after.errors == 0
    return Row(f"10x overload for {seconds:.0f} s", text, "half the rate held, well < 10 s", passed)


def clock_jumped(home: Path, seconds: float) -> Row:
    """The wall's clock put an hour ahead, then an hour back, then right again, for the service and all it starts."""
    what = "clock jumps an hour ahead and back"
    library = _faketime()
    if library is None:
        return Row(what, "libfaketime is not installed", "", False)
    offset = home / "offset"
    faked = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        # A clock that is set leaves the monotonic one alone.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    stand, seen = Stand(home), []
    _put(offset, 0)
    with _environment(faked), stand.serving() as (url, _):
        load = Load(url, stand.ids[:-10])
        load.start()
        for turn, hours in enumerate((1, -1, 0)):
            _put(offset, hours)
            time.sleep(max(seconds / 3, 5.0))
            answer = httpx.post(f"{url}/api/v1/leads/{stand.ids[-1 - turn]}/score", timeout=20)
            # A score may have been made before; the answer itself is dated by the service's clock.
            told = parsedate_to_datetime(answer.headers["date"])
            seen.append(round((told - datetime.now(UTC)).total_seconds() / 3_600))
        back = _well_after(url, stand.ids[-20:])
        met = load.end()
    missing = stand.missing(met)
    jumped = seen == [1, -1, 0]
    passed = set(met.statuses) == {200} and not met.lost_connections and missing == 0 and jumped
    text = f"{met}; the service's clock was off by {seen} hours; well after {back:.1f} s; {missing} lost"
    return Row(what, text, "every answer 200, nothing lost", passed and back < BACK_WITHIN_SECONDS)


def _faketime() -> str | None:
    """The library that shifts a program's clock (Debian: libfaketime), where it is installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else None


def _put(offset: Path, hours: int) -> None:
    """Shift the clock of whoever looks at the file; written beside it, so that nobody reads half a line."""
    new = offset.with_suffix(".new")
    new.write_text(f"{hours:+d}h\n", encoding="utf-8")
    new.replace(offset)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables for processes that are started in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def large_body(home: Path, seconds: float) -> Row:  # noqa: ARG001
    """50 MB in one body, with and without its length said."""
    from benchmarks.serving_stand import memory_mb

    stand = Stand(home)
    with stand.serving() as (url, pid):
        before = memory_mb(pid)
        statuses = []
        for content in (b"x" * 50_000_000, iter([b"x" * 100_000] * 500)):
            try:
                answer = httpx.post(f"{url}/api/v1/leads/scores/batch", content=content, timeout=60)
                statuses.append(str(answer.status_code))
            except httpx.HTTPError as error:
                statuses.append(type(error).__name__)
        back = _well_after(url, stand.ids)
        grown = memory_mb(pid) - before
    passed = all(status in ("413", "WriteError", "ReadError") for status in statuses) and grown < 50
    return Row(
        "50 MB body", f"{', '.join(statuses)}; {grown:+.0f} MB; well after {back:.1f} s", "413, memory held", passed
    )


def slow_clients(home: Path, seconds: float) -> Row:  # noqa: ARG001
    """Two hundred clients that send a body byte by byte."""
    stand = Stand(home)
    with stand.serving() as (url, _):
        port = int(url.rsplit(":", 1)[1])
        load = Load(url, stand.ids)
        load.start()
        statuses = asyncio.run(_slow(port, 200))
        met = load.end()
    told = ", ".join(f"{status}: {statuses.count(status)}" for status in sorted(set(statuses)))
    passed = set(met.statuses) == {200} and set(statuses) == {408}
    return Row("200 slow clients", f"they got {told}; others: {met}", "they 408, others 200", passed)


async def _slow(port: int, count: int) -> list[int]:
    async def one() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /api/v1/leads/scores/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        answer = asyncio.ensure_future(reader.readuntil(b"\r\n"))
        while not answer.done():
            writer.write(b" ")
            await asyncio.sleep(0.5)
        writer.close()
        return int((await answer)[9:12])

    return list(await asyncio.gather(*(one() for _ in range(count))))


def _alias(mlruns: Path, name: str) -> str:
    with sqlite3.connect(mlruns / "mlflow.db") as connection:
        row = connection.execute(
            "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = 'champion'", (name,)
        ).fetchone()
    connection.close()
    return str(row[0])


def _move(mlruns: Path, name: str, version: str) -> None:
    with sqlite3.connect(mlruns / "mlflow.db", timeout=30) as connection:
        connection.execute(
            "UPDATE registered_model_aliases SET version = ? WHERE name = ? AND alias = 'champion'", (version, name)
        )
    connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def _wait_port(port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


FAULTS: dict[str, Callable[[Path, float], Row]] = {
    "killed": worker_killed,
    "store": store_killed,
    "registry": registry_locked,
    "alias": alias_moved,
    "disk": disk_full,
    "overload": overload,
    "clock": clock_jumped,
    "body": large_body,
    "slow": slow_clients,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--seconds", type=float, default=60.0, help="length of an overload or of an absence")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    given = parser.parse_args()
    rows = []
    for name in given.only:
        with tempfile.TemporaryDirectory(prefix="salience-fault-") as folder:
            row = FAULTS[name](Path(folder), given.seconds)
        rows.append(row)
        print(f"{row.fault:<42} {row.bar:<32} {'held' if row.passed else 'MISSED'}\n    {row.met}", flush=True)
    missed = sum(not row.passed for row in rows)
    print(json.dumps({"held": len(rows) - missed, "of": len(rows)}))
    return 1 if given.check and missed else 0


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from common.telemetry import disable_telemetry

    disable_telemetry()
    sys.exit(main())
