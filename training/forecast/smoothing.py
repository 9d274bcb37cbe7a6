"""Simple exponential smoothing and Theta of one short series, in a few microseconds a period and without a library.

Of one monthly count a library's search over kinds of ETS has little to find, and to import it takes longer than all
else that a forecast learns.
"""

from __future__ import annotations

import numpy as np

from training.forecast.metrics import FloatArray

_ALPHAS = np.linspace(0.05, 0.95, 19)


def smoothed(values: FloatArray, *, h: int) -> FloatArray:
    """Simple exponential smoothing: the level that foretold each next value best, continued.

    Args:
        values: Oldest first, at least two.
        h: Periods ahead.
    """
    level, _ = _level(values)
    return np.full(h, level)


def theta(values: FloatArray, *, h: int) -> FloatArray:
    """Theta: simple exponential smoothing with half of the linear trend as drift (Hyndman and Billah 2003).

    Args:
        values: Oldest first, at least two.
        h: Periods ahead.
    """
    level, alpha = _level(values)
    n = len(values)
    slope = float(np.polyfit(np.arange(n), values, 1)[0])
    steps = np.arange(h) + (1.0 - (1.0 - alpha) ** n) / alpha
    return np.asarray(level + slope / 2.0 * steps, dtype=np.float64)


def _level(values: FloatArray) -> tuple[float, float]:
    """The last level and its weight of the newest value, of those whose squared one-step errors are least."""
    level = np.full(len(_ALPHAS), values[0])
    squared = np.zeros(len(_ALPHAS))
    for value in values[1:]:
        error = value - level
        squared += error**2
        level = level + _ALPHAS * error
    best = int(np.argmin(squared))
    return float(level[best]), float(_ALPHAS[best])
