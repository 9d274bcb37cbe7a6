"""What every kind of model can do, and how one is read back from a bundle.

A model answers log-odds and says exactly what each feature added to them. Kinds: trees of two libraries
(`training.trees`), a logistic regression (`training.linear`), a weighted sum of these (`training.blend`), and a
scorecard of points that somebody wrote (`training.scoring`). A kind's module is imported when a model of it is made or
read, so that a bundle loads only its own library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError

Matrix = NDArray[np.float64]

_BULK_ROWS = 512


class Model(Protocol):
    """A fitted model. Margins are log-odds."""

    @property
    def library(self) -> str:
        """Which kind: `lightgbm`, `xgboost`, …; `load_model` knows it by this name."""

    @property
    def rounds(self) -> int:
        """Boosting rounds that count; 0 where there are none."""

    def margin(self, matrix: Matrix, *, threads: int = 1) -> Matrix:
        """Log-odds, shape (n_rows,)."""

    def contributions(self, matrix: Matrix, *, threads: int = 1) -> Matrix:
        """Shapley values of the log-odds, shape (n_rows, n_features + 1); the last column is the expected log-odds."""

    def save(self, folder: Path) -> None:
        """Write the model's files into a folder that exists."""


@dataclass(frozen=True, kw_only=True)
class FitData:
    """Rows to fit on, the rows that stop the fit, and what the columns are.

    Args:
        matrix: float64 (n_rows, n_features).
        label: 0 or 1 per row.
        stop_matrix: Later rows for early stopping; None to fit all rounds.
        stop_label: Their labels.
        categorical: Positions of category columns (codes).
        monotone: -1, 0 or 1 per column.
        drifting: Positions of columns whose values move with the calendar; a candidate may leave them out.
        age_days: Age of each row, 0 for the newest; a candidate may let old rows count for less.
        weight: How much each row counts, 1 on average; None: all alike.
    """

    matrix: Matrix
    label: Matrix
    stop_matrix: Matrix | None = None
    stop_label: Matrix | None = None
    categorical: Sequence[int] = ()
    monotone: Sequence[int] = ()
    drifting: Sequence[int] = ()
    age_days: Matrix | None = None
    weight: Matrix | None = None


def bulk_threads(n_rows: int, threads: int) -> int:
    """Threads worth using: one for a request, `threads` for a batch."""
    return threads if n_rows >= _BULK_ROWS else 1


def load_model(library: str, folder: Path) -> Model:
    """Read a model that `Model.save` wrote.

    Args:
        library: Its kind.
        folder: Folder it was saved into.

    Raises:
        ContractError: if the kind is not known.
    """
    if library in ("lightgbm", "xgboost"):
        from training.trees import load_trees

        return load_trees(library, folder)
    if library == "scorecard":
        from training.scoring.scorecard import load_scorecard

        return load_scorecard(folder)
    if library == "linear":
        from training.linear import load_linear

        return load_linear(folder)
    if library == "blend":
        from training.blend import load_blend

        return load_blend(folder)
    if library == "competing_risks":
        from training.deals.model import load_competing_risks

        return load_competing_risks(folder)
    if library == "stage_rates":
        from training.deals.rates import load_rates

        return load_rates(folder)
    raise ContractError(f"There is no kind of model '{library}'", next_step="train the model again")
