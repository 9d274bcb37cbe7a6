"""How open deals turn into money: when and with what chance they are won, and how much of the entered amount is booked.

Learned from what was known at the origin: past moments, the deals open then, and what had become of them by the
origin. A deal still open at the origin is counted as long as it was watched and no longer (Aalen and Johansen 1978),
so that open is not taken for lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.forecast.metrics import FloatArray

MAX_LAG = 18
"""Months ahead that are told apart; what is won later counts as not won."""
N_LAGS = MAX_LAG + 2
"""Lag -1 (won already but not yet known), then 0 to MAX_LAG."""
_PRIOR_ROWS = 30.0
_DUE_EDGES = (-1e9, 0.0, 31.0, 62.0, 93.0, 184.0, 1e9)
_MISSING_DUE = len(_DUE_EDGES)
_MONTH_DAYS = 30.4375
_SEASON_LAGS = 3


@dataclass(frozen=True)
class Conversion:
    """What was learned about open deals.

    Args:
        chances: Chance to be won at each lag in months, by (due bucket, stage), by due bucket, and of all under None.
        ratios: Booked over entered amount of deals won.
        typical_usd: Mean booked amount, for deals without an amount.
        n_snapshots: Rows learned from.
    """

    chances: dict[tuple[int, str] | int | None, FloatArray]
    ratios: FloatArray
    typical_usd: float
    n_snapshots: int

    def win_chances(self, deals: pd.DataFrame, *, at: pd.Timestamp) -> FloatArray:
        """Chance of each deal to be won at each lag, shape (n_deals, N_LAGS)."""
        return self.expected(deals.assign(due=due_bucket(deals["close_date"], at=at)))

    def expected(self, snapshots: pd.DataFrame) -> FloatArray:
        """Chance of each snapshot's deal to be won at each lag, shape (n_rows, N_LAGS)."""
        stage, names = pd.factorize(snapshots["stage"])
        due = snapshots["due"].to_numpy(dtype=np.int64)
        # Each pair that occurs is looked up once.
        pairs, place = np.unique(due * (len(names) + 1) + stage + 1, return_inverse=True)
        told = [None, *names]
        table = [
            self.chances.get((bucket, told[number]), self.chances.get(bucket, self.chances[None]))
            for bucket, number in (divmod(int(pair), len(told)) for pair in pairs)
        ]
        return np.array(table, dtype=np.float64).reshape(len(pairs), N_LAGS)[place]


def due_bucket(close_date: pd.Series, *, at: pd.Timestamp | pd.DatetimeIndex) -> np.ndarray:
    """Bucket of the days from `at` (one moment, or one a row) to the entered close date; the last for none entered."""
    days = (close_date - at.tz_localize(None).normalize()).dt.days.to_numpy(dtype=np.float64)
    bucket = np.digitize(days, _DUE_EDGES[1:-1])
    return np.where(np.isnan(days), _MISSING_DUE, bucket)


def learn_conversion(snapshots: pd.DataFrame) -> Conversion:
    """Learn from past snapshots.

    Args:
        snapshots: One row per past moment and deal open then: `due` (bucket), `stage`, `watched` (whole months
            known after it), `lag` (month of its outcome relative to the snapshot's, NaN while open), `won`, `ratio`
            (booked over entered, NaN unless won), `booked_usd`.
    """
    pooled = _Counts.of(snapshots)
    base = pooled.hazards(None)
    chances: dict[tuple[int, str] | int | None, FloatArray] = {None: _chance(base)}
    for bucket, of_bucket in snapshots.groupby("due"):
        hazards = _Counts.of(of_bucket).hazards(base)
        chances[int(str(bucket))] = _chance(hazards)
        for stage, of_stage in of_bucket.groupby("stage"):
            chances[int(str(bucket)), str(stage)] = _chance(_Counts.of(of_stage).hazards(hazards))
    won = snapshots[snapshots["won"] & snapshots["ratio"].notna()]
    low, high = (won["ratio"].quantile([0.01, 0.99])) if len(won) else (1.0, 1.0)
    ratios = won["ratio"].clip(low, high).to_numpy(dtype=np.float64) if len(won) else np.ones(1)
    booked = snapshots.loc[snapshots["won"], "booked_usd"].dropna()
    return Conversion(
        chances=chances,
        ratios=ratios,
        typical_usd=float(booked.mean()) if len(booked) else 0.0,
        n_snapshots=len(snapshots),
    )


def learn_season(snapshots: pd.DataFrame, expected: FloatArray) -> FloatArray:
    """How much more, or less, is won in each quarter of the year than the stage and due date say; by month of the year.

    Wins of the three months after each snapshot against what was expected of them, by quarter of the year. A quarter
    seen in n years counts with the weight n / (n + 1), so one good autumn does not make a season.

    Args:
        snapshots: As for `learn_conversion`.
        expected: `Conversion.expected` of them.

    Returns:
        Factors, shape (12,), January first.
    """
    month, watched = snapshots["month"].to_numpy(dtype=np.int64), snapshots["watched"].to_numpy()
    lag, won = snapshots["lag"].to_numpy(dtype=np.float64), snapshots["won"].to_numpy(dtype=bool)
    happened, hoped = np.zeros(4), np.zeros(4)
    years: list[set[int]] = [set() for _ in range(4)]
    for ahead in range(_SEASON_LAGS):
        seen = watched > ahead
        quarter = (month[seen] + ahead) % 12 // 3
        happened += np.bincount(quarter, weights=(won & (lag == ahead))[seen], minlength=4)
        hoped += np.bincount(quarter, weights=expected[seen, ahead + 1], minlength=4)
        for number in np.unique(month[seen] + ahead).tolist():
            years[number % 12 // 3].add(number // 12)
    ratio = np.divide(happened + 1.0, hoped + 1.0)
    weight = np.array([len(found) / (len(found) + 1.0) for found in years])
    factors: FloatArray = np.repeat(np.exp(weight * np.log(ratio)), 3)
    return factors


def apply_season(chances: FloatArray, season: FloatArray, *, month: int) -> FloatArray:
    """Chances with each month's factor of the season; a deal's chances still sum to less than 1.

    Args:
        chances: Shape (n_deals, N_LAGS), lag -1 first; lag 0 is `month`.
        season: Factors, January first.
        month: Number of the month of lag 0.
    """
    raised = chances * season[(month - 1 + np.arange(chances.shape[1])) % 12]
    total = raised.sum(axis=1, keepdims=True)
    seasonal: FloatArray = raised * np.minimum(1.0, 0.99 / np.maximum(total, 1e-12))
    return seasonal


def apply_win_probability(chances: FloatArray, win_probability: FloatArray, *, horizon_days: int) -> FloatArray:
    """Keep the learned timing, but make the chance to be won within the horizon what the deal model says.

    Args:
        chances: Shape (n_deals, N_LAGS).
        win_probability: P(won within `horizon_days`) of each deal, shape (n_deals,); NaN leaves a deal as learned.
        horizon_days: Horizon of the deal model.
    """
    last = min(1 + round(horizon_days / _MONTH_DAYS), N_LAGS)
    within = chances[:, :last].sum(axis=1)
    known = ~np.isnan(win_probability)
    asked = np.clip(np.where(known, win_probability, within), 0.0, 1.0)
    inside = np.divide(asked, within, out=np.zeros_like(asked), where=within > 0)
    # A deal that the model thinks less likely to be won in time keeps its odds of being won later.
    outside = np.divide(1.0 - asked, 1.0 - within, out=np.ones_like(asked), where=within < 1)
    scaled = np.hstack([chances[:, :last] * inside[:, None], chances[:, last:] * outside[:, None]])
    return np.where(known[:, None], scaled, chances)


@dataclass(frozen=True)
class _Counts:
    at_risk: FloatArray
    won: FloatArray
    lost: FloatArray

    @classmethod
    def of(cls, rows: pd.DataFrame) -> _Counts:
        """Deals at risk, won and lost at each lag; a lag counts while it was watched to its end."""
        lag = rows["lag"].fillna(MAX_LAG + 1).clip(-1, MAX_LAG + 1).to_numpy(dtype=np.int64) + 1
        until = np.minimum(rows["watched"].to_numpy(dtype=np.int64), MAX_LAG + 1)
        decided, won = rows["lag"].notna().to_numpy() & (lag <= until), rows["won"].to_numpy(dtype=bool)
        last = np.minimum(np.where(decided, lag, until), N_LAGS - 1)
        entered = np.bincount(last, minlength=N_LAGS)[:N_LAGS]
        at_risk = entered[::-1].cumsum()[::-1].astype(np.float64)
        counted = decided & (lag < N_LAGS)
        return cls(
            at_risk=at_risk,
            won=np.bincount(lag[counted & won], minlength=N_LAGS)[:N_LAGS].astype(np.float64),
            lost=np.bincount(lag[counted & ~won], minlength=N_LAGS)[:N_LAGS].astype(np.float64),
        )

    def hazards(self, prior: tuple[FloatArray, FloatArray] | None) -> tuple[FloatArray, FloatArray]:
        """Chance to be won and to be lost at each lag if still open; `prior` counts as so many rows."""
        weight = _PRIOR_ROWS if prior is not None else 0.0
        won_prior, lost_prior = prior if prior is not None else (np.zeros(N_LAGS), np.zeros(N_LAGS))
        total = np.maximum(self.at_risk + weight, 1e-9)
        return (self.won + weight * won_prior) / total, (self.lost + weight * lost_prior) / total


def _chance(hazards: tuple[FloatArray, FloatArray]) -> FloatArray:
    won, lost = hazards
    still_open = np.concatenate([[1.0], np.cumprod(1.0 - won - lost)[:-1]])
    chance: FloatArray = still_open * won
    return chance
