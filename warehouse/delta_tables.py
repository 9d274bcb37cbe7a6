"""One append-only Delta table: every row is there once, a commit is all or nothing, and writers take turns.

Statistics in Delta's log cover the two times alone: they let a reader skip files, and no value of a person ever stands
in the log, which outlives the rows (see forgetting.py).
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UnavailableError
from common.locks import exclusive
from warehouse.contracts import TIME_COLUMNS, Contract
from warehouse.delta_files import files_between, small_files, statistics, write_parquet
from warehouse.views import all_columns, create_view, first_row, literal, open_connection, parquet_relation, quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable
    from duckdb import DuckDBPyConnection

_LOG = logging.getLogger(__name__)
_COMMIT_KEY = "salience"
_COMMIT_TRIES = 5
_LOCK_SECONDS = 600.0
_CONTENT_MODULUS = 2**127
"""Sums of row hashes wrap here, inside DuckDB's 128-bit integers."""
_SMALL_FILE_BYTES = 8 * 2**20
_MANY_SMALL_FILES = 64
"""So many files below that size are written together; readers open each file once a query."""
_STATISTICS = {"delta.dataSkippingStatsColumns": ",".join(TIME_COLUMNS)}


@dataclass(frozen=True)
class Content:
    """Size and order-free digest of a table's rows."""

    rows: int
    digest: int


@dataclass(frozen=True)
class Added:
    """What an append put in: rows, and the files that hold them."""

    rows: int
    files: tuple[str, ...]


class AppendOnlyTable:
    """The Delta table of a contract in a folder.

    Args:
        path: Folder of the table; the first append makes it.
        contract: Columns and key, the source's own fields among them.
    """

    def __init__(self, path: Path, contract: Contract) -> None:
        self.path = path
        self.contract = contract

    def open(self) -> DeltaTable | None:
        """The newest version, whether it holds rows or not; None before the first append."""
        from deltalake import DeltaTable

        return DeltaTable(self.path) if self.path.is_dir() and DeltaTable.is_deltatable(str(self.path)) else None

    def opened_with_rows(self) -> DeltaTable | None:
        """The newest version, if it holds rows."""
        delta = self.open()
        return delta if delta is not None and delta.file_uris() else None

    def lock(self) -> Any:
        """Context in which no other process writes the table."""
        name = self.path.name
        return exclusive(self.path.parent / "_locks" / f"{name}.lock", what=name, wait_seconds=_LOCK_SECONDS)

    def append(self, good: pa.Table, *, origin: str) -> Added:
        """Write the rows of `good` that the table does not hold, each once, in one commit.

        Args:
            good: Rows in the contract's schema.
            origin: Where they come from, for the table's history.

        Raises:
            UnavailableError: if other writers kept winning the race for the table.
        """
        from deltalake.exceptions import DeltaError

        if good.num_rows == 0:
            return Added(0, ())
        with self.lock():
            # The lock does not reach writers on other machines, so a lost race is looked at again.
            for attempt in range(_COMMIT_TRIES):
                delta = self.open()
                fresh, digest = self._fresh(good, delta)
                if fresh.num_rows == 0:
                    return Added(0, ())
                try:
                    return Added(int(fresh.num_rows), self._write(fresh, digest, delta, origin=origin))
                except DeltaError as error:
                    if self._version() == (None if delta is None else int(delta.version())):
                        raise
                    _LOG.info("another writer was first in %s (try %d): %s", self.path.name, attempt + 1, error)
        raise UnavailableError(
            f"{self.path.name} could not be written: other writers were faster {_COMMIT_TRIES} times",
            next_step="run the same command again",
        )

    def corrected(self, added: Sequence[str], before: Sequence[str]) -> int:
        """Rows in the files `added` that say something else of what the files `before` held already.

        An event is corrected by another row of its key; a version by another row of its key and event time.
        """
        if not added or not before:
            return 0
        same = [self.contract.key, *(("event_timestamp",) if self.contract.kind == "versioned" else ())]
        names = ", ".join(quoted(name) for name in same)
        with open_connection() as connection:
            query = (
                f"SELECT count(*) FROM (SELECT {names} FROM {parquet_relation(added)})"  # noqa: S608
                f" SEMI JOIN (SELECT {names} FROM {parquet_relation(before)}) USING ({names})"
            )
            return int(first_row(connection, query)[0])

    def content(self, delta: DeltaTable) -> Content:
        """Size and digest of the rows: noted in the newest commit, or counted when that commit is not ours."""
        import duckdb

        noted = delta.history(1)[0].get(_COMMIT_KEY)
        if noted is not None:
            content = json.loads(noted)
            # DuckDB keeps its hash within a version only.
            if content.get("engine") == duckdb.__version__:
                return Content(rows=content["rows"], digest=int(content["digest"]))
        with open_connection() as connection:
            self._view(connection, delta.file_uris(), delta)
            return self._count(connection, quoted(self.contract.table))

    def compact(self) -> bool:
        """Write many small files together as few large ones; rows and content stay. Says whether it did."""
        with self.lock():
            delta = self.opened_with_rows()
            if delta is None or small_files(delta, below=_SMALL_FILE_BYTES) < _MANY_SMALL_FILES:
                return False
            properties = self._properties(self.content(delta), origin="compaction")
            delta.optimize.compact(target_size=16 * _SMALL_FILE_BYTES, commit_properties=properties)
            return True

    def replace_files(self, rewritten: Mapping[str, pa.Table], *, origin: str) -> None:
        """Put changed rows in the place of whole files, and leave no file of an older version; only `forget` may.

        Call it inside `lock()`. Nothing but the new state stays readable: time travel to before it ends here.

        Args:
            rewritten: Rows as they are to be, by the path of the file (relative to the table) that held them.
            origin: Why, for the table's history; must not name a person.
        """
        from deltalake.transaction import AddAction, RemoveAction

        delta = self.open()
        if delta is None or not rewritten:
            return
        actions: list[Any] = []
        now = round(time.time() * 1000)
        for path, rows in rewritten.items():
            actions.append(RemoveAction(path, data_change=True, deletion_timestamp=now))
            if rows.num_rows:
                name = f"{uuid.uuid4()}.zstd.parquet"
                size = write_parquet(rows, self.path / name)
                actions.append(AddAction(name, size, {}, now, True, statistics(rows)))
        content = self._content_without(delta, rewritten)
        properties = self._properties(content, origin=origin)
        delta.create_write_transaction(actions, "append", delta.schema(), commit_properties=properties)
        self.sweep()

    def sweep(self) -> None:
        """Delete every file that the newest version does not need: older versions', and those of killed writers.

        Call it inside `lock()`. A reader that is in the middle of an older version fails and must begin again.
        """
        delta = self.open()
        if delta is not None:
            delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)

    def _content_without(self, delta: DeltaTable, rewritten: Mapping[str, pa.Table]) -> Content:
        """Content once the files `rewritten` hold their new rows."""
        kept = [uri for uri in delta.file_uris() if Path(uri).name not in {Path(path).name for path in rewritten}]
        with open_connection() as connection:
            parts = []
            if kept:
                self._view(connection, kept, delta)
                parts.append(self._count(connection, quoted(self.contract.table)))
            for rows in rewritten.values():
                connection.register("rewritten", rows)
                create_view(connection, self.contract, "rewritten", rows.column_names)
                parts.append(self._count(connection, quoted(self.contract.table)))
        return Content(sum(part.rows for part in parts), sum(part.digest for part in parts) % _CONTENT_MODULUS)

    def _version(self) -> int | None:
        delta = self.open()
        return None if delta is None else int(delta.version())

    def _view(self, connection: DuckDBPyConnection, files: Sequence[str], delta: DeltaTable, where: str = "") -> None:
        present = {field.name for field in delta.schema().fields}
        create_view(connection, self.contract, parquet_relation(files) + where, present)

    def _fresh(self, good: pa.Table, delta: DeltaTable | None) -> tuple[pa.Table, int]:
        """Rows of `good` that the table does not hold, each once, in time order, and the sum of their hashes."""
        with open_connection() as connection:
            connection.register("good", good)
            # Equal rows have equal hashes, and counting those is quick.
            rows, hashes, digest, first, last = first_row(
                connection,
                f"""SELECT count(*), count(DISTINCT h), sum(h::HUGEINT), min(event_timestamp), max(event_timestamp)
                    FROM (SELECT event_timestamp, {self._hash()} AS h FROM good)""",  # noqa: S608
            )
            if rows > hashes:
                connection.execute("CREATE TABLE once AS SELECT DISTINCT * FROM good")
            distinct = "good" if rows == hashes else "once"
            relation = self._unknown(connection, distinct, delta, first, last)
            if relation == "good":
                return _in_time_order(good, self.contract), int(digest) % _CONTENT_MODULUS
            fresh = connection.sql(f"SELECT * FROM {relation}").to_arrow_table()  # noqa: S608
            digest = self._count(connection, relation).digest
        return _in_time_order(fresh, self.contract).cast(self.contract.arrow_schema), digest

    def _unknown(
        self, connection: DuckDBPyConnection, rows: str, delta: DeltaTable | None, first: datetime, last: datetime
    ) -> str:
        """Relation with the rows of `rows`, which happened from `first` to `last`, that the table lacks.

        Only a row with the same key and times can be equal, in a file whose span of time meets theirs; where there is
        none, which is the rule for new data, no other column is read.
        """
        files = files_between(delta, first, last)
        if delta is None or not files:
            return rows
        between = f" WHERE event_timestamp BETWEEN '{first.isoformat()}' AND '{last.isoformat()}'"
        self._view(connection, files, delta, between)
        table = quoted(self.contract.table)
        same = ", ".join(quoted(name) for name in (self.contract.key, *TIME_COLUMNS))
        connection.execute(f"CREATE TABLE held AS SELECT * FROM {table} SEMI JOIN {rows} USING ({same})")  # noqa: S608
        if first_row(connection, "SELECT count(*) FROM held")[0] == 0:
            return rows
        connection.execute(f"CREATE TABLE unknown_rows AS SELECT * FROM {rows} EXCEPT SELECT * FROM held")  # noqa: S608
        return "unknown_rows"

    def _count(self, connection: DuckDBPyConnection, relation: str) -> Content:
        query = f"SELECT count(*), coalesce(sum({self._hash()}::HUGEINT), 0) FROM {relation}"  # noqa: S608
        rows, digest = first_row(connection, query)
        return Content(int(rows), int(digest) % _CONTENT_MODULUS)

    def _hash(self) -> str:
        """SQL of a row's 64-bit hash; an own field that is empty leaves it as if there were no such field."""
        own = {column.name for column in self.contract.extension}
        canonical = ", ".join(quoted(c.name) for c in all_columns(self.contract) if c.name not in own)
        hashed = f"hash({canonical})"
        for name in sorted(own):
            field = f"CASE WHEN {quoted(name)} IS NULL THEN 0::UBIGINT ELSE hash({literal(name)}, {quoted(name)}) END"
            hashed = f"xor({hashed}, {field})"
        return hashed

    def _properties(self, content: Content, *, origin: str) -> CommitProperties:
        import duckdb
        from deltalake import CommitProperties

        note = {"rows": content.rows, "digest": str(content.digest), "engine": duckdb.__version__, "origin": origin}
        # No retries by Delta itself: a second writer's rows must be compared with the first one's.
        return CommitProperties({_COMMIT_KEY: json.dumps(note)}, max_commit_retries=0)

    def _write(self, fresh: pa.Table, digest: int, delta: DeltaTable | None, *, origin: str) -> tuple[str, ...]:
        from deltalake import DeltaTable, WriterProperties, write_deltalake

        held = delta is not None and bool(delta.file_uris())
        before = self.content(delta) if delta is not None and held else Content(rows=0, digest=0)
        after = Content(before.rows + fresh.num_rows, (before.digest + digest) % _CONTENT_MODULUS)
        options: dict[str, Any] = {
            "commit_properties": self._properties(after, origin=origin),
            "writer_properties": WriterProperties(compression="ZSTD"),
        }
        if delta is None:
            # Not "append": that would add to a table which another writer has made since we looked.
            write_deltalake(self.path, fresh, mode="error", configuration=_STATISTICS, **options)
            return tuple(DeltaTable(self.path).file_uris())
        old = set(delta.file_uris())
        write_deltalake(delta, fresh, mode="append", schema_mode="merge", **options)
        return tuple(uri for uri in delta.file_uris() if uri not in old)


def _in_time_order(rows: pa.Table, contract: Contract) -> pa.Table:
    """`rows` by time and key, so that a file covers a short span; left alone where they are in order already."""
    import numpy as np

    times = rows.column("event_timestamp").cast("int64").to_numpy()
    if bool(np.all(times[1:] >= times[:-1])):
        return rows
    return rows.sort_by([(name, "ascending") for name in ("event_timestamp", "created_timestamp", contract.key)])
