"""Ranges that hold as often as they say: widened or narrowed by what past ranges held, origin by origin.

Weighted split conformal prediction: an actual value's score is its distance from the median in units of the range's
side that it lies on. The factor for the next range is the scores' weighted quantile, recent origins counting more
(Barber, Candes, Ramdas and Tibshirani 2023, "Conformal prediction beyond exchangeability"), taken with the new point
itself at infinity, as finite samples ask for (Vovk et al. 2005), and between neighbouring scores in proportion of their
logarithms, so that few origins hold the nominal share on average and not more. Entities of one origin share its luck,
so that k of them count as the square root of k. Where there are too few origins for a quantile the widest score speaks,
and no range is ever made narrower than the forecast's own on fewer origins than its quantile needs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from training.forecast.metrics import FloatArray
from training.forecast.periods import Period
from training.forecast.series import NOMINAL

Factors = dict[str, dict[int, float]]
HALF_LIFE = 8.0
"""Origins (quarters) after which a score counts half."""
_LEAST, _MOST = 0.6, 3.0
_PRIOR_WEIGHT = 6.0
_LATER, _MONTH, _REST = "later", "month", "rest"


def range_key(level: str, period: Period, *, origin_month: int) -> str:
    """Name of the group of ranges that one belongs to: by level, by months or longer, by how far ahead it ends."""
    if period.n_months == 1:
        return f"{level}:{_MONTH}"
    ahead = period.first_month + period.n_months - origin_month
    if period.n_months == 3 and ahead < 3:
        return f"{level}:{_REST}"
    return f"{level}:{_LATER}" if ahead > 3 else level


def factor_of(factors: Mapping[str, Mapping[int, float]], key: str) -> Mapping[int, float]:
    """Factors of a group; where it was never judged, those of its level's quarters; 1 where nothing was."""
    return factors.get(key) or factors.get(key.split(":")[0]) or {}


def learn_factors(rows: pd.DataFrame) -> Factors:
    """Factors of every group of ranges.

    Args:
        rows: `group` (`range_key`), `at` (place of the origin, oldest 0), actual, median, and the range as it came.
    """
    factors: Factors = {}
    for group, of_group in rows[~says_nothing(rows)].groupby("group", sort=False):
        factors[str(group)] = {percent: _factor(of_group, percent) for percent in NOMINAL}
    return factors


def says_nothing(rows: pd.DataFrame) -> pd.Series:
    """Which rows are of entities of which nothing was to be expected and nothing came, such as reps who have left.

    Their range of no width holds by itself and says nothing of the others.
    """
    empty: pd.Series = (rows["lower_95"] == rows["upper_95"]) & (rows["actual"] == rows["median"])
    return empty


def _factor(rows: pd.DataFrame, percent: int) -> float:
    nominal = NOMINAL[percent]
    scores = range_scores(rows, percent)
    at = rows["at"].to_numpy(dtype=np.int64)
    entities = np.bincount(at)[at]
    weights = 0.5 ** ((at.max() - at) / HALF_LIFE) / np.sqrt(entities)
    # The new point has the weight of one score of the newest origin; a prior says 1.
    newest = 1.0 / np.sqrt(entities[at == at.max()][0])
    needed = nominal * (weights.sum() + newest)
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, needed, side="left"))
    is_enough = place < len(scores)
    quantile = float(np.clip(_between(scores[order], reached, needed, place), _LEAST, _MOST))
    total = weights.sum()
    factor = float(np.exp(np.log(quantile) * total / (total + _PRIOR_WEIGHT)))
    return factor if is_enough else max(factor, 1.0)


def _between(scores: FloatArray, reached: FloatArray, needed: float, place: int) -> float:
    """The score at which the weights reach what is needed, between its neighbours; the widest beyond all.

    The next score up would hold too much: half a rank on average, which of six origins is seven points of a hundred.
    Between two scores it goes by their logarithms, since a score is a scale: where large scores are rarer than small
    ones, the middle of two holds more than the mean of their shares. Of six normal scores the range then holds 80.7 %
    for 80 %, by their plain proportion 81.7 %.
    """
    if place in (0, len(scores)):
        return float(scores[min(place, len(scores) - 1)])
    share = float((needed - reached[place - 1]) / (reached[place] - reached[place - 1]))
    lower, upper = float(scores[place - 1]), float(scores[place])
    if lower <= 0.0:
        # A range that held exactly has no logarithm.
        return lower + share * (upper - lower)
    return float(np.exp((1.0 - share) * np.log(lower) + share * np.log(upper)))


def range_scores(rows: pd.DataFrame, percent: int) -> FloatArray:
    """Distance of each actual value from the median, in units of the range's side it lies on."""
    actual, middle = rows["actual"].to_numpy(dtype=np.float64), rows["median"].to_numpy(dtype=np.float64)
    upper, lower = (rows[f"{side}_{percent}"].to_numpy(dtype=np.float64) for side in ("upper", "lower"))
    side = np.where(actual >= middle, upper - middle, middle - lower)
    distance = np.abs(actual - middle)
    return np.asarray(
        np.where(side > 0, distance / np.where(side > 0, side, 1.0), np.where(distance > 0, _MOST, 0.0)),
        dtype=np.float64,
    )
