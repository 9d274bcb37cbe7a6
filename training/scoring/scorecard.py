"""A scorecard as a model: points per feature, added up; its log-odds are the points on a common scale.

The margin is (points - their mean in the past) / (their spread in the past). Nothing is learned from outcomes there;
what points mean as a probability is the platform's calibration to say. The contribution of a feature is its points less
their mean, on the same scale: exact, and what a Shapley value of a sum of parts is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError
from training.manifest import FeatureEntry
from training.scoring.conditions import Condition

Matrix = NDArray[np.float64]

SCORECARD = "scorecard"
SCORECARD_FILE = "scorecard.json"


@dataclass(frozen=True, kw_only=True)
class Part:
    """Points of one feature.

    Args:
        feature: Its name.
        rules: Conditions and their points; the first that holds counts.
        otherwise: Points where none holds.
        missing: Points where the value is not known.
        weight: Points per unit instead of rules; None with rules.
        at_least: Fewest points by weight; None for no bound.
        at_most: Most points by weight; None for no bound.
        codes: Code of each category; None for a number.
        mean: Mean points in the past.
    """

    feature: str
    rules: tuple[tuple[Condition, float], ...] = ()
    otherwise: float = 0.0
    missing: float = 0.0
    weight: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    codes: Mapping[str, float] | None = None
    mean: float = 0.0

    def points(self, column: Matrix) -> Matrix:
        """Points of each row, shape (n_rows,)."""
        missing = np.isnan(column)
        if self.weight is not None:
            least = -np.inf if self.at_least is None else self.at_least
            most = np.inf if self.at_most is None else self.at_most
            found = np.clip(self.weight * np.where(missing, 0.0, column), least, most)
        else:
            found = np.full(len(column), self.otherwise)
            for condition, points in reversed(self.rules):
                found[condition.holds(column, self.codes)] = points
        return np.asarray(np.where(missing, self.missing, found), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """A scorecard on a scale; see the module.

    Args:
        parts: One per feature, in the order of the matrix.
        spread: Standard deviation of the points in the past.
    """

    parts: tuple[Part, ...]
    spread: float
    library: str = SCORECARD
    rounds: int = 0

    def points(self, matrix: Matrix) -> Matrix:
        """Points of each row, shape (n_rows,)."""
        return np.asarray(self._points(matrix).sum(axis=1), dtype=np.float64)

    def margin_of_points(self, points: float) -> float:
        """The margin of a row with so many points."""
        return (points - sum(part.mean for part in self.parts)) / self.spread

    def margin(self, matrix: Matrix, *, threads: int = 1) -> Matrix:  # noqa: ARG002 - every model takes it
        """Points less their mean over their spread, shape (n_rows,)."""
        return np.asarray(self._contributions(matrix).sum(axis=1), dtype=np.float64)

    def contributions(self, matrix: Matrix, *, threads: int = 1) -> Matrix:  # noqa: ARG002 - every model takes it
        """Each feature's part of the margin, shape (n_rows, n_features + 1); the last column, the mean, is 0."""
        return np.column_stack([self._contributions(matrix), np.zeros(len(matrix))])

    def save(self, folder: Path) -> None:
        """Write `scorecard.json`."""
        text = json.dumps(asdict(self), indent=1, allow_nan=False)
        (folder / SCORECARD_FILE).write_text(text + "\n", encoding="utf-8")

    def _points(self, matrix: Matrix) -> Matrix:
        return np.column_stack([part.points(matrix[:, place]) for place, part in enumerate(self.parts)])

    def _contributions(self, matrix: Matrix) -> Matrix:
        means = np.array([part.mean for part in self.parts])
        return np.asarray((self._points(matrix) - means) / self.spread, dtype=np.float64)


def fit_scorecard(parts: Sequence[Part], matrix: Matrix) -> Scorecard:
    """Put points on the scale of the past.

    Args:
        parts: One per feature, in the order of the matrix.
        matrix: Rows of the past.

    Raises:
        ContractError: if every row gets the same points, so that nothing is scored.
    """
    points = np.column_stack([part.points(matrix[:, place]) for place, part in enumerate(parts)])
    spread = float(points.sum(axis=1).std())
    if spread < 1e-9:
        raise ContractError(
            "The scorecard gives every row of the past the same points",
            got=f"{points.sum(axis=1)[0]:g} points each" if len(points) else "no row",
            next_step="look at the conditions and at the features' values: salience features explain",
        )
    means = points.mean(axis=0)
    fitted = (Part(**{**_fields(part), "mean": float(mean)}) for part, mean in zip(parts, means, strict=True))
    return Scorecard(parts=tuple(fitted), spread=spread)


def codes_of(entry: FeatureEntry) -> dict[str, float] | None:
    """Code of each category of a feature; None for a number."""
    if entry.dtype != "category":
        return None
    return {name: float(code) for code, name in enumerate(entry.categories) if name is not None}


def load_scorecard(folder: Path) -> Scorecard:
    """Read what `Scorecard.save` wrote."""
    values = json.loads((folder / SCORECARD_FILE).read_text(encoding="utf-8"))
    return Scorecard(parts=tuple(_part(part) for part in values["parts"]), spread=float(values["spread"]))


def _part(values: Mapping[str, Any]) -> Part:
    rules = tuple(
        (Condition(condition["operator"], tuple(condition["values"])), float(points))
        for condition, points in values["rules"]
    )
    return Part(**{**values, "rules": rules})


def _fields(part: Part) -> dict[str, Any]:
    return {name: getattr(part, name) for name in part.__dataclass_fields__}
