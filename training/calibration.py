"""Calibration of log-odds: fitted on cross-fitted predictions of the newest rows, chosen by log-loss forward in time.

Methods: `none`; `intercept` (one shift, for a base rate that moved); `recent` (the same shift from the newest half of
    the rows only); `platt` (Platt 1999); `beta` (Kull, Silva Filho and Flach 2017); `isotonic` (Zadrozny and Elkan
    2002). Applying one needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

METHODS = ("none", "intercept", "recent", "platt", "beta", "isotonic")
_CLIP = 1e-6
# A method with more parameters must be better by this share of the log-loss, or the simpler one stays.
_PARSIMONY = 0.001
_MIN_PER_CLASS = 10
_MIN_ROWS_ISOTONIC = 1_000
_NEWTON_STEPS = 50
_RIDGE = 1e-6


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration.

    Args:
        method: One of `METHODS`.
        weights: `intercept`, `recent`: (shift); `platt`: (slope, shift); `beta`: (a, b, shift).
        x: Knots of `isotonic` on the scale of the raw probability.
        y: Calibrated probabilities at the knots.
    """

    method: str = "none"
    weights: tuple[float, ...] = ()
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def apply(self, margin: Vector) -> Vector:
        """Calibrated probabilities of log-odds, shape (n_rows,)."""
        if self.method == "none":
            return sigmoid(margin)
        if self.method == "isotonic":
            return np.interp(sigmoid(margin), self.x, self.y)
        return sigmoid(_design(self.method, margin) @ np.array(self.weights))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The calibration that `to_dict` described."""
        return cls(values["method"], tuple(values["weights"]), tuple(values["x"]), tuple(values["y"]))


def sigmoid(margin: Vector) -> Vector:
    """Probability of log-odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(margin, -40.0, 40.0))), dtype=np.float64)


def logit(probability: Vector) -> Vector:
    """Log-odds of a probability, kept finite."""
    clipped = np.clip(probability, _CLIP, 1.0 - _CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), dtype=np.float64)


def log_loss_rows(label: Vector, probability: Vector) -> Vector:
    """Log-loss of each row, natural logarithm."""
    clipped = np.clip(probability, _CLIP, 1.0 - _CLIP)
    return np.asarray(-(label * np.log(clipped) + (1.0 - label) * np.log1p(-clipped)), dtype=np.float64)


def fit_calibration(method: str, margin: Vector, label: Vector) -> Calibration:
    """Fit one method on rows in order of time, oldest first.

    Args:
        method: One of `METHODS`.
        margin: Log-odds of the trees.
        label: 0 or 1.
    """
    if method == "none":
        return Calibration()
    if method == "isotonic":
        return _fit_isotonic(margin, label)
    if method == "recent":
        half = len(label) // 2
        margin, label = margin[half:], label[half:]
    offset, free = _problem(method, margin)
    weights = _newton(offset, free, label)
    if method in ("intercept", "recent"):
        weights = np.array([1.0, weights[0]])
    return Calibration(method, tuple(float(w) for w in weights))


def choose_calibration(margin: Vector, label: Vector) -> tuple[Calibration, dict[str, float]]:
    """The method with the least log-loss forward in time, refitted on all rows.

    Each method is fitted on the older half of the rows and scored on the newer half, so that one which only fits the
    past does not win. A method with more parameters has to be better by 0.1 %.

    Args:
        margin: Log-odds of the trees on rows they were not fitted on, oldest first.
        label: 0 or 1 per row.

    Returns:
        The calibration, and the forward log-loss by method. Too few outcomes to choose leave the intercept alone.
    """
    half = len(label) // 2
    old, new = slice(0, half), slice(half, None)
    counts = [label[part].sum() for part in (old, new)] + [(1 - label[part]).sum() for part in (old, new)]
    if min(counts) < _MIN_PER_CLASS:
        enough = min(label.sum(), (1 - label).sum()) >= _MIN_PER_CLASS
        return fit_calibration("intercept" if enough else "none", margin, label), {}
    losses: dict[str, float] = {}
    chosen = "none"
    for method in METHODS:
        if method == "isotonic" and half < _MIN_ROWS_ISOTONIC:
            continue
        fitted = fit_calibration(method, margin[old], label[old])
        losses[method] = float(log_loss_rows(label[new], fitted.apply(margin[new])).mean())
        if losses[method] < losses[chosen] * (1.0 - _PARSIMONY):
            chosen = method
    return fit_calibration(chosen, margin, label), losses


def _design(method: str, margin: Vector) -> Vector:
    ones = np.ones_like(margin)
    if method == "beta":
        probability = np.clip(sigmoid(margin), _CLIP, 1.0 - _CLIP)
        return np.column_stack([np.log(probability), -np.log1p(-probability), ones])
    return np.column_stack([margin, ones])


def _problem(method: str, margin: Vector) -> tuple[Vector, Vector]:
    """Fixed part and free columns of the logistic regression that fits `method`."""
    if method in ("intercept", "recent"):
        return margin, np.ones((len(margin), 1))
    return np.zeros_like(margin), _design(method, margin)


def _newton(offset: Vector, design: Vector, label: Vector) -> Vector:
    """Logistic regression without penalty but a trace of ridge, by Newton's method with halved steps."""
    weights = np.zeros(design.shape[1])
    loss = _mean_loss(offset, design, label, weights)
    for _ in range(_NEWTON_STEPS):
        probability = sigmoid(offset + design @ weights)
        gradient = design.T @ (probability - label) / len(label) + _RIDGE * weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design / len(label)
        step = np.linalg.solve(curvature + _RIDGE * np.eye(len(weights)), gradient)
        for _ in range(_NEWTON_STEPS):
            trial = _mean_loss(offset, design, label, weights - step)
            if trial <= loss:
                break
            step = step / 2
        weights, improvement = weights - step, loss - trial
        loss = trial
        if improvement < 1e-12:
            break
    return np.asarray(weights, dtype=np.float64)


def _mean_loss(offset: Vector, design: Vector, label: Vector, weights: Vector) -> float:
    margin = offset + design @ weights
    loss = np.logaddexp(0.0, margin) - label * margin
    return float(loss.mean() + _RIDGE / 2 * (weights @ weights))


def _fit_isotonic(margin: Vector, label: Vector) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(out_of_bounds="clip").fit(sigmoid(margin), label)
    # Never 0 or 1: a step of few rows says nothing about certainty.
    floor = 1.0 / (len(label) + 2)
    y = np.clip(fitted.y_thresholds_, floor, 1.0 - floor)
    return Calibration("isotonic", (), tuple(fitted.X_thresholds_.tolist()), tuple(y.tolist()))
