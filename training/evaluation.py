"""Figures of a probability, each with a 95 % bootstrap interval that draws whole entities.

All figures take row weights, and a bootstrap replicate is a column of weights (how often each entity was drawn), so
that one pass over the sorted rows gives a figure of all replicates.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.calibration import log_loss_rows
from training.results import Metric

Vector = NDArray[np.float64]
# A figure of (label, probability, weights (n_rows, n_replicates)) -> (n_replicates,).
Figure = Callable[[Vector, Vector, Vector], Vector]

REPLICATES = 200
ECE_BINS = 10
_CHUNK = 25
_TOP = 0.1


def auc(label: Vector, probability: Vector, weights: Vector) -> Vector:
    """Area under the ROC curve: P(positive above negative) + half the ties (Hanley and McNeil 1982)."""
    positive, negative = _by_score(label, probability, weights)
    below = np.cumsum(negative, axis=0) - negative
    wins = (positive * (below + negative / 2.0)).sum(axis=0)
    return _ratio(wins, positive.sum(axis=0) * negative.sum(axis=0))


def pr_auc(label: Vector, probability: Vector, weights: Vector) -> Vector:
    """Average precision: precision at each distinct score, weighted by the recall it adds."""
    positive, negative = _by_score(label, probability, weights)
    found = np.cumsum(positive[::-1], axis=0)
    taken = found + np.cumsum(negative[::-1], axis=0)
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    return _ratio((precision * positive[::-1]).sum(axis=0), positive.sum(axis=0))


def log_loss(label: Vector, probability: Vector, weights: Vector) -> Vector:
    """Mean negative log-likelihood, natural logarithm."""
    return _ratio(log_loss_rows(label, probability) @ weights, weights.sum(axis=0))


def brier(label: Vector, probability: Vector, weights: Vector) -> Vector:
    """Mean squared difference between probability and outcome (Brier 1950)."""
    return _ratio((probability - label) ** 2 @ weights, weights.sum(axis=0))


def ece(label: Vector, probability: Vector, weights: Vector) -> Vector:
    """Expected calibration error: mean |observed rate - mean probability| over ten bins of equally many rows."""
    order = np.argsort(probability, kind="stable")
    starts = np.unique(np.linspace(0, len(label), ECE_BINS, endpoint=False).astype(int))
    gap = np.add.reduceat(((label - probability)[:, None] * weights)[order], starts, axis=0)
    return _ratio(np.abs(gap).sum(axis=0), weights.sum(axis=0))


def top_decile_lift(label: Vector, probability: Vector, weights: Vector) -> Vector:
    """Outcome rate of the tenth with the highest probability over the rate of all; ties share the last places."""
    positive, negative = _by_score(label, probability, weights)
    positive, negative = positive[::-1], negative[::-1]
    total = positive + negative
    before = np.cumsum(total, axis=0) - total
    room = _TOP * total.sum(axis=0)
    taken = np.clip(room - before, 0.0, total)
    share = np.divide(taken, total, out=np.zeros_like(total), where=total > 0)
    return _ratio((share * positive).sum(axis=0) / room, positive.sum(axis=0) / total.sum(axis=0))


FIGURES: dict[str, Figure] = {
    "auc": auc,
    "pr_auc": pr_auc,
    "log_loss": log_loss,
    "brier": brier,
    "ece": ece,
    "top_decile_lift": top_decile_lift,
}


def _by_score(label: Vector, probability: Vector, weights: Vector) -> tuple[Vector, Vector]:
    """Weights of positives and of negatives at each distinct score, lowest score first; (n_scores, n_replicates)."""
    order = np.argsort(probability, kind="stable")
    scores = probability[order]
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    sorted_weights, outcome = weights[order], label[order][:, None]
    positive = np.add.reduceat(sorted_weights * outcome, starts, axis=0)
    negative = np.add.reduceat(sorted_weights * (1.0 - outcome), starts, axis=0)
    return positive, negative


def _ratio(numerator: Vector, denominator: Vector) -> Vector:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def draw_weights(entity: NDArray[np.object_] | NDArray[np.str_], *, replicates: int, seed: int) -> Vector:
    """How often each row counts in each bootstrap replicate: entities are drawn with replacement, rows go with them.

    Returns:
        float64, shape (n_rows, replicates).
    """
    names, cluster = np.unique(np.asarray(entity).astype(str), return_inverse=True)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=replicates)
    return np.asarray(counts.T[cluster], dtype=np.float64)


def evaluate(
    label: Vector,
    probability: Vector,
    *,
    entity: NDArray[np.object_] | NDArray[np.str_],
    seed: int,
    replicates: int = REPLICATES,
) -> dict[str, Metric]:
    """All figures of one probability on one set of rows.

    Args:
        label: 0 or 1 per row.
        probability: Predicted probability per row.
        entity: Lead or deal of each row; the bootstrap draws these.
        seed: Seed of the bootstrap: with the same rows, every model meets the same replicates.
        replicates: Bootstrap replicates; 0 for none.

    Returns:
        Figures by name, and `rows`, `outcome_rate`, `mean_probability`.
    """
    ones = np.ones((len(label), 1))
    point = {name: float(figure(label, probability, ones)[0]) for name, figure in FIGURES.items()}
    drawn: dict[str, list[Vector]] = {name: [] for name in FIGURES}
    weights = draw_weights(entity, replicates=replicates, seed=seed) if replicates else np.empty((len(label), 0))
    for start in range(0, weights.shape[1], _CHUNK):
        part = weights[:, start : start + _CHUNK]
        for name, figure in FIGURES.items():
            drawn[name].append(figure(label, probability, part))
    metrics = {name: _interval(point[name], drawn[name]) for name in FIGURES}
    metrics["rows"] = Metric(float(len(label)))
    metrics["outcome_rate"] = Metric(float(label.mean()))
    metrics["mean_probability"] = Metric(float(probability.mean()))
    return metrics


def _interval(value: float, drawn: list[Vector]) -> Metric:
    replicates = np.concatenate(drawn) if drawn else np.empty(0)
    replicates = replicates[np.isfinite(replicates)]
    if not len(replicates):
        return Metric(value)
    low, high = np.quantile(replicates, [0.025, 0.975])
    return Metric(value, float(low), float(high))
