"""The services under load, beside `mlflow models serve`, a bare FastAPI route and the bare prediction.

    python benchmarks/serving.py [--quick] [--check] [--only PART ...] [--seconds N]

It asks the demo's workspace (`make demo` first), all in one run on this machine and over 127.0.0.1. The work is the
score of one stored lead by id with five reasons a side. "by id" is the service with its own settings, once it has
scored ahead what the store holds: each lead's score was made before it was asked for, and is given out where nothing
it rests on has changed. "computed" means that every answer reads the store and asks the model, with nothing made or
kept: what a lead costs that changed a moment ago. "again" means that a worker has the scores in memory. The peer is
`mlflow models serve` of the same model, which computes, reads no features, gives no reasons and keeps no log. The
limits are a FastAPI route that answers a constant object of the same size (and, without a bar, one that answers ready
bytes), and the prediction alone in a loop. They take turns; after the peer's turn there is a pause until it has worked
off what its clients no longer wait for. Load comes from wrk (Debian: wrk); where it is not installed, from asyncio,
which itself takes more than the services do.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONNECTIONS = (1, 32, 128)
LEAST_OVER_MLFLOW, LEAST_OF_BARE = 15.0, 0.5
MOST_P99_MS = 10.0
CALLS_PER_MINUTE, MOST_MEAN_MS = 25_000, 25.0
MOST_READY_SECONDS, MOST_MEMORY_MB = 5.0, 300.0
BATCH = 10_000
JOB_ROWS, MOST_JOB_SECONDS, MOST_JOB_GB = 1_000_000, 300.0, 4.0


@dataclass(frozen=True)
class Row:
    """One measured figure beside its peer and its limit.

    Args:
        work: What was done.
        peer: The peer's figure.
        limit: The limit's.
        ours: Ours.
        ratio: Ours against what the bar names.
        bar: What must hold; empty for a figure without a bar.
        passed: Whether it does.
    """

    work: str
    ours: str
    peer: str = ""
    limit: str = ""
    ratio: float | None = None
    bar: str = ""
    passed: bool = True


@dataclass(frozen=True)
class Options:
    """How long is measured, after how long a start."""

    seconds: float
    settle_seconds: float
    steady_seconds: float
    rounds: int
    job_rows: int


def single(home: Path, options: Options) -> Iterator[Row]:
    """Requests for one lead as the service is started: rates and times beside the peer and the limits."""
    from benchmarks.serving_load import closed_loop
    from benchmarks.serving_stand import memory_mb, ours, settings_for, stand_up

    workspace = stand_up(home / "single")
    settings = settings_for(home / "single")
    with ours(settings, workspace) as (url, ready, pid):
        memory = memory_mb(pid)
        yield Row(
            "worker ready",
            f"{ready:.1f} s",
            bar=f"<= {MOST_READY_SECONDS:.0f} s",
            ratio=ready / MOST_READY_SECONDS,
            passed=ready <= MOST_READY_SECONDS,
        )
        yield from _memory("worker's memory", memory)
        paths = _lead_paths(workspace)
        began = time.perf_counter()
        _until_made_ahead(url, paths)
        yield Row(
            f"{len(paths):,} leads scored ahead within", f"{time.perf_counter() - began:.0f} s of asking for them"
        )
        # Until the stream, which begins beside it, has looked at everything once, and what that changed is looked at.
        closed_loop(url, paths, connections=8, seconds=options.settle_seconds)
        yield from _beside_peer("by id", url, paths, settings, workspace, options, bars=True)
        yield from _memory("worker's memory after that", memory_mb(pid))


def computed(home: Path, options: Options) -> Iterator[Row]:
    """The same with nothing made ahead and nothing kept."""
    from benchmarks.serving_load import closed_loop
    from benchmarks.serving_stand import one_row, ours, settings_for, stand_up
    from serving.aliases import AliasReader
    from training.scorer import Scorer

    workspace = stand_up(home / "computed")
    settings = settings_for(home / "computed", cached_scores=0, scores_ahead=0)
    champion = AliasReader(settings).find(workspace.model_name("lead"))
    if champion is None:
        raise SystemExit("There is no lead model. Next: make demo")
    _, columns = one_row(champion.bundle)
    scorer = Scorer.load(champion.bundle)
    alone = _rate(lambda: scorer.probability(scorer.encode(columns)), seconds=1.0)
    paths = _lead_paths(workspace)
    with ours(settings, workspace) as (url, _, _):
        # Until the stream, which begins beside it, has looked at everything once.
        closed_loop(url, paths, connections=8, seconds=options.settle_seconds)
        yield from _beside_peer("computed", url, paths, settings, workspace, options, bars=False)
    yield Row("prediction alone, one row", f"{alone:,.0f}/s", limit="(itself)")


def _lead_paths(workspace: Any) -> list[str]:
    from benchmarks.serving_stand import open_ids

    return [f"/api/v1/leads/{identifier}/score" for identifier in open_ids(workspace, "lead")]


def _memory(what: str, found_mb: float) -> Iterator[Row]:
    yield Row(
        what,
        f"{found_mb:.0f} MB",
        bar=f"<= {MOST_MEMORY_MB:.0f} MB",
        ratio=found_mb / MOST_MEMORY_MB,
        passed=found_mb <= MOST_MEMORY_MB,
    )


def _beside_peer(
    name: str, url: str, paths: list[str], settings: Any, workspace: Any, options: Options, *, bars: bool
) -> Iterator[Row]:
    """Our service, mlflow's, and a constant take turns."""
    import httpx

    from benchmarks.serving_load import closed_loop
    from benchmarks.serving_stand import bare, mlflow_serving, one_row
    from serving.aliases import AliasReader

    champion = AliasReader(settings).find(workspace.model_name("lead"))
    if champion is None:
        raise SystemExit("There is no lead model. Next: make demo")
    mlflow_row, _ = one_row(champion.bundle)
    body = httpx.post(f"{url}{paths[0]}", timeout=30).content
    with mlflow_serving(settings, workspace.model_name("lead")) as peer, bare(body) as constant:
        told = httpx.post(f"{peer}/invocations", content=mlflow_row, headers={"Content-Type": "application/json"})
        told.raise_for_status()
        for connections in CONNECTIONS:
            found: dict[str, list[Any]] = {"ours": [], "peer": [], "bare": [], "bytes": []}
            for _ in range(options.rounds):
                asked = {"connections": connections, "seconds": options.seconds}
                found["ours"].append(closed_loop(url, paths, **asked))
                found["bare"].append(closed_loop(constant, ["/score"], **asked))
                found["bytes"].append(closed_loop(constant, ["/bytes"], **asked))
                load = closed_loop(peer, ["/invocations"], body=mlflow_row, **asked)
                found["peer"].append(load)
                time.sleep(min(10.0, 0.5 + connections / max(load.rps, 1.0)))
            yield from _compared(f"{name}, {connections} at once", found, bars=bars)


def again(home: Path, options: Options) -> Iterator[Row]:
    """Requests for leads whose scores nothing has changed since they were made."""
    import httpx

    from benchmarks.serving_load import closed_loop
    from benchmarks.serving_stand import bare, ours, settings_for, stand_up

    workspace = stand_up(home / "again")
    paths = _lead_paths(workspace)
    with ours(settings_for(home / "again", cached_scores=len(paths) + 10, scores_ahead=0), workspace) as (url, _, _):
        _until_given_again(url, paths)
        with bare(httpx.post(f"{url}{paths[0]}", timeout=30).content) as constant:
            for connections in CONNECTIONS:
                found: dict[str, list[Any]] = {"ours": [], "bare": [], "bytes": []}
                for _ in range(options.rounds):
                    asked = {"connections": connections, "seconds": options.seconds}
                    found["ours"].append(closed_loop(url, paths, **asked))
                    found["bare"].append(closed_loop(constant, ["/score"], **asked))
                    found["bytes"].append(closed_loop(constant, ["/bytes"], **asked))
                yield from _compared(f"again, {connections} at once", found)


def _until_made_ahead(url: str, paths: list[str]) -> None:
    """Wait until every lead's score was made before it is asked for.

    Raises:
        SystemExit: if some are still computed after minutes.
    """
    import httpx

    until = time.monotonic() + 300.0
    with httpx.Client(base_url=url, timeout=30) as client:
        while not all(
            client.post(path).json()["is_cached"] for path in [*paths[:: max(1, len(paths) // 100)], paths[-1]]
        ):
            if time.monotonic() > until:
                raise SystemExit("Scores are not made ahead although nothing changes")
            time.sleep(1.0)


def _until_given_again(url: str, paths: list[str]) -> None:
    """Ask for every lead until all are given again, twice over: after its start the stream looks at everything once.

    Raises:
        SystemExit: if they are not given again after many passes.
    """
    import httpx

    from benchmarks.serving_load import closed_loop

    passes = 0
    with httpx.Client(base_url=url, timeout=30) as client:
        for _ in range(20):
            closed_loop(url, paths, connections=32, seconds=10)
            is_again = all(client.post(path).json()["is_cached"] for path in paths[:: max(1, len(paths) // 100)])
            passes = passes + 1 if is_again else 0
            if passes == 2:
                return
    raise SystemExit("Scores are not given again although nothing changes")


def _compared(name: str, found: dict[str, list[Any]], *, bars: bool = True) -> Iterator[Row]:
    """Rates beside the peer's and the bare route's, and the times."""
    rate = {who: statistics.median(load.rps for load in loads) for who, loads in found.items()}
    mine = found["ours"]
    p50, p99 = (statistics.median(getattr(load, which) for load in mine) for which in ("p50_ms", "p99_ms"))
    errors = sum(load.errors for load in mine)
    times = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {errors} errors"
    if "peer" in rate:
        over = rate["ours"] / rate["peer"]
        yield Row(
            f"{name}: over mlflow",
            f"{rate['ours']:,.0f}/s",
            f"{rate['peer']:,.0f}/s",
            f"{rate['bare']:,.0f}/s",
            over,
            f">= {LEAST_OVER_MLFLOW:.0f}" if bars else "",
            not bars or over >= LEAST_OVER_MLFLOW,
        )
    of_bare = rate["ours"] / rate["bare"]
    yield Row(
        f"{name}: of bare FastAPI",
        f"{rate['ours']:,.0f}/s",
        limit=f"{rate['bare']:,.0f}/s",
        ratio=of_bare,
        bar=f">= {LEAST_OF_BARE}" if bars else "",
        passed=not bars or of_bare >= LEAST_OF_BARE,
    )
    of_bytes = rate["ours"] / rate["bytes"]
    yield Row(f"{name}: of ready bytes", f"{rate['ours']:,.0f}/s", limit=f"{rate['bytes']:,.0f}/s", ratio=of_bytes)
    is_alone = name.endswith(" 1 at once")
    bar = f"p99 < {MOST_P99_MS:.0f} ms" if is_alone else "no error"
    passed = errors == 0 and (not is_alone or p99 < MOST_P99_MS)
    bare_p99 = statistics.median(load.p99_ms for load in found["bare"])
    yield Row(f"{name}: times", times, limit=f"p99 {bare_p99:.1f} ms", bar=bar, passed=passed)


def steady_calls(home: Path, options: Options) -> Iterator[Row]:
    """Calls at a fixed pace, whatever the answers do."""
    from benchmarks.serving_load import steady
    from benchmarks.serving_stand import memory_mb, ours, settings_for, stand_up

    workspace = stand_up(home / "steady")
    paths = _lead_paths(workspace)
    with ours(settings_for(home / "steady", cached_scores=0, scores_ahead=0), workspace) as (url, _, pid):
        steady(url, paths, per_second=100, seconds=3)
        before = memory_mb(pid)
        load = steady(url, paths, per_second=CALLS_PER_MINUTE / 60, seconds=options.steady_seconds)
        grown = memory_mb(pid) - before
    passed = load.errors == 0 and load.mean_ms < MOST_MEAN_MS and load.rps > 0.98 * CALLS_PER_MINUTE / 60
    yield Row(
        f"{CALLS_PER_MINUTE:,} calls a minute for {options.steady_seconds:.0f} s",
        f"{60 * load.rps:,.0f}/min, mean {load.mean_ms:.1f} ms, p99 {load.p99_ms:.1f} ms, {load.errors} errors",
        ratio=load.mean_ms / MOST_MEAN_MS,
        bar=f"mean < {MOST_MEAN_MS:.0f} ms, no error",
        passed=passed,
    )
    yield Row("its memory meanwhile", f"{grown:+.0f} MB")


def batch(home: Path, options: Options) -> Iterator[Row]:  # noqa: ARG001
    """One request for ten thousand leads, with reasons: computed, and as the service is started."""
    from benchmarks.serving_stand import one_row, ours, settings_for, stand_up, widen
    from serving.aliases import AliasReader
    from training.scorer import Scorer

    workspace = stand_up(home / "batch")
    settings = settings_for(home / "batch", timeout_s=120.0)
    ids = widen(workspace, settings, BATCH)
    champion = AliasReader(settings).find(workspace.model_name("lead"))
    if champion is None:
        raise SystemExit("There is no lead model. Next: make demo")
    _, columns = one_row(champion.bundle)
    scorer = Scorer.load(champion.bundle)
    many = {name: values * BATCH for name, values in columns.items()}
    began = time.perf_counter()
    scorer.probability(scorer.encode(many))
    alone = BATCH / (time.perf_counter() - began)
    with ours(settings_for(home / "batch", timeout_s=120.0, cached_scores=0, scores_ahead=0), workspace) as (url, _, _):
        rate = _batches(url, ids)
        yield Row(
            f"batch of {BATCH:,}, computed", f"{rate:,.0f} rows/s", limit=f"{alone:,.0f} rows/s", ratio=rate / alone
        )
    with ours(settings, workspace) as (url, _, _):
        _until_made_ahead(url, [f"/api/v1/leads/{identifier}/score" for identifier in ids])
        rate = _batches(url, ids)
        yield Row(f"batch of {BATCH:,}, by id", f"{rate:,.0f} rows/s", limit=f"{alone:,.0f} rows/s", ratio=rate / alone)


def _batches(url: str, ids: list[str]) -> float:
    """Rows a second of one request for all ids, the median of three."""
    import httpx

    rates = []
    for _ in range(3):
        began = time.perf_counter()
        answer = httpx.post(f"{url}/api/v1/leads/scores/batch", json={"ids": ids}, timeout=120)
        answer.raise_for_status()
        rates.append(len(ids) / (time.perf_counter() - began))
        if len(answer.json()["scores"]) != len(ids):
            raise SystemExit("The batch is not whole")
    return statistics.median(rates)


def job(home: Path, options: Options) -> Iterator[Row]:
    """A file of leads as a job, with reasons, the prediction log and the result fetched."""
    import httpx
    import psutil

    from benchmarks.serving_stand import ours, settings_for, stand_up, widen
    from serving.client import Client

    workspace = stand_up(home / "job")
    settings = settings_for(home / "job")
    ids = widen(workspace, settings, options.job_rows)
    file, target = home / "ids.csv", home / "scores.parquet"
    file.write_text("lead_id\n" + "\n".join(ids) + "\n")
    peak = 0.0
    with ours(settings, workspace) as (url, _, pid), Client(url, timeout_s=120) as client:
        began = time.perf_counter()
        with file.open("rb") as body:
            told = httpx.post(
                f"{url}/api/v1/jobs?task=lead", content=body, headers={"Content-Type": "text/csv"}, timeout=120
            )
        told.raise_for_status()
        state = told.json()
        while state["status"] in ("waiting", "running"):
            time.sleep(0.5)
            used = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            peak = max(peak, sum(each.memory_info().rss for each in used) / 2**30)
            state = httpx.get(f"{url}/api/v1/jobs/{state['job_id']}", timeout=30).json()
        if state["status"] != "done" or state["rows_done"] != options.job_rows or state["not_found"]:
            raise SystemExit(f"The job did not end well: {state}")
        with (
            client._http.stream("GET", f"/api/v1/jobs/{state['job_id']}/result") as answer,
            target.open("wb") as result,
        ):
            for piece in answer.iter_bytes():
                result.write(piece)
        seconds = time.perf_counter() - began
    allowed = MOST_JOB_SECONDS * options.job_rows / JOB_ROWS
    yield Row(
        f"job of {options.job_rows:,} with reasons",
        f"{seconds:.0f} s ({options.job_rows / seconds:,.0f} rows/s), {target.stat().st_size / 2**20:.0f} MB",
        ratio=seconds / allowed,
        bar=f"<= {allowed:.0f} s",
        passed=seconds <= allowed,
    )
    yield Row(
        "its memory, all processes",
        f"{peak:.2f} GB",
        ratio=peak / MOST_JOB_GB,
        bar=f"<= {MOST_JOB_GB:.0f} GB",
        passed=peak <= MOST_JOB_GB,
    )


def _rate(work: Any, *, seconds: float) -> float:
    work()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        work()
        done += 1
    return done / (time.perf_counter() - began)


def show(row: Row) -> None:
    """Print one line as soon as it is measured."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    mark = "" if row.passed else "  MISSED"
    print(f"{row.work:<40}{row.peer:>9} {row.limit:>14} {ratio:>7}  {row.bar:<24} {row.ours}{mark}", flush=True)


def main() -> int:
    parts = {"single": single, "computed": computed, "again": again, "steady": steady_calls, "batch": batch, "job": job}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about a minute: one short round, 20,000 rows as a job")
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="parts to measure")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each closed load")
    given = parser.parse_args()
    options = Options(given.seconds, 25.0, 600.0, 3, JOB_ROWS)
    if given.quick:
        options = Options(1.0, 3.0, 10.0, 1, 20_000)
    print("Load by", "wrk" if shutil.which("wrk") else "asyncio (install wrk for figures that are the services' own)")
    print(f"{'work':<40}{'mlflow':>9} {'limit':>14} {'ratio':>7}  {'bar':<24} ours")
    measured = []
    with tempfile.TemporaryDirectory(prefix="salience-serving-") as name:
        for part in given.only:
            for row in parts[part](Path(name), options):
                show(row)
                measured.append(row)
    barred = [row for row in measured if row.bar]
    missed = sum(not row.passed for row in barred)
    print(f"{'PASS' if not missed else 'FAIL'}: {len(barred) - missed} of {len(barred)} bars held")
    return 1 if given.check and missed else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and the file is named like the package it measures.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from common.telemetry import disable_telemetry

    disable_telemetry()
    sys.exit(main())
