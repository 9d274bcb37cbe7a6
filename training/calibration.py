"""Calibration of log-odds: methods and their half-life in time, chosen by log-loss forward in time.

Methods: `none`; `intercept` (one shift, for a base rate that moved); `temperature` (one slope about 0, Guo et al.
2017); `platt` (slope and shift, Platt 1999); `beta` (Kull, Silva Filho and Flach 2017); `isotonic` (Zadrozny and Elkan
2002); `venn_abers` (inductive Venn-Abers predictors, Vovk and Petej 2014). Applying one needs numpy alone.

Rows count for less the older they are, by half after each half-life, where the base rate has been seen to move. Weights
that fall exponentially are the best estimate of a level that wanders, at every distance ahead (Muth 1960); the
half-life is the one that would have foretold the following rows best, origin after origin. It counts rows, not days: a
few rows of a quiet month must not outweigh thousands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.venn_abers import VennAbers, fit_venn_abers, isotonic_steps

Vector = NDArray[np.float64]

METHODS = ("none", "intercept", "temperature", "platt", "beta", "isotonic", "venn_abers")
_STEPS = ("isotonic", "venn_abers")
_CLIP = 1e-6
# A method with more parameters, or a memory that fades, must be better by this share of the log-loss.
_PARSIMONY = 0.001
# Steps are constant in between, which loses order: they must be better by more.
_PARSIMONY_OF_STEPS = 0.005
_MIN_PER_CLASS = 10
_MIN_ROWS_STEPS = 1_000
_NEWTON_STEPS = 50
_RIDGE = 1e-6
# Half-lives tried, as shares of the rows, and the weight that the outcomes of either kind must keep.
_HALF_LIVES = (0.5, 0.25, 0.125, 0.0625, 0.03125)
_LEAST_OUTCOMES = 20
# The newer part of the rows is foretold from the beginning of each block, so many blocks ahead: a model is in use for
# about as long before the next one.
_FORETOLD_SHARE, _BLOCKS, _AHEAD = 0.6, 12, 3
_ORIGINS = (0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration.

    Args:
        method: One of `METHODS` (or `recent`, of older bundles).
        weights: `intercept`, `recent`: (1, shift); `temperature`: (slope, 0); `platt`: (slope, shift); `beta`: (a, b,
            shift).
        x: Knots of `isotonic` and `venn_abers` on the scale of the raw probability.
        y: Calibrated probabilities at the knots.
        half_life_rows: Newer rows after which a row counted for half; None where all counted alike.
        band_x: Log-odds at which the Venn-Abers band is known.
        band_low: Its lower probabilities, were the row's outcome 0.
        band_high: Its upper probabilities, were the row's outcome 1.
    """

    method: str = "none"
    weights: tuple[float, ...] = ()
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    half_life_rows: float | None = None
    band_x: tuple[float, ...] = ()
    band_low: tuple[float, ...] = ()
    band_high: tuple[float, ...] = ()

    def apply(self, margin: Vector) -> Vector:
        """Calibrated probabilities of log-odds, shape (n_rows,)."""
        if self.method == "none":
            return sigmoid(margin)
        if self.method in _STEPS:
            return np.interp(sigmoid(margin), self.x, self.y)
        return sigmoid(_design(self.method, margin) @ np.array(self.weights))

    def band(self, margin: Vector) -> tuple[Vector, Vector] | None:
        """How unsure the calibration is: the two Venn-Abers probabilities, moved to lie about the calibrated one.

        One of the two is the perfectly calibrated probability of the row (Vovk and Petej 2014), so a wide band says
        that few rows were like this one. It tells nothing of what the features do not.

        Args:
            margin: Log-odds of the model.

        Returns:
            Lower and upper probability, shape (n_rows,) each; None for a calibration that was fitted on too few rows.
        """
        if not self.band_x:
            return None
        value = self.apply(margin)
        low, high = (np.interp(margin, self.band_x, side) for side in (self.band_low, self.band_high))
        middle = logit(high / (1.0 - low + high))
        # On the log-odds, so that the band follows where another method than Venn-Abers says something else.
        return tuple(sigmoid(logit(value) + logit(side) - middle) for side in (low, high))  # type: ignore[return-value]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The calibration that `to_dict` described; bundles of earlier versions lack the newer values."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list | tuple) else value for name, value in values.items()
        }
        return cls(**plain)


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


def fit_calibration(method: str, margin: Vector, label: Vector, *, weight: Vector | None = None) -> Calibration:
    """Fit one method.

    Args:
        method: One of `METHODS`.
        margin: Log-odds of the model on rows it was not fitted on.
        label: 0 or 1.
        weight: How much each row counts; None: all alike.
    """
    counts = np.ones(len(label)) if weight is None else weight
    if method == "none":
        return Calibration()
    if method == "isotonic":
        x, y = isotonic_steps(sigmoid(margin), label, counts)
        # Never 0 or 1: a step of few rows says nothing about certainty.
        floor = 1.0 / (_effective(counts) + 2)
        return Calibration("isotonic", (), tuple(x.tolist()), tuple(np.clip(y, floor, 1.0 - floor).tolist()))
    if method == "venn_abers":
        fitted = fit_venn_abers(margin, label, counts)
        return Calibration("venn_abers", (), tuple(sigmoid(fitted.x).tolist()), tuple(fitted.probability.tolist()))
    offset, free = _problem(method, margin)
    weights = _newton(offset, free, label, counts)
    if method == "intercept":
        weights = np.array([1.0, weights[0]])
    elif method == "temperature":
        weights = np.array([weights[0], 0.0])
    return Calibration(method, tuple(float(w) for w in weights))


def choose_calibration(margin: Vector, label: Vector) -> tuple[Calibration, dict[str, float]]:
    """The half-life and the method with the least log-loss forward in time, fitted on all rows.

    First the half-life: for each a shift is fitted on all rows before an origin, and judged on the rows after it. Then,
    with that half-life, each method is fitted on the rows before three origins and judged on those up to the next. A
    fading memory, or a method with more parameters, has to be better by 0.1 %; steps by 0.5 %.

    Args:
        margin: Log-odds of the model on rows it was not fitted on, oldest first.
        label: 0 or 1 per row.

    Returns:
        The calibration, with its band, and the forward log-loss by method. Too few outcomes to choose leave the
        intercept alone.
    """
    half_life = _choose_half_life(margin, label)
    weight = _fading(len(label), half_life)
    losses = _forward_losses(margin, label, half_life)
    chosen = "none"
    for method, loss in losses.items():
        margin_needed = _PARSIMONY_OF_STEPS if method in _STEPS else _PARSIMONY
        if loss < losses[chosen] * (1.0 - margin_needed):
            chosen = method
    if not losses:
        enough = min(label.sum(), (1 - label).sum()) >= _MIN_PER_CLASS
        chosen = "intercept" if enough else "none"
    elif chosen == "none" and half_life is not None:
        chosen = "intercept"
    fitted = fit_calibration(chosen, margin, label, weight=weight)
    fitted = replace(fitted, half_life_rows=half_life)
    if len(label) >= _MIN_ROWS_STEPS:
        fitted = _with_band(fitted, fit_venn_abers(margin, label, weight))
    return fitted, losses


def _fading(count: int, half_life: float | None) -> Vector:
    """Weight of each of `count` rows, oldest first; 1 for the newest."""
    if half_life is None:
        return np.ones(count)
    return np.asarray(0.5 ** (np.arange(count)[::-1] / half_life), dtype=np.float64)


def _enough(label: Vector) -> bool:
    return bool(min(label.sum(), (1 - label).sum()) >= _MIN_PER_CLASS)


def _choose_half_life(margin: Vector, label: Vector) -> float | None:
    """The half-life whose shift would have foretold the newer rows best; None: all rows count alike."""
    count = len(label)
    if not _enough(label):
        return None
    tried: list[float | None] = [None]
    for share in _HALF_LIVES:
        weight = _fading(count, share * count)
        if min(weight @ label, weight @ (1 - label)) >= _LEAST_OUTCOMES:
            tried.append(share * count)
    losses = [_foretelling_loss(margin, label, half_life) for half_life in tried]
    best = int(np.argmin(losses))
    return tried[best] if losses[best] < losses[0] * (1.0 - _PARSIMONY) else None


def _foretelling_loss(margin: Vector, label: Vector, half_life: float | None) -> float:
    """Log-loss of the rows after each origin, shifted as the rows before it say; summed."""
    count = len(label)
    edges = np.linspace(count * (1.0 - _FORETOLD_SHARE), count, _BLOCKS + 1).astype(int)
    loss = 0.0
    for place, begin in enumerate(edges[:-1]):
        end = edges[min(place + _AHEAD, _BLOCKS)]
        shift = _shrunk_shift(margin[:begin], label[:begin], _fading(begin, half_life))
        loss += float(log_loss_rows(label[begin:end], sigmoid(margin[begin:end] + shift)).sum())
    return loss


def _shrunk_shift(margin: Vector, label: Vector, weight: Vector) -> float:
    """The shift with the least log-loss, held towards 0 by half an outcome of each kind."""
    if not len(label):
        return 0.0
    rows = (np.append(margin, [0.0, 0.0]), np.append(label, [0.0, 1.0]), np.append(weight, [0.5, 0.5]))
    return float(_newton(rows[0], np.ones((len(rows[0]), 1)), rows[1], rows[2])[0])


def _forward_losses(margin: Vector, label: Vector, half_life: float | None) -> dict[str, float]:
    """Log-loss by method on the rows after each origin, fitted on those before; empty where outcomes are too few."""
    count = len(label)
    origins = [int(count * share) for share in _ORIGINS]
    usable = [
        (origin, end)
        for origin, end in zip(origins, [*origins[1:], count], strict=True)
        if _enough(label[:origin]) and _enough(label[origin:end])
    ]
    if not usable:
        return {}
    methods = [m for m in METHODS if m not in _STEPS or usable[0][0] >= _MIN_ROWS_STEPS]
    losses = dict.fromkeys(methods, 0.0)
    rows = sum(end - origin for origin, end in usable)
    for origin, end in usable:
        weight = _fading(origin, half_life)
        for method in methods:
            fitted = fit_calibration(method, margin[:origin], label[:origin], weight=weight)
            losses[method] += float(log_loss_rows(label[origin:end], fitted.apply(margin[origin:end])).sum()) / rows
    return losses


def _with_band(calibration: Calibration, fitted: VennAbers) -> Calibration:
    low, high = tuple(fitted.low.tolist()), tuple(fitted.high.tolist())
    return replace(calibration, band_x=tuple(fitted.x.tolist()), band_low=low, band_high=high)


def _effective(weight: Vector) -> float:
    """Number of equal rows that say as much (Kish 1965)."""
    return float(weight.sum() ** 2 / (weight**2).sum()) if len(weight) else 0.0


def _design(method: str, margin: Vector) -> Vector:
    ones = np.ones_like(margin)
    if method == "beta":
        probability = np.clip(sigmoid(margin), _CLIP, 1.0 - _CLIP)
        return np.column_stack([np.log(probability), -np.log1p(-probability), ones])
    return np.column_stack([margin, ones])


def _problem(method: str, margin: Vector) -> tuple[Vector, Vector]:
    """Fixed part and free columns of the logistic regression that fits `method`."""
    if method == "intercept":
        return margin, np.ones((len(margin), 1))
    if method == "temperature":
        return np.zeros_like(margin), margin[:, None]
    return np.zeros_like(margin), _design(method, margin)


def _newton(offset: Vector, design: Vector, label: Vector, weight: Vector) -> Vector:
    """Logistic regression without penalty but a trace of ridge, by Newton's method with halved steps.

    Sums instead of products of matrices: for two or three columns BLAS's threads cost ten times the work (measured).
    """
    share = weight / weight.sum()
    weights = np.zeros(design.shape[1])
    loss = _mean_loss(offset, design, label, weights, share)
    for _ in range(_NEWTON_STEPS):
        probability = sigmoid(offset + np.einsum("ij,j->i", design, weights))
        gradient = np.einsum("ij,i->j", design, share * (probability - label)) + _RIDGE * weights
        curvature = np.einsum("ij,i,ik->jk", design, share * probability * (1 - probability), design)
        step = np.linalg.solve(curvature + _RIDGE * np.eye(len(weights)), gradient)
        for _ in range(_NEWTON_STEPS):
            trial = _mean_loss(offset, design, label, weights - step, share)
            if trial <= loss:
                break
            step = step / 2
        weights, improvement = weights - step, loss - trial
        loss = trial
        if improvement < 1e-10:
            break
    return np.asarray(weights, dtype=np.float64)


def _mean_loss(offset: Vector, design: Vector, label: Vector, weights: Vector, share: Vector) -> float:
    margin = offset + np.einsum("ij,j->i", design, weights)
    loss = float(np.sum(share * (np.logaddexp(0.0, margin) - label * margin)))
    return loss + _RIDGE / 2 * float(np.sum(weights**2))
