"""Like rows: training rows whose value of a feature lies where a row's does, how they ended, what the value does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.manifest import FeatureEntry, RateBin

Matrix = NDArray[np.float64]

_PRIOR_ROWS = 20.0
_PRIOR_PUSHES = 5.0
_QUANTILES = (0.2, 0.4, 0.6, 0.8, 1.0)
_FEW_ROWS = 32


def rate_bins(codes: Matrix, label: Matrix, *, is_category: bool) -> tuple[tuple[RateBin, ...], RateBin | None]:
    """Outcome rates of like rows: by code for a category, by fifths (zero apart) for a number.

    Args:
        codes: A column of the matrix.
        label: 0 or 1 per row.
        is_category: Whether the column holds category codes.

    Returns:
        The bins in order of their values, and the bin of the missing (None where nothing is missing).
    """
    known = ~np.isnan(codes)
    base_rate = float(label.mean()) if len(label) else 0.0
    missing = _rate_bin(label[~known], base_rate, None, None) if not known.all() else None
    values, outcome = codes[known], label[known]
    if not len(values):
        return (), missing
    uppers = np.unique(values) if is_category else _upper_edges(values)
    position = np.searchsorted(uppers, values, side="left")
    rows = np.bincount(position, minlength=len(uppers))
    outcomes = np.bincount(position, weights=outcome, minlength=len(uppers))
    lows = np.full(len(uppers), np.inf)
    np.minimum.at(lows, position, values)
    rates = (outcomes + _PRIOR_ROWS * base_rate) / (rows + _PRIOR_ROWS)
    bins = [
        RateBin(low=float(lows[index]), high=float(upper), rate=float(rates[index]), rows=int(rows[index]))
        for index, upper in enumerate(uppers)
        if rows[index]
    ]
    return tuple(bins), missing


def _upper_edges(values: Matrix) -> Matrix:
    edges = np.quantile(values, _QUANTILES, method="higher")
    if values.min() == 0.0:
        edges = np.append(edges, 0.0)
    return np.unique(edges)


def _rate_bin(outcome: Matrix, base_rate: float, low: float | None, high: float | None) -> RateBin:
    rate = (float(outcome.sum()) + _PRIOR_ROWS * base_rate) / (len(outcome) + _PRIOR_ROWS)
    return RateBin(low=low, high=high, rate=rate, rows=len(outcome))


def with_pushes(entry: FeatureEntry, codes: Matrix, contributions: Matrix) -> FeatureEntry:
    """The entry with the mean contribution of each bin's rows, drawn towards 0 where they are few.

    Args:
        entry: Feature with its bins.
        codes: Its column in the matrix of some rows that were explained.
        contributions: Their exact Shapley values of it.
    """
    place = LikeRows([entry]).places(codes[:, None])[:, 0]
    size = len(entry.bins) + 2
    rows = np.bincount(place, minlength=size)
    pushes = np.bincount(place, weights=contributions, minlength=size) / (rows + _PRIOR_PUSHES)
    bins = tuple(replace(each, push=float(push)) for each, push in zip(entry.bins, pushes, strict=False))
    missing = None if entry.missing is None else replace(entry.missing, push=float(pushes[-2]))
    return replace(entry, bins=bins, missing=missing)


def like_rows(entry: FeatureEntry, code: float) -> RateBin | None:
    """The bin of training rows like this value; None where training had none."""
    alone = LikeRows([entry])
    return alone.bins[int(alone.places(np.array([[code]]))[0, 0])]


class LikeRows:
    """Finds the like rows of whole matrices.

    Each feature has a place per bin, then one for the missing and one for values that training never saw; the places of
    all features are numbered through.

    Args:
        entries: The features, in the matrix's order.
    """

    def __init__(self, entries: Sequence[FeatureEntry]) -> None:
        self.bins: list[RateBin | None] = []
        for entry in entries:
            self.bins += [*entry.bins, entry.missing, None]
        self.pushes = np.array([0.0 if each is None else each.push for each in self.bins])
        # One edge at least per feature: an empty part would break `reduceat`.
        self._highs = [np.array([each.high for each in entry.bins] or [np.inf], dtype=np.float64) for entry in entries]
        lengths = np.array([len(high) for high in self._highs], dtype=np.int64)
        self._edges = np.concatenate(self._highs or [np.zeros(0)])
        self._of_edge = np.repeat(np.arange(len(entries)), lengths)
        self._edge_starts = np.cumsum(lengths) - lengths
        self._counts = np.array([len(entry.bins) for entry in entries], dtype=np.int64)
        self._starts = np.cumsum(self._counts + 2) - (self._counts + 2)
        self._last = np.maximum(self._counts - 1, 0)
        self._missing, self._alien = self._starts + self._counts, self._starts + self._counts + 1
        # Only these can hold a value that is like none: categories, and features without a bin.
        self._strict = np.flatnonzero([entry.dtype == "category" or not entry.bins for entry in entries])

    def places(self, matrix: Matrix) -> NDArray[np.int64]:
        """Place of each value, shape (n_rows, n_features): a position in `bins` and `pushes`."""
        if not len(self._counts):
            return np.zeros(matrix.shape, dtype=np.int64)
        if len(matrix) <= _FEW_ROWS:
            above = matrix.take(self._of_edge, axis=1) > self._edges
            below = np.add.reduceat(above, self._edge_starts, axis=1, dtype=np.int64)
        else:
            columns = [np.searchsorted(high, matrix[:, place]) for place, high in enumerate(self._highs)]
            below = np.stack(columns, axis=1).astype(np.int64)
        # A number beyond all bins is like the last ones; a category that has no bin is like none.
        found = np.minimum(below, self._last)
        edges = self._edges.take(self._edge_starts[self._strict] + found[:, self._strict])
        found += self._starts
        is_known = edges == matrix[:, self._strict]
        found[:, self._strict] = np.where(is_known, found[:, self._strict], self._alien[self._strict])
        return np.where(np.isnan(matrix), self._missing, found)
