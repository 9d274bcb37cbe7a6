"""Packed rows in SQLite: one table per view, ordered by key; many readers beside one writer."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import repeat
from pathlib import Path

from common.errors import UnavailableError
from features.online_store_layout import ALONE, BODY, Layout, PackedRows, flagged_alone
from features.online_store_rows import LAYOUT_KEY, STATE_KEY, Found, ViewState, not_materialized

_WAIT_SECONDS = 30.0
_PARAMETERS = 500
"""Keys per statement: below SQLite's oldest limit of parameters."""
_FIRST_ENTITY = b"="
_TIMELESS = 2**62
"""as_of of the reserved rows."""
_MAKE_COUNT = (
    'CREATE TABLE IF NOT EXISTS "!changes" (one INTEGER PRIMARY KEY, file BLOB NOT NULL, number INTEGER NOT NULL)'
)
"""Views' tables have a slash in their names."""
_COUNT_CHANGE = """INSERT INTO "!changes" VALUES (1, randomblob(8), 1)
    ON CONFLICT (one) DO UPDATE SET number = number + 1"""


class SqliteRows:
    """`RowStore` in a SQLite file in WAL mode: each thread reads through its own read-only connection.

    Args:
        path: The file; it is made by the first write.
        project: Only rows of this project are seen.
    """

    def __init__(self, path: Path, *, project: str) -> None:
        self.path = path
        self.project = project
        self._threads = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._turn = threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._generation = 0

    def prepare(self, view: str) -> None:
        """Make the view's table."""
        with self._transaction() as connection:
            self._prepare(connection, view)

    def drop(self, view: str) -> None:
        """Drop the view's table."""
        with self._transaction() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {self._table(view)}")
            connection.execute(_COUNT_CHANGE)

    def read(self, asked: Sequence[tuple[str, Sequence[bytes]]]) -> list[Found]:
        """Rows of several (view, keys); a view's rows and state are of one instant."""
        connection = self._reader()
        return [self._read(connection, view, keys) for view, keys in asked]

    def version(self) -> str | None:
        """What the file's own count of changes says: the same in every process until anybody writes anything."""
        connection, threads = self._reader(), self._threads
        # SQLite tells for nothing whether others have committed since; the count is read only then.
        seen = connection.execute("PRAGMA data_version").fetchone()[0]
        if threads.seen != seen:
            threads.version, threads.seen = _version(connection), seen
        version: str | None = threads.version
        return version

    def layout(self, view: str, identifier: bytes) -> Layout:
        """A layout that rows of the view were packed by."""
        found = self._read(self._reader(), view, [LAYOUT_KEY + identifier]).rows
        if not found:
            raise not_materialized(view)
        return Layout.from_json(next(iter(found.values())))

    def put(self, view: str, layout: Layout, packed: PackedRows, *, only_changed: bool) -> int:
        """Store rows in one transaction, unless a newer one is there."""
        differs = f"AND (substr(t.row, {BODY + 1}) <> substr(excluded.row, {BODY + 1}) OR {_IS_ALONE})"
        with self._transaction() as connection:
            self._prepare(connection, view)
            newest = self._state(connection, view).newest
            rows = packed.rows
            if min(packed.as_of, default=newest) < newest:
                pairs = zip(packed.rows, packed.as_of, strict=True)
                rows = [flagged_alone(row) if as_of < newest else row for row, as_of in pairs]
            self._reserve(connection, view, LAYOUT_KEY + layout.id, layout.to_json().encode())
            before = connection.total_changes
            connection.executemany(
                f"""INSERT INTO {self._table(view)} AS t VALUES (?, ?, ?, ?)
                ON CONFLICT (entity_key) DO UPDATE
                SET as_of = excluded.as_of, created = excluded.created, row = excluded.row
                WHERE (excluded.as_of, excluded.created) >= (t.as_of, t.created)
                AND (excluded.as_of >= {newest} OR {_IS_ALONE}) {differs if only_changed else ""}""",  # noqa: S608
                zip(packed.keys, packed.as_of, packed.created, rows, strict=True),
            )
            return connection.total_changes - before

    def count(self, view: str) -> int:
        """Number of entities the view holds."""
        query = f"SELECT count(*) FROM {self._table(view)} WHERE entity_key >= ?"  # noqa: S608 - quoted
        with self._transaction() as connection:
            self._prepare(connection, view)
            return int(connection.execute(query, [_FIRST_ENTITY]).fetchone()[0])

    def strays(self, view: str, keys: Collection[bytes]) -> list[bytes]:
        """Keys the view holds that are not in `keys`."""
        known = set(keys)
        query = f"SELECT entity_key FROM {self._table(view)} WHERE entity_key >= ?"  # noqa: S608 - quoted
        return [key for (key,) in self._reader().execute(query, [_FIRST_ENTITY]) if key not in known]

    def remove(self, view: str, keys: Sequence[bytes], *, as_of: int) -> int:
        """Delete rows that are not newer than `as_of`, in one transaction."""
        query = f"DELETE FROM {self._table(view)} WHERE entity_key = ? AND as_of <= ?"  # noqa: S608 - quoted
        with self._transaction() as connection:
            before = connection.total_changes
            connection.executemany(query, zip(keys, repeat(as_of)))
            return connection.total_changes - before

    def state(self, view: str) -> ViewState:
        """How far the view has been materialized."""
        with self._transaction() as connection:
            self._prepare(connection, view)
            return self._state(connection, view)

    def mark(self, view: str, state: ViewState) -> None:
        """Record how far the view has been materialized."""
        with self._transaction() as connection:
            self._prepare(connection, view)
            self._reserve(connection, view, STATE_KEY, state.to_bytes())

    def close(self) -> None:
        """Close all connections, of other threads too; the next use opens new ones."""
        with self._turn:
            for connection in [*self._readers, *([self._writer] if self._writer else [])]:
                connection.close()
            self._readers.clear()
            self._writer = None
            self._generation += 1

    def _read(self, connection: sqlite3.Connection, view: str, keys: Sequence[bytes]) -> Found:
        # The state comes first, so that it is of the rows' own instant or of an earlier one, never of a later.
        wanted = [STATE_KEY, *keys]
        rows: dict[bytes, bytes] = {}
        for start in range(0, len(wanted), _PARAMETERS):
            part = wanted[start : start + _PARAMETERS]
            try:
                rows.update(connection.execute(_select(self._table(view), len(part)), part))
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    raise not_materialized(view) from error
                raise
        return Found(ViewState.from_bytes(rows.pop(STATE_KEY, None)), rows)

    def _reader(self) -> sqlite3.Connection:
        """This thread's own connection."""
        if getattr(self._threads, "generation", None) != self._generation:
            if not self.path.is_file():
                raise UnavailableError(
                    f"There is no online store at {self.path}", next_step="run: salience features materialize"
                )
            connection = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode=ro",
                uri=True,
                timeout=_WAIT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute(f"PRAGMA mmap_size = {2**30}")
            with self._turn:
                self._readers.append(connection)
                self._threads.connection, self._threads.generation = connection, self._generation
                self._threads.seen = None
        opened: sqlite3.Connection = self._threads.connection
        return opened

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time, among threads here and among processes by SQLite's own lock."""
        with self._turn:
            if self._writer is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._writer = sqlite3.connect(
                    self.path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
                )
                self._writer.execute("PRAGMA journal_mode = WAL")
                self._writer.execute("PRAGMA synchronous = NORMAL")
                self._writer.execute("PRAGMA cache_size = -65536")
                self._writer.execute(_MAKE_COUNT)
            self._writer.execute("BEGIN IMMEDIATE")
            before = self._writer.total_changes
            try:
                yield self._writer
                if self._writer.total_changes != before:
                    self._writer.execute(_COUNT_CHANGE)
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def _prepare(self, connection: sqlite3.Connection, view: str) -> None:
        connection.execute(
            f"""CREATE TABLE IF NOT EXISTS {self._table(view)} (entity_key BLOB PRIMARY KEY, as_of INTEGER NOT NULL,
            created INTEGER NOT NULL, row BLOB NOT NULL) WITHOUT ROWID"""
        )

    def _state(self, connection: sqlite3.Connection, view: str) -> ViewState:
        query = f"SELECT row FROM {self._table(view)} WHERE entity_key = ?"  # noqa: S608 - quoted
        found = connection.execute(query, [STATE_KEY]).fetchone()
        return ViewState.from_bytes(found[0] if found else None)

    def _reserve(self, connection: sqlite3.Connection, view: str, key: bytes, content: bytes) -> None:
        query = f"INSERT OR REPLACE INTO {self._table(view)} VALUES (?, ?, ?, ?)"  # noqa: S608 - quoted
        connection.execute(query, [key, _TIMELESS, _TIMELESS, content])

    def _table(self, view: str) -> str:
        name = f"{self.project}/{view}".replace('"', '""')
        return f'"{name}"'


def _version(connection: sqlite3.Connection) -> str | None:
    """The file's own name, drawn when it was made, and its count; None for a file that keeps no count yet."""
    try:
        found = connection.execute('SELECT file, number FROM "!changes"').fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return None if found is None else f"{found[0].hex()}-{found[1]}"


_IS_ALONE = f"substr(t.row, 2, 1) = x'{ALONE:02x}'"


@lru_cache(maxsize=1_000)
def _select(table: str, keys: int) -> str:
    return f"SELECT entity_key, row FROM {table} WHERE entity_key IN ({','.join('?' * keys)})"  # noqa: S608 - quoted
