"""From P(ends in a period | open at its start) and P(won | ends in it) to probabilities over time that add up.

All functions are vectorised over deals. Within a period the hazard is constant: a deal is as likely to end on its last
day as on its first, if it is still open. After the last period a deal that is still open ends some day, and is won with
that period's share. So P(won ever) and P(lost ever) add up to 1, and up to any day won, lost and still open do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.deals.periods import MONTH_DAYS, N_MONTHS, N_PERIODS, PERIOD_DAYS

Vector = NDArray[np.float64]

_ENDS = np.array(PERIOD_DAYS)
_STARTS = np.r_[0.0, _ENDS[:-1]]
_LEAST = 1e-9


@dataclass(frozen=True, kw_only=True)
class Futures:
    """What becomes of deals.

    Args:
        hazard: P(ends in the period | open at its start), shape (n_deals, N_PERIODS).
        share: P(won | ends in the period), the same shape.
    """

    hazard: Vector
    share: Vector

    @property
    def open_before(self) -> Vector:
        """P(open at the start of each period), shape (n_deals, N_PERIODS + 1); the last is after all."""
        kept = np.cumprod(1.0 - self.hazard, axis=1)
        return np.column_stack([np.ones(len(kept)), kept])

    @property
    def won_ever(self) -> Vector:
        """P(won at some time), shape (n_deals,)."""
        before = self.open_before
        won = (before[:, :-1] * self.hazard * self.share).sum(axis=1) + before[:, -1] * self.share[:, -1]
        return np.asarray(np.clip(won, 0.0, 1.0))

    def by(self, days: Vector | float) -> tuple[Vector, Vector]:
        """P(won) and P(lost) within so many days.

        Args:
            days: One number for all deals; or one each, shape (n_deals,); or several each, shape (1 or n_deals, k).

        Returns:
            Two arrays of shape (n_deals,), or (n_deals, k).
        """
        asked = np.asarray(days, dtype=np.float64)
        is_flat = asked.ndim < 2
        grid = np.broadcast_to(asked.reshape(-1, 1) if is_flat else asked, (len(self.hazard), max(1, _width(asked))))
        inside = np.clip((grid[:, :, None] - _STARTS) / (_ENDS - _STARTS), 0.0, 1.0)
        ended = self.open_before[:, None, :-1] * (1.0 - (1.0 - self.hazard[:, None, :]) ** inside)
        won = (ended * self.share[:, None, :]).sum(axis=2)
        lost = (ended * (1.0 - self.share[:, None, :])).sum(axis=2)
        return (won[:, 0], lost[:, 0]) if is_flat else (won, lost)

    def between(self, edges_days: Vector) -> tuple[Vector, Vector]:
        """P(won) and P(lost) between given days ahead, such as the ends of calendar months.

        Args:
            edges_days: Increasing days ahead, shape (k + 1,); the days before the first and after the last are left
                out.

        Returns:
            Two arrays of shape (n_deals, k).
        """
        won, lost = self.by(np.asarray(edges_days, dtype=np.float64)[None, :])
        return np.diff(won, axis=1), np.diff(lost, axis=1)

    def months(self, count: int = N_MONTHS) -> tuple[Vector, Vector]:
        """P(won) and P(lost) in each month (30 days) ahead, shape (n_deals, count) each."""
        return self.between(np.arange(count + 1, dtype=np.float64) * MONTH_DAYS)

    def open_after(self, days: Vector | float) -> Vector:
        """P(still open after so many days); `days` as in `by`."""
        won, lost = self.by(days)
        return np.asarray(np.clip(1.0 - won - lost, 0.0, 1.0))

    def won_by_quantile(self, level: Vector | float) -> Vector:
        """Days within which a deal is won with probability `level`, if it is won: shape (n_deals,).

        What is won after the last period counts as won on its last day.
        """
        before = self.open_before
        mass = before[:, :-1] * self.hazard * self.share
        total = np.maximum(mass.sum(axis=1) + before[:, -1] * self.share[:, -1], _LEAST)
        target = np.broadcast_to(np.asarray(level, dtype=np.float64), (len(mass),)) * total
        cumulative = np.cumsum(mass, axis=1)
        period = np.minimum((cumulative < target[:, None]).sum(axis=1), N_PERIODS - 1)
        row = np.arange(len(mass))
        so_far = cumulative[row, period] - mass[row, period]
        wanted = np.clip((target - so_far) / np.maximum(mass[row, period], _LEAST), 0.0, 1.0)
        hazard = np.clip(self.hazard[row, period], _LEAST, 1.0 - _LEAST)
        # Ended by the share s of the period: 1 - (1 - hazard)^s, and the whole period gives `hazard`.
        inside = np.log1p(-wanted * hazard) / np.log1p(-hazard)
        return np.asarray(_STARTS[period] + np.clip(inside, 0.0, 1.0) * (_ENDS - _STARTS)[period])

    def won_share_by(self, days: Vector) -> Vector:
        """P(won within so many days | won), shape (n_deals,): where a win's day lies in what was foretold for it."""
        won, _ = self.by(days)
        return np.asarray(np.clip(won / np.maximum(self.won_ever, _LEAST), 0.0, 1.0))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Futures:
        """Some of the deals."""
        return Futures(hazard=self.hazard[rows], share=self.share[rows])


def _width(asked: Vector) -> int:
    return asked.shape[1] if asked.ndim == 2 else 1
