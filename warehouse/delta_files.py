"""The Parquet files of a Delta table: which may hold rows of a span of time, how large they are, how one is added."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.contracts import TIME_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable


def files_between(delta: DeltaTable | None, first: datetime, last: datetime) -> list[str]:
    """Files whose rows may have happened in the span; those without statistics may."""
    import pyarrow as pa

    if delta is None:
        return []
    actions = pa.table(delta.get_add_actions(flatten=True))
    lowest, highest = "min.event_timestamp", "max.event_timestamp"
    if lowest not in actions.column_names or highest not in actions.column_names:
        return list(delta.file_uris())
    spans = {
        Path(path).name: (low, high)
        for path, low, high in zip(
            *(actions.column(name).to_pylist() for name in ("path", lowest, highest)), strict=True
        )
    }
    return [uri for uri in delta.file_uris() if _meets(spans[Path(uri).name], first, last)]


def _meets(span: tuple[datetime | None, datetime | None], first: datetime, last: datetime) -> bool:
    low, high = span
    # Other writers' statistics may be cut to milliseconds.
    margin = timedelta(milliseconds=1)
    return low is None or high is None or (low - margin <= last and high + margin >= first)


def small_files(delta: DeltaTable, *, below: int) -> int:
    """Number of files of fewer bytes."""
    import pyarrow as pa

    sizes = pa.table(delta.get_add_actions(flatten=True)).column("size_bytes").to_pylist()
    return sum(size < below for size in sizes)


def write_parquet(rows: pa.Table, path: Path) -> int:
    """Write rows; returns the file's bytes."""
    import pyarrow.parquet as pq

    pq.write_table(rows, path, compression="zstd")
    return path.stat().st_size


def statistics(rows: pa.Table) -> str:
    """Delta's statistics of a file: the two times alone."""
    import pyarrow.compute as pc

    spans = {name: pc.min_max(rows.column(name)).as_py() for name in TIME_COLUMNS}
    return json.dumps(
        {
            "numRecords": rows.num_rows,
            "minValues": {name: span["min"].isoformat() for name, span in spans.items()},
            "maxValues": {name: span["max"].isoformat() for name, span in spans.items()},
            "nullCount": dict.fromkeys(TIME_COLUMNS, 0),
        }
    )
