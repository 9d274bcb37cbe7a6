"""Revenue of deals that do not exist yet: how many will be opened, how many are won how soon, for how much, by whom.

Volume is forecast by a drifting level that other methods compete with on rolling origins; the chance that a deal is
won so many months after it was first known, and what it brings, come from the deals known so far.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from training.forecast.conversion import MAX_LAG
from training.forecast.drift import Level, neutral_level, track_counts
from training.forecast.metrics import FloatArray
from training.forecast.pace import YEAR, learn_pace
from training.forecast.smoothing import smoothed, theta

_WINDOWS = 6
_AHEAD = 3
_LEAST_HISTORY = 6
_FULL_YEAR_SHARE = 0.25
_PRIOR_WINS = 20.0
QUARTER_MONTHS = 3
_CLEARLY = 0.75
_TRACKED_MONTHS = 24
LEVEL = "drifting_level"


@dataclass(frozen=True)
class Volume:
    """Deals that will become known, by month.

    Args:
        mean: Expected count of each month ahead, shape (h,).
        spread: Standard deviation of the relative error of three months together, as the rolling origins had it.
        method: Method that won.
        errors: Mean absolute error of three months together, relative to the mean, by method.
        level: The count against that of the last two years, as it stands; how unsure it is.
    """

    mean: FloatArray
    spread: float
    method: str
    errors: dict[str, float]
    level: Level = field(default_factory=neutral_level)


@dataclass(frozen=True)
class NewBusiness:
    """What was learned about deals yet to come.

    Args:
        volume: Deals to become known from the month of the moment on.
        wins_by_lag: Wins per deal so many months after the month it was first known in, by that month of the year,
            shape (12, MAX_LAG + 1).
        amounts: Booked amounts of recent wins, USD.
        shares: Share of each rep, sums to 1.
        by_place: Factors on wins by the month's place in its quarter, shape (3,): many are closed at a quarter's end.
        month: Number of the month of the moment.
    """

    volume: Volume
    wins_by_lag: FloatArray
    amounts: FloatArray
    shares: FloatArray
    by_place: FloatArray = field(default_factory=lambda: np.ones(QUARTER_MONTHS))
    month: int = 0

    def wins(self, *, elapsed: float, cycle: float = 1.0) -> FloatArray:
        """Expected wins of each month ahead; of the first month's deals only those after `elapsed` are new.

        Args:
            elapsed: Share of the first month that is over.
            cycle: Factor on the time from creation to win.
        """
        opened = self.volume.mean.copy()
        opened[0] *= 1.0 - elapsed
        h = len(opened)
        found = np.zeros(h)
        for ahead, count in enumerate(opened):
            wins = self.wins_by_lag[(self.month + ahead) % YEAR]
            later = _later(wins, cycle, elapsed=0.0 if ahead else elapsed)[: h - ahead]
            found[ahead : ahead + len(later)] += count * later
        return found


def _later(wins_by_lag: FloatArray, factor: float, *, elapsed: float) -> FloatArray:
    if factor == 1.0 and elapsed == 0.0:
        return wins_by_lag
    # Deals of a month are created half-way through it on average, so lag k is over k + 1/2 months after that; those of
    # what is left of a month half-way through that.
    ends = np.arange(len(wins_by_lag)) + 0.5
    asked = np.r_[0.0, ends - 0.5 * elapsed] / factor
    then = np.interp(asked, np.r_[0.0, ends], np.r_[0.0, np.cumsum(wins_by_lag)])
    return np.diff(then)


def forecast_volume(
    counts: FloatArray,
    *,
    h: int,
    season_length: int,
    first: int = 0,
    wandering: FloatArray | None = None,
    turned: int = 0,
) -> Volume:
    """Forecast a monthly count by a drifting level with a season, unless another method is clearly better.

    Exponential smoothing and Theta of the counts without their season, the season before and the mean of half a year
    compete on rolling origins; six origins say little, so one of them has to have a quarter less error than the level
    to take its place.

    Args:
        counts: Deals first known in each whole month, oldest first.
        h: Months ahead.
        season_length: Months of a season; used once there are two of them and a quarter.
        first: Number of the first count's month, so that quarters of the year are those of the calendar.
        wandering: What other levels told of wandering (`drift.told_of_wandering`).
        turned: How many of the newest months are later than a proven change of the times; 0 without one.
    """
    if len(counts) < _LEAST_HISTORY:
        usual = float(counts.mean()) if len(counts) else 0.0
        return Volume(mean=np.full(h, usual), spread=0.5, method="mean", errors={}, level=neutral_level(0.5))
    season = season_length if len(counts) >= 2 * season_length + _AHEAD else 1
    relative = _rolling(counts, season=season, first=first)
    errors = {method: float(np.mean(np.abs(found))) for method, found in relative.items()}
    best = min(errors, key=errors.__getitem__) if errors else LEVEL
    best = best if errors and errors[best] < _CLEARLY * errors[LEVEL] else LEVEL
    mean, level = _at_level(counts, h=h, season=season, first=first, wandering=wandering, turned=turned)
    if best != LEVEL:
        mean = _others(counts, h=h, season=season, first=first)[best]
    spread = float(np.sqrt(np.mean(np.square(relative[best])))) if errors else 0.3
    return Volume(mean=np.maximum(mean, 0.0), spread=spread, method=best, errors=errors, level=level)


def _rolling(counts: FloatArray, *, season: int, first: int) -> dict[str, list[float]]:
    """Relative errors of three months together at the last origins, by method."""
    least = max(season + 2, _LEAST_HISTORY - 1)
    cutoffs = [c for c in range(len(counts) - _AHEAD - _WINDOWS + 1, len(counts) - _AHEAD + 1) if c >= least]
    relative: dict[str, list[float]] = {}
    for cutoff in cutoffs:
        actual = counts[cutoff : cutoff + _AHEAD].sum()
        made = _others(counts[:cutoff], h=_AHEAD, season=season, first=first)
        made[LEVEL] = _at_level(counts[:cutoff], h=_AHEAD, season=season, first=first)[0]
        for method, mean in made.items():
            relative.setdefault(method, []).append(float((actual - mean.sum()) / max(mean.sum(), 1.0)))
    return relative


def _others(counts: FloatArray, *, h: int, season: int, first: int) -> dict[str, FloatArray]:
    factor = _factors(len(counts) + h, counts, season=season, first=first)
    plain, ahead = counts / factor[: len(counts)], factor[len(counts) :]
    return {
        "seasonal_naive": np.resize(counts[-season:], h),
        "smoothed": smoothed(plain, h=h) * ahead,
        "theta": theta(plain, h=h) * ahead,
        "mean_of_half_year": np.full(h, counts[-YEAR // 2 :].mean()),
    }


def _factors(size: int, counts: FloatArray, *, season: int, first: int) -> FloatArray:
    """The season's factor of each month from the first count's on; 1 where no season is told."""
    by_month = learn_pace(counts, np.ones(len(counts)), first=first, trend=True) if season == YEAR else np.ones(YEAR)
    return np.asarray(by_month[(first + np.arange(size)) % YEAR], dtype=np.float64)


def _at_level(
    counts: FloatArray,
    *,
    h: int,
    season: int,
    first: int,
    wandering: FloatArray | None = None,
    turned: int = 0,
) -> tuple[FloatArray, Level]:
    factor = _factors(len(counts) + h, counts, season=season, first=first)
    recent = counts[-_TRACKED_MONTHS:]
    usual = factor[len(counts) - len(recent) : len(counts)]
    base = float((recent / usual).mean())
    level = track_counts(recent, base * usual, wandering=wandering, turned=turned)
    return base * level.ahead(h) * factor[len(counts) :], level


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


def learn_places(happened: FloatArray, hoped: FloatArray, *, first: int) -> FloatArray:
    """Wins of new deals over what was to be expected, by the month's place in its quarter, shrunk towards their mean.

    Args:
        happened: Wins in each month, oldest first.
        hoped: What was to be expected by the deals' ages.
        first: Number of the first month.

    Returns:
        Shape (3,); so that what was to be expected in sum stays the same.
    """
    if len(hoped) < YEAR or hoped.sum() <= 0 or happened.sum() <= 0:
        return np.ones(QUARTER_MONTHS)
    place = (first + np.arange(len(hoped))) % QUARTER_MONTHS
    came, awaited = (np.bincount(place, weights=values, minlength=QUARTER_MONTHS) for values in (happened, hoped))
    ratio = (came / came.sum() * awaited.sum() + _PRIOR_WINS) / (awaited + _PRIOR_WINS)
    return np.asarray(ratio * awaited.sum() / (ratio @ awaited), dtype=np.float64)


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
