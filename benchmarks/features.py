"""Features: the training frame, materialization, online reads and the stream, beside Feast as it comes and the limit.

    python benchmarks/features.py [--quick] [--check] [--rows N] [--only WORK ...]

The peer is Feast as installed: its DuckDB offline store, its SQLite and Redis online stores, its `materialize` and
`get_online_features`. The limit is the same done by hand: an ASOF join in DuckDB (and reading its files alone), ready
strings put into the store, those strings read. Each work runs in a process of its own (benchmarks/feature_works.py),
Feast's join under a limit of memory and time, for it dies of hot keys. Times are medians; ours, the limit and Feast
take turns.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKS = Path(__file__).with_name("feature_works.py")
MOST_OVER_HAND = 1.5
LEAST_OVER_FEAST = 2.0
LEAST_MATERIALIZE = {"SQLite": 10.0, "Redis": 5.0}
MOST_MEMORY_GB = 2.0
LEAST_READ = 2.0
MOST_READ_MS, MOST_LATE_READ_MS = 0.2, 1.0
"""What decoding, TTL and the answer may add to the raw read, at p50 and at p99."""
LEAST_EVENTS = 2_000
MOST_LAG_SECONDS = 5.0
FEAST_LIMIT_GB = 8
FEAST_LIMIT_SECONDS = 300
HOT_KEYS = 20


@dataclass(frozen=True)
class Row:
    """One measured figure beside its peer and its limit.

    Args:
        work: What was done.
        peer: The peer's figure.
        limit: The limit's, if there is one.
        ours: Ours.
        ratio: Ours against what the bar names.
        bar: What must hold.
        passed: Whether it does.
    """

    work: str
    peer: str
    limit: str
    ours: str
    ratio: float
    bar: str
    passed: bool


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        view_rows: Rows of each of the four views that are joined.
        asked: Rows of the training frame.
        entities: Entities materialized by us; `feast_entities` by Feast, whose rate hardly depends on it.
        feast_entities: See there.
        reads: Online reads.
        events: Events of each of the stream's two parts.
        runs: Counted runs of a process that joins or materializes.
        turns: Processes of ours and of Feast's that join, in turn.
        is_complete: Whether long histories, and Feast's join with hot keys, are tried.
    """

    view_rows: int = 1_000_000
    asked: int = 100_000
    entities: int = 1_000_000
    feast_entities: int = 50_000
    reads: int = 5_000
    events: int = 20_000
    runs: int = 3
    turns: int = 3
    is_complete: bool = True


QUICK = Sizes(
    view_rows=250_000,
    asked=50_000,
    entities=50_000,
    feast_entities=3_000,
    reads=1_000,
    events=3_000,
    runs=1,
    turns=1,
    is_complete=False,
)


@dataclass(frozen=True)
class Work:
    """What a work's process told; no seconds where it died, with the reason in `end`."""

    seconds: dict[str, list[float]]
    peak_gb: float
    end: str = ""

    def median(self, part: str) -> float:
        """Median seconds of a part."""
        return statistics.median(self.seconds[part])

    def and_then(self, other: Work) -> Work:
        """Both together; a death stays one."""
        parts = {**self.seconds, **other.seconds}
        seconds = {part: [*self.seconds.get(part, ()), *other.seconds.get(part, ())] for part in parts}
        return Work(seconds, max(self.peak_gb, other.peak_gb), other.end)


def run(name: str, folder: Path, *, limit_seconds: float | None = None, **options: Any) -> Work:
    """Run a work in its own process; with a limit of time its death is a result, otherwise it ends the benchmark."""
    command = [sys.executable, str(WORKS), name, str(folder), json.dumps(options)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=limit_seconds, check=False)
    except subprocess.TimeoutExpired:
        return Work({}, 0.0, f"over {limit_seconds:.0f} s")
    if ended.returncode == 0:
        told = json.loads(ended.stdout.splitlines()[-1])
        return Work(told["seconds"], told["peak_gb"])
    if limit_seconds is None:
        raise SystemExit(f"{name} failed:\n{ended.stderr[-3000:]}")
    return Work({}, 0.0, "died")


def training(folder: Path, sizes: Sizes, redis: str) -> Iterator[Row]:  # noqa: ARG001 - all works look alike
    """Point-in-time joins of 40 features over 4 views: short histories, long ones, and few keys with very long ones."""
    for length in (10, 50) if sizes.is_complete else (10,):
        yield from _frame(folder, sizes, keys=sizes.view_rows // length, name=f"frame, {length} rows a key")
    yield from _frame(folder, sizes, keys=HOT_KEYS, name=f"frame, {HOT_KEYS} hot keys")


def _frame(folder: Path, sizes: Sizes, *, keys: int, name: str) -> Iterator[Row]:
    """One training frame; processes of ours and of Feast take turns."""
    files, is_hot = folder / f"join-{keys}", keys == HOT_KEYS
    run("make_join", files, rows=sizes.view_rows, asked=sizes.asked, keys=keys)
    ours, peer = Work({}, 0.0), Work({}, 0.0, "not run")
    limits = {"limit_seconds": FEAST_LIMIT_SECONDS, "feast_limit_gb": FEAST_LIMIT_GB}
    for turn in range(sizes.turns):
        ours = ours.and_then(run("join", files, runs=2))
        # With hot keys Feast's join takes one run, if it lives, and in a quick benchmark none.
        if not is_hot:
            peer = peer.and_then(run("join", files, runs=2, **limits))
        elif sizes.is_complete and not turn:
            peer = run("join", files, runs=0, **limits)
    shutil.rmtree(files)
    mine, hand, scan = ours.median("ours"), ours.median("limit"), ours.median("scan")
    told = f"{peer.median('feast'):.2f} s" if peer.seconds else peer.end
    bar = f"<= {MOST_OVER_HAND:.1f}x by hand"
    yield Row(name, told, f"{hand:.2f} s", f"{mine:.2f} s", mine / hand, bar, mine <= MOST_OVER_HAND * hand)
    if peer.end != "not run":
        faster = peer.median("feast") / mine if peer.seconds else float("inf")
        figures = (told, f"read {scan:.2f} s", f"{mine:.2f} s")
        bar = f">= {LEAST_OVER_FEAST:.0f}x as fast as Feast"
        yield Row(f"{name}, against Feast", *figures, faster, bar, faster >= LEAST_OVER_FEAST)
    yield memory_row(name, ours)


def materializing(folder: Path, sizes: Sizes, redis: str) -> Iterator[Row]:
    """Entities with 20 features from a file into empty online stores, in rows a second."""
    for store, address in stores(redis):
        mine, theirs = folder / f"wide-{store}", folder / f"wide-feast-{store}"
        run("make_wide", mine, rows=sizes.entities)
        run("make_wide", theirs, rows=sizes.feast_entities)
        ours = run("materialize", mine, runs=min(3, sizes.runs), redis=address)
        peer = run("materialize_feast", theirs, runs=1, redis=address)
        rate = sizes.feast_entities / peer.median("feast")
        rates = {part: sizes.entities / ours.median(part) for part in ("ours", "again", "limit")}
        ratio, least = rates["ours"] / rate, LEAST_MATERIALIZE[store]
        figures = (f"{rate:,.0f}/s", f"{rates['limit']:,.0f}/s")
        name = f"materialize {sizes.entities:,} into {store}"
        yield Row(name, *figures, f"{rates['ours']:,.0f}/s", ratio, f">= {least:.0f}x Feast", ratio >= least)
        again = rates["again"] / rate
        name = f"materialize again, {store}, none changed"
        yield Row(name, *figures, f"{rates['again']:,.0f}/s", again, f">= {least:.0f}x Feast", again >= least)
        yield memory_row(f"materialize, {store}", ours)


def reading(folder: Path, sizes: Sizes, redis: str) -> Iterator[Row]:
    """One entity's 40 features of 4 views, against the raw read of the same strings."""
    for store, address in stores(redis):
        files = folder / f"read-{store}"
        files.mkdir()
        work = run("read", files, reads=sizes.reads, redis=address)
        for name, share, least, more in (("p50", 0.5, LEAST_READ, MOST_READ_MS), ("p99", 0.99, 1.0, MOST_LATE_READ_MS)):
            feast, limit, ours = (quantile(work.seconds[part], share) for part in ("feast", "limit", "ours"))
            figures = [f"{1000 * seconds:.3f} ms" for seconds in (feast, limit, ours)]
            bar = f"x raw; raw + {more:.1f} ms, >= {least:.0f}x as fast as Feast"
            held = feast >= least * ours and 1000 * (ours - limit) <= more
            yield Row(f"online read, {store}, {name}", *figures, ours / limit, bar, held)


def streaming(folder: Path, sizes: Sizes, redis: str) -> Iterator[Row]:  # noqa: ARG001 - all works look alike
    """Events to fresh online features; Feast's figure is its write of ready rows, without computing them."""
    files = folder / "stream"
    files.mkdir()
    work = run("stream", files, events=sizes.events, rate=LEAST_EVENTS)
    rate, peer = sizes.events / work.median("ours"), 1 / work.median("feast")
    bar = f">= {LEAST_EVENTS:,}/s"
    yield Row("stream, events", f"{peer:,.0f}/s", "–", f"{rate:,.0f}/s", rate / peer, bar, rate >= LEAST_EVENTS)
    lag = quantile(work.seconds["lag"], 0.99)
    bar, work_name = f"< {MOST_LAG_SECONDS:.0f} s", f"stream, lag p99 at {LEAST_EVENTS:,}/s"
    yield Row(work_name, "–", "–", f"{lag:.2f} s", lag / MOST_LAG_SECONDS, bar, lag < MOST_LAG_SECONDS)


def memory_row(name: str, work: Work) -> Row:
    """Peak memory of the process of ours and the limit."""
    held = work.peak_gb < MOST_MEMORY_GB
    bar = f"< {MOST_MEMORY_GB:.0f} GB"
    return Row(f"{name}, memory", "–", "–", f"{work.peak_gb:.2f} GB", work.peak_gb / MOST_MEMORY_GB, bar, held)


def quantile(seconds: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]


def stores(redis: str) -> list[tuple[str, str]]:
    """The online stores that can be measured here, with their addresses."""
    return [("SQLite", ""), *([("Redis", redis)] if redis else [])]


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Address of a Redis of this benchmark's own; empty, and said so, where none is installed."""
    program = shutil.which("redis-server")
    if program is None:
        print("redis-server is not installed: Redis is not measured")
        yield ""
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        time.sleep(1)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def show(rows: list[Row], sizes: Sizes) -> None:
    """Print the table."""
    print(f"Feast materializes {sizes.feast_entities:,} entities, ours and the limit {sizes.entities:,}.")
    print(f"{'work':<42}{'peer':>12}{'limit':>13}{'ours':>13}{'ratio':>9}  bar")
    for row in rows:
        mark = "" if row.passed else "  MISSED"
        print(f"{row.work:<42}{row.peer:>12}{row.limit:>13}{row.ours:>13}{row.ratio:>9.2f}  {row.bar}{mark}")
    missed = sum(not row.passed for row in rows)
    print(f"{'PASS' if not missed else 'FAIL'}: {len(rows) - missed} of {len(rows)} bars held")


def main() -> int:
    parts = {"training": training, "materializing": materializing, "reading": reading, "streaming": streaming}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=Sizes.view_rows, help="rows of each joined view")
    parser.add_argument("--quick", action="store_true", help="fewer rows and runs, about a minute")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="works to measure")
    options = parser.parse_args()
    sizes = QUICK if options.quick else Sizes(view_rows=options.rows)
    measured: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="salience-features-") as name, redis_server(Path(name)) as redis:
        for part in options.only:
            measured += parts[part](Path(name), sizes, redis)
    show(measured, sizes)
    return 1 if options.check and not all(row.passed for row in measured) else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and the file is named like the package it measures.
    sys.path.pop(0)
    sys.exit(main())
