"""Fast reasons of the deal model: the tables of both models' parts, joined as `training.deals.attribute` says.

Either model has one more column than the features: the period ahead, which is a theme of its own in its tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.attribution import Attribution, Columns, load_attribution, write_tables
from training.deals.model import CompetingRisks, LogOdds, as_competing_risks, in_telling_periods
from training.deals.periods import PERIOD, every_period
from training.manifest import FeatureEntry
from training.models import Matrix, Model

_CHUNK_DEALS = 512


def with_period_entry(entries: Sequence[FeatureEntry]) -> tuple[FeatureEntry, ...]:
    """The features and the period, as the two models read them."""
    period = FeatureEntry(
        name=PERIOD,
        dtype="float",
        group="period",
        about="Last day of the period ahead that the answer is about.",
        unit="days",
        phrase="",
        theme=PERIOD,
    )
    return (*entries, period)


def write_deal_tables(folder: Path, model: Model, entries: Sequence[FeatureEntry]) -> None:
    """Write the tables of both models into their folders below the bundle."""
    deals, extended = as_competing_risks(model), with_period_entry(entries)
    write_tables(folder / "closing", deals.closing.model, extended)
    write_tables(folder / "winning", deals.winning.model, extended)


def load_deal_attribution(folder: Path, model: Model, entries: Sequence[FeatureEntry]) -> DealAttribution:
    """The attribution of a deal model's bundle."""
    deals, extended = as_competing_risks(model), with_period_entry(entries)
    layout = Columns.of(extended)
    return DealAttribution(
        model=deals,
        closing=load_attribution(folder / "closing", deals.closing.model, extended),
        winning=load_attribution(folder / "winning", deals.winning.model, extended),
        means=(layout.by_column(deals.closing.mean), layout.by_column(deals.winning.mean)),
    )


@dataclass(frozen=True)
class DealAttribution:
    """What each theme added to the logit of P(won ever).

    Args:
        model: The model.
        closing: Attribution of the log-odds of ending, the period's column last.
        winning: The same of the log-odds of being won.
        means: Mean contributions by period of the average deal, by column.
    """

    model: CompetingRisks
    closing: Attribution
    winning: Attribution
    means: tuple[Matrix, Matrix]

    def columns(self, matrix: Matrix) -> Matrix:
        """Shape (n_rows, n_columns)."""
        return self.columns_of(matrix, self.model.log_odds(matrix))

    def columns_of(self, matrix: Matrix, answers: LogOdds) -> Matrix:
        """The same where the models were asked already."""
        found = np.empty((len(matrix), self.means[0].shape[1] - 1))
        for start in range(0, len(matrix), _CHUNK_DEALS):
            rows = slice(start, start + _CHUNK_DEALS)
            expanded, some = every_period(matrix[rows]), answers.take(rows)
            weights = self.model.weights(some)
            closing, winning = (
                in_telling_periods(mean, expanded, weight, part.columns)
                for part, mean, weight in zip((self.closing, self.winning), self.means, weights, strict=True)
            )
            found[rows] = self.model.combine(some, closing, winning, means=self.means, weights=weights)[:, :-1]
        return found
