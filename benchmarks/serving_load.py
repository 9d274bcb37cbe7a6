"""Load for benchmarks/serving.py: wrk where it is installed (closed loop), and requests at a steady pace (open)."""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_SCALE = {"us": 0.001, "ms": 1.0, "s": 1_000.0, "m": 60_000.0}
_SCRIPT = """
local paths = {}
for line in io.lines("%s") do paths[#paths + 1] = line end
local place = 0
wrk.body = %s
wrk.headers["Content-Type"] = "application/json"
request = function()
  place = place %% #paths + 1
  return wrk.format("POST", paths[place])
end
"""


@dataclass
class Load:
    """What a load met.

    Args:
        requests: Requests answered.
        seconds: How long it lasted.
        p50_ms: Median time of an answer.
        p99_ms: 99th percentile.
        mean_ms: Mean.
        errors: Answers other than 2xx, and lost connections.
        statuses: Answers by status, where known.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    mean_ms: float
    errors: int
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rps(self) -> float:
        """Good answers a second."""
        return max(0, self.requests - self.errors) / self.seconds


def closed_loop(url: str, paths: list[str], *, connections: int, seconds: float, body: str = "") -> Load:
    """Each connection asks again as soon as it is answered: wrk, or asyncio where wrk is not installed.

    Args:
        url: Base address.
        paths: Paths to ask in turn.
        connections: How many at once.
        seconds: How long.
        body: JSON body of every request.
    """
    if shutil.which("wrk") is None:
        return asyncio.run(_ask(url, paths, connections=connections, seconds=seconds, body=body, per_second=None))
    with tempfile.TemporaryDirectory() as name:
        listed, script = Path(name, "paths"), Path(name, "ask.lua")
        listed.write_text("\n".join(paths))
        quoted = "nil" if not body else "[==[" + body + "]==]"
        script.write_text(_SCRIPT % (listed, quoted))
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            "-s",
            str(script),
            url,
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return _read_wrk(said)


def steady(url: str, paths: list[str], *, per_second: float, seconds: float, connections: int = 32) -> Load:
    """Requests at fixed moments, whatever the answers do; times count from the moment a request was due."""
    return asyncio.run(_ask(url, paths, connections=connections, seconds=seconds, body="", per_second=per_second))


def _read_wrk(said: str) -> Load:
    def time_of(pattern: str) -> float:
        found = re.search(pattern + r"\s+([\d.]+)(us|ms|s|m)\b", said)
        return float(found[1]) * _SCALE[found[2]] if found else float("nan")

    counted = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", said)
    if counted is None:
        raise SystemExit(f"wrk said nothing that can be read:\n{said}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    errors = int(bad[1]) if bad else 0
    # A timeout of wrk's is an answer after two seconds, not a lost one; it shows in the percentiles.
    errors += sum(int(lost[place]) for place in (1, 2, 3)) if lost else 0
    return Load(
        requests=int(counted[1]),
        seconds=float(counted[2]) * _SCALE[counted[3]] / 1_000.0,
        p50_ms=time_of("50%"),
        p99_ms=time_of("99%"),
        mean_ms=time_of("Latency"),
        errors=errors,
    )


async def _ask(
    url: str, paths: list[str], *, connections: int, seconds: float, body: str, per_second: float | None
) -> Load:
    host, port = urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 80
    times: list[float] = []
    statuses: dict[int, int] = {}
    lost = 0
    began = time.perf_counter()
    total = None if per_second is None else int(per_second * seconds)
    number = 0

    async def worker() -> None:
        nonlocal number, lost
        reader, writer = await asyncio.open_connection(host, port)
        while True:
            mine, number = number, number + 1
            now = time.perf_counter()
            if (mine >= total) if total is not None else (now - began >= seconds):
                break
            due = now
            if per_second is not None:
                due = began + mine / per_second
                if due > now:
                    await asyncio.sleep(due - now)
            try:
                status = await _one(reader, writer, host, paths[mine % len(paths)], body)
                statuses[status] = statuses.get(status, 0) + 1
            except (OSError, asyncio.IncompleteReadError):
                lost += 1
                writer.close()
                reader, writer = await asyncio.open_connection(host, port)
            times.append(1_000.0 * (time.perf_counter() - due))
        writer.close()

    await asyncio.gather(*(worker() for _ in range(connections)))
    times.sort()
    good = sum(count for status, count in statuses.items() if status < 400)
    return Load(
        requests=len(times),
        seconds=time.perf_counter() - began,
        p50_ms=times[len(times) // 2],
        p99_ms=times[min(len(times) - 1, int(len(times) * 0.99))],
        mean_ms=statistics.fmean(times),
        errors=len(times) - good,
        statuses=statuses,
    )


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, path: str, body: str) -> int:
    content = body.encode()
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    if length is not None:
        await reader.readexactly(int(length[1]))
    if b"connection: close" in head.lower():
        raise ConnectionResetError
    return int(head[9:12])
