"""Streams of mapped rows: a query, then the rows that can only be asked for when it has been read to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.checks import REASON_COLUMN, ROW_COLUMN
from warehouse.connectors.opened import OpenedFiles
from warehouse.connectors.relations import RawFile, unread_values_sql

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 122_880
"""Rows DuckDB makes at once."""

Later = Callable[[], str | None]
"""Gives a query to run when the rows before it have been read, or None."""


def chained(opened: OpenedFiles, query: str, later: Sequence[Later], *, what: str) -> pa.RecordBatchReader:
    """The rows of a query and then of later ones, in the first one's columns.

    Args:
        opened: The files.
        query: SQL of the rows.
        later: Queries that may be asked only when the rows before have been read.
        what: Table and relation, for the error.

    Raises:
        SourceError: if a query fails, at once or while it is read.
    """
    import pyarrow as pa

    first = opened.run(query, what, stream=_BATCH_ROWS)
    schema = _with_reasons(first.schema) if later else first.schema

    def batches() -> Iterator[pa.RecordBatch]:
        yield from _fitted(opened, first, schema, what)
        for ask in later:
            following = ask()
            if following is not None:
                yield from _fitted(opened, opened.run(following, what, stream=_BATCH_ROWS), schema, what)

    return pa.RecordBatchReader.from_batches(schema, batches())


def write_rejected_lines(opened: OpenedFiles, raw: RawFile, target: Path) -> int:
    """Write the lines of a CSV file that hold a value DuckDB's reader could not parse; returns their number."""
    lines = opened.run(unread_values_sql(raw), str(raw.path), stream=_BATCH_ROWS)
    written = 0
    with target.open("w", encoding="utf-8", newline="") as file:
        for batch in lines:
            written += batch.num_rows
            file.writelines(line.rstrip("\r\n") + "\n" for line in batch.column(0).to_pylist())
    if not written:
        target.unlink()
    return written


def _with_reasons(schema: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    for name in (REASON_COLUMN, ROW_COLUMN):
        if name not in schema.names:
            schema = schema.append(pa.field(name, pa.string()))
    return schema


def _fitted(opened: OpenedFiles, rows: pa.RecordBatchReader, schema: pa.Schema, what: str) -> Iterator[pa.RecordBatch]:
    """Batches with the schema's columns; those they lack are null."""
    import duckdb
    import pyarrow as pa

    same = rows.schema.equals(schema)
    try:
        for batch in rows:
            if same:
                yield batch
                continue
            columns = [
                batch.column(field.name).cast(field.type)
                if field.name in batch.schema.names
                else pa.nulls(batch.num_rows, field.type)
                for field in schema
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        raise opened.unreadable(what, error) from error
