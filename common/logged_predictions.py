"""The shape of the prediction log: what the services write and the monitoring reads.

A log is a folder per task with Parquet segments, each complete when it appears (written aside, then renamed), in any
number and order. A request may be in it twice after a crash; `request_id` and `entity_id` together name a row once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from common.clock import utc
from common.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

REQUEST, TASK, ENTITY = "request_id", "task", "entity_id"
MODEL, VERSION, ALIAS = "model_name", "model_version", "alias"
SCORED, AS_OF, PROBABILITY, LATENCY = "scored_at", "as_of", "probability", "latency_ms"
FEATURES, FEATURE_TIMES = "features", "feature_timestamps"
"""Both may be a struct (one member a name) or a map; or features may be one column each, named `feature_<name>`."""

FEATURE_PREFIX = "feature_"
TIME_PREFIX = "feature_timestamp_"
"""Of the flat form: `feature_timestamp_<view>` beside `feature_<name>`."""

FIXED = (REQUEST, TASK, ENTITY, MODEL, VERSION, ALIAS, SCORED, AS_OF, PROBABILITY, LATENCY)
"""Columns that every segment has; times are UTC, microseconds, `latency_ms` is milliseconds."""

SUFFIX = ".parquet"


def log_folder(workspace: Workspace, task: str) -> Path:
    """Where the segments of a task's predictions are kept; it may not exist yet."""
    return workspace.root / "predictions" / task


def segments(workspace: Workspace, task: str, *, since: datetime | None = None) -> Iterator[Path]:
    """Complete segments, oldest file name first.

    Args:
        workspace: Whose services.
        task: lead, deal or forecast.
        since: Leave out segments last written before this moment: nothing newer can be in them.
    """
    folder = log_folder(workspace, task)
    for path in sorted(folder.rglob(f"*{SUFFIX}")) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        if since is None or path.stat().st_mtime >= utc(since).timestamp():
            yield path


def fixed_schema() -> pa.Schema:
    """Names and types of the columns in `FIXED`."""
    import pyarrow as pa

    moment, text = pa.timestamp("us", tz="UTC"), pa.string()
    types = {SCORED: moment, AS_OF: moment, PROBABILITY: pa.float64(), LATENCY: pa.float64()}
    return pa.schema([(name, types.get(name, text)) for name in FIXED])
