"""Whether labels reach a batch: rows whose values no labelled row has are judged by nothing but hope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Where a batch lies farthest beyond the labelled rows.

    Args:
        column: The column.
        share: Share of the batch's rows whose value in it is a category that no labelled row has, or lies below or
            above all of theirs; 0 to 1.
    """

    column: str
    share: float

    @property
    def is_beyond(self) -> bool:
        """Whether that holds for most rows."""
        return self.share > 0.5


def reach_of(labelled: Columns, batch: Columns) -> Reach | None:
    """The column in which most rows of a batch lie beyond the labelled ones; None where there is nothing to compare.

    Args:
        labelled: Columns of the labelled rows.
        batch: Columns of the batch; those that the labelled rows have too are compared. Leave out what moves with the
            calendar (`monitoring.windows.split_features`): it is always beyond.
    """
    shares = {name: _share_beyond(labelled[name], values) for name, values in batch.items() if name in labelled}
    if not shares:
        return None
    column = max(shares, key=lambda name: (shares[name], name))
    return Reach(column=column, share=shares[column])


def _share_beyond(known: NDArray[np.generic], values: NDArray[np.generic]) -> float:
    if not len(values) or not len(known):
        return 0.0
    if known.dtype.kind == "O":
        seen = set(known.tolist())
        return sum(value is not None and value == value and value not in seen for value in values.tolist()) / len(
            values
        )
    numbers, now = known.astype(np.float64), values.astype(np.float64)
    present = numbers[~np.isnan(numbers)]
    if not len(present):
        return float((~np.isnan(now)).mean())
    return float(((now < present.min()) | (now > present.max())).mean())
