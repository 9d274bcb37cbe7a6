"""Wins of open deals beside what was expected of them: by rep, and month by month."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training.forecast.drift import Level, track_counts
from training.forecast.flow import Flow
from training.forecast.metrics import FloatArray, summed_by
from training.forecast.new_business import learn_places
from training.forecast.origin_model import CHECKED_LAGS
from training.forecast.rep_factors import RepFactors, learn_rep_factors


def of_reps(factor: FloatArray, rep_ids: pd.Series, reps: pd.DataFrame) -> FloatArray:
    """The factor of each deal's rep; 1 for a rep not known."""
    by_rep = pd.Series(factor, index=reps["rep_id"])
    return np.asarray(rep_ids.map(by_rep).fillna(1.0), dtype=np.float64)


def open_places(snapshots: pd.DataFrame, expected: FloatArray) -> FloatArray:
    """How much more, or less, is won of open deals in the first, second and third months of quarters than expected.

    Args:
        snapshots: Rows as `snapshots.learn_from` gives them.
        expected: Chance of each to be won at each lag, lag -1 first.

    Returns:
        Factors by month of the year, shape (12,).
    """
    month, watched = snapshots["month"].to_numpy(dtype=np.int64), snapshots["watched"].to_numpy()
    lag, won = snapshots["lag"].to_numpy(dtype=np.float64), snapshots["won"].to_numpy(dtype=bool)
    first = int(month.min())
    size = int(month.max()) - first + CHECKED_LAGS
    happened, hoped = np.zeros(size), np.zeros(size)
    for ahead in range(CHECKED_LAGS):
        seen = watched > ahead
        target = month[seen] + ahead - first
        happened += summed_by(target, (won & (lag == ahead))[seen].astype(np.float64), size=size)
        hoped += summed_by(target, expected[seen, ahead + 1], size=size)
    return np.tile(learn_places(happened, hoped, first=first), 4)


def wins_of_reps(snapshots: pd.DataFrame, expected: FloatArray, reps: pd.DataFrame) -> RepFactors:
    """How each rep's deals go: wins of the month after each snapshot against what was expected."""
    seen = (snapshots["watched"] > 0).to_numpy()
    won = (snapshots["won"] & (snapshots["lag"] == 0)).to_numpy()
    rep = snapshots["rep_id"]
    happened = won[seen].astype(np.float64)
    by_rep = pd.DataFrame({"rep": rep[seen], "o": happened, "e": expected[seen, 1]}).groupby("rep").sum()
    by_rep = by_rep.reindex(reps["rep_id"]).fillna(0.0)
    return learn_rep_factors(by_rep["o"].to_numpy(), by_rep["e"].to_numpy())


def track_wins(
    snapshots: pd.DataFrame,
    expected: FloatArray,
    flow: Flow,
    *,
    month: int,
    elapsed: float,
    wandering: FloatArray,
    turned: int,
) -> Level:
    """Wins of each whole month, of deals open at its start, against what was expected.

    The month of the moment takes no part: wins come late in a month, later still in a quarter's last one.
    """
    won, lag = snapshots["won"].to_numpy(dtype=bool), snapshots["lag"].to_numpy()
    number = snapshots["month"].to_numpy(dtype=np.int64)
    first = int(number.min())
    size = month - first + 1
    happened = np.bincount(number[won & (lag == 0)] - first, minlength=size).astype(np.float64)
    # What the moves between stages tell is in the chances already; here is what is beyond that.
    level = flow.one_month(snapshots["stage"], number - first)
    hoped = summed_by(number - first, expected[:, 1] * level, size=size)
    # Some of the newest wins are not known yet: as many as were, at each snapshot, won already and still shown open.
    unknown = np.bincount(number[won & (lag < 0)] - first, minlength=size).sum() / max(happened.sum(), 1.0)
    hoped[-2:] *= 1.0 - min(unknown, 0.5) * (1.0 - elapsed)
    return track_counts(happened[:-1], hoped[:-1], wandering=wandering, turned=turned)
