"""How deals ended, as it was known at a moment.

A deal's end is the closing that *stands*: a deal that was closed, reopened and is open has not ended; one that was
closed, reopened and closed again ended the second time. What happened or was recorded after the moment does not exist.
A deal that was deleted while open is watched until its deletion and no longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.clock import utc
from training.labels import DEAL_WON, as_of_times
from training.splits import instant

if TYPE_CHECKING:
    from warehouse.store import Warehouse

Vector = NDArray[np.float64]

_DAY = np.timedelta64(1, "D")
_RECORDED_SHARE = 0.99

# One row per deal: its newest state at the cut, and since when it has been in it.
_ENDS = """
    WITH known AS (
        SELECT opportunity_id, event_timestamp,
            arg_max(status, created_timestamp) AS status,
            arg_max(coalesce(is_deleted, FALSE), created_timestamp) AS is_deleted,
            arg_max(amount_usd, created_timestamp) AS amount_usd,
            min(created_timestamp) AS created_timestamp
        FROM opportunities
        WHERE event_timestamp <= $cut AND created_timestamp <= $cut
        GROUP BY ALL
    ),
    marked AS (
        SELECT *, status || is_deleted AS state,
            last_value(status || is_deleted) OVER deal AS last_state
        FROM known
        WINDOW deal AS (
            PARTITION BY opportunity_id ORDER BY event_timestamp
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        )
    ),
    since AS (
        SELECT opportunity_id, max(event_timestamp) FILTER (state <> last_state) AS other_until
        FROM marked GROUP BY ALL
    ),
    ends AS (
        SELECT m.opportunity_id,
            min(m.event_timestamp) AS ended_at,
            arg_min(m.status, m.event_timestamp) AS status,
            bool_or(m.is_deleted) AS is_deleted,
            arg_max(m.amount_usd, m.event_timestamp) AS amount_usd,
            arg_min(epoch(m.created_timestamp - m.event_timestamp), m.event_timestamp) / 86400 AS delay_days
        FROM marked m JOIN since s USING (opportunity_id)
        WHERE s.other_until IS NULL OR m.event_timestamp > s.other_until
        GROUP BY ALL
    )
    SELECT opportunity_id, ended_at, status, is_deleted, amount_usd, delay_days
    FROM ends WHERE is_deleted OR list_contains($final, status)
    ORDER BY opportunity_id
"""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """How the deals of a spine's rows ended, as known at a moment; one value per row.

    Args:
        days: Days from as_of to the end of the deal; NaN while it has none.
        won: 1.0 won, 0.0 lost, NaN where it has not ended or was deleted.
        final_usd: Amount of the ended deal, in US dollars, as known at the moment; NaN where it has not ended.
        watched_days: Days from as_of until when it is certain what had happened: to the deletion of a deleted deal,
            otherwise to the moment less the time that closings take to be recorded. Negative for rows after that.
        recording_days: That time: 99 % of the closings known at the moment had been recorded so soon.
    """

    days: Vector
    won: Vector
    final_usd: Vector
    watched_days: Vector
    recording_days: float

    @property
    def is_decided(self) -> NDArray[np.bool_]:
        """Rows whose deal had ended by as_of, though that was recorded later; nobody needs their score."""
        return np.asarray(self.days <= 0.0)

    def take(self, rows: NDArray[np.int64]) -> Outcomes:
        """The outcomes of some rows."""
        return Outcomes(
            days=self.days[rows],
            won=self.won[rows],
            final_usd=self.final_usd[rows],
            watched_days=self.watched_days[rows],
            recording_days=self.recording_days,
        )


def outcomes_at(spine: pa.Table, warehouse: Warehouse, *, cut: datetime) -> Outcomes:
    """How the deals of a spine ended, as known at `cut`.

    Args:
        spine: Needs opportunity_id and `as_of` (UTC, microseconds).
        warehouse: Holds the deals.
        cut: Nothing that happened or was recorded later is used; with a time zone.
    """
    return join_ends(spine, _ends(warehouse, cut=cut), cut=cut)


def ends_at(warehouse: Warehouse, *, cut: datetime) -> dict[str, bool]:
    """Whether each deal that had ended, as known at `cut`, was won; deals deleted while open are not in it."""
    ends = _ends(warehouse, cut=cut)
    rows = zip(*(ends[name].to_pylist() for name in ("opportunity_id", "status", "is_deleted")), strict=True)
    return {deal: status == DEAL_WON.positive for deal, status, is_deleted in rows if not is_deleted}


def _ends(warehouse: Warehouse, *, cut: datetime) -> pa.Table:
    connection = warehouse.duckdb()
    try:
        values = {"cut": utc(cut), "final": list(DEAL_WON.final)}
        return connection.sql(_ENDS, params=values).to_arrow_table()
    finally:
        connection.close()


def join_ends(spine: pa.Table, ends: pa.Table, *, cut: datetime) -> Outcomes:
    """The outcomes of a spine's rows from the ends of the deals (`opportunity_id, ended_at, status, …`)."""
    ids = np.array(ends.column("opportunity_id").to_pylist(), dtype=str)
    asked = np.array(spine.column("opportunity_id").to_pylist(), dtype=str)
    place = np.searchsorted(ids, asked) if len(ids) else np.zeros(len(asked), dtype=np.int64)
    found = np.zeros(len(asked), dtype=bool)
    if len(ids):
        found = ids[np.minimum(place, len(ids) - 1)] == asked
    place = np.where(found, place, 0)
    as_of = as_of_times(spine)
    delay = _delay(ends)
    watched = (instant(cut) - as_of) / _DAY - delay
    days, won, final_usd = (np.full(len(asked), np.nan) for _ in range(3))
    if len(ids):
        ended_at = as_of_times(ends.rename_columns({"ended_at": "as_of"}))[place]
        gone = np.array(ends.column("is_deleted").to_pylist(), dtype=bool)[place] & found
        since = (ended_at - as_of) / _DAY
        days = np.where(found & ~gone, since, np.nan)
        is_won = np.array([status == DEAL_WON.positive for status in ends.column("status").to_pylist()])[place]
        won = np.where(found & ~gone, is_won.astype(np.float64), np.nan)
        amounts = ends.column("amount_usd").cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        final_usd = np.where(found & ~gone, amounts[place], np.nan)
        watched = np.where(gone, np.minimum(watched, since), watched)
    return Outcomes(days=days, won=won, final_usd=final_usd, watched_days=watched, recording_days=delay)


def _delay(ends: pa.Table) -> float:
    values = ends.column("delay_days").to_numpy(zero_copy_only=False).astype(np.float64) if ends.num_rows else []
    known = np.asarray(values)[~np.isnan(values)] if len(values) else np.empty(0)
    return float(np.quantile(known, _RECORDED_SHARE)) if len(known) else 0.0
