"""Labels with maturity: an outcome within (as_of, as_of + horizon], as known at a cut.

A label is *mature* only when as_of + horizon <= cut. Outcomes of immature rows that are known early are not used:
taking the positives and leaving the negatives out would lift the rate at the edge. What counts is what was recorded by
the cut: an outcome with a later `created_timestamp` does not exist yet.

A history shorter than two horizons leaves nothing mature. For these there is *settlement*: a row counts once nine of
ten things would have been decided (`settle_days`), if its own thing was; the slowest tenth stays unknown, which is said
in the report. Rows whose thing was already decided at as_of, though that was recorded
later, are dropped: nobody needs their score, and the answer may already show in other fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.clock import utc
from common.errors import ContractError
from training.splits import instant

if TYPE_CHECKING:
    from warehouse.store import Warehouse


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Which event of which table decides.

    Args:
        table: Canonical versioned table.
        key: Its key.
        positive: Status that is the outcome.
        final: All statuses after which the thing is decided.
    """

    table: str
    key: str
    positive: str
    final: tuple[str, ...]


LEAD_CONVERTED = Outcome(table="leads", key="lead_id", positive="converted", final=("converted", "disqualified"))
DEAL_WON = Outcome(table="opportunities", key="opportunity_id", positive="won", final=("won", "lost"))

# The newest record of each version as known at the cut; deletions stand like any other version.
_KNOWN = """
    SELECT {key} AS entity, event_timestamp, arg_max(status, created_timestamp) AS status
    FROM {table}
    WHERE event_timestamp <= $cut AND created_timestamp <= $cut
    GROUP BY ALL
"""
_LABELS = """
    WITH known AS ({known}),
    positives AS (SELECT entity, event_timestamp FROM known WHERE status = $positive),
    finals AS (SELECT entity, event_timestamp FROM known WHERE list_contains($final, status))
    SELECT
        s.row_number,
        coalesce(list_contains($final, k.status), FALSE) AS is_decided,
        coalesce(p.event_timestamp <= s.as_of + $horizon * INTERVAL 1 DAY, FALSE) AS is_positive,
        epoch(f.event_timestamp - s.as_of) / 86400 AS days_to_decision
    FROM label_spine s
    ASOF LEFT JOIN known k ON s.entity = k.entity AND s.as_of >= k.event_timestamp
    ASOF LEFT JOIN positives p ON s.entity = p.entity AND s.as_of < p.event_timestamp
    ASOF LEFT JOIN finals f ON s.entity = f.entity AND s.as_of < f.event_timestamp
    ORDER BY s.row_number
"""


@dataclass(frozen=True)
class Labels:
    """Labels of a spine, one per row and in its order.

    Args:
        value: 1.0, 0.0, or NaN where the label may not be used.
        is_mature: Whether the horizon (or the settlement) had passed at the cut.
        is_decided: Whether the thing was already decided at as_of.
        days_to_decision: Days from as_of to the thing's end as known at the cut; NaN while it is open.
    """

    value: NDArray[np.float64]
    is_mature: NDArray[np.bool_]
    is_decided: NDArray[np.bool_]
    days_to_decision: NDArray[np.float64]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Rows with a label."""
        return ~np.isnan(self.value)


def label_spine(
    spine: pa.Table,
    warehouse: Warehouse,
    *,
    outcome: Outcome,
    horizon_days: int,
    cut: datetime,
    settle_days: int | None = None,
) -> Labels:
    """Label the rows of a spine as they were known at `cut`.

    Args:
        spine: Needs the outcome's key and `as_of` (UTC, microseconds).
        warehouse: Holds the outcome's table.
        outcome: What decides.
        horizon_days: The outcome counts within so many days after as_of.
        cut: Nothing that happened or was recorded later is used; with a time zone.
        settle_days: Instead of the horizon: a row is mature after so many days, if its thing was decided by the cut.

    Raises:
        ContractError: if the spine lacks the key or `as_of`.
    """
    for column in (outcome.key, "as_of"):
        if column not in spine.column_names:
            raise ContractError(
                f"The spine has no column '{column}'", got=f"columns {spine.column_names}", expected="key and as_of"
            )
    connection = warehouse.duckdb()
    try:
        is_decided, is_positive, days_to_decision = _query(connection, spine, outcome, horizon_days, utc(cut))
    finally:
        connection.close()
    age_needed = horizon_days if settle_days is None else min(settle_days, horizon_days)
    is_mature = as_of_times(spine) + np.timedelta64(age_needed, "D") <= instant(cut)
    if settle_days is not None:
        is_mature &= ~np.isnan(days_to_decision)
    value = np.where(is_mature & ~is_decided, is_positive.astype(np.float64), np.nan)
    return Labels(value, is_mature, is_decided, days_to_decision)


def as_of_times(table: pa.Table) -> NDArray[np.datetime64]:
    """The as_of column as UTC datetime64[us]."""
    microseconds = table.column("as_of").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return np.asarray(microseconds.to_numpy(), dtype="datetime64[us]")


def _query(
    connection: Any, spine: pa.Table, outcome: Outcome, horizon_days: int, cut: datetime
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    rows = pa.table(
        {
            "row_number": np.arange(spine.num_rows),
            "entity": spine.column(outcome.key),
            "as_of": spine.column("as_of").cast(pa.timestamp("us", tz="UTC")),
        }
    )
    connection.register("label_spine", rows)
    sql = _LABELS.format(known=_KNOWN.format(key=outcome.key, table=outcome.table))
    values = {"cut": cut, "horizon": horizon_days, "positive": outcome.positive, "final": list(outcome.final)}
    answer = connection.sql(sql, params=values).to_arrow_table()
    return (
        answer.column("is_decided").to_numpy().astype(bool),
        answer.column("is_positive").to_numpy().astype(bool),
        answer.column("days_to_decision").cast(pa.float64()).to_numpy().astype(np.float64),
    )
