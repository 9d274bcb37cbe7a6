"""What a deal brings if it is won: the amount as entered, times what like deals ended up with.

Like deals are those of the same stage whose amount had been changed before, or had not. Their ratios of final to
present amount are shrunken towards those of the stage, and these towards those of all deals. A deal without an amount
gets the median of what deals of its segment brought.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.deals.columns import numbers, texts

Vector = NDArray[np.float64]

LEVELS = (0.1, 0.5, 0.9)
AMOUNT, CHANGES = "amount_usd", "count_amount_changes"
SEGMENTS = ("pipeline", "deal_type", "deal_source")
_PRIOR_DEALS = 30.0
_LEAST_DEALS = 20
# Ratios beyond these are typing errors, or another deal under the same number.
_RATIOS = (0.02, 50.0)


@dataclass(frozen=True)
class Ratio:
    """Final over present amount of deals that were won: mean, three quantiles (`LEVELS`), and the deals behind them."""

    mean: float = 1.0
    quantiles: tuple[float, float, float] = (1.0, 1.0, 1.0)
    deals: int = 0


@dataclass(frozen=True)
class Typical:
    """Amounts of the deals won in a segment, US dollars: three quantiles (`LEVELS`), and the deals behind them."""

    quantiles: tuple[float, float, float]
    deals: int


@dataclass(frozen=True)
class Amounts:
    """What was learned about amounts.

    Args:
        overall: Ratio of all deals.
        cells: Ratio by "stage" and by "stage|changed" or "stage|unchanged".
        typical: Amounts by segment, "" for all deals; empty where no won deal had an amount.
    """

    overall: Ratio = field(default_factory=Ratio)
    cells: Mapping[str, Ratio] = field(default_factory=dict)
    typical: Mapping[str, Typical] = field(default_factory=dict)

    def expect(self, columns: Mapping[str, Sequence[Any]], count: int) -> tuple[Vector, Vector, Vector]:
        """What deals bring if they are won, US dollars.

        Args:
            columns: Feature columns.
            count: Rows of them.

        Returns:
            Expected amount, and the ends of its 80 % interval, shape (count,) each; NaN where nothing is known.
        """
        amount = numbers(columns, AMOUNT, count)
        has_amount = amount > 0
        cells, cell = np.unique(_cells(columns, count)[1], return_inverse=True)
        ratios = [self.cells.get(name) or self.cells.get(name.rpartition("|")[0]) or self.overall for name in cells]
        expected, low, high = (
            amount * np.array(of, dtype=np.float64)[cell]
            for of in (
                [ratio.mean for ratio in ratios],
                [ratio.quantiles[0] for ratio in ratios],
                [ratio.quantiles[2] for ratio in ratios],
            )
        )
        without = np.flatnonzero(~has_amount)
        if len(without):
            low[without], expected[without], high[without] = self._typical(columns, without, count).T
        return expected, low, high

    def _typical(self, columns: Mapping[str, Sequence[Any]], rows: NDArray[np.int64], count: int) -> Vector:
        """Quantiles of what was won in the segments of some rows, shape (len(rows), 3)."""
        values = [texts(columns, name, count) for name in SEGMENTS]
        code = np.array([np.unique(each, return_inverse=True)[1][rows] for each in values])
        _, first, inverse = np.unique(code, axis=1, return_index=True, return_inverse=True)
        nothing = Typical((np.nan, np.nan, np.nan), 0)
        found = [
            next((self.typical[name] for name in _segment_names(columns, row) if name in self.typical), nothing)
            for row in rows[first].tolist()
        ]
        return np.array([each.quantiles for each in found])[inverse.reshape(-1)]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Amounts:
        """The amounts that `to_dict` described."""
        return cls(
            overall=_ratio(values["overall"]),
            cells={name: _ratio(cell) for name, cell in values["cells"].items()},
            typical={
                name: Typical(tuple(each["quantiles"]), each["deals"]) for name, each in values["typical"].items()
            },
        )


def _ratio(values: Mapping[str, Any]) -> Ratio:
    return Ratio(values["mean"], tuple(values["quantiles"]), values["deals"])


def learn_amounts(
    columns: Mapping[str, Sequence[Any]], *, entity: NDArray[Any], won: Vector, final_usd: Vector
) -> Amounts:
    """Learn from the snapshots of deals that were won.

    Args:
        columns: Feature columns of all snapshots.
        entity: Deal of each snapshot.
        won: 1.0 where it was won, as known at the split.
        final_usd: Its final amount, US dollars.
    """
    count = len(won)
    amount = numbers(columns, AMOUNT, count)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = final_usd / amount
    usable = (won == 1.0) & (amount > 0) & (ratio >= _RATIOS[0]) & (ratio <= _RATIOS[1])
    names = _cells(columns, count)
    overall = _learn_ratio(ratio[usable], entity[usable], None)
    cells: dict[str, Ratio] = {}
    for place in (0, 1):  # stages first: what a cell lacks comes from its stage
        label = names[place]
        for name in np.unique(label[usable]).tolist():
            chosen = usable & (label == name)
            parent = cells.get(name.rpartition("|")[0], overall)
            found = _learn_ratio(ratio[chosen], entity[chosen], parent)
            if found.deals >= _LEAST_DEALS:
                cells[name] = found
    return Amounts(overall=overall, cells=cells, typical=_learn_typical(columns, entity, won, final_usd))


def _learn_ratio(ratio: Vector, entity: NDArray[Any], parent: Ratio | None) -> Ratio:
    """Every deal counts once, however many snapshots it has."""
    if not len(ratio):
        return parent or Ratio()
    _, code, counts = np.unique(entity.astype(str), return_inverse=True, return_counts=True)
    weight = 1.0 / counts[code]
    deals = len(counts)
    mean = float(np.average(ratio, weights=weight))
    quantiles = _weighted_quantiles(ratio, weight)
    if parent is not None:
        trust = deals / (deals + _PRIOR_DEALS)
        mean = trust * mean + (1.0 - trust) * parent.mean
        quantiles = trust * quantiles + (1.0 - trust) * np.array(parent.quantiles)
    low, middle, high = quantiles.tolist()
    return Ratio(mean, (low, middle, high), deals)


def _weighted_quantiles(values: Vector, weight: Vector) -> Vector:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    return values[order][np.minimum(np.searchsorted(share, LEVELS), len(values) - 1)]


def _learn_typical(
    columns: Mapping[str, Sequence[Any]], entity: NDArray[Any], won: Vector, final_usd: Vector
) -> dict[str, Typical]:
    is_known = (won == 1.0) & (final_usd > 0)
    _, first = np.unique(entity.astype(str), return_index=True)
    amounts: dict[str, list[float]] = {}
    # One row per deal: its segment does not change, or hardly.
    for row in first[is_known[first]].tolist():
        for name in _segment_names(columns, row):
            amounts.setdefault(name, []).append(float(final_usd[row]))
    return {
        name: Typical(tuple(np.quantile(found, LEVELS).tolist()), len(found))
        for name, found in amounts.items()
        if len(found) >= _LEAST_DEALS or name == ""
    }


def _cells(columns: Mapping[str, Sequence[Any]], count: int) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Stage, and stage with whether the amount was changed, of each row."""
    changed = np.nan_to_num(numbers(columns, CHANGES, count), nan=0.0) > 0
    stages = np.array(texts(columns, "stage", count), dtype=np.str_)
    return stages, np.char.add(stages, np.where(changed, "|changed", "|unchanged"))


def _segment_names(columns: Mapping[str, Sequence[Any]], row: int) -> list[str]:
    """Names of a row's segments, the narrowest first and "" (all deals) last."""
    parts = [f"{name}={columns[name][row]}" for name in SEGMENTS if name in columns and columns[name][row] is not None]
    return ["|".join(parts[:size]) for size in range(len(parts), -1, -1)]
