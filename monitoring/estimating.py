"""Quality before the labels are in: what calibrated probabilities say of themselves (confidence-based estimation).

Answers are first brought to what the newest mature labels say (Platt's slope and intercept), because a model that is
too sure of itself would praise itself; then they tell what to expect (`monitoring.expecting`). Confidence-based
performance estimation is described by Garg and others (Leveraging Unlabeled Data to Predict Out-of-Distribution
Performance, 2022) and in NannyML's documentation.

It cannot know whether the outcome given the answer has changed since those labels (concept change). Three things say
how much that may matter: the interval is as wide as earlier estimates of the same model missed their later truth
(`monitoring.rolling`); a batch of rows unlike any labelled one is named as such (`monitoring.reach`); and every
estimate carries a sentence on it, with the date of its newest label.

(Labelled rows weighted to look like the batch, by what tells the two apart, were tried on bank's earlier windows: the
root mean square error of the AUC was 0.079 where this has 0.039. The few rows that look alike carry all the weight.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from monitoring.expecting import FIGURES, Brought, drawn_figures, expected_figures
from monitoring.reach import Columns, Reach, reach_of
from monitoring.rolling import FEWEST_OUTCOMES, MOST_LABELLED, Misses, past_misses
from training.calibration import logit
from training.results import Metric

Vector = NDArray[np.float64]
Entities = NDArray[np.object_] | NDArray[np.str_]

REPLICATES = 200
_MOST_JUDGED = 20_000
"""Newest labelled rows whose windows tell how far earlier estimates missed."""


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
        windows: Earlier windows whose estimates were held to their labels.
        is_steady: Whether chance explains what those estimates of the AUC missed; None where there were too few.
        reach: Where the batch lies farthest beyond the labelled rows; None where their columns were not given.
        caveat: What the method cannot know, in a sentence or two.
    """

    figures: dict[str, Metric]
    rows: int
    labelled_rows: int
    windows: int
    is_steady: bool | None
    reach: Reach | None
    caveat: str

    @property
    def is_a_guess(self) -> bool:
        """Whether it rests on nothing that the labels could vouch for."""
        return self.is_steady is False or (self.reach is not None and self.reach.is_beyond)


def estimate_quality(
    probability: Vector, labelled: Labelled, *, seed: int, columns: Columns | None = None, replicates: int = REPLICATES
) -> Estimate:
    """Estimate the quality of a batch of answers before its labels are in.

    Args:
        probability: The model's answers, one row per lead or deal, at least two.
        labelled: Rows with mature labels; the newest `MOST_LABELLED` of them are used.
        seed: Seed of the interval's draws.
        columns: Feature columns of the same rows, if `labelled` has its own; those that may be compared.
        replicates: Draws of calibration, rows and outcomes.
    """
    answers = np.asarray(probability, dtype=np.float64)
    newest = slice(-MOST_LABELLED if labelled.is_enough else len(labelled.label), None)
    brought = Brought.to(logit(labelled.probability[newest]), labelled.label[newest], labelled.entity[newest])
    values = expected_figures(answers, brought)
    drawn = drawn_figures(answers, brought, seed=seed, replicates=replicates)
    judged = slice(-_MOST_JUDGED, None)
    misses = past_misses(labelled.probability[judged], labelled.label[judged], labelled.entity[judged], seed=seed)
    reach = reach_of({name: values[newest] for name, values in labelled.columns.items()}, columns or {})
    return Estimate(
        figures={name: _metric(name, values[name], drawn[name], misses.get(name)) for name in FIGURES},
        rows=len(answers),
        labelled_rows=len(brought.label),
        windows=misses["auc"].windows if misses else 0,
        is_steady=misses["auc"].is_steady if misses else None,
        reach=reach,
        caveat=_caveat(labelled, brought, misses.get("auc"), reach),
    )


def _metric(name: str, value: float, drawn: Vector, misses: Misses | None) -> Metric:
    known = drawn[~np.isnan(drawn)]
    if not len(known) or not np.isfinite(value):
        return Metric(value)
    low, high = np.quantile(known, [0.025, 0.975])
    below, above = max(value - float(low), 0.0), max(float(high) - value, 0.0)
    if misses is not None:
        below, above = misses.widened(below), misses.widened(above)
    most = np.inf if name == "log_loss" else 1.0
    return Metric(value, max(0.0, value - below), min(most, value + above))


def _caveat(labelled: Labelled, brought: Brought, misses: Misses | None, reach: Reach | None) -> str:
    if not len(brought.label) or labelled.until is None:
        return (
            "No mature labels to check the probabilities against: the model is taken at its word. "
            "Whether the outcome now depends on its features in another way cannot be known yet."
        )
    told = f"Rests on labels up to {labelled.until:%Y-%m-%d}. "
    if reach is not None and reach.is_beyond:
        told += (
            f"It is a guess: {reach.share:.0%} of the rows have values of {reach.column} that no labelled row has, and "
            "what the outcome depends on there cannot be known. "
        )
    cannot = "has come to depend on the features in another way since then (concept change)"
    if misses is None:
        return (
            f"{told}Whether the outcome {cannot} cannot be known before newer labels are in; they are too few to tell "
            "how far earlier estimates were off."
        )
    if not misses.is_steady:
        return (
            f"{told}It cannot be trusted: of {misses.windows} earlier windows it missed the AUC by up to "
            f"{misses.worst:.3f}, more than chance does. The outcome keeps changing what it depends on, and whether it "
            f"{cannot} cannot be known; the interval is widened by such misses."
        )
    return (
        f"{told}In {misses.windows} earlier windows it missed the AUC by {misses.worst:.3f} at most, as chance does. "
        f"Whether the outcome {cannot} cannot be known before newer labels are in."
    )
