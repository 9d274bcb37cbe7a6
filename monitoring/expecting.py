"""What answers promise of themselves once they are brought to labels: figures without labels, and their chance.

If an answer of 0.3 comes true three times in ten, the answers of a batch tell how well they rank and what they lose,
without one label: every pair of rows is ranked rightly with a probability that follows from the two answers. The rows
are ranked by the model's own answers, whatever the labels say of them: a model that has come to rank the wrong way
round is expected below 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.calibration import Calibration, fit_calibration, log_loss_rows, logit
from training.evaluation import auc

Vector = NDArray[np.float64]
FIGURES = ("auc", "log_loss", "outcome_rate")


@dataclass(frozen=True, kw_only=True)
class Brought:
    """How answers are brought to labels: Platt's slope and intercept, and the rows they come from.

    Args:
        margin: Log-odds of the labelled rows' answers, shape (n_rows,).
        label: 0 or 1, same shape.
        entity: Number of each row's lead or deal, same shape.
        fitted: The calibration; slope 1 and shift 0 where there are no rows.
    """

    margin: Vector
    label: Vector
    entity: NDArray[np.intp]
    fitted: Calibration

    @classmethod
    def to(cls, margin: Vector, label: Vector, entity: NDArray[np.object_] | NDArray[np.str_]) -> Brought:
        """Fit to labelled rows; taken at their word where there are none."""
        number = np.unique(np.asarray(entity).astype(str), return_inverse=True)[1]
        fitted = fit_calibration("platt", margin, label) if len(label) else Calibration("platt", (1.0, 0.0))
        return cls(margin=margin, label=label, entity=number, fitted=fitted)

    def redrawn(self, random: np.random.Generator) -> Calibration:
        """The calibration that another draw of the labelled leads or deals would have given."""
        if not len(self.label):
            return self.fitted
        order = np.argsort(self.entity, kind="stable")
        starts = np.r_[0, np.flatnonzero(np.diff(self.entity[order])) + 1, len(self.entity)]
        picked = random.integers(0, len(starts) - 1, len(starts) - 1)
        lengths = starts[picked + 1] - starts[picked]
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = order[np.repeat(starts[picked], lengths) + offsets]
        one_kind = not 0 < self.label[rows].sum() < len(rows)
        return self.fitted if one_kind else fit_calibration("platt", self.margin[rows], self.label[rows])


def expected_auc(truth: Vector, answer: Vector | None = None) -> float:
    """Expected area under the ROC curve of rows that come true with probability `truth`, ranked by `answer`.

    The ratio of the expected number of rightly ordered pairs (ties count half) to that of all pairs of a positive and
    a negative; a row makes no pair with itself.

    Args:
        truth: P(outcome) of each row, shape (n_rows,).
        answer: What the rows are ranked by, same shape; `truth` itself if not given.

    Example:
        >>> round(expected_auc(np.array([0.0, 1.0])), 6)
        1.0
        >>> round(expected_auc(np.array([0.0, 1.0]), np.array([0.9, 0.1])), 6)
        0.0
    """
    rank = truth if answer is None else answer
    order = np.argsort(rank, kind="stable")
    ordered = truth[order]
    _, starts = np.unique(rank[order], return_index=True)
    positive, negative = np.add.reduceat(ordered, starts), np.add.reduceat(1 - ordered, starts)
    below = np.cumsum(negative) - negative
    itself = float((ordered * (1 - ordered)).sum())
    wins = float((positive * (below + negative / 2)).sum()) - itself / 2
    pairs = float(positive.sum() * negative.sum()) - itself
    return wins / pairs if pairs > 0 else float("nan")


def expected_log_loss(probability: Vector) -> float:
    """Expected log-loss of answers that are calibrated: their mean entropy, natural logarithm."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean())


def expected_figures(answer: Vector, brought: Brought) -> dict[str, float]:
    """Expected `FIGURES` of a batch of answers."""
    truth = brought.fitted.apply(logit(answer))
    one, zero = np.ones_like(answer), np.zeros_like(answer)
    # What the answers themselves lose, not what the corrected ones would.
    loss = truth * log_loss_rows(one, answer) + (1 - truth) * log_loss_rows(zero, answer)
    return {"auc": expected_auc(truth, answer), "log_loss": float(loss.mean()), "outcome_rate": float(truth.mean())}


def realised_figures(answer: Vector, label: Vector) -> dict[str, float]:
    """The same figures of rows whose labels are known; the AUC is NaN where all are of one kind."""
    has_both = 0 < label.sum() < len(label)
    return {
        "auc": float(auc(label, answer, np.ones((len(label), 1)))[0]) if has_both else float("nan"),
        "log_loss": float(log_loss_rows(label, answer).mean()),
        "outcome_rate": float(label.mean()),
    }


def drawn_figures(answer: Vector, brought: Brought, *, seed: int, replicates: int) -> dict[str, Vector]:
    """Realised figures of drawn rows and outcomes, each replicate under a calibration of redrawn labels.

    Returns:
        Per figure, shape (replicates,); NaN where a replicate has none.
    """
    random = np.random.default_rng(seed)
    margin = logit(answer)
    drawn: dict[str, list[float]] = {name: [] for name in FIGURES}
    for _ in range(replicates):
        calibration = brought.redrawn(random)
        chosen = random.integers(0, len(answer), len(answer))
        outcome = (random.random(len(answer)) < calibration.apply(margin[chosen])).astype(np.float64)
        for name, value in realised_figures(answer[chosen], outcome).items():
            drawn[name].append(value)
    return {name: np.array(values) for name, values in drawn.items()}
