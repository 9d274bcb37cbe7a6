"""The newest rows with known labels, on which challenger and champion are judged side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Entities = NDArray[np.object_] | NDArray[np.str_]

MIN_OUTCOMES = 10
WORTH = "amount_usd"
"""The feature that says what a deal is worth; leads have none and count alike."""


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """The newest rows with known labels, which the challenger has not seen, or had not when it foretold them.

    Args:
        columns: Feature columns by name, one value per row.
        label: 0 or 1.
        entity: Lead or deal of each row.
        base_rate: Outcome rate of the rows the challenger was trained on.
        until: Newest as_of, ISO 8601.
        as_of: Moment of each row, UTC; None where the rows have none, and then there are no months.
        horizon_days: Horizon of the labels; None where it is not known, and then nobody's horizon is looked at.
        worth: What the outcome of each row is worth, such as USD; None where each counts alike.
        foretold: What the challenger would have answered each row as it was before the row's outcome taught it; None:
            it has learned from none of them and is asked itself.
    """

    columns: Mapping[str, Sequence[Any]]
    label: Vector
    entity: Entities
    base_rate: float
    until: str = ""
    as_of: NDArray[np.datetime64] | None = None
    horizon_days: int | None = None
    worth: Vector | None = None
    foretold: Vector | None = None

    def fault(self) -> str | None:
        """Why nothing can be judged on these rows; None if it can."""
        if len(self.label) == 0:
            return "the holdout is empty"
        positives = int((self.label == 1).sum())
        fewest = min(positives, len(self.label) - positives)
        if fewest == 0:
            return "the holdout has one class only"
        if fewest < MIN_OUTCOMES:
            return f"the holdout has {fewest} rows of one class and needs {MIN_OUTCOMES}"
        if not 0.0 < self.base_rate < 1.0:
            return "the base rate is 0 or 1"
        return None

    def value(self) -> Vector:
        """What each row's outcome brought: its worth, or 1; 0 without the outcome or where the worth is not known."""
        if self.worth is None:
            return self.label
        return np.asarray(self.label * np.nan_to_num(self.worth, nan=0.0), dtype=np.float64)
