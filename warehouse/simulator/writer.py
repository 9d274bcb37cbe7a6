"""From numpy columns to a table of the contract, on disk: text, ids, versions, the cut at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse.contracts import CONTRACTS, UTC_MICROSECONDS
from warehouse.simulator.moments import DAY, NEVER, Bools, Ints

Columns = dict[str, Any]
"""Column name to numpy array or Arrow array, all of one length."""


def words(values: Sequence[str], index: Ints, *, missing: Bools | None = None) -> pa.Array:
    """Text chosen by index; null where `missing` or where the index is negative."""
    absent = index < 0 if missing is None else (index < 0) | missing
    return pa.array(list(values), pa.string()).take(pa.array(index, mask=absent))


def ids(prefix: str, number: Ints, *, width: int) -> pa.Array:
    """Readable ids such as L-000123; null where the number is negative."""
    digits = pc.utf8_lpad(pa.array(number, mask=number < 0).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(pa.scalar(f"{prefix}-"), digits, "")


def joined(*parts: Any) -> pa.Array:
    """Text pieces (arrays or words) put together row by row; null if a piece is."""
    return pc.binary_join_element_wise(*[pa.scalar(part) if isinstance(part, str) else part for part in parts], "")


def rows_of(columns: Mapping[str, Any], index: Ints) -> Columns:
    """The rows `index` of all columns."""
    at = pa.array(index)
    return {name: value.take(at) if isinstance(value, pa.Array) else value[index] for name, value in columns.items()}


def stack(parts: Sequence[Mapping[str, Any]]) -> Columns:
    """Sets of rows with the same columns, one below the other."""
    return {name: _concatenate([part[name] for part in parts]) for name in parts[0]}


def _concatenate(values: Sequence[Any]) -> Any:
    if isinstance(values[0], pa.Array):
        return pa.concat_arrays(values)
    return np.concatenate(values)


def handovers(columns: Mapping[str, Any], *, thing: Ints, at: Ints, origin: int) -> tuple[Columns, Ints]:
    """Versions that change nothing but the owner: a copy of the version in force at the moment of each handover.

    Args:
        columns: Versions sorted by thing and `event_timestamp`.
        thing: Number of the thing of each version, ascending.
        at: Moment of the handover of each thing (by number); NEVER for none.
        origin: A moment before all others.

    Returns:
        One row per handover of a thing that has versions, with its moment as both times; and its thing's number.
    """
    second = 1_000_000
    span = 2**36
    moved = np.flatnonzero(at < NEVER)
    key = thing * span + (columns["event_timestamp"] - origin) // second
    before = np.searchsorted(key, moved * span + (at[moved] - origin) // second, side="right") - 1
    held = (before >= 0) & (thing[np.maximum(before, 0)] == moved)
    copies = rows_of(columns, before[held])
    copies["event_timestamp"] = at[moved[held]]
    copies["created_timestamp"] = at[moved[held]]
    return copies, moved[held]


def _arrow(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if pa.types.is_date32(kind):
        return pa.array(values.astype("datetime64[D]"), kind, from_pandas=True)
    if pa.types.is_timestamp(kind):
        return pa.array(values.astype("int64"), pa.int64(), mask=values >= NEVER).cast(kind)
    if pa.types.is_integer(kind) and values.dtype.kind == "f":
        empty = np.isnan(values)
        return pa.array(np.where(empty, 0, values).astype(np.int64), mask=empty)
    return pa.array(values, kind, from_pandas=True)


def write_table(
    table: str, columns: Columns, *, file: Path, end: int, id_prefix: str | None = None, first: int = 0
) -> int:
    """Write what was known by `end`, in the order in which it became known.

    Args:
        table: Canonical table.
        columns: Its columns; absent ones become null. `event_timestamp` and `created_timestamp` are microseconds.
        file: Parquet file to write; its folder is made if absent.
        end: The cut: rows that happened or became known later are left out.
        id_prefix: For event tables: number the rows as they became known, with this prefix.
        first: Number before that of the first row.

    Returns:
        Number of rows written.
    """
    contract = CONTRACTS[table]
    event, created = columns["event_timestamp"], columns["created_timestamp"]
    kept = np.flatnonzero((event <= end) & (created <= end))
    order = kept[np.lexsort((event[kept], created[kept]))]
    arrays = []
    for field in contract.arrow_schema:
        values = columns.get(field.name)
        if id_prefix is not None and field.name == contract.key:
            arrays.append(ids(id_prefix, np.arange(first + 1, first + len(order) + 1), width=7))
        elif values is None and field.name == "is_deleted":
            arrays.append(pa.array(np.zeros(len(order), bool)))
        elif values is None:
            arrays.append(pa.nulls(len(order), field.type))
        else:
            arrays.append(_arrow(rows_of({"x": values}, order)["x"], field.type))
    _write(pa.table(arrays, schema=contract.arrow_schema), file)
    return len(order)


def write_truth(columns: Mapping[str, Any], *, file: Path) -> int:
    """Write truths; `as_of` and columns ending in `_at` are times, those ending in `_start` dates."""
    arrays, fields = [], []
    for column, values in columns.items():
        is_time = column == "as_of" or column.endswith("_at")
        kind = UTC_MICROSECONDS if is_time else pa.date32() if column.endswith("_start") else None
        array = _arrow(values, kind) if kind is not None else pa.array(values)
        arrays.append(array)
        fields.append(pa.field(column, array.type))
    _write(pa.table(arrays, schema=pa.schema(fields)), file)
    return len(arrays[0])


def _write(table: pa.Table, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, compression="zstd")


def dates(moments: Ints) -> Any:
    """Calendar dates (UTC) of moments, as numpy dates."""
    return (moments // DAY).astype("datetime64[D]")
