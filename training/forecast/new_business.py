"""Revenue of deals that do not exist yet: how many will be opened, how many are won how soon, for how much, by whom.

Volume is forecast by methods that compete on rolling origins; the chance that a deal is won so many months after it
was first known, and what it brings, come from the deals known so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.forecast.candidates import COMBINATION, all_forecasts
from training.forecast.conversion import MAX_LAG
from training.forecast.metrics import FloatArray

_YEAR = 12
_WINDOWS = 6
_AHEAD = 3
_LEAST_HISTORY = 6
_FULL_YEAR_SHARE = 0.25


@dataclass(frozen=True)
class Volume:
    """Deals that will become known, by month.

    Args:
        mean: Expected count of each month ahead, shape (h,).
        spread: Standard deviation of the relative error of three months together, as the rolling origins had it.
        method: Method that won.
        errors: Mean absolute error of three months together, relative to the mean, by method.
    """

    mean: FloatArray
    spread: float
    method: str
    errors: dict[str, float]


@dataclass(frozen=True)
class NewBusiness:
    """What was learned about deals yet to come.

    Args:
        volume: Deals to become known from the month of the moment on.
        wins_by_lag: Wins per deal so many months after the month it was first known in, shape (MAX_LAG + 1,).
        amounts: Booked amounts of recent wins, USD.
        shares: Share of each rep, sums to 1.
    """

    volume: Volume
    wins_by_lag: FloatArray
    amounts: FloatArray
    shares: FloatArray

    def wins(self, *, elapsed: float, cycle: float = 1.0) -> FloatArray:
        """Expected wins of each month ahead; of the first month's deals only those after `elapsed` are new.

        Args:
            elapsed: Share of the first month that is over.
            cycle: Factor on the time from creation to win.
        """
        opened = self.volume.mean.copy()
        opened[0] *= 1.0 - elapsed
        h = len(opened)
        found: FloatArray = np.convolve(opened, _later(self.wins_by_lag, cycle))[:h]
        return found


def _later(wins_by_lag: FloatArray, factor: float) -> FloatArray:
    if factor == 1.0:
        return wins_by_lag
    # Deals of a month are created half-way through it on average, so lag k is over k + 1/2 months after that.
    ends = np.arange(len(wins_by_lag)) + 0.5
    then = np.interp(np.r_[0.0, ends] / factor, np.r_[0.0, ends], np.r_[0.0, np.cumsum(wins_by_lag)])
    return np.diff(then)


def forecast_volume(counts: FloatArray, *, h: int, season_length: int) -> Volume:
    """Forecast a monthly count by the method with the least error on rolling origins.

    Args:
        counts: Deals first known in each whole month, oldest first.
        h: Months ahead.
        season_length: Months of a season; used once there are two of them and a quarter.
    """
    season = season_length if len(counts) >= 2 * season_length + _AHEAD else 1
    if len(counts) < _LEAST_HISTORY:
        level = float(counts.mean()) if len(counts) else 0.0
        return Volume(mean=np.full(h, level), spread=0.5, method="mean", errors={})
    least = max(season + 2, _LEAST_HISTORY - 1)
    cutoffs = [c for c in range(len(counts) - _AHEAD - _WINDOWS + 1, len(counts) - _AHEAD + 1) if c >= least]
    relative: dict[str, list[float]] = {}
    for cutoff in cutoffs:
        actual = counts[cutoff : cutoff + _AHEAD].sum()
        for method, mean in _candidates(counts[:cutoff], h=_AHEAD, season=season).items():
            relative.setdefault(method, []).append(float((actual - mean.sum()) / max(mean.sum(), 1.0)))
    errors = {method: float(np.mean(np.abs(found))) for method, found in relative.items()}
    best = min(errors, key=errors.__getitem__) if errors else COMBINATION
    mean = _candidates(counts, h=h, season=season)[best]
    spread = float(np.sqrt(np.mean(np.square(relative[best])))) if errors else 0.3
    return Volume(mean=np.maximum(mean, 0.0), spread=spread, method=best, errors=errors)


def _candidates(counts: FloatArray, *, h: int, season: int) -> dict[str, FloatArray]:
    made = {
        name: forecast.mean[0] for name, forecast in all_forecasts(counts[None, :], h=h, season_length=season).items()
    }
    made["mean_of_half_year"] = np.full(h, counts[-_YEAR // 2 :].mean())
    return made


def learn_wins_by_lag(opened: FloatArray, wins: FloatArray) -> FloatArray:
    """Wins per deal at each lag, from the months whose lag is over.

    Args:
        opened: Deals first known in each whole month, oldest first, shape (n_months,).
        wins: Wins by month first known and lag, shape (n_months, MAX_LAG + 1); only lags that are over are read.
    """
    n_months = len(opened)
    rates = np.zeros(MAX_LAG + 1)
    for lag in range(min(n_months, MAX_LAG + 1)):
        seen = opened[: n_months - lag].sum()
        rates[lag] = wins[: n_months - lag, lag].sum() / seen if seen > 0 else 0.0
    return rates


def rep_shares(revenue: pd.Series, reps: pd.DataFrame, *, at: pd.Timestamp) -> FloatArray:
    """Share of each rep in business to come, aligned to `reps`; reps who have left have none.

    A rep's revenue of the last year, per year worked, shrunk half-way to the mean of all.

    Args:
        revenue: Revenue from deals in the year before `at`, by rep_id.
        reps: Reps as known at `at`.
        at: The moment.
    """
    active = reps["is_active"].to_numpy(dtype=bool)
    if not active.any():
        active = np.ones(len(reps), dtype=bool)
    tenure = ((at - reps["hired_at"]).dt.days / 365.0).fillna(1.0).clip(_FULL_YEAR_SHARE, 1.0).to_numpy()
    rate = revenue.reindex(reps["rep_id"]).fillna(0.0).clip(lower=0.0).to_numpy() / tenure
    mean = rate[active].mean()
    weights = np.where(active, 0.5 * rate + 0.5 * mean, 0.0)
    total = weights.sum()
    shares: FloatArray = weights / total if total > 0 else active / active.sum()
    return shares
