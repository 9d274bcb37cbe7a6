"""Logistic regression as a `training.models.Model`: each feature adds its own piece to the log-odds, read off a table.

A number's piece is piecewise linear in the signed logarithm of its value, constant beyond the ends of what was seen in
training; a category has one piece per code; a missing value has a piece of its own. Categories and values that training
never saw add what the average row gets for nothing: zero. The pieces are exact Shapley values: features do not
interact, so each one's is its piece less the mean piece of the rows trained on.

One JSON file holds all of it, and scoring needs numpy alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError
from training.linear_design import Basis, expand, fit_basis
from training.linear_solver import fit_elastic_net
from training.models import FitData, Model

Matrix = NDArray[np.float64]

LIBRARY = "linear"
MODEL_FILE = "linear.json"
_FORMAT = 1
_FEW_ROWS = 32
# Cells of a table that stays in a core's cache.
_CHUNK_CELLS = 64_000
# Far beyond any value, and small enough that nothing overflows on the way.
_FARTHEST = 1e15


@dataclass(frozen=True)
class LinearModel:
    """Tables of pieces. F features, at most S + 1 segments each; unused places of `starts` hold +inf.

    Args:
        starts: First value of each segment but the first, ascending, shape (F, S).
        level: Piece at value 0 of the segment's line, shape (F, S + 1).
        slope: Slope of the segment's line, shape (F, S + 1).
        missing: Piece of a missing value, shape (F,).
        mean: Mean piece of the rows trained on, shape (F,).
        is_number: Whether values are taken on the signed logarithmic scale, shape (F,).
        intercept: Log-odds when all pieces are 0.
    """

    starts: Matrix
    level: Matrix
    slope: Matrix
    missing: Matrix
    mean: Matrix
    is_number: NDArray[np.bool_]
    intercept: float
    library: str = LIBRARY
    rounds: int = 0

    def margin(self, matrix: Matrix, *, threads: int = 1) -> Matrix:  # noqa: ARG002 - one thread is enough
        """Log-odds, shape (n_rows,)."""
        return np.asarray(self.intercept + self._pieces(matrix).sum(axis=1), dtype=np.float64)

    def contributions(self, matrix: Matrix, *, threads: int = 1) -> Matrix:  # noqa: ARG002
        """Shapley values, shape (n_rows, n_features + 1); the last column is the mean log-odds of training."""
        expected = np.full((len(matrix), 1), self.intercept + self.mean.sum())
        return np.hstack([self._pieces(matrix) - self.mean, expected])

    def save(self, folder: Path) -> None:
        """Write `linear.json`."""
        tables = {
            "starts": [row[np.isfinite(row)].tolist() for row in self.starts],
            "level": self.level.tolist(),
            "slope": self.slope.tolist(),
            "missing": self.missing.tolist(),
            "mean": self.mean.tolist(),
            "is_number": self.is_number.tolist(),
        }
        text = json.dumps({"format": _FORMAT, "intercept": self.intercept, **tables}, allow_nan=False)
        (folder / MODEL_FILE).write_text(text + "\n", encoding="utf-8")

    def _pieces(self, matrix: Matrix) -> Matrix:
        n_rows, n_features = matrix.shape
        if n_features != len(self.missing):
            raise ContractError(
                "The matrix does not fit the linear model",
                expected=f"{len(self.missing)} features",
                got=f"{n_features}",
            )
        if n_rows <= _FEW_ROWS:
            return self._few(np.array(matrix, dtype=np.float64))
        pieces = np.empty((n_rows, n_features))
        chunk = max(1, _CHUNK_CELLS // max(1, n_features))
        for at in range(0, n_rows, chunk):
            pieces[at : at + chunk] = self._chunk(np.asarray(matrix[at : at + chunk], dtype=np.float64))
        return pieces

    def _chunk(self, matrix: Matrix) -> Matrix:
        layout = self._layout
        value = matrix[:, layout.order]
        value[:, layout.is_number] = signed_log(value[:, layout.is_number])
        # Which segment of which feature, as a place in the flattened tables: counted threshold by threshold, because
        # one comparison with all of them would write and read a table several times as large.
        place = np.tile(layout.order * self.level.shape[1], (len(value), 1))
        for count, start in layout.thresholds:
            place[:, :count] += value[:, :count] >= start
        pieces = np.empty_like(value)
        pieces[:, layout.order] = self.level.ravel().take(place) + self.slope.ravel().take(place) * value
        return np.where(np.isnan(matrix), self.missing, pieces)

    def _few(self, value: Matrix) -> Matrix:
        """`_chunk` of a few rows, where one comparison with all thresholds takes less time than many small steps."""
        layout = self._layout
        missing = np.isnan(value)
        value[:, layout.numbers] = signed_log(value[:, layout.numbers])
        passed = np.zeros((len(value), len(layout.flat) + 1), dtype=np.int64)
        (value.take(layout.owner, axis=1) >= layout.flat).cumsum(axis=1, out=passed[:, 1:])
        place = passed.take(layout.until, axis=1) - passed.take(layout.since, axis=1) + layout.begins
        pieces = self.level.ravel().take(place) + self.slope.ravel().take(place) * value
        return np.where(missing, self.missing, pieces)

    @cached_property
    def _layout(self) -> _Layout:
        counts = np.isfinite(self.starts).sum(axis=1)
        order = np.argsort(-counts, kind="stable")
        with_more = [int((counts > place).sum()) for place in range(int(counts.max(initial=0)))]
        thresholds = tuple((count, self.starts[order[:count], place]) for place, count in enumerate(with_more))
        until = counts.cumsum()
        return _Layout(
            order=order,
            is_number=self.is_number[order],
            thresholds=thresholds,
            numbers=np.flatnonzero(self.is_number),
            begins=np.arange(len(counts)) * self.level.shape[1],
            flat=self.starts[np.isfinite(self.starts)],
            owner=np.repeat(np.arange(len(counts)), counts),
            since=until - counts,
            until=until,
        )


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """The tables without their unused places: for many rows feature by feature, for a few in one piece.

    Args:
        order: Positions of the features, those with most segments first, shape (F,).
        is_number: Of the features in that order.
        thresholds: By place: how many features have so many starts, and theirs.
        numbers: Positions of the numbers.
        begins: Where each feature's part of the flattened `level` begins, shape (F,).
        flat: All starts, feature by feature.
        owner: The feature of each.
        since: Where each feature's starts begin in `flat`, shape (F,).
        until: Where they end.
    """

    order: NDArray[np.int64]
    is_number: NDArray[np.bool_]
    thresholds: tuple[tuple[int, Matrix], ...]
    numbers: NDArray[np.int64]
    begins: NDArray[np.int64]
    flat: Matrix
    owner: NDArray[np.int64]
    since: NDArray[np.int64]
    until: NDArray[np.int64]


def signed_log(values: Matrix) -> Matrix:
    """sign(x) log(1 + |x|), with what lies beyond 1e15 taken as 1e15; NaN stays."""
    bounded = np.clip(values, -_FARTHEST, _FARTHEST)
    return np.asarray(np.sign(bounded) * np.log1p(np.abs(bounded)), dtype=np.float64)


def load_linear(folder: Path) -> Model:
    """Read what `save` wrote into `folder`.

    Raises:
        ContractError: if the file has another format.
    """
    values: dict[str, Any] = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
    if values.get("format") != _FORMAT:
        raise ContractError(
            "The linear model was written by another version",
            expected=f"format {_FORMAT}",
            got=f"format {values.get('format')}",
            next_step="train the model again",
        )
    level = np.array(values["level"], dtype=np.float64)
    return LinearModel(
        starts=_padded(values["starts"], level.shape[1] - 1),
        level=level,
        slope=np.array(values["slope"], dtype=np.float64),
        missing=np.array(values["missing"], dtype=np.float64),
        mean=np.array(values["mean"], dtype=np.float64),
        is_number=np.array(values["is_number"], dtype=bool),
        intercept=float(values["intercept"]),
    )


def fit_linear(params: dict[str, Any], data: FitData) -> Model:
    """Fit an elastic net (Zou and Hastie 2005) on the log-odds.

    Args:
        params: `ridge_rows` and `lasso_rows`: strength of the two penalties on the summed log-loss, the inverse of
            scikit-learn's C, so that the same value means the same on few rows as on many; `segments`: ramps per
            number besides its straight line, 0 for none.
        data: Rows, which columns are categories, and the signs a column may have. Rows that judge are not used:
            nothing is stopped early.
    """
    basis = fit_basis(
        signed_log, data.matrix, categorical=data.categorical, monotone=data.monotone, segments=int(params["segments"])
    )
    design = expand(basis, signed_log, data.matrix)
    rows = float(len(data.label))
    intercept, weights = fit_elastic_net(
        design,
        data.label,
        ridge=float(params["ridge_rows"]) / rows,
        lasso=float(params["lasso_rows"]) / rows,
        weight=data.weight,
        signs=np.array([column.sign for feature in basis for column in feature.columns]),
    )
    # A piece is a sum of weighted columns, and so is its mean: no need to read all rows off the tables.
    return _tables(basis, intercept, weights, mean=design.mean(axis=0, dtype=np.float64))


def _tables(basis: tuple[Basis, ...], intercept: float, weights: Matrix, *, mean: Matrix) -> LinearModel:
    """The sums of each feature's columns as one broken line per feature."""
    ends = np.cumsum([len(feature.columns) for feature in basis])
    weights_of = np.split(weights, ends)[:-1]
    lines = [feature.line(of) for feature, of in zip(basis, weights_of, strict=True)]
    width = max((len(line.level) for line in lines), default=1)
    return LinearModel(
        starts=_padded([line.starts.tolist() for line in lines], width - 1),
        level=np.array([_stretched(line.level, width) for line in lines]).reshape(len(lines), width),
        slope=np.array([_stretched(line.slope, width) for line in lines]).reshape(len(lines), width),
        missing=np.array([line.missing for line in lines]),
        mean=np.array([part @ of for part, of in zip(np.split(mean, ends)[:-1], weights_of, strict=True)]),
        is_number=np.array([feature.is_number for feature in basis], dtype=bool),
        intercept=intercept,
    )


def _padded(starts: list[list[float]], width: int) -> Matrix:
    table = np.full((len(starts), width), np.inf)
    for row, values in enumerate(starts):
        table[row, : len(values)] = values
    return table


def _stretched(values: Matrix, width: int) -> Matrix:
    return np.concatenate([values, np.zeros(width - len(values))])
