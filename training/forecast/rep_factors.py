"""How much better or worse than expected each rep's deals go, shrunk by how much is known of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.forecast.metrics import FloatArray

_MOST_VARIANCE = 0.25
_PRIOR_VARIANCE, _PRIOR_REPS = 0.01, 5.0


@dataclass(frozen=True, kw_only=True)
class RepFactors:
    """Empirical Bayes factors of a gamma-Poisson model (Clayton and Kaldor 1987).

    Args:
        factor: Factor on the chances of each rep's deals, 1 for a rep without history, shape (n_reps,).
        variance: Variance of the factors among reps.
        remaining: Variance of each rep's factor that is left after what was seen, shape (n_reps,).
    """

    factor: FloatArray
    variance: float
    remaining: FloatArray


def learn_rep_factors(happened: FloatArray, expected: FloatArray) -> RepFactors:
    """Learn from each rep's wins and what was expected of them.

    The variance among reps is what the spread of happened over expected has beyond chance (method of moments), shrunk
    towards 0.01 as if five more reps had said so.

    Args:
        happened: Wins by rep.
        expected: Expected wins by rep.
    """
    total = expected.sum()
    if total <= 0:
        none = np.ones(len(expected))
        return RepFactors(factor=none, variance=_PRIOR_VARIANCE, remaining=none * _PRIOR_VARIANCE)
    scaled = expected * happened.sum() / total
    weight = np.square(scaled).sum()
    raw = (np.square(happened - scaled) - happened).sum() / max(weight, 1e-9)
    # Reps worth of evidence: a rep with many wins says more about the spread.
    effective = weight / max(float(np.square(scaled).max(initial=0.0)), 1e-9)
    variance = (raw * effective + _PRIOR_VARIANCE * _PRIOR_REPS) / (effective + _PRIOR_REPS)
    variance = float(np.clip(variance, 1e-4, _MOST_VARIANCE))
    shape = 1.0 / variance
    return RepFactors(
        factor=(happened + shape) / (scaled + shape),
        variance=variance,
        remaining=(happened + shape) / np.square(scaled + shape),
    )
