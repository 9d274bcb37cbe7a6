"""The probability of reaching a figure, read off a forecast's range."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from training.forecast.columns import QUANTILES

_SURE = 0.995
_NORMAL = NormalDist()


def probability_of_reaching(row: Mapping[str, Any], figure: float) -> float | None:
    """P(value >= figure), from the five quantiles that the range shows.

    Between two quantiles, and beyond the outer ones, the normal score is taken as linear in the value. So the answer
    and the range never contradict each other, widened as the range is; it is kept within 0.5 % and 99.5 % unless the
    figure is booked already.

    Args:
        row: `median`, `lower_80`, `upper_80`, `lower_95`, `upper_95` and `closed`.
        figure: The figure.

    Returns:
        A probability; None where the forecast has no range.
    """
    closed = row.get("closed")
    if closed is not None and closed == closed and closed >= figure:
        return 1.0
    points = sorted((share, row.get(name)) for name, share in QUANTILES.items())
    if any(value is None or value != value for _, value in points):
        return None
    known = [(float(value), _NORMAL.inv_cdf(share)) for share, value in points if value is not None]
    distinct = [known[0]]
    for value, score in known[1:]:
        if value > distinct[-1][0]:
            distinct.append((value, score))
        else:
            # Quantiles that coincide: the value is reached with the highest of their shares below it.
            distinct[-1] = (distinct[-1][0], min(distinct[-1][1], score))
    if len(distinct) == 1:
        return _SURE if distinct[0][0] >= figure else 1.0 - _SURE
    pair = next((n for n in range(len(distinct) - 2) if figure < distinct[n + 1][0]), len(distinct) - 2)
    (low, at_low), (high, at_high) = distinct[pair], distinct[pair + 1]
    score = at_low + (at_high - at_low) * (figure - low) / (high - low)
    return min(max(1.0 - _NORMAL.cdf(score), 1.0 - _SURE), _SURE)
