"""How far a model's answers lie from the outcomes, followed week by week: one level in log-odds that may jump.

Most of the time the level stays, and every outcome tells something of it; now and then it jumps, and what came before
tells nothing any more. So every week is held possible as the one of the newest jump (Adams and MacKay 2007, Bayesian
online changepoint detection). For each, the level has a normal posterior from the rows since (Laplace); each counts
by how well it foretold the rows. Nothing has to be known of when a change was, and nothing is fitted on rows that are
foretold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.calibration import Calibration, logit, sigmoid

Vector = NDArray[np.float64]
Weeks = NDArray[np.int64]

# Before anything is known: a change of the level once a year, by a factor of e in the odds either way as often as not
# more; and a champion that is off by a fifth in log-odds, about what a calibration on a hundred outcomes leaves open.
JUMPS_A_WEEK = 1 / 52
JUMP = 1.0
OFF = 0.2
_NEWTON_STEPS, _CLOSE = 8, 1e-5
# Log-weight below the likeliest at which a possible jump is let go.
_LET_GO = -12.0


@dataclass(frozen=True)
class _Held:
    """What is held possible: a level since each of some weeks.

    Args:
        mean: Mean of the level, log-odds.
        variance: Its variance.
        log_weight: Log of how likely each is, up to a constant.
    """

    mean: Vector
    variance: Vector
    log_weight: Vector

    @property
    def weight(self) -> Vector:
        weight = np.exp(self.log_weight - self.log_weight.max())
        return np.asarray(weight / weight.sum(), dtype=np.float64)

    @property
    def level(self) -> float:
        return float(self.weight @ self.mean)


def follow_level(margin: Vector, label: Vector, week: Weeks, *, counts: float = 1.0) -> Vector:
    """The level as it was known before each week, and last as it is known now.

    Args:
        margin: Log-odds that the model answers.
        label: 0 or 1, all known.
        week: Number of each row's week, from 0.
        counts: What a row counts, 0 to 1: where a lead has several rows, they share its outcome.

    Returns:
        Shape (weeks + 1,); what is to be added to the log-odds.
    """
    order = np.argsort(week, kind="stable")
    weeks = int(week.max(initial=-1)) + 1
    edges = np.searchsorted(week[order], np.arange(weeks + 1))
    held = _Held(np.zeros(1), np.full(1, OFF**2), np.zeros(1))
    levels = np.zeros(weeks + 1)
    for number in range(weeks):
        levels[number] = held.level
        rows = order[edges[number] : edges[number + 1]]
        if len(rows):
            held = _learned(_with_jump(held) if number else held, margin[rows], label[rows], counts=counts)
    levels[weeks] = held.level
    return levels


def _with_jump(held: _Held) -> _Held:
    """A jump just now held possible too, from where the level is."""
    return _Held(
        np.append(held.mean, held.level),
        np.append(held.variance, JUMP**2),
        np.append(np.log(held.weight) + np.log1p(-JUMPS_A_WEEK), np.log(JUMPS_A_WEEK)),
    )


def _learned(held: _Held, margin: Vector, label: Vector, *, counts: float) -> _Held:
    """Every level brought to a week's rows, and weighed by how well it foretold them."""
    mean, variance = held.mean, held.variance
    level = mean.copy()
    for _ in range(_NEWTON_STEPS):
        told = sigmoid(margin[None, :] + level[:, None])
        slope = counts * (told - label).sum(axis=1) + (level - mean) / variance
        step = np.clip(slope / (counts * (told * (1 - told)).sum(axis=1) + 1 / variance), -1.0, 1.0)
        level = level - step
        if np.abs(step).max() < _CLOSE:
            break
    odds = margin[None, :] + level[:, None]
    told = sigmoid(odds)
    curvature = counts * (told * (1 - told)).sum(axis=1) + 1 / variance
    likelihood = counts * (label * odds - np.logaddexp(0.0, odds)).sum(axis=1)
    evidence = likelihood - (level - mean) ** 2 / (2 * variance) - np.log(curvature * variance) / 2
    weight = held.log_weight + evidence
    kept = weight > weight.max() + _LET_GO
    return _Held(level[kept], 1 / curvature[kept], weight[kept] - weight.max())


def shifted(calibration: Calibration, shift: float) -> Calibration:
    """The calibration whose answers lie so much higher in log-odds."""
    method, weights = calibration.method, calibration.weights
    if calibration.x:
        moved = sigmoid(logit(np.array(calibration.y)) + shift)
        return replace(calibration, y=tuple(moved.tolist()))
    if method == "none":
        return replace(calibration, method="intercept", weights=(1.0, shift))
    # With a shift, a temperature is Platt's.
    method = "platt" if method == "temperature" else method
    return replace(calibration, method=method, weights=(*weights[:-1], weights[-1] + shift))
