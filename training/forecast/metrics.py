"""Errors of forecasts: WAPE, bias, coverage of intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def summed_by(place: NDArray[np.int64], value: FloatArray, *, size: int) -> FloatArray:
    """Values summed by place, shape (size,)."""
    return np.asarray(np.bincount(place, weights=value, minlength=size), dtype=np.float64)


def wape(actual: FloatArray, forecast: FloatArray) -> float:
    """Weighted absolute percentage error: sum of absolute errors over sum of absolute actuals.

    Returns:
        A share, 0 is perfect; NaN where nothing happened.
    """
    scale = float(np.abs(actual).sum())
    return float(np.abs(actual - forecast).sum() / scale) if scale > 0 else float("nan")


def bias(actual: FloatArray, forecast: FloatArray) -> float:
    """Sum of (forecast - actual) over sum of absolute actuals: above 0 the forecasts were too high."""
    scale = float(np.abs(actual).sum())
    return float((forecast - actual).sum() / scale) if scale > 0 else float("nan")


def coverage(actual: FloatArray, lower: FloatArray, upper: FloatArray) -> float:
    """Share of actuals within [lower, upper]; NaN without actuals."""
    return float(((actual >= lower) & (actual <= upper)).mean()) if actual.size else float("nan")


def conformal_factor(
    actual: FloatArray,
    centre: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    *,
    nominal: float,
    prior_weight: float = 20.0,
) -> float:
    """Factor by which intervals around `centre` are widened so that a share `nominal` of past actuals is inside.

    The score of an actual is its distance from the centre in units of the interval's side that it lies on; the factor
    is the scores' conformal quantile (level `ceil((n + 1) nominal) / n`, Vovk et al. 2005), shrunk on the log scale
    towards 1 as if `prior_weight` further scores had said 1. Few origins thus move the intervals little.

    Returns:
        A factor in [0.5, 4]; 1.0 without scores.
    """
    if actual.size == 0:
        return 1.0
    side = np.where(actual >= centre, upper - centre, centre - lower)
    distance = np.abs(actual - centre)
    scores = np.where(side > 0, distance / np.where(side > 0, side, 1.0), np.where(distance > 0, 4.0, 0.0))
    n = len(scores)
    rank = min(int(np.ceil((n + 1) * nominal)), n)
    quantile = float(np.clip(np.sort(scores)[rank - 1], 0.5, 4.0))
    return float(np.exp(np.log(quantile) * n / (n + prior_weight)))
