"""The Parquet files of one feature view: which rows are there, and how new ones get in without harm."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.clock import utc
from features.maths_digest import maths_digest
from features.specs import ViewSpec

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from features.sql_book import SqlBook
    from warehouse.store import Warehouse

_LOG = logging.getLogger(__name__)
_RECEIPT = "computed_from.json"
_JOURNAL = "written_together.json"
_UNFINISHED = ".unfinished"
_SMALL_ROWS = 100_000
_MANY_SMALL_FILES = 16
"""So many files below that many rows are written together; a reader opens each file once a query."""


class ViewFiles:
    """Computed rows of one view, in a folder of Parquet files that Feast reads.

    A row is computed once for each (join key, as_of) and then reused. It rests on what was visible at as_of, so rows
    that came into the warehouse since make it stale only if one of them was visible by then; other maths makes all
    rows stale. Each file appears whole or not at all. Only one process at a time may write (`one_writer`).

    Args:
        folder: Where the files are.
        view: The view.
        book: Where its SQL is kept compiled; without one every process compiles it.
    """

    def __init__(self, folder: Path, view: ViewSpec, *, book: SqlBook | None = None) -> None:
        self.folder = folder
        self.view = view
        self._book = book

    def prepare(self, warehouse: Warehouse) -> None:
        """Make the folder hold only rows that the present maths would compute from the warehouse's present content.

        Rows are dropped before the receipt is written: a build that is killed in between has fewer rows, never wrong
        ones.
        """
        from warehouse.changes import BEGINNING, changed_from, table_states

        self.folder.mkdir(parents=True, exist_ok=True)
        self._tidy()
        receipt = self._receipt()
        digest = maths_digest(self.view)
        if receipt.get("maths") == digest:
            tables = receipt["reads"]
            after = table_states(warehouse, tables)
            before = _states(receipt)
            changes = [
                changed_from(warehouse, table, before=before.get(table), after=after.get(table)) for table in tables
            ]
            stale_from = min((moment for moment in changes if moment is not None), default=None)
        else:
            tables = self.book.tables(self.view)
            after = table_states(warehouse, tables)
            stale_from = BEGINNING
        if stale_from is not None:
            self._drop(stale_from)
        if not self.paths():
            # An empty file gives readers the columns before there is a row.
            self.add(self.view.schema.empty_table())
        states = {table: asdict(state) for table, state in after.items()}
        new = {"maths": digest, "reads": list(tables), "tables": states}
        if new != receipt:
            _write_text(self.folder / _RECEIPT, json.dumps(new, indent=1))

    def count(self) -> int:
        """Rows that are there."""
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(path).num_rows for path in self.paths())

    def missing(self, moments: pa.Table) -> pa.Table:
        """Rows (join key, as_of) of `moments` that are not computed yet, each once; rows without a key need nothing."""
        from warehouse.views import open_connection

        with open_connection() as connection:
            self.list_missing(connection, moments)
            rows = connection.sql("SELECT * FROM missing").to_arrow_table()
        return rows.cast(moments.select([self.view.join_key, "as_of"]).schema)

    def list_missing(self, connection: DuckDBPyConnection, moments: pa.Table) -> int:
        """Make the temporary table `missing` (join key, as_of) of a connection, and say how many rows it has."""
        key = f'"{self.view.join_key}"'
        connection.register("moments", moments.select([self.view.join_key, "as_of"]))
        stored = f"ANTI JOIN {self._relation()} s ON s.{key} = m.{key} AND s.event_timestamp = m.as_of"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE missing AS SELECT DISTINCT m.{key}, m.as_of FROM moments m"  # noqa: S608
            f" {stored if self.paths() else ''} WHERE m.{key} IS NOT NULL"
        )
        connection.unregister("moments")
        return int(connection.execute("SELECT count(*) FROM missing").fetchall()[0][0])

    def add(self, rows: pa.Table) -> None:
        """Append rows of the view's schema as one file."""
        import pyarrow.parquet as pq

        with self.new_file() as path:
            pq.write_table(rows.cast(self.view.schema), path, coerce_timestamps="us", compression="zstd")

    @contextmanager
    def new_file(self) -> Iterator[Path]:
        """A path to write a Parquet file to; it joins the others when the block ends well."""
        name = f"part-{uuid.uuid4().hex}.parquet"
        unfinished = self.folder / f"{name}{_UNFINISHED}"
        yield unfinished
        unfinished.replace(self.folder / name)

    def write_together(self) -> bool:
        """Write many small files together as one; says whether it did."""
        import pyarrow.parquet as pq

        small = [path for path in self.paths() if pq.read_metadata(path).num_rows < _SMALL_ROWS]
        if len(small) < _MANY_SMALL_FILES:
            return False
        target = self.folder / f"part-{uuid.uuid4().hex}.parquet"
        unfinished = target.with_name(f"{target.name}{_UNFINISHED}")
        self._copy(small, "true", unfinished)
        # Should this process be killed from here on, the next writer deletes what was written together.
        _write_text(self.folder / _JOURNAL, json.dumps({"whole": target.name, "parts": [path.name for path in small]}))
        unfinished.replace(target)
        self._tidy()
        return True

    def rows_at(self, at: datetime, keys: pa.Table) -> pa.Table:
        """The computed rows of the keys in `keys` at exactly `at`, ordered by key."""
        from warehouse.views import open_connection

        key = self.view.join_key
        query = f"""
            SELECT s.* FROM {self._relation()} s SEMI JOIN moments m ON s."{key}" = m."{key}"
            WHERE s.event_timestamp = '{utc(at).isoformat()}' ORDER BY s."{key}"
        """  # noqa: S608 - the key is the catalogue's
        with open_connection() as connection:
            connection.register("moments", keys)
            return connection.sql(query).to_arrow_table().select(self.view.schema.names).cast(self.view.schema)

    def paths(self) -> list[Path]:
        """The files, in order of their names."""
        return sorted(self.folder.glob("part-*.parquet"))

    def _relation(self) -> str:
        from warehouse.views import parquet_relation

        return parquet_relation([str(path) for path in self.paths()])

    def _receipt(self) -> dict[str, Any]:
        path = self.folder / _RECEIPT
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    @property
    def book(self) -> SqlBook:
        """Where the view's SQL is."""
        from features.sql_book import SqlBook

        if self._book is None:
            self._book = SqlBook(None)
        return self._book

    def _tidy(self) -> None:
        """Take away what killed writers left."""
        for path in self.folder.glob(f"*{_UNFINISHED}"):
            path.unlink()
        journal = self.folder / _JOURNAL
        if journal.is_file():
            written = json.loads(journal.read_text())
            if (self.folder / written["whole"]).is_file():
                for name in written["parts"]:
                    (self.folder / name).unlink(missing_ok=True)
            journal.unlink()

    def _drop(self, moment: datetime) -> None:
        """Remove the rows as of `moment` and later."""
        import pyarrow.parquet as pq

        from warehouse.changes import BEGINNING

        before = self.count()
        for path in self.paths():
            span = None if moment == BEGINNING else _span(pq.read_metadata(path))
            if span is not None and span[1] < moment:
                continue
            if span is None or span[0] >= moment:
                path.unlink()
                continue
            unfinished = path.with_name(f"{path.name}{_UNFINISHED}")
            self._copy([path], f"event_timestamp < '{moment.isoformat()}'", unfinished)
            unfinished.replace(path)
        if before:
            kept = self.count()
            _LOG.info("%s: the history changed from %s on; %d rows kept of %d", self.view.name, moment, kept, before)

    def _copy(self, paths: list[Path], where: str, target: Path) -> None:
        from warehouse.views import literal, open_connection, parquet_relation

        relation = parquet_relation([str(path) for path in paths])
        with open_connection() as connection:
            connection.execute(
                f"COPY (SELECT * FROM {relation} WHERE {where}) TO {literal(str(target))}"  # noqa: S608
                " (FORMAT parquet, COMPRESSION zstd)"
            )


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Let only one process at a time write below `folder`; the others wait. A killed process leaves no lock behind."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def _states(receipt: dict[str, Any]) -> dict[str, Any]:
    from warehouse.changes import TableState

    return {table: TableState(**state) for table, state in receipt["tables"].items()}


def _span(metadata: Any) -> tuple[datetime, datetime] | None:
    """Oldest and newest moment of a file's rows; None without rows."""
    place = metadata.schema.names.index("event_timestamp")
    groups = [metadata.row_group(number).column(place).statistics for number in range(metadata.num_row_groups)]
    spans = [(group.min, group.max) for group in groups if group is not None and group.has_min_max]
    return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None


def _write_text(path: Path, text: str) -> None:
    unfinished = path.with_suffix(_UNFINISHED)
    unfinished.write_text(text)
    unfinished.replace(path)
