"""Isotonic regression with weights, and inductive Venn-Abers predictors on it (Vovk and Petej 2014).

A Venn-Abers predictor fits isotonic regression twice with the row in question added, once with outcome 0 and once with
outcome 1: two probabilities, of which one is perfectly calibrated. To have them as a short table, scores are first put
into bins of equally many rows; a row then stands for its bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_BINS = 60


@dataclass(frozen=True)
class VennAbers:
    """The two probabilities at each bin's mean score.

    Args:
        x: Mean score by bin, ascending.
        low: Probability were the row's outcome 0.
        high: Probability were it 1.
    """

    x: Vector
    low: Vector
    high: Vector

    @property
    def probability(self) -> Vector:
        """The two merged into the one with the least worst-case log-loss."""
        return np.asarray(self.high / (1.0 - self.low + self.high), dtype=np.float64)


def pool_adjacent(rate: Vector, weight: Vector) -> Vector:
    """Isotonic regression: the non-decreasing values nearest to `rate` in weighted squares (Ayer et al. 1955).

    Example:
        >>> pool_adjacent(np.array([0.1, 0.5, 0.3]), np.ones(3)).tolist()
        [0.1, 0.4, 0.4]
    """
    values: list[float] = []
    masses: list[float] = []
    lengths: list[int] = []
    for value, mass in zip(rate.tolist(), weight.tolist(), strict=True):
        length = 1
        while values and values[-1] >= value:
            before, own = masses.pop(), mass
            mass = before + own
            value = (values.pop() * before + value * own) / mass
            length += lengths.pop()
        values.append(value)
        masses.append(mass)
        lengths.append(length)
    return np.repeat(values, lengths)


def isotonic_steps(score: Vector, label: Vector, weight: Vector) -> tuple[Vector, Vector]:
    """Isotonic regression of the outcome on the score, as knots to interpolate between.

    Returns:
        Scores and probabilities, ascending; at most two knots per step.
    """
    x, rate, mass = _by_score(score, label, weight)
    fitted = pool_adjacent(rate, mass)
    inner = np.zeros(len(x), dtype=bool)
    inner[1:-1] = (fitted[1:-1] == fitted[:-2]) & (fitted[1:-1] == fitted[2:])
    return x[~inner], fitted[~inner]


def fit_venn_abers(score: Vector, label: Vector, weight: Vector) -> VennAbers:
    """The two probabilities of a row in each of 60 bins of scores.

    Args:
        score: Score per row, any scale.
        label: 0 or 1 per row.
        weight: How much each row counts; the row in question counts 1.
    """
    counts = weight > 0
    score, label, weight = score[counts], label[counts], weight[counts]
    order = np.argsort(score, kind="stable")
    edges = np.unique(np.linspace(0, len(score), _BINS + 1).astype(int))
    mass = np.add.reduceat(weight[order], edges[:-1])
    rate = np.add.reduceat((weight * label)[order], edges[:-1]) / mass
    x = np.add.reduceat((weight * score)[order], edges[:-1]) / mass
    x, rate, mass = _by_score(x, rate, mass)
    both = []
    for outcome in (0.0, 1.0):
        side = np.empty(len(x))
        for at in range(len(x)):
            rates, masses = rate.copy(), mass.copy()
            rates[at] = (rate[at] * mass[at] + outcome) / (mass[at] + 1.0)
            masses[at] += 1.0
            side[at] = pool_adjacent(rates, masses)[at]
        both.append(np.maximum.accumulate(side))
    return VennAbers(x, both[0], both[1])


def _by_score(score: Vector, rate: Vector, weight: Vector) -> tuple[Vector, Vector, Vector]:
    """Distinct scores, ascending, with the mean rate and the weight of each."""
    counts = weight > 0
    score, rate, weight = score[counts], rate[counts], weight[counts]
    x, place = np.unique(score, return_inverse=True)
    mass = np.asarray(np.bincount(place, weights=weight), dtype=np.float64)
    return x, np.asarray(np.bincount(place, weights=weight * rate) / mass, dtype=np.float64), mass
