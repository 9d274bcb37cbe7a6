"""Logistic regression with ridge, lasso and signs, by proximal Newton steps (Lee, Sun and Saunders 2014; glmnet's way).

scikit-learn has no elastic net with signs, and its one solver for both penalties (saga) had not converged after four
times the processor time (20 000 rows, 312 columns). A test holds this one equal to it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_STEPS = 60
_SWEEPS = 60
_HALVINGS = 30
# Rows from which curvature is taken, and rows per column. The gradient always sees all rows, so the solution does not
# depend on this.
_CURVATURE_ROWS, _ROWS_PER_COLUMN = 8_192, 8
_FRESH_CURVATURE = 4
_TOLERANCE = 1e-6
# A sweep whose largest gain is below this has nothing left to do.
_SETTLED = 1e-10
_SETTLINGS = 10
_SIZES = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)


def fit_elastic_net(
    design: NDArray[np.float32],
    label: Vector,
    *,
    ridge: float,
    lasso: float,
    signs: NDArray[np.int64] | None = None,
    weight: Vector | None = None,
) -> tuple[float, Vector]:
    """Minimise mean log-loss + ridge / 2 |w|^2 + lasso |w|_1; the intercept is free of penalty.

    Args:
        design: float32, shape (n_rows, n_columns).
        label: 0 or 1 per row.
        ridge: Strength of the squared penalty.
        lasso: Strength of the absolute penalty.
        signs: -1, 0 or 1 per column: the sign its weight must have, 0 for any.
        weight: How much each row counts in the mean; None: all alike.

    Returns:
        Intercept and weights: to the bit the same on any number of cores.
    """
    # More threads add up in another order, and for matrices of this size they mostly wait for one another.
    with _one_blas_thread:
        return _fit(design, label, ridge=ridge, lasso=lasso, signs=signs, weight=weight)


class _OneBlasThread:
    """One BLAS thread while any fit runs: the limit is the process's, and fits may run side by side."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limit = _blas().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


_one_blas_thread = _OneBlasThread()


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _fit(
    design: NDArray[np.float32],
    label: Vector,
    *,
    ridge: float,
    lasso: float,
    signs: NDArray[np.int64] | None,
    weight: Vector | None,
) -> tuple[float, Vector]:
    count = design.shape[1]
    bounds = np.zeros(count, dtype=np.int64) if signs is None else np.asarray(signs, dtype=np.int64)
    share = np.full(len(label), 1.0 / len(label)) if weight is None else weight / weight.sum()
    rate = float(np.clip(share @ label, 1e-6, 1 - 1e-6))
    weights = np.zeros(count + 1)
    weights[0] = np.log(rate / (1 - rate))
    margin = np.full(len(label), weights[0])
    loss = _objective(margin, label, share, weights, ridge, lasso)
    chosen = _curvature_rows(len(label), max(_CURVATURE_ROWS, _ROWS_PER_COLUMN * count))
    part = np.asarray(design[chosen], dtype=np.float32)
    curvature = np.empty(0)
    for step in range(_STEPS):
        probability = 1.0 / (1.0 + np.exp(-margin))
        gradient = _gradient(design, share * (probability - label), weights, ridge)
        if step < _FRESH_CURVATURE or step % _FRESH_CURVATURE == 0:
            curvature = _curvature(part, probability[chosen], share[chosen], ridge)
        move = _newton_move(weights, gradient, curvature, lasso, bounds)
        shift = move[0] + (design @ move[1:].astype(np.float32)).astype(np.float64)
        size, trial = 1.0, loss
        for _ in range(_HALVINGS):
            trial = _objective(margin + size * shift, label, share, weights + size * move, ridge, lasso)
            if trial < loss:
                break
            size /= 2.0
        if not trial < loss:
            break
        weights, margin, improvement, loss = weights + size * move, margin + size * shift, loss - trial, trial
        if improvement < _TOLERANCE * max(loss, 1e-3):
            break
    return float(weights[0]), weights[1:]


def _curvature_rows(count: int, most: int) -> NDArray[np.int64]:
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _objective(margin: Vector, label: Vector, share: Vector, weights: Vector, ridge: float, lasso: float) -> float:
    fit = float(share @ (np.logaddexp(0.0, margin) - label * margin))
    return fit + ridge / 2 * float(weights[1:] @ weights[1:]) + lasso * float(np.abs(weights[1:]).sum())


def _gradient(design: NDArray[np.float32], residual: Vector, weights: Vector, ridge: float) -> Vector:
    slopes = (residual.astype(np.float32) @ design).astype(np.float64)
    return np.concatenate([[residual.sum()], slopes + ridge * weights[1:]])


def _curvature(part: NDArray[np.float32], probability: Vector, share: Vector, ridge: float) -> Vector:
    """Second derivatives, the intercept first, shape (n_columns + 1, n_columns + 1)."""
    spread = np.maximum(probability * (1 - probability), 1e-6) * (share / share.sum())
    scaled = part * np.sqrt(spread)[:, None].astype(np.float32)
    whole = np.empty((part.shape[1] + 1, part.shape[1] + 1))
    whole[1:, 1:] = scaled.T @ scaled
    whole[0, 0] = spread.sum()
    whole[0, 1:] = whole[1:, 0] = spread.astype(np.float32) @ part
    # The trace of ridge keeps columns that say the same from making the steps unsure.
    whole[np.arange(1, len(whole)), np.arange(1, len(whole))] += ridge + 1e-6
    return whole


def _newton_move(
    weights: Vector, gradient: Vector, curvature: Vector, lasso: float, bounds: NDArray[np.int64]
) -> Vector:
    """The least of the quadratic model with lasso and signs.

    Sweeps of coordinate descent (Friedman et al. 2010) find which weights are zero and the others' signs; given those,
    the rest is solved at once. Either lowers the model, so both together end where sweeps alone would, after a tenth of
    them (375 columns: 31 for more than 300, and 6 times less processor time).
    """
    if lasso == 0.0:
        return _solved_move(weights, gradient, curvature, bounds)
    model = _Quadratic(
        start=weights,
        gradient=gradient,
        curvature=curvature,
        penalty=np.concatenate([[0.0], np.full(len(weights) - 1, lasso)]),
        limits=np.concatenate([[0], bounds]),
    )
    found = weights.copy()
    slope = gradient.copy()
    for _ in range(_SWEEPS):
        largest = model.sweep(found, slope)
        if largest < _SETTLED:
            break
        found = model.settle(found)
        slope = gradient + curvature @ (found - weights)
    return found - weights


@dataclass(frozen=True, kw_only=True)
class _Quadratic:
    """A quadratic model around `start`, with an absolute penalty and signs."""

    start: Vector
    gradient: Vector
    curvature: Vector
    penalty: Vector
    limits: NDArray[np.int64]

    def sweep(self, weights: Vector, slope: Vector) -> float:
        """Set each weight to its best in turn, in place; the largest gain of one."""
        diagonal = np.diag(self.curvature)
        largest = 0.0
        # Weights at zero that would stay there are told at once; only the others are visited one by one.
        pulled = np.abs(slope) > self.penalty
        for at in np.flatnonzero((weights != 0.0) | pulled):
            old = weights[at]
            target = old - slope[at] / diagonal[at]
            new = np.sign(target) * max(abs(target) - self.penalty[at] / diagonal[at], 0.0)
            if self.limits[at] and new * self.limits[at] < 0:
                new = 0.0
            change = new - old
            if change != 0.0:
                weights[at] = new
                slope += self.curvature[at] * change
                largest = max(largest, change * change * diagonal[at])
        return largest

    def settle(self, weights: Vector) -> Vector:
        """Better weights with the signs of these: solved at once; one that would turn its sign is set to zero."""
        value = self.value(weights)
        for _ in range(_SETTLINGS):
            sign = np.sign(weights)
            free = (sign != 0.0) | (self.penalty == 0.0)
            slope = self.gradient + self.curvature @ (weights - self.start) + self.penalty * sign
            step = np.zeros_like(weights)
            step[free] = -np.linalg.solve(self.curvature[np.ix_(free, free)], slope[free])
            tried, reached = weights, value
            for size in _SIZES:
                tried = weights + size * step
                tried[(self.penalty > 0.0) & (sign * tried < 0.0)] = 0.0
                reached = self.value(tried)
                if reached < value:
                    break
            if not reached < value:
                break
            weights, value = tried, reached
            if np.array_equal(np.sign(weights), sign):
                break
        return weights

    def value(self, weights: Vector) -> float:
        """The model's value less that at its start."""
        move = weights - self.start
        penalty = self.penalty @ (np.abs(weights) - np.abs(self.start))
        return float(self.gradient @ move + move @ self.curvature @ move / 2 + penalty)


def _solved_move(weights: Vector, gradient: Vector, curvature: Vector, bounds: NDArray[np.int64]) -> Vector:
    """The same without lasso: solved at once; weights of the wrong sign are held at 0, and the others solved again."""
    free = np.ones(len(weights), dtype=bool)
    limits = np.concatenate([[0], bounds])
    while True:
        move = np.where(free, 0.0, -weights)
        rest = gradient[free] + curvature[np.ix_(free, ~free)] @ move[~free]
        move[free] = -np.linalg.solve(curvature[np.ix_(free, free)], rest)
        wrong = free & (limits * (weights + move) < 0)
        if not wrong.any():
            return move
        free &= ~wrong
