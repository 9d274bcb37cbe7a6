"""The queue between applications that push events and the worker that turns them into fresh features.

The embedded queue is one SQLite file. What `push` has returned from is on disk; what was read is given again after a
crash until it is acknowledged. Another broker takes its place behind the same four methods.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

REDELIVERY_DAYS = 7
"""How long the queue remembers an event whose time of knowledge it had to fill in itself."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, row TEXT NOT NULL, received_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS delivered (digest BLOB PRIMARY KEY, received_at REAL NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class StreamEvent:
    """A row on its way into a canonical table.

    Args:
        table: The table.
        row: Its columns, times as text in ISO 8601.
        digest: Identity of what the sender sent, where it alone can tell a second delivery; else None.
    """

    table: str
    row: Mapping[str, Any]
    digest: bytes | None = None


@dataclass(frozen=True)
class QueuedEvent:
    """An event as the queue holds it.

    Args:
        position: Place in the queue, rising.
        table: Canonical table.
        row: Its columns.
        received_at: When it was pushed, seconds since 1970, wall clock.
    """

    position: int
    table: str
    row: dict[str, Any]
    received_at: float


class EventQueue(Protocol):
    """What the stream needs of a queue."""

    def push(self, events: Sequence[StreamEvent]) -> int:
        """Keep events durably; returns how many are new."""
        ...

    def read(self, after: int, limit: int) -> list[QueuedEvent]:
        """The next events behind a position, in order."""
        ...

    def acknowledge(self, position: int) -> None:
        """Let go of everything up to a position."""
        ...

    def depth(self) -> int:
        """Events that are not acknowledged."""
        ...


class SqliteQueue:
    """A queue in one SQLite file, for several processes that push and one that reads.

    Args:
        path: The file; it is made when first used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = threading.local()

    def push(self, events: Sequence[StreamEvent]) -> int:
        """Keep events durably, all or none; returns how many are new.

        An event with a digest that was delivered in the last days is passed over.
        """
        now = datetime.now(UTC).timestamp()
        with self._transaction() as connection:
            fresh = [event for event in events if event.digest is None or _note(connection, event.digest, now)]
            rows = [(event.table, json.dumps(event.row, separators=(",", ":")), now) for event in fresh]
            connection.executemany("INSERT INTO events (target, row, received_at) VALUES (?, ?, ?)", rows)
        return len(fresh)

    def read(self, after: int, limit: int) -> list[QueuedEvent]:
        """At most `limit` events behind the position `after`, in order."""
        if not self.path.exists():
            return []
        query = "SELECT position, target, row, received_at FROM events WHERE position > ? ORDER BY position LIMIT ?"
        found = self._connection().execute(query, (after, limit)).fetchall()
        return [QueuedEvent(place, table, json.loads(row), at) for place, table, row, at in found]

    def acknowledge(self, position: int) -> None:
        """Delete everything up to `position`: it is in the warehouse."""
        if not self.path.exists():
            return
        forgotten = (datetime.now(UTC) - timedelta(days=REDELIVERY_DAYS)).timestamp()
        with self._transaction() as connection:
            connection.execute("DELETE FROM events WHERE position <= ?", (position,))
            connection.execute("DELETE FROM delivered WHERE received_at < ?", (forgotten,))

    def depth(self) -> int:
        """Events that are not acknowledged yet."""
        if not self.path.exists():
            return 0
        # Positions have no gaps but at the front, so that nothing need be counted.
        bounds = self._connection().execute("SELECT min(position), max(position) FROM events").fetchall()[0]
        return 0 if bounds[0] is None else int(bounds[1] - bounds[0] + 1)

    def close(self) -> None:
        """Close this thread's connection."""
        if hasattr(self._threads, "connection"):
            self._threads.connection.close()
            del self._threads.connection

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection: write-ahead log, and on disk before a commit returns."""
        if not hasattr(self._threads, "connection"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            # Rows about people do not stay behind in freed pages.
            for setting in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                with closing(connection.execute(f"PRAGMA {setting}")) as answer:
                    answer.fetchall()
            connection.executescript(_SCHEMA)
            self._threads.connection = connection
        opened: sqlite3.Connection = self._threads.connection
        return opened

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _note(connection: sqlite3.Connection, digest: bytes, now: float) -> bool:
    """Note a delivery; says whether it is the first."""
    noted = connection.execute("INSERT OR IGNORE INTO delivered VALUES (?, ?)", (digest, now))
    return noted.rowcount == 1
