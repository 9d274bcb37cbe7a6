"""Wins of open deals beside what was expected of them: by rep, and month by month."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from training.forecast.drift import Level, track_counts
from training.forecast.flow import Flow
from training.forecast.metrics import FloatArray, summed_by
from training.forecast.new_business import QUARTER_MONTHS, learn_places
from training.forecast.origin_model import CHECKED_LAGS
from training.forecast.rep_factors import RepFactors, learn_rep_factors

_PRIOR_WINS = 20.0
"""Wins of a place in the quarter that stay with the share of all, as in `learn_places`."""


def of_reps(factor: FloatArray, rep_ids: pd.Series, reps: pd.DataFrame) -> FloatArray:
    """The factor of each deal's rep; 1 for a rep not known."""
    by_rep = pd.Series(factor, index=reps["rep_id"])
    return np.asarray(rep_ids.map(by_rep).fillna(1.0), dtype=np.float64)


def open_places(
    snapshots: pd.DataFrame, expected: FloatArray, *, lags: Sequence[int] = range(CHECKED_LAGS)
) -> FloatArray:
    """How much more, or less, is won of open deals in the first, second and third months of quarters than expected.

    Args:
        snapshots: Rows as `snapshots.learn_from` gives them.
        expected: Chance of each to be won at each lag, lag -1 first.
        lags: Which months ahead to learn from.

    Returns:
        Factors by month of the year, shape (12,).
    """
    month, watched = snapshots["month"].to_numpy(dtype=np.int64), snapshots["watched"].to_numpy()
    lag, won = snapshots["lag"].to_numpy(dtype=np.float64), snapshots["won"].to_numpy(dtype=bool)
    first = int(month.min())
    size = int(month.max()) - first + CHECKED_LAGS
    happened, hoped = np.zeros(size), np.zeros(size)
    for ahead in lags:
        seen = watched > ahead
        target = month[seen] + ahead - first
        happened += summed_by(target, (won & (lag == ahead))[seen].astype(np.float64), size=size)
        hoped += summed_by(target, expected[seen, ahead + 1], size=size)
    return np.tile(learn_places(happened, hoped, first=first), 4)


def places_of_rest(snapshots: pd.DataFrame, expected: FloatArray, *, elapsed: float) -> FloatArray:
    """`open_places` of what is left of the snapshots' own months, and of the months after: shape (2, 12).

    Wins pile up in a quarter's last days, so that what is left of its last month differs more from what is left of
    others than whole months do. At a month's start all months are whole, and one factor is learned.
    """
    if elapsed == 0.0:
        return np.tile(open_places(snapshots, expected), (2, 1))
    lags = ([0], range(1, CHECKED_LAGS))
    return np.array([open_places(snapshots, expected, lags=of) for of in lags])


def wins_until_next(snapshots: pd.DataFrame, expected: FloatArray) -> FloatArray:
    """Chance of each snapshot's deal to be won before the next snapshot: in the rest of its month or early in the next.

    How much of a month is won before the next snapshot's point of it is told by the wins of the months that are over,
    by the month's place in its quarter, whose wins come early or late.
    """
    won, lag = snapshots["won"].to_numpy(dtype=bool), snapshots["lag"].to_numpy()
    is_next = won & (lag == 1) & (snapshots["watched"].to_numpy() > 1)
    is_early = is_next & snapshots["is_soon"].to_numpy(dtype=bool)
    place = (snapshots["month"].to_numpy(dtype=np.int64) + 1) % QUARTER_MONTHS
    seen, early = (np.bincount(place[of], minlength=QUARTER_MONTHS) for of in (is_next, is_early))
    usual = is_early.sum() / max(int(is_next.sum()), 1)
    share = (early + _PRIOR_WINS * usual) / (seen + _PRIOR_WINS)
    return np.asarray(expected[:, 1] + share[place] * expected[:, 2], dtype=np.float64)


def wins_of_reps(snapshots: pd.DataFrame, expected: FloatArray, reps: pd.DataFrame) -> RepFactors:
    """How each rep's deals go: wins before the next snapshot against what was expected (`wins_until_next`)."""
    won = (snapshots["won"] & snapshots["is_soon"]).to_numpy(dtype=np.float64)
    rows = pd.DataFrame({"rep": snapshots["rep_id"], "o": won, "e": expected})
    by_rep = rows.groupby("rep").sum()
    by_rep = by_rep.reindex(reps["rep_id"]).fillna(0.0)
    return learn_rep_factors(by_rep["o"].to_numpy(), by_rep["e"].to_numpy())


def track_wins(
    snapshots: pd.DataFrame,
    expected: FloatArray,
    flow: Flow,
    *,
    month: int,
    wandering: FloatArray,
    turned: int,
) -> Level:
    """Wins between each snapshot and the next, against what was expected of them (`wins_until_next`)."""
    won, is_soon = snapshots["won"].to_numpy(dtype=bool), snapshots["is_soon"].to_numpy(dtype=bool)
    number = snapshots["month"].to_numpy(dtype=np.int64)
    first = int(number.min())
    size = month - first
    happened = np.bincount(number[won & is_soon] - first, minlength=size).astype(np.float64)
    # What the moves between stages tell is in the chances already; here is what is beyond that.
    level = flow.one_month(snapshots["stage"], number - first)
    hoped = summed_by(number - first, expected * level, size=size)
    # Some of the newest wins are not known yet: as many as were, at each snapshot, won already and still shown open.
    unknown = (won & snapshots["is_late"].to_numpy(dtype=bool)).sum() / max(happened.sum(), 1.0)
    hoped[-1:] *= 1.0 - min(unknown, 0.5)
    return track_counts(happened, hoped, wandering=wandering, turned=turned)
