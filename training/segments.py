"""The segments by which a model is judged: source, industry, size, region, month; whichever a frame has columns for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.encoding import is_missing

Names = NDArray[np.object_]

UNKNOWN = "unknown"
# The first of each that a frame has.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "source": ("lead_source", "deal_source", "source"),
    "industry": ("industry", "account_industry"),
    "size": ("employee_count", "account_employee_count"),
    "region": ("lead_region", "account_region", "region", "country", "account_country"),
}
_SIZES = ((50, "1-49 people"), (250, "50-249 people"), (1_000, "250-999 people"))
_LARGEST = "1000 people and more"
_MOST = 12
"""Values of one kind that are shown apart; the rarer ones are "other"."""
OTHER = "other"


def segment_rows(
    columns: Mapping[str, Sequence[Any]], *, as_of: NDArray[np.datetime64] | None = None
) -> dict[str, Names]:
    """The segment of each row, by kind of segment.

    Args:
        columns: Feature columns by name, one value per row.
        as_of: Moments of the rows, UTC, for the months.

    Returns:
        By kind (`source`, `industry`, `size`, `region`, `month`) the name of each row's segment; a kind that the frame
            has no column for, or where all rows are alike, is left out. Missing values are a segment, `unknown`.
    """
    found: dict[str, Names] = {}
    for kind, names in _COLUMNS.items():
        name = next((name for name in names if name in columns), None)
        if name is not None:
            values = columns[name]
            found[kind] = _sizes(values) if kind == "size" else _frequent(values)
    if as_of is not None:
        found["month"] = np.array([str(month) for month in as_of.astype("datetime64[M]")], dtype=object)
    return {kind: names for kind, names in found.items() if len(set(names.tolist())) > 1}


def _frequent(values: Sequence[Any]) -> Names:
    names = [UNKNOWN if is_missing(value) else str(value) for value in values]
    kept = {name for name, _ in sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST]}
    return np.array([name if name in kept else OTHER for name in names], dtype=object)


def _sizes(values: Sequence[Any]) -> Names:
    return np.array([UNKNOWN if is_missing(value) else _size(float(value)) for value in values], dtype=object)


def _size(people: float) -> str:
    return next((name for below, name in _SIZES if people < below), _LARGEST)
