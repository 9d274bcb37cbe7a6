"""How far earlier estimates missed the truth that came later, and how much wider the next one's interval must be.

An estimate without labels rests on the outcome depending on the answers as it last did. Whether it keeps doing so
differs from one business to the next, and the labelled rows tell: cut into windows, each is estimated from those
before it, as if its labels were not in, and held to them. Misses beyond chance are the outcome changing its ways, and
the next estimate may miss as much. How much that is, is itself only known so far: the interval is the prediction of a
random-effects model (miss = chance + a step of unknown size, every size equally likely beforehand: Gelman, Prior
distributions for variance parameters in hierarchical models, 2006). Small windows cannot exclude small steps, so that
the interval is never as narrow as chance alone. The window that is reported plays no part in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.expecting import FIGURES, Brought, drawn_figures, expected_figures, realised_figures
from training.calibration import logit

Vector = NDArray[np.float64]

FEWEST_OUTCOMES = 25
"""Outcomes of each kind in a window, and to bring answers to; fewer tell nothing."""
MOST_LABELLED = 5_000
"""Newest labelled rows that answers are brought to: older ones say less about now."""
FEWEST_WINDOWS, MOST_WINDOWS = 4, 12
REPLICATES = 24
# Chance that steady misses are called unsteady.
_LEVEL = 0.01
_SIZES = 200


@dataclass(frozen=True, kw_only=True)
class Misses:
    """What the estimates of earlier windows missed of one figure.

    Args:
        windows: How many were held to their labels.
        worst: Largest miss, absolute.
        steps: Sizes that a step beyond chance may have (standard deviations), rising.
        weight: How likely each is, given the misses; sums to 1.
        is_steady: Whether chance explains the misses.
    """

    windows: int
    worst: float
    steps: Vector
    weight: Vector
    is_steady: bool

    def widened(self, distance: float) -> float:
        """Distance of an end of the 95 % interval from its estimate, with what may be missed beyond chance.

        Args:
            distance: The same as chance gives it, >= 0.
        """
        from scipy.optimize import brentq
        from scipy.stats import norm

        level = 0.975
        spread = np.hypot(max(distance, 1e-9) / norm.ppf(level), self.steps)
        most = float(norm.ppf(level) * spread[-1])
        return float(brentq(lambda end: float(self.weight @ norm.cdf(end / spread)) - level, 0.0, most))


def past_misses(
    answer: Vector, label: Vector, entity: NDArray[np.object_] | NDArray[np.str_], *, seed: int
) -> dict[str, Misses]:
    """Estimate each window of the labelled rows from those before it, and hold it to its labels.

    Args:
        answer: Answers of the model to rows that it did not learn from, oldest first, shape (n_rows,).
        label: 0 or 1, same shape.
        entity: Lead or deal of each row, same shape.
        seed: Seed of the draws.

    Returns:
        Per figure; empty where the labels are too few for `FEWEST_WINDOWS` windows.
    """
    fewest = min(label.sum(), (1 - label).sum())
    count = min(MOST_WINDOWS, int(fewest // FEWEST_OUTCOMES))
    if count < FEWEST_WINDOWS:
        return {}
    # As many outcomes of the rarer kind in each window, so that all tell about as much.
    rarer = np.cumsum(label if label.sum() <= len(label) / 2 else 1 - label)
    window = np.minimum((rarer - 1e-9) * count // rarer[-1], count - 1).clip(0).astype(np.int64)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in FIGURES}
    for place in range(1, count):
        now, before = np.flatnonzero(window == place), np.flatnonzero(window < place)[-MOST_LABELLED:]
        brought = Brought.to(logit(answer[before]), label[before], entity[before])
        expected, realised = expected_figures(answer[now], brought), realised_figures(answer[now], label[now])
        drawn = drawn_figures(answer[now], brought, seed=seed + place, replicates=REPLICATES)
        for name in FIGURES:
            found[name].append((realised[name] - expected[name], float(np.nanvar(drawn[name]))))
    return {name: _misses(*np.array(found[name]).T) for name in FIGURES}


def _misses(miss: Vector, chance: Vector) -> Misses:
    from scipy.stats import chi2

    chance = np.maximum(chance, 1e-12)
    evidence = float((miss**2 / chance).sum())
    # Far beyond what the misses allow: the likelihood is nothing there.
    steps = np.linspace(0.0, 6.0 * float(np.sqrt((miss**2).mean() + chance.mean())), _SIZES)
    variance = chance[None, :] + steps[:, None] ** 2
    likelihood = -0.5 * (np.log(variance) + miss[None, :] ** 2 / variance).sum(axis=1)
    weight = np.exp(likelihood - likelihood.max())
    return Misses(
        windows=len(miss),
        worst=float(np.abs(miss).max()),
        steps=steps,
        weight=weight / weight.sum(),
        is_steady=evidence <= float(chi2.ppf(1 - _LEVEL, len(miss))),
    )
