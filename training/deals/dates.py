"""When a deal closes if it is won: an expected day with an interval that holds as often as it says.

The model gives the whole distribution of the day. Which levels of it make an 80 % interval is read off the past: where,
within what cross-fitted models had foretold, did the days of won deals lie? (Conformal quantiles on the scale of the
foretold distribution: Chernozhukov, Wüthrich and Zhu 2021.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.deals.hazards import Futures
from training.deals.outcomes import Outcomes

Vector = NDArray[np.float64]

COVERAGE = 0.8
_RAW = (0.1, 0.5, 0.9)
_LEAST_DEALS = 40
# Snapshots count that were watched as long as this share of the wins took; of newer ones only the fast wins are known.
_WATCHED_SHARE = 0.97


@dataclass(frozen=True)
class Dates:
    """What was learned about days of closing.

    Args:
        levels: Levels of the foretold distribution that give the interval's ends and its middle.
        deals: Won deals behind them; 0 where the levels are the foretold ones.
    """

    levels: tuple[float, float, float] = _RAW
    deals: int = 0

    def expect(self, futures: Futures) -> tuple[Vector, Vector, Vector]:
        """Days ahead to the close if a deal is won: expected (the median), and the ends of the 80 % interval."""
        low, middle, high = (futures.won_by_quantile(level) for level in self.levels)
        return middle, low, high

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Dates:
        """The dates that `to_dict` described."""
        return cls(tuple(values["levels"]), values["deals"])


def learn_dates(futures: Futures, outcomes: Outcomes, *, entity: NDArray[Any]) -> Dates:
    """Learn the levels from snapshots of won deals.

    Args:
        futures: What cross-fitted models foretold of each snapshot.
        outcomes: How the snapshots' deals ended, as known at the split.
        entity: Deal of each snapshot.
    """
    is_won = outcomes.won == 1.0
    if not is_won.any():
        return Dates()
    long_enough = outcomes.watched_days >= np.quantile(outcomes.days[is_won], _WATCHED_SHARE)
    chosen = np.flatnonzero(is_won & long_enough)
    deals = len(np.unique(entity[chosen].astype(str)))
    if deals < _LEAST_DEALS:
        return Dates()
    place = futures.take(chosen).won_share_by(outcomes.days[chosen])
    low, middle, high = np.quantile(place, _RAW).tolist()
    return Dates((low, middle, high), deals)


def slip_probability(futures: Futures, days_to_close_date: Vector) -> Vector:
    """P(still open when the stated close date is over), shape (n_deals,); 1 once it is, NaN where none is stated."""
    days = np.nan_to_num(days_to_close_date, nan=0.0)
    open_then = futures.open_after(np.maximum(days + 1.0, 0.0))
    slipped = np.where(days < 0, 1.0, open_then)
    return np.asarray(np.where(np.isnan(days_to_close_date), np.nan, slipped), dtype=np.float64)
