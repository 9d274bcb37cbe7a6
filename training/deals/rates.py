"""Shrunken stage rates: what stands for the deal model while too few deals have ended to learn more.

By stage and period ahead, the share of the deals that ended; by stage, the share of these that was won. Every cell is
shrunken towards that of all stages, and a period that nobody was watched through has the daily rate of the others. The
face is that of any other model, so that everything made for the deal model works, with wider intervals and one reason:
the stage.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.calibration import Calibration, logit
from training.deals.model import CompetingRisks, make_part
from training.deals.periods import N_PERIODS, PERIOD_DAYS, PersonPeriods
from training.manifest import FeatureEntry
from training.models import Matrix

LIBRARY = "stage_rates"
MODEL_FILE = "rates.json"
STAGE = "stage"
_PRIOR_DEALS = 10.0
# Before anything is known, half of the deals that end are won.
_PRIOR_WON, _PRIOR_ENDED = 1.0, 2.0


@dataclass(frozen=True)
class StageRates:
    """Log-odds by stage and period.

    Args:
        column: Position of the stage in the matrix; -1 where the model knows no stages.
        table: Log-odds, shape (n_codes + 1, N_PERIODS); the last row is for a missing or unknown stage.
        mean: Log-odds of the average row, shape (N_PERIODS,).
    """

    column: int
    table: Matrix
    mean: Matrix
    library: str = LIBRARY
    rounds: int = 0

    def margin(self, matrix: Matrix, *, threads: int = 1) -> Matrix:  # noqa: ARG002 - a look-up
        """Log-odds of rows whose last column is the period's last day, shape (n_rows,)."""
        return np.asarray(self.table[self._codes(matrix), self._periods(matrix)])

    def contributions(self, matrix: Matrix, *, threads: int = 1) -> Matrix:  # noqa: ARG002
        """The stage's part, the period's part, and the expected log-odds; shape (n_rows, n_features + 1)."""
        found = np.zeros((len(matrix), matrix.shape[1] + 1))
        by_period = self.mean[self._periods(matrix)]
        if self.column >= 0:
            found[:, self.column] = self.margin(matrix) - by_period
        found[:, -1] = self.mean.mean()
        found[:, -2] = by_period - found[:, -1]
        return found

    def save(self, folder: Path) -> None:
        """Write `rates.json`."""
        values = {"column": self.column, "table": self.table.tolist(), "mean": self.mean.tolist()}
        (folder / MODEL_FILE).write_text(json.dumps(values) + "\n", encoding="utf-8")

    def _codes(self, matrix: Matrix) -> NDArray[np.int64]:
        unknown = len(self.table) - 1
        if self.column < 0:
            return np.full(len(matrix), unknown)
        codes = np.nan_to_num(matrix[:, self.column], nan=float(unknown))
        return np.clip(codes, 0, unknown).astype(np.int64)

    @staticmethod
    def _periods(matrix: Matrix) -> NDArray[np.int64]:
        return np.minimum(np.searchsorted(np.array(PERIOD_DAYS), matrix[:, -1]), N_PERIODS - 1)


def load_rates(folder: Path) -> StageRates:
    """Read what `StageRates.save` wrote."""
    values = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
    return StageRates(values["column"], np.array(values["table"]), np.array(values["mean"]))


def fit_rates(
    matrix: Matrix, periods: PersonPeriods, entries: Sequence[FeatureEntry], *, entity: NDArray[np.object_]
) -> CompetingRisks:
    """Stage rates as a model of competing risks.

    Args:
        matrix: Snapshots, shape (n_rows, n_features).
        periods: Their rows per period.
        entries: The features.
        entity: Deal of each snapshot.
    """
    column = next((at for at, entry in enumerate(entries) if entry.name == STAGE), -1)
    count = len(entries[column].categories) if column >= 0 else 0
    code = np.full(len(matrix), count)
    if column >= 0:
        code = np.clip(np.nan_to_num(matrix[:, column], nan=float(count)), 0, count).astype(np.int64)
    cells = code[periods.row] * N_PERIODS + periods.period
    weight = _once_per_deal(cells, entity[periods.row])
    closing = _closing_table(cells, periods.closed, weight, codes=count + 1)
    ended = periods.closed > 0
    winning = _winning_table(code[periods.row[ended]], periods.won[ended], weight[ended], codes=count + 1)
    parts = []
    for table in (closing, winning):
        odds = logit(table)
        shares = np.bincount(code, minlength=count + 1) / max(len(code), 1)
        model = StageRates(column, odds, shares @ odds)
        parts.append(make_part(model, Calibration(), matrix[:_REFERENCE_ROWS], threads=1))
    return CompetingRisks(closing=parts[0], winning=parts[1])


_REFERENCE_ROWS = 500


def _once_per_deal(cells: NDArray[np.int64], entity: NDArray[np.object_]) -> Matrix:
    """Weights with which a deal counts once in each cell, however many snapshots it has there."""
    deals = np.unique(entity.astype(str), return_inverse=True)[1]
    _, place, counts = np.unique(deals * (cells.max(initial=0) + 1) + cells, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[place])


def _closing_table(cells: NDArray[np.int64], closed: Matrix, weight: Matrix, *, codes: int) -> Matrix:
    lengths = np.diff(np.r_[0.0, PERIOD_DAYS])
    watched = np.bincount(cells, weight, minlength=codes * N_PERIODS).reshape(codes, N_PERIODS)
    ended = np.bincount(cells, weight * closed, minlength=codes * N_PERIODS).reshape(codes, N_PERIODS)
    days = (watched * lengths).sum()
    daily = float(np.clip((ended.sum() + 0.5) / (days + 365.0), 1e-6, 0.5))
    usual = 1.0 - (1.0 - daily) ** lengths
    overall = (ended.sum(axis=0) + _PRIOR_DEALS * usual) / (watched.sum(axis=0) + _PRIOR_DEALS)
    return np.asarray((ended + _PRIOR_DEALS * overall) / (watched + _PRIOR_DEALS))


def _winning_table(code: NDArray[np.int64], won: Matrix, weight: Matrix, *, codes: int) -> Matrix:
    counts = np.bincount(code, weight, minlength=codes)
    wins = np.bincount(code, weight * won, minlength=codes)
    overall = (wins.sum() + _PRIOR_WON) / (counts.sum() + _PRIOR_ENDED)
    rates = (wins + _PRIOR_DEALS * overall) / (counts + _PRIOR_DEALS)
    return np.repeat(rates[:, None], N_PERIODS, axis=1)
