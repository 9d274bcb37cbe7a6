"""Computing a view's missing rows in bounded memory, however many there are.

A spine is cut into chunks by the hash of its join key. Each chunk is computed by itself and becomes one file, so a
killed build has lost at most a chunk. A view whose rows rest on nothing but their own entity's history sees, in each
chunk, only its entities' part of the tables: these are read once, cut by the same hash, and laid down as scratch files.
Other views see the whole tables in each chunk, so their chunks are larger.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ContractError
from features.specs import ViewSpec
from features.transform import SPINE, stored_sql
from warehouse.contracts import TIME_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from features.view_files import ViewFiles
    from warehouse.store import Warehouse

_LOG = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]

OWN_CHUNK_ROWS = 500_000
"""Moments computed together where a chunk sees only its entities' rows ..."""
OWN_CHUNK_READ = 4_000_000
"""... and rows of the tables that it may see."""
WHOLE_CHUNK_ROWS = 6_000_000
"""Moments computed together where each chunk sees the whole tables.

Every chunk reads all of these again, so that many chunks of a large world are work that grows with its square. Memory
does not grow with the chunk: DuckDB writes what is over its limit to the scratch folder.
"""
MEMORY_LIMIT = "2500MB"
"""What DuckDB may use before it writes to the scratch folder."""


@dataclass(frozen=True)
class ViewBuild:
    """What a build did to a view.

    Args:
        kept: Rows that were there and are still right.
        computed: Rows computed.
    """

    kept: int
    computed: int


@contextmanager
def build_connection(warehouse: Warehouse, scratch: Path) -> Iterator[DuckDBPyConnection]:
    """A connection that shows the canonical tables, uses little memory and spills to `scratch`, which is then removed.

    What a killed build left in `scratch` is removed first.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with warehouse.duckdb() as connection:
            connection.execute(
                f"SET memory_limit = '{MEMORY_LIMIT}'; SET temp_directory = '{scratch}';"
                " SET preserve_insertion_order = false"
            )
            yield connection
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def build_views(
    warehouse: Warehouse,
    wanted: Sequence[tuple[ViewFiles, pa.Table]],
    *,
    scratch: Path,
    progress: Progress | None = None,
) -> dict[str, ViewBuild]:
    """Bring views up to the warehouse's present content, and compute the rows that some spines need of them.

    Args:
        warehouse: Where the histories are.
        wanted: Views' files, each with a spine that has its join key and as_of. Only one process may write them.
        scratch: Folder for files of the moment; it is removed in the end.
        progress: Told the view, its rows done, its rows to compute.

    Returns:
        What was done, by view.
    """
    for files, _ in wanted:
        files.prepare(warehouse)
    builds: dict[str, ViewBuild] = {}
    # Opened after the receipts were written: rows that come in between are taken for new by the next build.
    with build_connection(warehouse, scratch) as connection:
        for files, spine in wanted:
            build = build_view(files, spine, connection, scratch=scratch, progress=progress)
            builds[files.view.name] = build
            _LOG.info("%s: %d rows kept, %d computed", files.view.name, build.kept, build.computed)
    if progress is not None:
        rows = sum(build.computed for build in builds.values())
        progress("features", rows, rows)
    return builds


def build_view(
    files: ViewFiles,
    moments: pa.Table,
    connection: DuckDBPyConnection,
    *,
    scratch: Path,
    progress: Progress | None = None,
    chunk_rows: int | None = None,
) -> ViewBuild:
    """Compute the rows of `moments` that are not there yet, chunk by chunk.

    Args:
        files: The view's files, prepared.
        moments: Columns join key and as_of; rows may repeat, and rows without a key need nothing.
        connection: From `build_connection`.
        scratch: Folder for files of the moment.
        progress: Told the view, rows done, rows in all.
        chunk_rows: Moments of a chunk, if not the usual number.

    Returns:
        Rows kept and computed.

    Raises:
        ContractError: if the maths lost or doubled a row or gave a column another type.
    """
    view = files.view
    kept = files.count()
    total = files.list_missing(connection, moments)
    done = 0
    if total:
        chunks = _chunks(files, total, connection, chunk_rows=chunk_rows)
        with _chunks_shown(files, connection, chunks=chunks, scratch=scratch) as show:
            for chunk in range(chunks):
                if progress is not None:
                    progress(view.name, done, total)
                show(chunk)
                done += _compute_chunk(files, connection)
    files.write_together()
    if progress is not None:
        progress(view.name, total, total)
    return ViewBuild(kept=kept, computed=total)


def _chunks(files: ViewFiles, rows: int, connection: DuckDBPyConnection, *, chunk_rows: int | None) -> int:
    if chunk_rows is not None or not files.view.own_rows_only:
        return -(-rows // (chunk_rows or WHOLE_CHUNK_ROWS))
    if rows <= OWN_CHUNK_ROWS // 5:
        return 1
    tables = files.book.tables(files.view)
    read = max(_scalar(connection, f'SELECT count(*) FROM "{table}"') for table in tables)  # noqa: S608
    return max(-(-rows // OWN_CHUNK_ROWS), -(-read // OWN_CHUNK_READ))


@contextmanager
def _chunks_shown(
    files: ViewFiles, connection: DuckDBPyConnection, *, chunks: int, scratch: Path
) -> Iterator[Callable[[int], None]]:
    """A function that lays out a chunk: the table `spine`, and in the place of each table what the chunk sees of it.

    All times are laid out without their time zone, in UTC: DuckDB's arithmetic on days and hours is then three times
    as fast, and gives the same.
    """
    view, sql = files.view, files.book.sql(files.view)
    tables = files.book.tables(view)
    parts = scratch / f"parts-{view.name}"
    bucket = f'hash("{view.join_key}") % {chunks}'
    newest = _scalar(connection, "SELECT max(as_of) FROM missing")

    def show(chunk: int) -> None:
        connection.execute(
            f'CREATE OR REPLACE TEMP TABLE {SPINE} AS SELECT "{view.join_key}", {_plain("as_of")}'  # noqa: S608
            f" FROM missing WHERE {bucket} = {chunk}"
        )
        for table in tables if view.own_rows_only else ():
            relation = (
                _part(parts / table, chunk) if chunks > 1 else _asked(view, table, connection, sql=sql, newest=newest)
            )
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM {relation}")  # noqa: S608

    for table in tables:
        if not view.own_rows_only:
            connection.execute(
                f"CREATE TEMP VIEW {table} AS SELECT {_columns(view, table, connection, sql=sql)} FROM {_main(table)}"  # noqa: S608
            )
        elif chunks > 1:
            _lay_out(_asked(view, table, connection, sql=sql, newest=newest), parts / table, connection, bucket=bucket)
    try:
        yield show
    finally:
        kind = "TABLE" if view.own_rows_only else "VIEW"
        for table in tables:
            connection.execute(f"DROP {kind} IF EXISTS temp.{table}")
        connection.execute(f"DROP TABLE IF EXISTS temp.{SPINE}; DROP TABLE IF EXISTS temp.missing")
        shutil.rmtree(parts, ignore_errors=True)


def _lay_out(relation: str, folder: Path, connection: DuckDBPyConnection, *, bucket: str) -> None:
    """Write a table's rows to scratch files, a folder for each chunk."""
    folder.mkdir(parents=True)
    # A file of no rows, so that a chunk nobody did anything in is empty and not unknown.
    connection.execute(f"COPY (SELECT * FROM {relation} LIMIT 0) TO '{folder}/none.parquet' (FORMAT parquet)")  # noqa: S608
    connection.execute(
        f"COPY (SELECT *, ({bucket})::INTEGER AS _bucket FROM {relation}) TO '{folder}'"  # noqa: S608
        " (FORMAT parquet, PARTITION_BY (_bucket), COMPRESSION snappy, OVERWRITE_OR_IGNORE)"
    )


def _part(folder: Path, chunk: int) -> str:
    part = folder / f"_bucket={chunk}"
    files = part / "*.parquet" if part.is_dir() else folder / "none.parquet"
    return f"read_parquet('{files}', hive_partitioning = false)"


def _asked(view: ViewSpec, table: str, connection: DuckDBPyConnection, *, sql: str, newest: object) -> str:
    """Relation with the rows of a table that a missing row may rest on."""
    seen = " AND ".join(f"{time} <= TIMESTAMPTZ '{newest}'" for time in TIME_COLUMNS)
    rows = f'(SELECT * FROM {_main(table)} WHERE {seen}) SEMI JOIN missing USING ("{view.join_key}")'  # noqa: S608
    return f"(SELECT {_columns(view, table, connection, sql=sql)} FROM {rows})"  # noqa: S608


def _main(table: str) -> str:
    """The canonical table itself, whatever stands before it."""
    return f'memory.main."{table}"'


def _columns(view: ViewSpec, table: str, connection: DuckDBPyConnection, *, sql: str) -> str:
    """The columns of a table that the view's SQL names; its key and times are always among them."""
    needed = {view.join_key, *TIME_COLUMNS}
    described = connection.execute(f"DESCRIBE {_main(table)}").fetchall()
    fields = [(name, kind) for name, kind, *_ in described if name in needed or f'"{name}"' in sql]
    return ", ".join(_plain(name) if kind == "TIMESTAMP WITH TIME ZONE" else f'"{name}"' for name, kind in fields)


def _plain(time: str) -> str:
    """SQL of a time without its time zone, in UTC."""
    return f'make_timestamp(epoch_us("{time}")) AS "{time}"'


def _compute_chunk(files: ViewFiles, connection: DuckDBPyConnection) -> int:
    """Compute the view on the table `spine` into one file."""
    expected = _scalar(connection, f"SELECT count(*) FROM {SPINE}")  # noqa: S608
    if not expected:
        return 0
    stored = stored_sql(files.view, files.book.sql(files.view), connection)
    with files.new_file() as path:
        written = connection.execute(f"COPY ({stored}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)").fetchall()[0][0]
        if written != expected:
            raise ContractError(
                f"View {files.view.name} gave another number of rows than it was asked for",
                expected=str(expected),
                got=str(written),
            )
    return int(expected)


def _scalar(connection: DuckDBPyConnection, query: str) -> int:
    return connection.execute(query).fetchall()[0][0]  # type: ignore[no-any-return]
