"""Feature columns as they come (lists, NumPy arrays, with missing values) as arrays of one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

NO_VALUE = "(none)"


def numbers(columns: Mapping[str, Sequence[Any]], name: str, count: int) -> Vector:
    """A column as float64, NaN where a value is missing or the column is absent."""
    if name not in columns:
        return np.full(count, np.nan)
    values: Any = columns[name]
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return np.asarray(values, dtype=np.float64)
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def texts(columns: Mapping[str, Sequence[Any]], name: str, count: int) -> list[str]:
    """A column as text, `NO_VALUE` where a value is missing or the column is absent."""
    if name not in columns:
        return [NO_VALUE] * count
    return [NO_VALUE if value is None or value != value else str(value) for value in columns[name]]
