"""Quality before the labels are in: what calibrated probabilities say of themselves (confidence-based estimation).

If an answer of 0.3 comes true three times in ten, the answers of a batch tell how well they rank and what they lose,
without one label: every pair of rows is ranked rightly with a probability that follows from the two answers. The
answers are first brought to what the newest mature labels say (Platt's slope and intercept), because a model that is
too sure of itself would praise itself. Confidence-based performance estimation is described by Garg and others
(Leveraging Unlabeled Data to Predict Out-of-Distribution Performance, 2022) and in NannyML's documentation.

It cannot know whether the outcome given the answer has changed since those labels (concept change); every estimate
carries that sentence with the date.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from training.calibration import Calibration, fit_calibration, log_loss_rows, logit
from training.evaluation import auc
from training.results import Metric

Vector = NDArray[np.float64]
Entities = NDArray[np.object_] | NDArray[np.str_]

REPLICATES = 200
FEWEST_OUTCOMES = 25
"""Mature outcomes of each kind below which answers are taken as they are."""
MOST_LABELLED = 5_000
"""Newest labelled rows used: older ones say less about now."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Answers of the model to rows it did not learn from, whose labels are mature; oldest first.

    Args:
        probability: What the model answered.
        label: 0 or 1.
        entity: Lead or deal of each row.
        until: Newest as_of of them; None where there is none.
        columns: Feature columns of the same rows, if they are needed.
    """

    probability: Vector
    label: Vector
    entity: Entities
    until: datetime | None
    columns: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    @property
    def is_enough(self) -> bool:
        """Whether there are outcomes enough of both kinds."""
        return bool(min(self.label.sum(), (1 - self.label).sum()) >= FEWEST_OUTCOMES)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Estimated quality of a batch without labels.

    Args:
        figures: `auc`, `log_loss` and `outcome_rate`, each with the 95 % interval in which the later truth is expected.
        rows: Rows of the batch.
        labelled_rows: Rows with labels that the answers were brought to; 0 where they were taken as they are.
        caveat: What the method cannot know, in a sentence.
    """

    figures: dict[str, Metric]
    rows: int
    labelled_rows: int
    caveat: str


def expected_auc(probability: Vector) -> float:
    """Expected area under the ROC curve of answers that are calibrated: rows are ranked by their own probability.

    The ratio of the expected number of rightly ordered pairs (ties count half) to that of all pairs of a positive and
    a negative; a row makes no pair with itself.

    Example:
        >>> round(expected_auc(np.array([0.0, 1.0])), 6)
        1.0
    """
    ordered = np.sort(probability)
    _, starts = np.unique(ordered, return_index=True)
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


def estimate_quality(probability: Vector, labelled: Labelled, *, seed: int, replicates: int = REPLICATES) -> Estimate:
    """Estimate the quality of a batch of answers before its labels are in.

    Args:
        probability: The model's answers, one row per lead or deal, at least two.
        labelled: Rows with mature labels; the newest `MOST_LABELLED` of them are used.
        seed: Seed of the interval's draws.
        replicates: Draws of calibration, rows and outcomes.
    """
    newest = slice(-MOST_LABELLED, None)
    margin, label = logit(labelled.probability[newest]), labelled.label[newest]
    fitted = fit_calibration("platt", margin, label) if labelled.is_enough else Calibration("platt", (1.0, 0.0))
    told, answers = logit(probability), np.asarray(probability, dtype=np.float64)
    expected = fitted.apply(told)
    values = {
        "auc": expected_auc(expected),
        # What the answers themselves lose, not what the corrected ones would.
        "log_loss": _cross_entropy(expected, answers),
        "outcome_rate": float(expected.mean()),
    }
    drawn = _draw(told, answers, margin, label, labelled, fitted, seed=seed, replicates=replicates)
    used = len(label) if labelled.is_enough else 0
    return Estimate(
        figures={name: _metric(values[name], drawn[name]) for name in values},
        rows=len(probability),
        labelled_rows=used,
        caveat=_caveat(labelled, used),
    )


def _cross_entropy(truth: Vector, answer: Vector) -> float:
    one, zero = np.ones_like(answer), np.zeros_like(answer)
    return float((truth * log_loss_rows(one, answer) + (1 - truth) * log_loss_rows(zero, answer)).mean())


def _draw(
    told: Vector,
    answers: Vector,
    margin: Vector,
    label: Vector,
    labelled: Labelled,
    fitted: Calibration,
    *,
    seed: int,
    replicates: int,
) -> dict[str, list[float]]:
    """Realised figures of drawn rows and outcomes, each replicate under a calibration of redrawn labels."""
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {"auc": [], "log_loss": [], "outcome_rate": []}
    entity = (
        np.unique(np.asarray(labelled.entity)[-len(label) :].astype(str), return_inverse=True)[1]
        if len(label)
        else None
    )
    for _ in range(replicates):
        calibration = fitted
        if labelled.is_enough and entity is not None:
            rows = _redraw(entity, random)
            if 0 < label[rows].sum() < len(rows):
                calibration = fit_calibration("platt", margin[rows], label[rows])
        chosen = random.integers(0, len(told), len(told))
        p = calibration.apply(told[chosen])
        outcome = (random.random(len(p)) < p).astype(np.float64)
        drawn["outcome_rate"].append(float(outcome.mean()))
        drawn["log_loss"].append(float(log_loss_rows(outcome, answers[chosen]).mean()))
        if 0 < outcome.sum() < len(outcome):
            drawn["auc"].append(float(auc(outcome, p, np.ones((len(p), 1)))[0]))
    return drawn


def _redraw(entity: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.intp]:
    """Rows of entities drawn with replacement."""
    order = np.argsort(entity, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(entity[order])) + 1, len(entity)]
    picked = random.integers(0, len(starts) - 1, len(starts) - 1)
    lengths = starts[picked + 1] - starts[picked]
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(order[np.repeat(starts[picked], lengths) + offsets])


def _metric(value: float, drawn: list[float]) -> Metric:
    if not drawn or not np.isfinite(value):
        return Metric(value)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Metric(value, float(low), float(high))


def _caveat(labelled: Labelled, used: int) -> str:
    if not used or labelled.until is None:
        return (
            "No mature labels to check the probabilities against: the model is taken at its word. "
            "Whether the outcome now depends on its features in another way cannot be known yet."
        )
    return (
        f"Rests on labels up to {labelled.until:%Y-%m-%d}. Whether the outcome has come to depend on the features in "
        "another way since then (concept change) cannot be known before newer labels are in."
    )
