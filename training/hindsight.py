"""What things did within the horizon after each moment of a spine: nothing to score by, but something to learn from.

A training looks back: what a lead did after a past row is as well known as whether it converted, and there is far more
of it. No feature may read it. `training.softening` makes labels of it that hold less luck.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.clock import utc
from training.labels import Outcome

if TYPE_CHECKING:
    from warehouse.store import Warehouse

Vector = NDArray[np.float64]

_COUNTS = """
    SELECT s.row_number, dense_rank() OVER (ORDER BY t.{column}) - 1 AS place, count(*) AS times
    FROM hindsight_spine s
    JOIN {table} t
        ON t.{key} = s.entity AND t.event_timestamp > s.as_of
        AND t.event_timestamp <= s.as_of + $horizon * INTERVAL 1 DAY
    WHERE t.created_timestamp <= $cut AND t.{column} <> $without
    GROUP BY s.row_number, t.{column}
"""


def hindsight_of(
    spine: pa.Table, warehouse: Warehouse, *, outcome: Outcome, horizon_days: int, cut: datetime
) -> Vector:
    """Count what the spine's things did in (as_of, as_of + horizon], as known at `cut`.

    Args:
        spine: Needs the outcome's key and `as_of` (UTC, microseconds).
        warehouse: Holds the tables that `outcome.traces` names.
        outcome: What decides, and where its things leave traces.
        horizon_days: Days after as_of that are looked at.
        cut: Nothing that happened or was recorded later is used; with a time zone.

    Returns:
        Shape (n_rows, n_kinds): of each trace how often each of its kinds came, and of the outcome's own table how
        often each other status did. No columns where no thing left a trace: a status alone is the outcome once more.
    """
    connection = warehouse.duckdb()
    try:
        rows = {
            "row_number": np.arange(spine.num_rows),
            "entity": spine.column(outcome.key),
            "as_of": spine.column("as_of").cast(pa.timestamp("us", tz="UTC")),
        }
        connection.register("hindsight_spine", pa.table(rows))
        values = {"cut": utc(cut), "horizon": horizon_days, "without": outcome.positive}
        tables = [*outcome.traces, (outcome.table, "status")]
        *traces, statuses = (
            _counts(connection, _COUNTS.format(table=table, column=column, key=outcome.key), values, spine.num_rows)
            for table, column in tables
        )
    finally:
        connection.close()
    did_anything = any(trace.shape[1] for trace in traces)
    return np.hstack([*traces, statuses]) if did_anything else np.zeros((spine.num_rows, 0))


def _counts(connection: Any, sql: str, values: dict[str, Any], n_rows: int) -> Vector:
    """How often each kind of a table came by row, shape (n_rows, n_kinds); kinds in the order of their names."""
    found = connection.sql(sql, params=values).to_arrow_table()
    place = found.column("place").to_numpy()
    counts = np.zeros((n_rows, int(place.max(initial=-1)) + 1))
    counts[found.column("row_number").to_numpy(), place] = found.column("times").to_numpy()
    return counts
