"""What a shift of a column costs the model, in log-loss: alarms are ranked by it, and what costs nothing pages nobody.

Rows whose labels are mature, and which the model did not learn from, tell how much the model loses on each value of a
column by answers that are too high or too low there (the log-loss that shifting them would save). If the batch has
more rows with such values, it will lose that much more; of that, what the labels are sure of is counted, not what
chance explains. For values that no labelled row
has (new categories, numbers beyond all seen, values gone missing) the model may know nothing from the column any more:
they cost what the column is worth, the log-loss it adds when it is taken away from every row.

This is an estimate before labels: it assumes that the outcome given the features has stayed. What it cannot see,
`monitoring.outcomes` sees once labels are mature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitoring.columns import PREDICTION, ColumnPair
from monitoring.estimating import Labelled
from monitoring.expecting import expected_log_loss
from training.calibration import log_loss_rows

Vector = NDArray[np.float64]
# (feature columns) -> probability
Score = Callable[[Mapping[str, NDArray[np.generic]]], Vector]

_BINS = 10
_WORTH_ROWS = 2_000
# So few strange rows cost at most that share of what the column is worth.
_FEW_STRANGE = 0.01
_FEWEST_IN_BIN = 20
# Standard errors taken off: of tens of columns none shall seem costly by chance.
_SURE = 2.5


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the drift of each column is estimated to cost.

    Args:
        by_column: Log-loss a row, natural logarithm, >= 0.
        advantage: How much less than the base rate the model loses on the labelled rows, >= 0; the measure of a cost.
    """

    by_column: Mapping[str, float]
    advantage: float

    def share(self, column: str) -> float:
        """Cost as a share of what the model is worth at all; 0 to 1, 1 also where it is worth nothing."""
        cost = self.by_column.get(column, 0.0)
        if cost <= 0:
            return 0.0
        return min(1.0, cost / self.advantage) if self.advantage > 0 else 1.0


def estimate_costs(
    pairs: Sequence[ColumnPair], labelled: Labelled, *, score: Score, seed: int, worth: float | None = None
) -> Costs | None:
    """Estimate what the shift of each column costs; None where too few labels are mature to say anything.

    Args:
        pairs: Columns of reference and current rows.
        labelled: Mature rows with the feature columns.
        score: The model.
        seed: Seed of the sample on which columns are taken away.
        worth: What the model was proven to be worth; unset, or not above 0: measured on the labelled rows.
    """
    labelled = _one_each(labelled, seed=seed)
    if not labelled.is_enough:
        return None
    # Asking the model once per column is dear, and what a column is worth only counts where many rows are strange.
    strange = [pair.name for pair in pairs if _strange(pair, _values_of(pair, labelled)) > _FEW_STRANGE]
    of_columns = worth_of_columns(strange, labelled, score=score, seed=seed)
    base = np.full(len(labelled.label), labelled.label.mean())
    loss = float(log_loss_rows(labelled.label, labelled.probability).mean())
    measured = float(log_loss_rows(labelled.label, base).mean()) - loss
    advantage = worth if worth is not None and worth > 0 else measured
    costs = {
        pair.name: column_cost(pair, _values_of(pair, labelled), labelled, worth=of_columns.get(pair.name, 0.0))
        for pair in pairs
    }
    return Costs(by_column=costs, advantage=max(0.0, advantage))


def _one_each(labelled: Labelled, *, seed: int) -> Labelled:
    """One random row of each entity: rows of one thing share its outcome, and would make chance look sure."""
    order = np.random.default_rng(seed).permutation(len(labelled.label))
    _, first = np.unique(np.asarray(labelled.entity)[order].astype(str), return_index=True)
    rows = np.sort(order[first])
    return replace(
        labelled,
        probability=labelled.probability[rows],
        label=labelled.label[rows],
        entity=labelled.entity[rows],
        columns={name: values[rows] for name, values in labelled.columns.items()},
    )


def regret_rows(label: Vector, probability: Vector) -> Vector:
    """Log-loss of each row less what its answer promised to lose; 0 in the mean where answers are calibrated."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return log_loss_rows(label, p) + p * np.log(p) + (1 - p) * np.log1p(-p)


def worth_of_columns(names: Sequence[str], labelled: Labelled, *, score: Score, seed: int) -> dict[str, float]:
    """How much log-loss each column adds when it is missing everywhere, >= 0, on a sample of the labelled rows."""
    rows = np.arange(len(labelled.label))
    if len(rows) > _WORTH_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), _WORTH_ROWS, replace=False))
    columns = {name: values[rows] for name, values in labelled.columns.items()}
    label = labelled.label[rows]
    whole = float(log_loss_rows(label, score(columns)).mean())
    found = {}
    for name in names:
        if name in columns:
            values = columns[name]
            gone = np.full(len(rows), np.nan) if values.dtype.kind == "f" else np.full(len(rows), None, dtype=object)
            found[name] = max(0.0, float(log_loss_rows(label, score({**columns, name: gone})).mean()) - whole)
    return found


def column_cost(pair: ColumnPair, values: NDArray[np.generic] | None, labelled: Labelled, *, worth: float) -> float:
    """Cost of one column's shift.

    Args:
        pair: Both sides of the column.
        values: The labelled rows' values of it; None where they have none.
        labelled: The labelled rows.
        worth: Log-loss the column adds when it is taken away.
    """
    if values is None:
        return 0.0
    before, now, seen = _shares(pair, values)
    moved = now - before
    excess = float(sum(moved[place] * _sure_loss(labelled, rows) for place, rows in enumerate(seen)))
    return float(max(0.0, excess) + _strange(pair, values) * worth)


def _strange(pair: ColumnPair, values: NDArray[np.generic] | None) -> float:
    """By how much the share of rows grew whose value lies beyond all labelled rows, or is missing."""
    if values is None:
        return 0.0
    before, now, _ = _shares(pair, values)
    return float(np.clip((now - before)[-2:], 0.0, None).sum())


def _sure_loss(labelled: Labelled, rows: NDArray[np.intp]) -> float:
    """Log-loss a row that shifting the answers of these rows would save, as far as the labels are sure of it.

    One Newton step on the log-odds saves z**2 / 2 in all, where z is the residual in standard errors; of z, what chance
    explains is taken off first.
    """
    if len(rows) < _FEWEST_IN_BIN:
        return 0.0
    p = np.clip(labelled.probability[rows], 1e-6, 1 - 1e-6)
    z = abs(float((labelled.label[rows] - p).sum())) / np.sqrt(float((p * (1 - p)).sum()))
    return float(max(0.0, z - _SURE) ** 2 / (2 * len(rows)))


def _shares(pair: ColumnPair, values: NDArray[np.generic]) -> tuple[Vector, Vector, list[NDArray[np.intp]]]:
    """Shares of both sides in bins (strange and missing last), and the labelled rows of each ordinary bin."""
    if pair.kind == "numeric":
        codes, labelled, bins = _numeric_bins(pair, np.asarray(values, dtype=np.float64))
    else:
        codes, labelled, bins = _category_bins(pair, values)
    sides = (codes[: pair.reference_rows], codes[pair.reference_rows :])
    before, now = (np.bincount(side, minlength=bins + 2) / max(len(side), 1) for side in sides)
    return before, now, [np.flatnonzero(labelled == place) for place in range(bins)]


def _numeric_bins(pair: ColumnPair, known: Vector) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    present = known[~np.isnan(known)]
    if not len(present):
        codes = np.where(np.isnan(pair.numbers), 2, 1) - 1
        return codes, np.full(len(known), 2), 0
    edges = np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = len(edges) + 1
    low, high = float(present.min()), float(present.max())

    def coded(numbers: Vector) -> NDArray[np.int64]:
        place = np.searchsorted(edges, numbers, side="left")
        place = np.where((numbers < low) | (numbers > high), bins, place)
        return np.where(np.isnan(numbers), bins + 1, place).astype(np.int64)

    return coded(pair.numbers), coded(known), bins


def _category_bins(pair: ColumnPair, values: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    texts = [None if value is None or value != value else str(value) for value in values.tolist()]
    known = {text for text in texts if text is not None}
    # The pool's own catch-all stands for whatever labelled value has no number of its own.
    number = {label: place for place, label in enumerate(pair.labels)}
    bins = len(pair.labels)
    rest = bins - 1 if len(known - set(number)) and bins else bins
    labelled = np.array([bins + 1 if text is None else number.get(text, rest) for text in texts], dtype=np.int64)
    has_rows = np.isin(np.arange(bins), labelled)
    codes = np.where(pair.codes < 0, bins + 1, pair.codes)
    ordinary = np.append(has_rows, [True, True])
    return np.where(ordinary[codes], codes, bins), labelled, bins


def _values_of(pair: ColumnPair, labelled: Labelled) -> NDArray[np.generic] | None:
    return labelled.probability if pair.name == PREDICTION else labelled.columns.get(pair.name)


def expected_change(reference: Vector, current: Vector) -> float:
    """By how much the batch is harder by itself: change of the answers' own entropy; no retraining mends that."""
    return expected_log_loss(current) - expected_log_loss(reference)
