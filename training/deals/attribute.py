"""What each feature adds to the log-odds of P(won ever), exactly: contributions that add up.

P(won ever) is a smooth function of the log-odds that the two models give for each period. Along the straight line from
the average deal's log-odds to a deal's own, the change of logit P is the sum over periods and models of the mean
gradient times the change (Aumann and Shapley 1974). Each change is the sum of its model's Shapley values. So every
feature gets its part, and the parts add up to logit P of the deal less that of the average deal; what the numerical
integral leaves over is shared out in proportion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.calibration import sigmoid
from training.deals.hazards import Futures

Vector = NDArray[np.float64]

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_LEAST = 1e-12


def logit_won(closing: Vector, winning: Vector) -> Vector:
    """Logit of P(won ever) from calibrated log-odds by period, shape (n_deals,)."""
    won = Futures(hazard=sigmoid(closing), share=sigmoid(winning)).won_ever
    return _logit(won)


def mean_gradients(closing: Vector, winning: Vector, *, base: tuple[Vector, Vector]) -> tuple[Vector, Vector]:
    """Mean gradient of logit P(won ever) along the line from `base` to each deal.

    Args:
        closing: Log-odds of ending, shape (n_deals, N_PERIODS).
        winning: Log-odds of being won, the same shape.
        base: The average deal's, shape (N_PERIODS,) each.

    Returns:
        By `closing` and by `winning`, the shapes of these.
    """
    by_closing, by_winning = np.zeros_like(closing), np.zeros_like(winning)
    for point, weight in zip((_POINTS + 1.0) / 2.0, _WEIGHTS / 2.0, strict=True):
        here = _gradients(base[0] + point * (closing - base[0]), base[1] + point * (winning - base[1]))
        by_closing += weight * here[0]
        by_winning += weight * here[1]
    return by_closing, by_winning


def _gradients(closing: Vector, winning: Vector) -> tuple[Vector, Vector]:
    """Gradient of logit P(won ever) at given log-odds."""
    hazard, share = sigmoid(closing), sigmoid(winning)
    before = Futures(hazard=hazard, share=share).open_before
    mass = before[:, :-1] * hazard
    mass_won = mass * share
    tail = before[:, -1] * share[:, -1]
    won = mass_won.sum(axis=1) + tail
    # What is won after each period.
    later = np.cumsum(mass_won[:, ::-1], axis=1)[:, ::-1] - mass_won + tail[:, None]
    by_hazard = before[:, :-1] * share - later / np.maximum(1.0 - hazard, _LEAST)
    by_share = mass.copy()
    by_share[:, -1] += before[:, -1]
    outer = 1.0 / np.maximum(won * (1.0 - won), _LEAST)
    return (
        by_hazard * hazard * (1.0 - hazard) * outer[:, None],
        by_share * share * (1.0 - share) * outer[:, None],
    )


def share_out(parts: Vector, total: Vector) -> Vector:
    """Parts changed in proportion to their sizes so that they add up to `total`.

    Args:
        parts: Shape (n_rows, n_parts).
        total: What they shall add up to, shape (n_rows,).
    """
    gap = total - parts.sum(axis=1)
    sizes = np.abs(parts)
    whole = sizes.sum(axis=1)
    shares = np.divide(sizes, whole[:, None], out=np.zeros_like(parts), where=whole[:, None] > 0)
    empty = whole == 0
    if empty.any():
        shares[empty] = 1.0 / parts.shape[1]
    return np.asarray(parts + gap[:, None] * shares)


def _logit(probability: Vector) -> Vector:
    inside = np.clip(probability, _LEAST, 1.0 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))
