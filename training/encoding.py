"""Columns to the model's matrix: the one place that does it, for training and for scoring.

Missing stays NaN. A category has the rank of its outcome rate in training as its code, so that LightGBM can take the
code as a category and XGBoost as a number. Categories that were rare or unseen in training share one code of their own,
placed by the rate of the rare ones (or the base rate, where there were none).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError
from training.manifest import FeatureEntry

_PRIOR_ROWS = 20.0
_MAX_CATEGORIES = 60
_SHOWN = 3
_FEW_ROWS = 128


def fit_categories(
    values: Sequence[Any] | NDArray[Any], label: NDArray[np.float64], *, min_rows: int = 20
) -> tuple[tuple[str | None, ...], int]:
    """Codes of a category column: its frequent values and "all others" (None), ordered by outcome rate.

    Args:
        values: One value per row; None or NaN is missing.
        label: 0 or 1 per row.
        min_rows: Values on fewer rows join the others.

    Returns:
        The values by code, and the code of all others.
    """
    base_rate = float(label.mean()) if len(label) else 0.0
    rows: dict[str, list[float]] = {}
    for value, outcome in zip(values, label, strict=True):
        if not is_missing(value):
            rows.setdefault(str(value), []).append(float(outcome))
    frequent = sorted((name for name in rows if len(rows[name]) >= min_rows), key=lambda name: (-len(rows[name]), name))
    kept = set(frequent[:_MAX_CATEGORIES])
    rates: list[tuple[float, str | None]] = [(_shrunk(rows[name], base_rate), name) for name in kept]
    rest = [outcome for name, outcomes in rows.items() if name not in kept for outcome in outcomes]
    rates.append((_shrunk(rest, base_rate), None))
    ordered = tuple(name for _, name in sorted(rates, key=lambda pair: (pair[0], pair[1] is not None, pair[1] or "")))
    return ordered, ordered.index(None)


def _shrunk(outcomes: Sequence[float], base_rate: float) -> float:
    return (sum(outcomes) + _PRIOR_ROWS * base_rate) / (len(outcomes) + _PRIOR_ROWS)


def is_missing(value: Any) -> bool:
    """Whether a single value is None or NaN."""
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def encode_columns(columns: Mapping[str, Sequence[Any]], features: Sequence[FeatureEntry]) -> NDArray[np.float64]:
    """The matrix of a model.

    Args:
        columns: One sequence of equal length per column; more columns than needed do no harm.
        features: The model's features, in order. One that has no column is missing (NaN) in every row.

    Returns:
        float64, shape (n_rows, n_features).

    Raises:
        ContractError: if lengths differ, or a value is no number where one is needed.
    """
    names = {entry.name for entry in features}
    present = {name: values for name, values in columns.items() if name in names}
    lengths = {len(values) for values in (present or columns).values()}
    if len(lengths) > 1:
        raise ContractError("The columns have different lengths", got=f"lengths {sorted(lengths)}")
    n_rows = lengths.pop() if lengths else 0
    if n_rows == 1:
        # A request: one array of all columns instead of one each, a tenth of the time.
        return np.array([[_encoded(columns[e.name][0], e) if e.name in columns else math.nan for e in features]])
    matrix = np.full((n_rows, len(features)), np.nan)
    done = _encode_numbers(columns, features, matrix) if 0 < n_rows <= _FEW_ROWS else set()
    for position, entry in enumerate(features):
        if entry.name in columns and position not in done:
            matrix[:, position] = encode_column(columns[entry.name], entry)
    return matrix


def _encode_numbers(
    columns: Mapping[str, Sequence[Any]], features: Sequence[FeatureEntry], matrix: NDArray[np.float64]
) -> set[int]:
    """Fill in the number columns of a few rows by one array of all of them; gives back which are done."""
    places = [at for at, entry in enumerate(features) if entry.dtype != "category" and entry.name in columns]
    try:
        # None becomes NaN.
        matrix[:, places] = np.array([columns[features[at].name] for at in places], dtype=np.float64).T
    except (TypeError, ValueError):
        # Column by column it is found out which holds what is no number.
        return set()
    return set(places)


def encode_column(values: Sequence[Any] | NDArray[Any], entry: FeatureEntry) -> NDArray[np.float64]:
    """One column of the matrix; see `encode_columns`."""
    if entry.dtype == "category":
        codes = _Codes(entry)
        return np.fromiter(map(codes.__getitem__, values), dtype=np.float64, count=len(values))
    try:
        if isinstance(values, np.ndarray) and values.dtype != object:
            return values.astype(np.float64)
        return np.array([math.nan if v is None else float(v) for v in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        wrong = [repr(v) for v in values if not _is_number(v)][:_SHOWN]
        raise ContractError(
            f"Feature '{entry.name}' holds values that are no numbers",
            expected=f"{entry.dtype} in {entry.unit}",
            got=", ".join(wrong),
            field=entry.name,
        ) from error


def _encoded(value: Any, entry: FeatureEntry) -> float:
    if entry.dtype == "category":
        return math.nan if is_missing(value) else entry.codes.get(str(value), float(entry.other_code))
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        # Says what is wrong.
        return float(encode_column([value], entry)[0])


class _Codes(dict[Any, float]):
    """Codes of a category's values, each looked up by name once."""

    def __init__(self, entry: FeatureEntry) -> None:
        super().__init__()
        self._known = entry.codes
        self._other = float(entry.other_code)

    def __missing__(self, value: Any) -> float:
        code = math.nan if is_missing(value) else self._known.get(str(value), self._other)
        self[value] = code
        return code


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return value is None
    return True
