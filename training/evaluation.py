"""Figures of a probability, each with a 95 % bootstrap interval that draws whole entities.

All figures take row weights, and a bootstrap replicate is a column of weights (how often each entity was drawn), so
that one pass over the sorted rows gives a figure of all replicates. For the replicates, rows with nearly the same
probability are put together first (`_Cells`): the interval of a million rows then takes a second. The figures
themselves always come from the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.calibration import log_loss_rows
from training.resampling import Resample, interval, resample
from training.results import Metric

Vector = NDArray[np.float64]
# A figure of (label, probability, weights (n_rows, n_replicates)) -> (n_replicates,).
Figure = Callable[[Vector, Vector, Vector], Vector]

REPLICATES = 200
ECE_BINS = 10
MAX_SCORES = 1_000
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
    place, gap = _ece_bins(probability), (label - probability)[:, None] * weights
    sums = np.stack([gap[place == index].sum(axis=0) for index in range(ECE_BINS)])
    return _ratio(np.abs(sums).sum(axis=0), weights.sum(axis=0))


def _ece_bins(probability: Vector) -> NDArray[np.int64]:
    """Bin of each row: ten of equally many rows, in order of the probability."""
    starts = np.linspace(0, len(probability), ECE_BINS, endpoint=False).astype(int)
    rank = np.empty(len(probability), dtype=np.int64)
    rank[np.argsort(probability, kind="stable")] = np.arange(len(probability))
    return np.searchsorted(starts, rank, side="right") - 1


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

# Figures of the order alone.
RANKINGS: dict[str, Figure] = {name: FIGURES[name] for name in ("auc", "pr_auc", "top_decile_lift")}


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
    # Sorted once: every figure sorts again, and sorting what is sorted costs nothing.
    order = np.argsort(probability, kind="stable")
    by_score, ones = (label[order], probability[order]), np.ones((len(label), 1))
    point = {name: float(figure(*by_score, ones)[0]) for name, figure in FIGURES.items()}
    drawn: dict[str, Vector] = {}
    if replicates:
        sample = resample(entity, replicates=replicates, seed=seed)
        drawn = figure_replicates(*by_score, Resample(sample.group[order], sample.weights))
    metrics = {name: as_metric(point[name], drawn.get(name)) for name in FIGURES}
    metrics["rows"] = Metric(float(len(label)))
    metrics["outcome_rate"] = Metric(float(label.mean()))
    metrics["mean_probability"] = Metric(float(probability.mean()))
    return metrics


def figure_replicates(label: Vector, probability: Vector, drawn: Resample) -> dict[str, Vector]:
    """Every figure in every replicate, by name; (n_replicates,) each.

    Ranking figures see at most `MAX_SCORES` distinct scores (bins of equally many rows beyond), and are shifted by what
    that changes in the figure of all rows, at most 0.0005 for AUC.
    """
    total = drawn.sums(np.ones(len(label)))[0]
    cells = _Cells.of(label, probability)
    weights = drawn.sums(np.ones(len(label)), cell=cells.place, cells=len(cells.label))
    ones = np.ones((len(label), 1))
    found = {}
    for name, figure in RANKINGS.items():
        whole = figure(label, probability, ones) - figure(cells.label, cells.score, cells.rows[:, None])
        found[name] = figure(cells.label, cells.score, weights) + whole
    found["log_loss"] = _ratio(drawn.sums(log_loss_rows(label, probability))[0], total)
    found["brier"] = _ratio(drawn.sums((probability - label) ** 2)[0], total)
    found["ece"] = ece_replicates(label, probability, drawn)
    return found


def ece_replicates(label: Vector, probability: Vector, drawn: Resample) -> Vector:
    """The expected calibration error in every replicate, (n_replicates,)."""
    gaps = drawn.sums(label - probability, cell=_ece_bins(probability), cells=ECE_BINS)
    # Noise only adds to a mean of absolute values: what it adds on average is taken away again.
    errors = _ratio(np.abs(gaps).sum(axis=0), drawn.sums(np.ones(len(label)))[0])
    return np.asarray(np.maximum(0.0, errors - errors.mean() + ece(label, probability, np.ones((len(label), 1)))[0]))


def as_metric(value: float, replicates: Vector | None) -> Metric:
    """A figure with the middle 95 % of its replicates."""
    ends = None if replicates is None else interval(replicates)
    return Metric(value) if ends is None else Metric(value, *ends)


@dataclass(frozen=True)
class _Cells:
    """Rows of one outcome and nearly one score, put together.

    Args:
        place: Cell of each row.
        label: Outcome of each cell.
        score: Rank of the cell's score; its size means nothing.
        rows: Rows in each cell.
    """

    place: NDArray[np.int64]
    label: Vector
    score: Vector
    rows: Vector

    @classmethod
    def of(cls, label: Vector, probability: Vector) -> _Cells:
        position, scores = rank_scores(probability)
        place = position * 2 + label.astype(np.int64)
        return cls(
            place=place,
            label=np.tile([0.0, 1.0], scores),
            score=np.repeat(np.arange(scores, dtype=np.float64), 2),
            rows=np.bincount(place, minlength=2 * scores).astype(np.float64),
        )


def rank_scores(score: Vector, *, most: int = MAX_SCORES) -> tuple[NDArray[np.int64], int]:
    """The rank of each score among the distinct ones, lowest 0; beyond `most`, its bin of equally many rows.

    Returns:
        A position per row (equal scores share one), and how many positions there are.
    """
    values, position, counts = np.unique(score, return_inverse=True, return_counts=True)
    if len(values) <= most:
        return position.astype(np.int64), len(values)
    before = np.cumsum(counts) - counts
    bins = np.unique(before * most // len(score), return_inverse=True)[1]
    return bins[position].astype(np.int64), int(bins.max()) + 1
