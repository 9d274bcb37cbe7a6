"""The season of the pace: in which months of the year deals move on, and are lost, faster than in others.

A deal that is won soon after its creation passes several stages in a few months, so a slow month costs wins of new
deals more than wins of deals that are nearly there, and what a slow quarter leaves undone is won in the next. The
season is therefore learned where it acts, on moves between stages, of which there are many, and goes through the chain
of stages (`flow`) to the wins of each month.
"""

from __future__ import annotations

import numpy as np

from training.forecast.metrics import FloatArray

YEAR = 12
_LEAST_YEARS = 2


def learn_pace(
    happened: FloatArray, expected: FloatArray, *, first: int, by_quarter: bool = False, trend: bool = False
) -> FloatArray:
    """Factors on what is expected by month of the year, shrunk as far as years differ among themselves.

    The log of what came over what was expected, less its year's mean, is an effect of the month of the year and
    scatter. The newest whole years give both variances, and the effect's mean over the years is taken as far as it is
    known: an effect that differs from year to year as much as from month to month is none (Efron and Morris 1975).
    Scatter is never taken to be less than that of Poisson counts.

    Args:
        happened: What came in each whole month, oldest first.
        expected: What was to be expected.
        first: Number of the first month.
        by_quarter: Whether the months of a calendar quarter share a factor: few things are counted.
        trend: Whether what comes grows, or falls, steadily beside what was expected.

    Returns:
        Shape (12,), January first, geometric mean 1; ones where fewer than two whole years are known, or a month of
        them expected nothing.
    """
    size = 3 if by_quarter else 1
    skipped = -first % size
    n = (len(happened) - skipped) // size
    came, hoped = (part[skipped : skipped + n * size].reshape(n, size).sum(axis=1) for part in (happened, expected))
    effect = _effects(came, hoped, places=YEAR // size, trend=trend)
    begin = (first + skipped) // size + n
    return np.asarray(np.repeat(np.roll(np.exp(effect), begin % (YEAR // size)), size), dtype=np.float64)


def _effects(happened: FloatArray, expected: FloatArray, *, places: int, trend: bool) -> FloatArray:
    """Log factors by place in the year, the place after the newest whole year's last first."""
    years = len(happened) // places
    begin = len(happened) - years * places
    if years < _LEAST_YEARS or (expected[begin:] <= 0).any():
        return np.zeros(places)
    logs = np.log((happened[begin:] + 0.5) / (expected[begin:] + 0.5)).reshape(years, places)
    if trend:
        # What grows from year to year does so within a year, too.
        growth = np.polyfit(np.arange(years), logs.mean(axis=1), 1)[0]
        logs = logs - growth * (np.arange(places) / places)
    logs = logs - logs.mean(axis=1, keepdims=True)
    effect = logs.mean(axis=0)
    scatter = float(np.square(logs - effect).sum()) / ((years - 1) * (places - 1))
    scatter = max(scatter, float((1.0 / (happened[begin:] + 0.5)).mean())) / years
    between = max(float(np.square(effect).sum()) / (places - 1) - scatter, 0.0)
    return np.asarray(effect * (between / (between + scatter)), dtype=np.float64)


def of_quarters(pace: FloatArray) -> FloatArray:
    """The pace less what months have in common by their place in a quarter, by month of the year, shape (..., 12)."""
    logs = np.log(pace).reshape(*pace.shape[:-1], 4, 3)
    return np.asarray(np.exp(logs - logs.mean(axis=-2, keepdims=True)).reshape(pace.shape), dtype=np.float64)
