"""The log of every decision about a model: append-only, each line bound to the one before, the last one sealed.

A changed, swapped or dropped line breaks the chain of hashes. Lines cut off at the end break no chain, so the number
and the hash of a model's newest line are also kept as a tag of the registered model (its seal): a log that does not
hold the sealed line any more was shortened.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from common.errors import ContractError, shorten
from training.gate.verdict import Check

PROMOTIONS_FILE = "promotions.jsonl"
_GENESIS = "0" * 64

GATE, BY_HAND, ROLLBACK, NOT_MOVED = "gate", "by hand", "rollback", "not moved"
"""What a decision came from: the gate, a person, a person who put the old one back, or a move that failed."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the gate said, or a person did.

    Args:
        name: Registered model.
        version: Version in question.
        promoted: Whether it became champion.
        reason: Why, in a sentence.
        champion_before: Version that was champion; None where there was none, or it is not known.
        evidence: Figures behind the reason.
        who: Who asked.
        at: When, ISO 8601 UTC.
        kind: `gate`, `by hand`, `rollback`, or `not moved` where the alias of a promoted version could not be moved.
        checks: What the gate looked at, one by one.
    """

    name: str
    version: str
    promoted: bool
    reason: str
    champion_before: str | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    who: str = ""
    at: str = ""
    kind: str = GATE
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Seal:
    """The newest line about a model: its number in the log, and its hash."""

    sequence: int
    digest: str


class PromotionLog:
    """Append-only log of decisions; each line carries the hash of the one before, so that a changed line shows.

    Args:
        path: The file; made on the first decision.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, decision: Decision) -> Seal:
        """Add a decision, and give back its seal. Two processes may do so at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            lines = _whole_lines(file)
            previous = json.loads(lines[-1])["hash"] if lines else _GENESIS
            entry = {"sequence": len(lines) + 1, **asdict(decision), "previous_hash": previous}
            digest = _digest(entry)
            file.write(json.dumps({**entry, "hash": digest}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return Seal(len(lines) + 1, digest)

    def entries(self) -> list[dict[str, Any]]:
        """All decisions, oldest first.

        Raises:
            ContractError: naming the first line that was changed, added or taken away.
        """
        if not self.path.is_file():
            return []
        found: list[dict[str, Any]] = []
        previous = _GENESIS
        text = self.path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(_without_torn(text.splitlines(), text), start=1):
            entry = _parse(line)
            body = {name: value for name, value in entry.items() if name != "hash"}
            intact = body.get("sequence") == number and body.get("previous_hash") == previous
            if not intact or entry.get("hash") != _digest(body):
                raise ContractError(
                    f"Line {number} of the promotion log {self.path} was changed after it was written",
                    expected="each line to carry the hash of its content and of the line before",
                    next_step="restore the file from a backup; do not trust its history until then",
                )
            found.append(entry)
            previous = str(entry["hash"])
        return found

    def checked(self, seals: Mapping[str, Seal]) -> list[dict[str, Any]]:
        """All decisions, oldest first, after a look at whether the log still ends where the registry says.

        Args:
            seals: The newest line about each model, as the registry keeps it.

        Raises:
            ContractError: if a line was changed, or lines are missing at the end.
        """
        entries = self.entries()
        digests = {entry["sequence"]: entry["hash"] for entry in entries}
        lost = {name: seal for name, seal in seals.items() if digests.get(seal.sequence) != seal.digest}
        if lost:
            newest = max(seal.sequence for seal in lost.values())
            raise ContractError(
                f"The promotion log {self.path} was cut short or replaced: the registry knows decisions about "
                f"{shorten(sorted(lost))} that it does not hold",
                expected=f"line {newest} with the hash that the registry keeps",
                got=f"{len(entries)} lines",
                next_step="restore the file from a backup; do not trust its history until then",
            )
        return entries


def reigns(entries: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Champions of a model that the log says were put in place and not taken back, oldest first; the last one rules."""
    stack: list[str] = []
    before: list[str] = []
    for entry in entries:
        if entry["name"] != name:
            continue
        kind, version = entry.get("kind", GATE), str(entry["version"])
        if kind == NOT_MOVED:
            stack = before
            continue
        if not entry["promoted"]:
            continue
        before = stack
        if kind == ROLLBACK and version in stack:
            stack = stack[: len(stack) - stack[::-1].index(version)]
        else:
            stack = [*stack, version]
    return stack


def _whole_lines(file: IO[bytes]) -> list[bytes]:
    """The log's lines; what a killed process left of a last one is cut off.

    Such a decision had no effect yet: the alias moves only after its line is written whole.
    """
    file.seek(0)
    content = file.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        file.truncate(whole)
    return content[:whole].splitlines()


def _without_torn(lines: list[str], text: str) -> list[str]:
    is_torn = bool(lines) and not text.endswith("\n") and not _parse(lines[-1])
    return lines[:-1] if is_torn else lines


def _parse(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _digest(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
