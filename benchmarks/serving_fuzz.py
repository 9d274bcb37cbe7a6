"""A hundred thousand requests that no application would send: none may crash the services or be answered otherwise.

    python benchmarks/serving_fuzz.py [--requests N] [--seed N]

Bodies are mutated from good ones (types, depth, sizes, unicode, numbers at the edges), raw bytes, and paths with odd
ids; over 127.0.0.1, to the demo's workspace in a home of its own. Every answer has to be JSON, errors problems of RFC
9457, none a 500; and the service has to answer a good request in the end as in the beginning.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

EDGES: list[Any] = [None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 1e308, -1e308, 5e-324, 0.1]
EDGES += ["", " ", "a", "NaN", "null", "\u0000", "\ud7ff", "\U0001f600" * 20, "x" * 10_000]
EDGES += ["'; DROP TABLE leads; --", "../../etc/passwd", "${jndi:ldap://x}"]
EDGES += ["2025-01-01T00:00:00Z", "2025-01-01", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2025-02-30T00:00:00Z"]
EDGES += [[], {}, [[]], {"": {}}, [None] * 50]
LEAD = {
    "lead": {"lead_created_at": "2025-10-01T00:00:00Z", "source": "web", "employee_count": 50, "status": "new"},
    "versions": [{"lead_created_at": "2025-10-01T00:00:00Z", "event_timestamp": "2025-10-02T00:00:00Z"}],
    "events": [{"kind": "page_view", "event_timestamp": "2025-10-03T00:00:00Z"}],
}
DEAL = {
    "deal": {"opened_at": "2025-10-01T00:00:00Z", "stage": "Proposal", "amount_usd": 1e5, "close_date": "2026-02-01"},
    "activities": [{"kind": "call", "event_timestamp": "2025-10-03T00:00:00Z"}],
}
GOOD: list[tuple[str, str, Any]] = [
    ("POST", "/api/v1/leads/{id}/score", None),
    ("POST", "/api/v1/leads/{id}/score", LEAD),
    ("POST", "/api/v1/leads/scores/batch", {"ids": ["L-000001", "x"]}),
    ("GET", "/api/v1/leads/scores/batch?ids={id}", None),
    ("PUT", "/api/v1/leads/{id}/qualify", {"thresholds": {"warm": 0.1, "hot": 0.4}}),
    ("GET", "/api/v1/leads/{id}/explain", None),
    ("POST", "/api/v1/deals/{id}/score", DEAL),
    ("POST", "/api/v1/deals/probabilities/batch", {"ids": ["D-000001"]}),
    ("PUT", "/api/v1/deals/{id}/override", {"win_probability": 0.5, "justification": "because I say so"}),
    ("GET", "/api/v1/deals/at-risk?limit={id}", None),
    ("POST", "/api/v1/forecasts/revenue/generate", {"level": "company", "period": "2026Q1"}),
    ("GET", "/api/v1/forecasts/{id}", None),
    ("PUT", "/api/v1/forecasts/{id}/adjust", {"value": 1.0, "justification": "because I say so"}),
    ("POST", "/api/v1/events", [{"table": "lead_events", "row": {"lead_id": "L-1", "kind": "page_view"}}]),
    ("GET", "/api/v1/jobs/{id}", None),
    ("GET", "/api/v1/jobs/{id}/result", None),
    ("GET", "/{id}", None),
]
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE")


def mutated(value: Any, chance: random.Random, *, depth: int = 0) -> Any:
    """A value with some part of it replaced, removed, doubled or nested."""
    if chance.random() < 0.25 or depth > 6:
        return chance.choice(EDGES)
    if isinstance(value, dict):
        kept = {
            name: mutated(part, chance, depth=depth + 1) if chance.random() < 0.4 else part
            for name, part in value.items()
        }
        if kept and chance.random() < 0.2:
            kept.pop(chance.choice(list(kept)))
        if chance.random() < 0.1:
            kept[chance.choice(["", "x", "lead_id", "__proto__", "\u0000"])] = chance.choice(EDGES)
        return kept
    if isinstance(value, list):
        parts = [mutated(part, chance, depth=depth + 1) for part in value]
        return parts * chance.choice([0, 1, 1, 2, 40])
    return value


def request_of(chance: random.Random) -> tuple[str, str, bytes]:
    """One request as method, target and body."""
    method, path, body = chance.choice(GOOD)
    identifier = chance.choice(["L-000005", "D-004073", *(str(edge) for edge in EDGES)])[:400]
    target = path.replace("{id}", quote(identifier, safe="", errors="replace"))
    if chance.random() < 0.1:
        method = chance.choice(METHODS)
    if body is None:
        return method, target, b"" if chance.random() < 0.9 else bytes(chance.randrange(256) for _ in range(40))
    content = json.dumps(mutated(body, chance)).encode()
    if chance.random() < 0.1:
        place = chance.randrange(len(content) + 1)
        content = content[:place] + bytes([chance.randrange(256)]) + content[place + chance.randrange(3) :]
    return method, target, content


async def send(
    port: int, requests: list[tuple[str, str, bytes]], seen: collections.Counter[int], bad: list[str]
) -> None:
    """Send requests over one connection, again where it was closed."""
    reader = writer = None
    for method, target, body in requests:
        if writer is None or writer.is_closing():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        fields = f"Host: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        writer.write(f"{method} {target} HTTP/1.1\r\n{fields}\r\n\r\n".encode("latin-1", "replace") + body)
        try:
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        except (asyncio.IncompleteReadError, ConnectionError):
            bad.append(f"{method} {target[:80]}: the connection was lost ({body[:200]!r})")
            writer = None
            continue
        status, lines = int(answer[9:12]), answer.lower().split(b"\r\n")
        told = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
        content = b""
        if method != "HEAD" and status != 204:
            content = await reader.readexactly(int(told.get(b"content-length", b"0")))
        seen[status] += 1
        if (why := wrong(method, status, told, content)) is not None:
            bad.append(f"{method} {target[:80]}: {status} {why} ({body[:200]!r})")
        if b"close" in told.get(b"connection", b""):
            writer.close()
            writer = None


def wrong(method: str, status: int, fields: dict[bytes, bytes], content: bytes) -> str | None:
    """What is wrong with an answer; None where nothing is."""
    if status == 500:
        return "a defect"
    if method == "HEAD" or status == 204:
        return None
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return "no length"
    if status >= 400 and not fields.get(b"content-type", b"").startswith(b"application/problem+json"):
        return f"no problem: {fields.get(b'content-type')!r} {content[:80]!r}"
    if b"json" in fields.get(b"content-type", b""):
        try:
            json.loads(content)
        except ValueError:
            return "no JSON"
    return None


async def fuzz(port: int, count: int, seed: int) -> tuple[collections.Counter[int], list[str]]:
    """Send `count` requests over eight connections; gives the statuses and what went wrong."""
    seen: collections.Counter[int] = collections.Counter()
    bad: list[str] = []
    parts = [
        [request_of(random.Random(seed * 1_000_003 + part * count + each)) for each in range(count // 8)]  # noqa: S311
        for part in range(8)
    ]
    await asyncio.gather(*(send(port, part, seen, bad) for part in parts))
    return seen, bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    import httpx

    from benchmarks.serving_stand import open_ids, ours, settings_for, stand_up

    with tempfile.TemporaryDirectory(prefix="salience-fuzz-") as name:
        workspace = stand_up(Path(name))
        known = open_ids(workspace, "lead")[0]
        with ours(settings_for(Path(name), timeout_s=30.0), workspace) as (url, _, _):
            first = httpx.post(f"{url}/api/v1/leads/{known}/score", timeout=30).json()
            seen, bad = asyncio.run(fuzz(int(url.rsplit(":", 1)[1]), given.requests, given.seed))
            last = httpx.post(f"{url}/api/v1/leads/{known}/score", timeout=30).json()
    same = first["conversion_probability"] == last["conversion_probability"]
    print(f"{sum(seen.values()):,} answers: " + ", ".join(f"{status}: {seen[status]:,}" for status in sorted(seen)))
    for each in bad[:20]:
        print("BAD", each)
    verdict, then = "PASS" if not bad and same else "FAIL", "as before" if same else "otherwise"
    print(f"{verdict}: {len(bad)} bad answers; afterwards a good request is answered {then}")
    return 0 if not bad and same else 1


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from common.telemetry import disable_telemetry

    disable_telemetry()
    sys.exit(main())
