"""Intervals at small levels: of a rate, of an odds ratio, of an AUC."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_HALVINGS = 60
_TINY = 1e-12


def rate_bounds(successes: Vector, rows: Vector, *, level: float) -> tuple[Vector, Vector]:
    """Bounds of rates that hold with probability 1 - `level` on each side, for every number of rows.

    Chernoff's bound on the binomial tail, inverted: the rates q with rows * KL(observed, q) = ln(1 / level). It is a
    little wider than Clopper and Pearson's exact one and needs no incomplete beta function.

    Args:
        successes: Counts.
        rows: Counts of rows; 0 rows give (0, 1).
        level: One-sided error.
    """
    total = np.maximum(np.asarray(rows, dtype=np.float64), _TINY)
    observed = np.clip(np.asarray(successes, dtype=np.float64) / total, 0.0, 1.0)
    room = -np.log(level) / total
    return _solve(observed, room, np.zeros_like(observed)), _solve(observed, room, np.ones_like(observed))


def _solve(observed: Vector, room: Vector, end: Vector) -> Vector:
    """The rate between `observed` and `end` whose divergence is `room`, by halving."""
    inside, outside = observed.copy(), end.copy()
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2.0
        is_inside = _divergence(observed, middle) < room
        inside, outside = np.where(is_inside, middle, inside), np.where(is_inside, outside, middle)
    return outside


def _divergence(observed: Vector, rate: Vector) -> Vector:
    rate = np.clip(rate, _TINY, 1.0 - _TINY)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(observed > 0, observed * np.log(observed / rate), 0.0)
        right = np.where(observed < 1, (1 - observed) * np.log((1 - observed) / (1 - rate)), 0.0)
    return np.asarray(left + right)


def odds_ratio_bounds(
    successes: Vector, rows: Vector, *, total_successes: float, total_rows: float, level: float
) -> tuple[Vector, Vector, Vector]:
    """Odds of groups over the odds of all other rows: estimate, low, high; `level` is one-sided and covers both rates.

    The estimate adds half a row to each of the four cells (Haldane and Anscombe), so that it is finite.
    """
    others, other_successes = total_rows - rows, total_successes - successes
    inside = rate_bounds(successes, rows, level=level / 2)
    outside = rate_bounds(other_successes, others, level=level / 2)
    estimate = ((successes + 0.5) * (others - other_successes + 0.5)) / (
        (rows - successes + 0.5) * (other_successes + 0.5)
    )
    return estimate, odds(inside[0]) / odds(outside[1]), odds(inside[1]) / odds(outside[0])


def odds(rate: Vector) -> Vector:
    """Odds of a rate, kept finite."""
    kept = np.clip(rate, _TINY, 1.0 - _TINY)
    return np.asarray(kept / (1.0 - kept))


def auc_interval(label: Vector, score: Vector, *, level: float) -> tuple[float, float, float]:
    """AUC with its interval (DeLong, DeLong and Clarke-Pearson 1988), ties counting half.

    Args:
        label: 0 or 1.
        score: Higher means more likely.
        level: Two-sided error of the normal interval.

    Returns:
        AUC, low, high; (0.5, 0.0, 1.0) where one outcome is missing.
    """
    positive, negative = score[label == 1], score[label == 0]
    if min(len(positive), len(negative)) < 2:
        return 0.5, 0.0, 1.0
    above = placements(positive, negative)
    below = 1.0 - placements(negative, positive)
    value = float(above.mean())
    variance = above.var(ddof=1) / len(positive) + below.var(ddof=1) / len(negative)
    reach = NormalDist().inv_cdf(1.0 - level / 2.0) * float(np.sqrt(variance))
    return value, max(value - reach, 0.0), min(value + reach, 1.0)


def placements(values: Vector, among: Vector) -> Vector:
    """Share of `among` that lies below each value, ties half."""
    ordered = np.sort(among)
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((below + upto) / (2.0 * len(among)))
