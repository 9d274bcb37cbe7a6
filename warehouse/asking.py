"""Questions to the warehouse as it was known at a moment: `salience as-of 2025-03-31 opportunities --where …`.

The condition comes from outside, so it is parsed as one expression on the table's own columns (no statement, no
sub-query), and runs on a connection that can read the warehouse's files and nothing else, with its settings locked.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.clock import parse_moment, utc
from common.errors import InputError, shorten
from common.whole_files import whole_file
from warehouse.as_known import newest_versions
from warehouse.contracts import TIME_COLUMNS
from warehouse.store import Warehouse
from warehouse.views import literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_ROWS_AT_ONCE = 50_000
_FORMATS = (".csv", ".parquet")


@dataclass(frozen=True)
class AsOfAnswer:
    """What was known at a moment.

    Args:
        rows: The newest version of each thing (of an event table: each event as last corrected), by key.
        total: How many there are without the limit.
        at: The moment, UTC.
    """

    rows: pa.Table
    total: int
    at: datetime


def moment_of(text: str) -> datetime:
    """Read a day or a time; a day means its end in UTC, 23:59:59.999999: all that was known on that day.

    Raises:
        InputError: if the text is no such day or time, or is a time without an offset.

    Example:
        >>> moment_of("2025-03-31").isoformat()
        '2025-03-31T23:59:59.999999+00:00'
    """
    moment = parse_moment(text, field="at")
    is_day = len(text) == len("2025-03-31")
    return moment + timedelta(days=1) - timedelta(microseconds=1) if is_day else moment


def ask_as_of(
    warehouse: Warehouse,
    table: str,
    at: datetime,
    *,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
) -> AsOfAnswer:
    """The rows of a table as they were known at a moment, ordered by key.

    Args:
        warehouse: What to ask.
        table: Canonical table.
        at: The moment, aware: only rows with both times at or before it count.
        where: A DuckDB condition on the table's columns, such as ``stage = 'Proposal' AND amount_usd > 1e5``.
        columns: Columns to show, in this order; None for all.
        limit: Most rows to show; None for all, which are then held in memory.

    Raises:
        ContractError: if there is no such table.
        InputError: if a column does not exist, the condition is not one expression on the table's columns or cannot be
            evaluated, the limit is negative, or the moment has no time zone.
    """
    with _asked(warehouse, table, at, where=where, columns=columns, limit=limit) as question:
        total = question.total()
        return AsOfAnswer(rows=question.connection.sql(question.query).to_arrow_table(), total=total, at=utc(at))


def save_as_of(
    warehouse: Warehouse,
    table: str,
    at: datetime,
    path: Path,
    *,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
) -> int:
    """Stream the answer into a CSV or Parquet file, which appears whole or not at all; returns the rows written.

    Args:
        warehouse: What to ask.
        table: Canonical table.
        at: The moment, aware.
        path: File to write; its ending says how: `.csv` or `.parquet`. Missing values are empty in CSV, times ISO 8601.
        where: As in `ask_as_of`; so are `columns` and `limit`.
        columns: Columns to write.
        limit: Most rows to write; None for all.

    Raises:
        ContractError: as `ask_as_of`.
        InputError: as `ask_as_of`, or if the ending is another.
    """
    if path.suffix not in _FORMATS:
        raise InputError(
            f"'{path.name}' can not be written", expected=f"a name that ends in {' or '.join(_FORMATS)}", field="out"
        )
    write = _write_csv if path.suffix == ".csv" else _write_parquet
    with (
        _asked(warehouse, table, at, where=where, columns=columns, limit=limit) as question,
        whole_file(path) as partial,
    ):
        return write(question.connection.sql(question.query).to_arrow_reader(_ROWS_AT_ONCE), partial)


@dataclass(frozen=True)
class _Question:
    """A query on a connection that can do nothing else: `rows` without the limit, `query` with it."""

    connection: DuckDBPyConnection
    rows: str
    query: str

    def total(self) -> int:
        """Rows without the limit."""
        return int(self.connection.execute(f"SELECT count(*) FROM {self.rows}").fetchall()[0][0])  # noqa: S608


@contextmanager
def _asked(
    warehouse: Warehouse,
    table: str,
    at: datetime,
    *,
    where: str | None,
    columns: Sequence[str] | None,
    limit: int | None,
) -> Iterator[_Question]:
    import duckdb
    import ibis

    contract = warehouse.contract(table)
    known = tuple(column.name for column in contract.columns) + TIME_COLUMNS
    shown = _checked_columns(columns, table, known)
    _check_limit(limit)
    tables = warehouse.ibis()
    connection = tables[table].get_backend().con
    with tempfile.TemporaryDirectory(prefix="salience-as-of-") as folder, connection:
        condition = None if where is None else _one_expression(connection, where, table, known)
        newest = str(ibis.to_sql(newest_versions(tables[table], contract, at), dialect="duckdb"))
        _lock(connection, warehouse.root, spill=folder)
        rows = f"(SELECT * FROM ({newest})" + (f" WHERE {condition})" if condition else ")")  # noqa: S608
        listed = ", ".join(quoted(name) for name in shown)
        order = f" ORDER BY {quoted(contract.key)}" + ("" if limit is None else f" LIMIT {limit}")
        try:
            yield _Question(connection, rows, f"SELECT {listed} FROM {rows}{order}")  # noqa: S608
        except (duckdb.ProgrammingError, duckdb.DataError) as error:
            # Everything but the condition is ours, and checked.
            raise _explained(error, table, known) from error


def _checked_columns(columns: Sequence[str] | None, table: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if columns is None:
        return known
    unknown = [name for name in columns if name not in known]
    if unknown or not columns:
        raise InputError(
            f"{table} has no column {shorten(map(repr, unknown))}" if unknown else "No column was asked for",
            expected=f"columns among {', '.join(known)}",
            field="columns",
        )
    return tuple(dict.fromkeys(columns))


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 0:
        raise InputError("The limit is negative", expected="0 or more", got=str(limit), field="limit")


def _one_expression(connection: DuckDBPyConnection, where: str, table: str, known: tuple[str, ...]) -> str:
    """The condition as DuckDB itself writes it, if it is one expression without a sub-query.

    Raises:
        InputError: if it is not.
    """
    import duckdb

    example = "such as \"stage = 'Proposal' AND amount_usd > 100000\""
    try:
        # DuckDB's own parser for one expression: a second statement or a closing parenthesis too many is an error.
        expression = str(duckdb.SQLExpression(where))
    except duckdb.Error as error:
        raise InputError(
            f"The condition {where!r} is not one condition", expected=example, got=_first_line(error), field="where"
        ) from error
    tree = connection.execute("SELECT json_serialize_sql($query)", {"query": f"SELECT {expression}"}).fetchall()
    parsed = json.loads(tree[0][0])
    nodes = list(_nodes(parsed))
    if parsed.get("error") or any(node.get("class") in {"SUBQUERY", "PARAMETER", "WINDOW"} for node in nodes):
        raise InputError(
            f"The condition {where!r} asks for more than the row itself",
            expected=f"a condition on the columns of {table}, {example}; no sub-query, window or parameter",
            field="where",
        )
    _refuse_unknown(nodes, table, known)
    return f"({expression})"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """All objects of a syntax tree."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for each in tree:
            yield from _nodes(each)


def _refuse_unknown(nodes: Sequence[dict[str, Any]], table: str, known: tuple[str, ...]) -> None:
    folded = {name.casefold() for name in known}
    named = [node["column_names"] for node in nodes if node.get("class") == "COLUMN_REF"]
    unknown = sorted({".".join(names) for names in named if names[0].casefold() not in folded})
    if unknown:
        raise InputError(
            f"{table} has no column {shorten(map(repr, unknown))}",
            expected=f"columns among {', '.join(known)}; text in single quotes",
            field="where",
        )


def _lock(connection: DuckDBPyConnection, root: Path, *, spill: str) -> None:
    """Leave the connection nothing but the warehouse's files and its own folder to spill to."""
    connection.execute(f"SET temp_directory = {literal(spill)}")
    connection.execute(f"SET allowed_directories = [{literal(str(root))}, {literal(str(root.absolute()))}]")
    for setting in ("enable_external_access = false", "python_enable_replacements = false"):
        connection.execute(f"SET {setting}")
    connection.execute("SET lock_configuration = true")


def _explained(error: Exception, table: str, known: tuple[str, ...]) -> InputError:
    return InputError(
        f"The condition cannot be evaluated on {table}",
        expected=f"a condition on {', '.join(known)} that is true or false",
        got=_first_line(error),
        field="where",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _write_parquet(batches: pa.RecordBatchReader, path: Path) -> int:
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(path, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _write_csv(batches: pa.RecordBatchReader, path: Path) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(batches.schema.names)
        for batch in batches:
            columns = [[_cell(value) for value in column.to_pylist()] for column in batch.columns]
            writer.writerows(zip(*columns, strict=True))
            rows += batch.num_rows
    return rows


def _cell(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
