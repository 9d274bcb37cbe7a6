"""Which features move with the calendar: the macro-economy, the season of a short history, rates that were rising.

A model may read from such a feature which year it is, and takes what was true of that year to the next. Whether that
helps is for the study to say, on later rows: each kind is tried with these features and without.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.models import Matrix

DRIFTS_FROM = 0.5
"""Distance between the distributions of the older and the newer half from which a feature counts as drifting."""
_MIN_VALUES = 20


def drifting_columns(matrix: Matrix, when: NDArray[np.datetime64]) -> tuple[int, ...]:
    """Positions of the columns whose values differ between the older and the newer half of the rows.

    The distance is that of Kolmogorov and Smirnov, with missing as a value of its own. Outcomes play no part.

    Args:
        matrix: Rows, shape (n_rows, n_features).
        when: Moment of each row.
    """
    order = np.argsort(when, kind="stable")
    half = len(order) // 2
    older, newer = matrix[order[:half]], matrix[order[half:]]
    if min(len(older), len(newer)) < _MIN_VALUES:
        return ()
    return tuple(at for at in range(matrix.shape[1]) if distance(older[:, at], newer[:, at]) > DRIFTS_FROM)


def distance(older: Matrix, newer: Matrix) -> float:
    """Largest difference between two cumulative distributions, 0 to 1; missing lies below every value."""
    first, second = (np.sort(np.nan_to_num(values, nan=-np.inf)) for values in (older, newer))
    places = np.unique(np.concatenate([first, second]))
    shares = [np.searchsorted(values, places, side="right") / len(values) for values in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())
