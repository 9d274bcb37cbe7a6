"""What people decided instead of a model: an append-only record in which each line carries the hash of the one before.

A decision never goes away: another one takes its place, or takes it back. The database refuses changes and deletions,
and `broken_at` finds a line that was changed behind its back.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.errors import SalienceError, UnavailableError
from common.workspace import Workspace

_WAIT_SECONDS = 5.0
_COLUMNS = (
    "number",
    "at",
    "task",
    "entity_id",
    "value",
    "justification",
    "caller",
    "role",
    "request_id",
    "idempotency_key",
    "body_hash",
    "model_said",
    "before",
)
_SETUP = f"""
CREATE TABLE IF NOT EXISTS decisions ({", ".join(_COLUMNS)}, hash TEXT NOT NULL, PRIMARY KEY (number));
CREATE UNIQUE INDEX IF NOT EXISTS once ON decisions (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TRIGGER IF NOT EXISTS no_change BEFORE UPDATE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are never changed'); END;
CREATE TRIGGER IF NOT EXISTS no_deletion BEFORE DELETE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are never deleted'); END;
"""


class ReplayError(SalienceError):
    """A request was used again for something else."""

    http_status = 409
    title = "Conflict"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision.

    Args:
        number: Its place in the record, from 1.
        at: When, UTC.
        task: `lead`, `deal` or `forecast`.
        entity_id: What it is about.
        value: What holds instead of what the model says; None: the model's word holds again.
        justification: Why.
        caller: Who decided.
        is_replay: Whether this very request was made, and recorded, before.
    """

    number: int
    at: datetime
    task: str
    entity_id: str
    value: str | float | None
    justification: str
    caller: str
    is_replay: bool = False

    def as_override(self) -> dict[str, Any] | None:
        """What answers say about it; None where the model's word holds."""
        if self.value is None:
            return None
        return {"value": self.value, "justification": self.justification, "by": self.caller, "at": self.at}


class DecisionRecord:
    """The decisions of a workspace; safe to use from any thread, and by several processes.

    Args:
        workspace: Whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.path: Path = workspace.root / "serving" / "decisions.db"
        self._held: dict[tuple[str, str], dict[str, Any]] = {}
        self._seen = 0
        self._lock = threading.Lock()

    def override_of(self, task: str, entity_id: str) -> Mapping[str, Any] | None:
        """What holds instead of the model's word, as far as this process knows; others' decisions come by `refresh`."""
        return self._held.get((task, entity_id))

    def held(self, task: str) -> dict[str, Mapping[str, Any]]:
        """All that holds instead of the model's word, by what it is about, as far as this process knows."""
        with self._lock:
            return {entity_id: found for (of, entity_id), found in self._held.items() if of == task}

    def refresh(self) -> None:
        """Read what other processes recorded.

        Raises:
            UnavailableError: if the record cannot be read.
        """
        if self.path.is_file():
            with self._lock, self._connection() as connection:
                self._take(connection)

    def decide(
        self,
        task: str,
        entity_id: str,
        *,
        value: str | float | None,
        justification: str,
        caller: str,
        role: str,
        request_id: str,
        model_said: Mapping[str, Any],
        idempotency_key: str | None = None,
    ) -> Decision:
        """Record a decision; it holds from now on, and is on the disk when this returns.

        Args:
            task: `lead`, `deal` or `forecast`.
            entity_id: What it is about.
            value: What holds instead; None takes the decision before back.
            justification: Why.
            caller: Who decides.
            role: In which role.
            request_id: Id of the request.
            model_said: What the model said, and which one.
            idempotency_key: The client's name for this request; sent again, it changes nothing.

        Raises:
            ReplayError: if the name was used for another decision or by somebody else.
            UnavailableError: if the record cannot be written.
        """
        body = json.dumps([task, entity_id, value, justification, caller], ensure_ascii=False)
        digest = hashlib.sha256(body.encode()).hexdigest()
        with self._lock, self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                known = self._known(connection, idempotency_key, digest)
                if known is None:
                    last = connection.execute("SELECT number, hash FROM decisions ORDER BY number DESC LIMIT 1")
                    number, before = last.fetchone() or (0, "")
                    row = (
                        number + 1,
                        datetime.now(UTC).isoformat(),
                        task,
                        entity_id,
                        json.dumps(value),
                        justification,
                        caller,
                        role,
                        request_id,
                        idempotency_key,
                        digest,
                        json.dumps(model_said, default=str),
                        before,
                    )
                    places = ",".join("?" * (len(row) + 1))
                    connection.execute(f"INSERT INTO decisions VALUES ({places})", (*row, _hash(row)))  # noqa: S608
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            self._take(connection)
            return known or _decision(row)

    def all(self) -> list[dict[str, Any]]:
        """Every decision ever made, oldest first."""
        if not self.path.is_file():
            return []
        with self._connection() as connection:
            return [dict(zip(_COLUMNS, row, strict=False)) for row in connection.execute(_ALL)]

    def broken_at(self) -> int | None:
        """Number of the first line whose hash does not fit; None where all do."""
        if not self.path.is_file():
            return None
        before = ""
        with self._connection() as connection:
            for *row, kept in connection.execute(_ALL):
                if row[-1] != before or _hash(tuple(row)) != kept:
                    return int(row[0])
                before = kept
        return None

    def _known(self, connection: sqlite3.Connection, key: str | None, digest: str) -> Decision | None:
        if key is None:
            return None
        found = connection.execute("SELECT * FROM decisions WHERE idempotency_key = ?", (key,)).fetchone()
        if found is None:
            return None
        if found[_COLUMNS.index("body_hash")] != digest:
            raise ReplayError(
                "This Idempotency-Key was used for another decision",
                expected="a new key for a new decision",
                next_step="send a fresh Idempotency-Key",
            )
        return _decision(found, is_replay=True)

    def _take(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT * FROM decisions WHERE number > ? ORDER BY number", (self._seen,)).fetchall()
        for row in rows:
            decision = _decision(row)
            override = decision.as_override()
            if override is None:
                self._held.pop((decision.task, decision.entity_id), None)
            else:
                self._held[decision.task, decision.entity_id] = override
            self._seen = decision.number

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_SETUP)
            yield connection
        except (sqlite3.OperationalError, OSError) as error:
            raise UnavailableError(
                f"The record of decisions cannot be used: {error}", next_step="make room on the disk of the workspace"
            ) from error
        finally:
            if connection is not None:
                connection.close()


_ALL = "SELECT * FROM decisions ORDER BY number"


def _hash(row: tuple[Any, ...]) -> str:
    return hashlib.sha256(json.dumps(row, ensure_ascii=False).encode()).hexdigest()


def _decision(row: tuple[Any, ...], *, is_replay: bool = False) -> Decision:
    named = dict(zip(_COLUMNS, row, strict=False))
    return Decision(
        number=named["number"],
        at=datetime.fromisoformat(named["at"]),
        task=named["task"],
        entity_id=named["entity_id"],
        value=json.loads(named["value"]),
        justification=named["justification"],
        caller=named["caller"],
        is_replay=is_replay,
    )
