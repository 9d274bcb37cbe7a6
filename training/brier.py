"""Whether probabilities mean what they say: reliability by bin, the Brier score taken apart, calibration over time.

The Brier score is reliability - resolution + uncertainty (Murphy 1973), and a remainder where predictions within a bin
differ (Stephenson, Coelho and Jolliffe 2008). In few rows, noise passes for bad reliability and for resolution alike;
the corrected terms take its expected size away (Ferro and Fricker 2012, which is Bröcker's 2012 for whole bins). The
noise is measured by entity, because rows of one deal share an outcome; with one row per entity it is their formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation import rank_scores
from training.resampling import count_distinct, entity_codes

Vector = NDArray[np.float64]
Codes = NDArray[np.int64]

BINS = 10
_Z = 1.959964


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Rows whose probabilities are alike.

    Args:
        low: Least probability.
        high: Greatest one.
        predicted: Mean probability.
        observed: Share with the outcome.
        observed_low: Lower end of its 95 % interval (Wilson 1927, on the bin's entities).
        observed_high: Upper end.
        rows: Rows.
        entities: Different leads or deals among them.
    """

    low: float
    high: float
    predicted: float
    observed: float
    observed_low: float
    observed_high: float
    rows: int
    entities: int


@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """The Brier score and its terms: `brier = reliability - resolution + uncertainty + within`.

    Args:
        brier: Mean squared difference between probability and outcome.
        reliability: Mean squared gap between the bins' observed rates and mean probabilities; 0 is best.
        resolution: Mean squared distance of the bins' rates from the rate of all; more is better.
        uncertainty: rate x (1 - rate) of all rows: the Brier score of always answering the rate.
        within: What is left over because probabilities within a bin differ.
        reliability_corrected: Reliability less what noise alone adds; may be below 0.
        resolution_corrected: Resolution less what noise alone adds.
        uncertainty_corrected: Uncertainty, with what the noise in the rate of all takes from it.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float
    reliability_corrected: float
    resolution_corrected: float
    uncertainty_corrected: float


@dataclass(frozen=True, kw_only=True)
class Period:
    """Calibration in the large in one month: what was expected and what came.

    Args:
        month: `2024-07`.
        predicted: Mean probability.
        observed: Share with the outcome.
        observed_low: Lower end of its 95 % interval.
        observed_high: Upper end.
        rows: Rows.
    """

    month: str
    predicted: float
    observed: float
    observed_low: float
    observed_high: float
    rows: int


def wilson(rate: float, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927).

    Example:
        >>> tuple(round(end, 3) for end in wilson(0.0, 10))
        (0.0, 0.278)
    """
    if count == 0:
        return 0.0, 1.0
    spread = _Z * np.sqrt(rate * (1 - rate) / count + _Z**2 / (4 * count**2))
    scale, middle = 1 + _Z**2 / count, rate + _Z**2 / (2 * count)
    return float(max(0.0, (middle - spread) / scale)), float(min(1.0, (middle + spread) / scale))


def reliability_bins(label: Vector, probability: Vector, entity: NDArray[Any], *, bins: int = BINS) -> tuple[Bin, ...]:
    """Observed rate beside mean probability in bins of equally many rows; equal probabilities stay together."""
    if not len(label):
        return ()
    place, count = rank_scores(probability, most=bins)
    code = entity_codes(entity)
    found = []
    for index in range(count):
        chosen = place == index
        rate, entities = float(label[chosen].mean()), count_distinct(code[chosen])
        low, high = wilson(rate, entities)
        found.append(
            Bin(
                low=float(probability[chosen].min()),
                high=float(probability[chosen].max()),
                predicted=float(probability[chosen].mean()),
                observed=rate,
                observed_low=low,
                observed_high=high,
                rows=int(chosen.sum()),
                entities=entities,
            )
        )
    return tuple(found)


def decompose(label: Vector, probability: Vector, entity: NDArray[Any], *, bins: int = BINS) -> Decomposition:
    """The Brier score taken apart over bins of equally many rows.

    Args:
        label: 0 or 1 per row; at least one row.
        probability: Predicted probability per row.
        entity: Lead or deal of each row.
        bins: Number of bins.
    """
    place, count = rank_scores(probability, most=bins)
    rows = np.bincount(place, minlength=count).astype(np.float64)
    rates = np.bincount(place, label, minlength=count) / rows
    means = np.bincount(place, probability, minlength=count) / rows
    total, rate = float(rows.sum()), float(label.mean())
    brier = float(((probability - label) ** 2).mean())
    reliability = float((rows * (means - rates) ** 2).sum() / total)
    resolution = float((rows * (rates - rate) ** 2).sum() / total)
    uncertainty = rate * (1 - rate)
    code = entity_codes(entity)
    in_bins = float((rows * _variances(label - rates[place], place, code, rows)).sum() / total)
    in_all = float(_variances(label - rate, np.zeros(len(label), dtype=np.int64), code, np.array([total]))[0])
    return Decomposition(
        brier=brier,
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within=brier - (reliability - resolution + uncertainty),
        reliability_corrected=reliability - in_bins,
        resolution_corrected=resolution - in_bins + in_all,
        uncertainty_corrected=uncertainty + in_all,
    )


def _variances(residual: Vector, place: Codes, code: Codes, rows: Vector) -> Vector:
    """Variance of each bin's mean, by entity: with one row each, rate x (1 - rate) / (rows - 1)."""
    pair, inverse = np.unique(place * (int(code.max()) + 1) + code, return_inverse=True)
    sums = np.bincount(inverse, residual)
    bins = (pair // (int(code.max()) + 1)).astype(np.int64)
    entities = np.bincount(bins, minlength=len(rows)).astype(np.float64)
    squares = np.bincount(bins, sums**2, minlength=len(rows))
    small = np.divide(entities, entities - 1, out=np.zeros_like(entities), where=entities > 1)
    return np.asarray(squares * small / rows**2, dtype=np.float64)


def calibration_by_month(
    label: Vector, probability: Vector, entity: NDArray[Any], as_of: NDArray[np.datetime64]
) -> tuple[Period, ...]:
    """Mean probability and observed rate per month of as_of (UTC), oldest first."""
    months = as_of.astype("datetime64[M]")
    code = entity_codes(entity)
    found = []
    for month in np.unique(months):
        chosen = months == month
        rate = float(label[chosen].mean())
        low, high = wilson(rate, count_distinct(code[chosen]))
        found.append(
            Period(
                month=str(month),
                predicted=float(probability[chosen].mean()),
                observed=rate,
                observed_low=low,
                observed_high=high,
                rows=int(chosen.sum()),
            )
        )
    return tuple(found)
