"""Spools made into Parquet segments, in the shape of `common.logged_predictions`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.whole_files import whole_file
from serving.spool import is_orphan

if TYPE_CHECKING:
    import pyarrow as pa

    from training.manifest import FeatureEntry

SPOOL_SUFFIX = ".jsonl"
_TIMES = ("scored_at", "as_of", "answered_at")
_BLOCK_BYTES = 4 * 2**20
_HEAD_BYTES, _LINE_BYTES = 2**20, 2**20
"""More than a first line, or any other, can have."""

logger = logging.getLogger(__name__)


def header_of(task: str, name: str, version: str, features: Sequence[FeatureEntry], views: Sequence[str]) -> bytes:
    """A spool's first line: what its lines have in common, and the types of their features.

    Args:
        task: `lead` or `deal`.
        name: Registered model.
        version: Its version.
        features: What it reads.
        views: Feature views with a moment each.
    """
    types = {feature.name: feature.dtype for feature in features}
    return (
        json.dumps(
            {"task": task, "model_name": name, "model_version": version, "features": types, "views": list(views)}
        ).encode()
        + b"\n"
    )


def left_spools(folder: Path, *, mine: Collection[Path] = ()) -> list[Path]:
    """Spools that nobody writes to any more, the oldest first.

    Args:
        folder: Folder of the spools.
        mine: Those that this process writes to: it may not ask for its own locks.
    """
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.glob(f"*{SPOOL_SUFFIX}")) if path not in mine and is_orphan(path)]


def turn_into_segment(spool: Path, folder: Path) -> Path | None:
    """Write a spool's lines as a Parquet segment and remove the spool; done again, it gives the same file.

    A last line without its end is left out: its process was killed while writing it, before the answer went out.

    Args:
        spool: The spool.
        folder: Folder of all segments.

    Returns:
        The segment; None where the spool held no line.

    Raises:
        OSError: if the segment cannot be written; the spool stays.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(spool)) as mapped:
            content = mapped.read_buffer()
            head, end = _ends(content)
            if end > head:
                shared = json.loads(content.slice(0, head).to_pybytes())
                day = spool.name.split(".")[2][:8]
                target = folder / shared["task"] / day / f"{spool.name.removesuffix(SPOOL_SUFFIX)}.parquet"
                _write_segment(content.slice(head, end - head), shared, target)
            del content
    except FileNotFoundError:
        return None
    spool.unlink(missing_ok=True)
    return target if end > head else None


def _ends(content: pa.Buffer) -> tuple[int, int]:
    """Where the first line ends, and where the last whole one does."""
    view = memoryview(content)
    first = bytes(view[:_HEAD_BYTES]).find(b"\n") + 1
    tail = max(0, len(view) - _LINE_BYTES)
    return first, tail + bytes(view[tail:]).rfind(b"\n") + 1


def _write_segment(body: pa.Buffer, shared: dict[str, Any], target: Path) -> None:
    """Some megabytes at a time: a worker that answers holds no more of its log than that."""
    import pyarrow as pa
    import pyarrow.json as pj
    import pyarrow.parquet as pq

    schema = _schema(shared)
    options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    read = pj.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
    writer: pq.ParquetWriter | None = None
    with whole_file(target) as partial, partial.open("wb") as file:
        for batch in pj.open_json(pa.BufferReader(body), read, options):
            table = _segment(pa.Table.from_batches([batch]).select(schema.names), shared)
            writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is not None:
            writer.close()
        file.flush()
        os.fsync(file.fileno())


def _segment(table: pa.Table, shared: dict[str, Any]) -> pa.Table:
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    for name in (*_TIMES, "oldest_at"):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(moment))
    times = table["feature_timestamps"].combine_chunks()
    views = shared["views"]
    if views:
        named = pa.StructArray.from_arrays([times.field(view).cast(moment) for view in views], names=views)
        table = table.set_column(table.schema.get_field_index("feature_timestamps"), "feature_timestamps", named)
    else:
        table = table.drop_columns(["feature_timestamps"])
    for place, name in enumerate(("task", "model_name", "model_version")):
        value = pa.repeat(pa.scalar(shared[name], pa.string()), table.num_rows)
        table = table.add_column(place, name, value)
    return table


def _schema(shared: dict[str, Any]) -> pa.Schema:
    import pyarrow as pa

    types = {"category": pa.string(), "bool": pa.bool_()}
    features = pa.struct([(name, types.get(kind, pa.float64())) for name, kind in shared["features"].items()])
    reason = pa.struct([("feature", pa.string()), ("contribution", pa.float64())])
    return pa.schema(
        [
            ("request_id", pa.string()),
            ("entity_id", pa.string()),
            ("alias", pa.string()),
            *((name, pa.int64()) for name in _TIMES),
            ("probability", pa.float64()),
            ("latency_ms", pa.float64()),
            ("kind", pa.string()),
            ("is_cached", pa.bool_()),
            ("is_last_known", pa.bool_()),
            ("oldest_at", pa.int64()),
            ("expired", pa.list_(pa.string())),
            ("reasons", pa.list_(reason)),
            ("features", features),
            ("feature_timestamps", pa.struct([(view, pa.int64()) for view in shared["views"]])),
        ]
    )
