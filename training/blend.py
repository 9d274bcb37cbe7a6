"""A weighted sum of models' log-odds, as a `training.models.Model` (a stacked logistic regression, Wolpert 1992).

Weights are not negative (Breiman 1996), and are fitted on predictions of rows that the parts had not seen; beside them
stand equal weights, which need no fitting and are hard to beat where outcomes are few (Smith and Wallis 2009). Shapley
values are linear, so those of the blend are the weighted sum of its parts'.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.linear_solver import fit_elastic_net
from training.models import Model, load_model
from training.trees import shifted_log_loss

Matrix = NDArray[np.float64]

LIBRARY = "blend"
MODEL_FILE = "blend.json"
# A blend costs the sum of its parts at every score: it has to earn that on later rows, by this share of the log-loss.
_PARSIMONY = 0.002
# Where the parts stand together from the beginning, so much better one of them alone has to be.
_CLEARLY = 0.005
_LEAST_WEIGHT = 0.05
_RIDGE = 1e-3
_MIN_OUTCOMES = 50


@dataclass(frozen=True)
class BlendModel:
    """Parts and their weights."""

    parts: tuple[Model, ...]
    weights: tuple[float, ...]
    shift: float = 0.0
    library: str = LIBRARY

    @property
    def rounds(self) -> int:
        """Boosting rounds of all parts."""
        return sum(part.rounds for part in self.parts)

    def margin(self, matrix: Matrix, *, threads: int = 1) -> Matrix:
        """Log-odds, shape (n_rows,)."""
        parts = [w * part.margin(matrix, threads=threads) for part, w in zip(self.parts, self.weights, strict=True)]
        return np.asarray(self.shift + np.sum(parts, axis=0), dtype=np.float64)

    def contributions(self, matrix: Matrix, *, threads: int = 1) -> Matrix:
        """Shapley values, shape (n_rows, n_features + 1)."""
        pairs = zip(self.parts, self.weights, strict=True)
        values = np.sum([w * part.contributions(matrix, threads=threads) for part, w in pairs], axis=0)
        values[:, -1] += self.shift
        return np.asarray(values, dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write the weights, and each part into a folder of its own."""
        kinds = [part.library for part in self.parts]
        text = json.dumps({"parts": kinds, "weights": list(self.weights), "shift": self.shift}, allow_nan=False)
        (folder / MODEL_FILE).write_text(text + "\n", encoding="utf-8")
        for kind, part in zip(kinds, self.parts, strict=True):
            (folder / kind).mkdir(exist_ok=True)
            part.save(folder / kind)


def load_blend(folder: Path) -> Model:
    """Read what `save` wrote into `folder`."""
    values = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
    parts = tuple(load_model(kind, folder / kind) for kind in values["parts"])
    return BlendModel(parts, tuple(float(w) for w in values["weights"]), float(values["shift"]))


def fit_weights(margins: Matrix, label: Matrix) -> tuple[tuple[float, ...], float]:
    """Weights, not negative, and the shift, with the least log-loss.

    Args:
        margins: Log-odds of the parts on rows they were not fitted on, shape (n_rows, n_parts).
        label: 0 or 1 per row.
    """
    signs = np.ones(margins.shape[1], dtype=np.int64)
    shift, weights = fit_elastic_net(margins.astype(np.float32), label, ridge=_RIDGE, lasso=0.0, signs=signs)
    kept = np.where(weights >= _LEAST_WEIGHT, weights, 0.0)
    return tuple(kept.tolist()), shift


def choose_blend(
    margins: Matrix, label: Matrix, *, best: int, together: bool = False
) -> tuple[tuple[float, ...], float] | None:
    """Weights and shift of a blend, or None where the best part alone does as well on later rows.

    Equal weights, and weights fitted on the older half of the rows, are judged on the newer half against the best
    part's log-loss.

    Args:
        margins: Log-odds of each kind on later rows that it had not seen, oldest first, shape (n_rows, n_parts).
        label: 0 or 1 per row.
        best: Position of the part that has won the study.
        together: Whether equal weights stand unless the best part alone does clearly better, and not the other way
            round: it was chosen on these very rows, so it looks better here than it is (docs/adr/0044).
    """
    half = len(label) // 2
    outcomes = [min(part.sum(), (1 - part).sum()) for part in (label[:half], label[half:])]
    equal = tuple(1.0 / margins.shape[1] for _ in range(margins.shape[1]))
    if margins.shape[1] < 2 or min(outcomes) < _MIN_OUTCOMES:
        return (equal, 0.0) if together and margins.shape[1] > 1 else None
    losses = [
        _loss(margins[half:] @ np.array(weights), label[half:])
        for weights in (equal, fit_weights(margins[:half], label[:half])[0])
    ]
    # The best part is given a slope of its own, as the calibration would: a blend shall not win by that alone.
    slope, _ = fit_weights(margins[:half, [best]], label[:half])
    alone = min(_loss(margins[half:, best] * factor, label[half:]) for factor in (1.0, slope[0]))
    if min(losses) >= alone * (1.0 - _PARSIMONY):
        return (equal, 0.0) if together and alone >= losses[0] * (1.0 - _CLEARLY) else None
    if losses[0] <= losses[1]:
        return equal, 0.0
    weights, shift = fit_weights(margins, label)
    return (weights, shift) if sum(w > 0 for w in weights) > 1 else None


def _loss(margin: Matrix, label: Matrix) -> float:
    return shifted_log_loss(label, 1.0 / (1.0 + np.exp(-np.clip(margin, -40.0, 40.0))))


def blend_of(parts: Sequence[Model], weights: Sequence[float], shift: float) -> BlendModel:
    """The blend of the parts that have a weight."""
    kept = [(part, w) for part, w in zip(parts, weights, strict=True) if w > 0]
    return BlendModel(tuple(part for part, _ in kept), tuple(w for _, w in kept), shift)
