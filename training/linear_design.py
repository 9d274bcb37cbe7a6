"""The columns of a logistic regression's design, and the broken line that a feature's weighted columns add up to.

A number's columns: the standardised value, bounded at the ends of what was seen and at five spreads; ramps that rise
from 0 to 1 between neighbouring quantiles (with weights of one sign the line stays monotone); a flag where values are
missing. A category's columns: one flag per code, and one for missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Scale = Callable[[Matrix], Matrix]

_BOUND = 5.0
_MOST_SPREAD_ROWS = 200_000


@dataclass(frozen=True)
class Column:
    """One column of the design.

    Args:
        kind: `line` (bounded standardised value), `ramp`, `code` or `missing`.
        low: `line`: the middle; `ramp`: where it begins to rise; `code`: the code.
        high: `line`: the spread; `ramp`: where it has risen.
        sign: -1 or 1 where the weight must have that sign, 0 where it is free.
        least: `line`: least standardised value; smaller ones are taken as it.
        most: `line`: greatest one.
    """

    kind: Literal["line", "ramp", "code", "missing"]
    low: float = 0.0
    high: float = 0.0
    sign: int = 0
    least: float = -_BOUND
    most: float = _BOUND

    def values(self, value: Matrix) -> Matrix:
        """The column for values on the feature's scale; 0 where the value is missing."""
        if self.kind == "missing":
            return np.asarray(np.isnan(value), dtype=np.float64)
        if self.kind == "code":
            return np.asarray(value == self.low, dtype=np.float64)
        if self.kind == "line":
            found = np.clip((value - self.low) / self.high, self.least, self.most)
        else:
            found = np.clip((value - self.low) / (self.high - self.low), 0.0, 1.0)
        return np.asarray(np.nan_to_num(found, nan=0.0), dtype=np.float64)


@dataclass(frozen=True)
class Line:
    """A feature's piece of the log-odds: on segment s it is level[s] + slope[s] * value."""

    starts: Matrix
    level: Matrix
    slope: Matrix
    missing: float


@dataclass(frozen=True)
class Basis:
    """Columns of one feature."""

    is_number: bool
    columns: tuple[Column, ...]

    def line(self, weights: Matrix) -> Line:
        """The broken line that the weighted columns add up to."""
        missing = sum(float(w) for column, w in zip(self.columns, weights, strict=True) if column.kind == "missing")
        if not self.is_number:
            return self._steps(weights, missing)
        knots = self._knots()
        if not len(knots):
            return Line(np.empty(0), np.zeros(1), np.zeros(1), missing)
        heights = np.zeros(len(knots))
        for column, weight in zip(self.columns, weights, strict=True):
            if column.kind != "missing":
                heights += weight * column.values(knots)
        slope = np.diff(heights) / np.diff(knots)
        level = heights[:-1] - slope * knots[:-1]
        return Line(
            knots,
            np.concatenate([heights[:1], level, heights[-1:]]),
            np.concatenate([[0.0], slope, [0.0]]),
            missing,
        )

    def _knots(self) -> Matrix:
        """Where the line may break, ascending."""
        places: list[float] = []
        for column in self.columns:
            if column.kind == "line":
                places += [column.low + column.least * column.high, column.low + column.most * column.high]
            elif column.kind == "ramp":
                places += [column.low, column.high]
        return np.unique(places)

    def _steps(self, weights: Matrix, missing: float) -> Line:
        flags = [(c.low, float(w)) for c, w in zip(self.columns, weights, strict=True) if c.kind == "code"]
        starts: list[float] = []
        level = [0.0]
        for code, weight in flags:
            starts += [code - 0.25, code + 0.25]
            level += [weight, 0.0]
        return Line(np.array(starts), np.array(level), np.zeros(len(level)), missing)


def fit_basis(
    scale: Scale, matrix: Matrix, *, categorical: Sequence[int], monotone: Sequence[int], segments: int
) -> tuple[Basis, ...]:
    """Choose the columns of each feature from the rows that train.

    Args:
        scale: Scale on which numbers are taken.
        matrix: Rows that train, shape (n_rows, n_features).
        categorical: Positions of categories.
        monotone: Sign of each feature's effect, 0 where free; empty: all free.
        segments: Ramps per number at most.
    """
    kinds = set(categorical)
    signs = list(monotone) or [0] * matrix.shape[1]
    return tuple(
        _category(matrix[:, at]) if at in kinds else _number(scale(matrix[:, at]), signs[at], segments)
        for at in range(matrix.shape[1])
    )


def expand(basis: Sequence[Basis], scale: Scale, matrix: Matrix) -> NDArray[np.float32]:
    """The design, float32 (n_rows, n_columns)."""
    count = sum(len(feature.columns) for feature in basis)
    design = np.empty((len(matrix), count), dtype=np.float32, order="F")
    at = 0
    for position, feature in enumerate(basis):
        value = scale(matrix[:, position]) if feature.is_number else matrix[:, position]
        for column in feature.columns:
            design[:, at] = column.values(value)
            at += 1
    return design


def _category(codes: Matrix) -> Basis:
    known = codes[~np.isnan(codes)]
    columns = [Column("code", float(code)) for code in np.unique(known)]
    return Basis(is_number=False, columns=(*columns, *_missing(codes)))


def _number(value: Matrix, sign: int, segments: int) -> Basis:
    known = value[~np.isnan(value)]
    if len(known) > _MOST_SPREAD_ROWS:
        known = known[:: len(known) // _MOST_SPREAD_ROWS + 1]
    columns: list[Column] = []
    spread = float(known.std()) if len(known) else 0.0
    if spread > 0.0:
        middle = float(np.median(known))
        # Nothing is known beyond what was seen: the line goes on level there, as trees do.
        ends = np.clip((np.array([known.min(), known.max()]) - middle) / spread, -_BOUND, _BOUND)
        columns.append(Column("line", middle, spread, sign, float(ends[0]), float(ends[1])))
        if segments:
            knots = np.unique(np.quantile(known, np.linspace(0.0, 1.0, segments + 1)))
            columns += [Column("ramp", float(a), float(b), sign) for a, b in pairwise(knots)]
    return Basis(is_number=True, columns=(*columns, *_missing(value)))


def _missing(values: Matrix) -> tuple[Column, ...]:
    """A flag for the missing, where some are and some are not: otherwise it says nothing."""
    gaps = np.isnan(values)
    return (Column("missing"),) if gaps.any() and not gaps.all() else ()
