"""Excel sheets, staged as Parquet of text so that they go the same way as all text."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from common.errors import SourceError, shorten
from warehouse.connectors.text import distinct_names
from warehouse.mapping import File

_ROWS_AT_ONCE = 50_000


def stage_sheet(file: File, path: Path, scratch: Path) -> Path:
    """Write a sheet's rows below its header as Parquet of text in `scratch`; empty rows are left out.

    Typed cells become text that reads back exactly: dates and times ISO 8601, whole numbers without a fraction.

    Raises:
        SourceError: if the file is no workbook, lacks the sheet, or the sheet has no header.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = iter(_sheet(file, path).iter_rows())
    header = [_cell(value, ".") or "" for value in next(islice(rows, file.header_row - 1, None), [])]
    if not any(header):
        raise SourceError(
            f"The file {path} has no column names in row {file.header_row} of the sheet",
            next_step="set `sheet` and `header_row` in the mapping",
        )
    schema = pa.schema([(name, pa.string()) for name in distinct_names(header)])
    staged = scratch / f"{len(list(scratch.iterdir()))}.parquet"
    with pq.ParquetWriter(staged, schema) as writer:
        while batch := list(islice(rows, _ROWS_AT_ONCE)):
            cells = [[_cell(value, file.decimal) for value in row] for row in batch]
            columns = (
                zip(*(row for row in cells if any(row)), strict=True) if any(map(any, cells)) else [()] * len(schema)
            )
            writer.write_table(pa.table([pa.array(column, pa.string()) for column in columns], schema=schema))
    return staged


def _sheet(file: File, path: Path) -> Any:
    import python_calamine

    try:
        workbook = python_calamine.CalamineWorkbook.from_path(path)
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise SourceError(
            f"The file {path} is no Excel workbook", got=str(error), next_step="save it as .xlsx and load it again"
        ) from error
    names = workbook.sheet_names
    wanted = 1 if file.sheet is None else file.sheet
    name = names[wanted - 1] if isinstance(wanted, int) and 0 < wanted <= len(names) else wanted
    if name not in names:
        raise SourceError(
            f"The file {path} has no sheet {wanted!r}",
            expected=f"one of {shorten(names, limit=10)}",
            next_step="set `sheet` in the mapping",
        )
    return workbook.get_sheet_by_name(name)


def _cell(value: Any, decimal: str) -> str | None:
    """A cell's value as text; None for an empty one."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = str(int(value)) if value.is_integer() else repr(value)
        return text.replace(".", decimal)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value.total_seconds()).replace(".", decimal)
    return str(value)
