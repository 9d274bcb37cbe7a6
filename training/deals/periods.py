"""Snapshots of deals as rows per period ahead: what a discrete-time model of competing risks is fitted on.

Time ahead of a snapshot is cut into periods: two of a week, the rest of the first month, then whole months, further out
ever more of them (`PERIOD_DAYS`). A snapshot has a row for each period that the deal began open and that was watched to
its end; a period that was not is dropped, and never taken for "open" (Allison 1982; Singer and Willett 1993). The row
says whether the deal ended in the period, and how.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.deals.outcomes import Outcomes

Vector = NDArray[np.float64]
Rows = NDArray[np.int64]

MONTH_DAYS = 30.0
PERIOD_DAYS = (7.0, 14.0, 30.0, 60.0, 90.0, 180.0, 360.0, 720.0)
"""Last day of each period ahead. Fine where most deals end and the newest history can teach; coarse further out."""
N_PERIODS = len(PERIOD_DAYS)
N_MONTHS = int(PERIOD_DAYS[-1] / MONTH_DAYS)
PERIOD = "days_ahead"
"""Name of the last column of both models' matrix: the last day of the row's period."""


@dataclass(frozen=True, kw_only=True)
class PersonPeriods:
    """Rows per snapshot and period.

    Args:
        row: Snapshot of each row, a position in what was expanded.
        period: Its period, 0 to `N_PERIODS` - 1.
        closed: 1.0 where the deal ended in the period, else 0.0.
        won: 1.0 won, 0.0 lost in the period; NaN where it did not end.
    """

    row: Rows
    period: Rows
    closed: Vector
    won: Vector

    def where(self, chosen: NDArray[np.bool_] | Rows) -> PersonPeriods:
        """Some of the rows."""
        return PersonPeriods(
            row=self.row[chosen], period=self.period[chosen], closed=self.closed[chosen], won=self.won[chosen]
        )


def expand(outcomes: Outcomes) -> PersonPeriods:
    """The rows per period of snapshots, ordered by snapshot and period.

    Args:
        outcomes: How each snapshot's deal ended, as known at a moment.
    """
    ends = np.array(PERIOD_DAYS)
    starts = np.r_[0.0, ends[:-1]]
    days = np.where(np.isnan(outcomes.days), np.inf, outcomes.days)[:, None]
    usable = ~outcomes.is_decided[:, None]
    at_risk = usable & (days > starts) & (ends <= outcomes.watched_days[:, None])
    row, period = np.nonzero(at_risk)
    closed = np.asarray(days[row, 0] <= ends[period], dtype=np.float64)
    won = np.where(closed > 0, outcomes.won[row], np.nan)
    return PersonPeriods(row=row.astype(np.int64), period=period.astype(np.int64), closed=closed, won=won)


def with_period(matrix: Vector, row: Rows, period: Rows) -> Vector:
    """Rows of a snapshot matrix with the period as a last column."""
    return np.column_stack([matrix[row], np.array(PERIOD_DAYS)[period]])


def every_period(matrix: Vector) -> Vector:
    """Each row of a snapshot matrix with all periods, deal by deal: shape (n_deals * N_PERIODS, n_features + 1)."""
    row = np.repeat(np.arange(len(matrix)), N_PERIODS)
    return with_period(matrix, row, np.tile(np.arange(N_PERIODS), len(matrix)))


def known_at(as_of: NDArray[np.datetime64], periods: PersonPeriods) -> NDArray[np.datetime64]:
    """When each row's answer was there: the end of its period, UTC."""
    days = np.array(PERIOD_DAYS)[periods.period]
    return np.asarray(as_of[periods.row] + (days * 86_400e6).astype("timedelta64[us]"))
