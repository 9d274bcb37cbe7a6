"""Hierarchies of series, and forecasts of all levels reconciled so that they add up exactly.

Methods after Wickramasuriya, Athanasopoulos and Hyndman (2019), "Optimal forecast reconciliation for hierarchical and
grouped time series through trace minimization": with base forecasts y of all series and the summing matrix S, the
reconciled bottom forecasts are P y with P = (S' W^-1 S)^-1 S' W^-1, and S P y adds up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.forecast.metrics import FloatArray

Method = Literal["bottom_up", "ols", "wls", "mint_shrink"]
METHODS: tuple[Method, ...] = ("bottom_up", "ols", "wls", "mint_shrink")


@dataclass(frozen=True)
class Hierarchy:
    """Which bottom series each series of each level is the sum of.

    Args:
        levels: Names of the levels, highest first; the last is the bottom.
        ids: Entity ids of each level.
        summing: S, shape (n_series, n_bottom), rows in the order of `levels` and `ids`.
    """

    levels: tuple[str, ...]
    ids: Mapping[str, tuple[str, ...]]
    summing: FloatArray

    def rows(self, level: str) -> slice:
        """Rows of S of one level."""
        start = 0
        for name in self.levels:
            if name == level:
                return slice(start, start + len(self.ids[name]))
            start += len(self.ids[name])
        raise KeyError(f"Level '{level}' is not in the hierarchy. Levels: {list(self.levels)}.")

    @property
    def bottom(self) -> slice:
        """Rows of S of the bottom level."""
        return self.rows(self.levels[-1])


def build_hierarchy(groups: Mapping[str, Sequence[str]]) -> Hierarchy:
    """The hierarchy of bottom series given, for each level, the entity that each bottom series belongs to.

    Args:
        groups: Level to one entity id per bottom series, highest level first; the last level names each bottom series
            once.

    Example:
        >>> build_hierarchy({"total": ["all", "all"], "shop": ["a", "b"]}).summing.tolist()
        [[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    """
    ids: dict[str, tuple[str, ...]] = {}
    blocks = []
    for level, members in groups.items():
        names = tuple(dict.fromkeys(members))
        ids[level] = names
        position = {name: row for row, name in enumerate(names)}
        block = np.zeros((len(names), len(members)))
        block[[position[member] for member in members], np.arange(len(members))] = 1.0
        blocks.append(block)
    return Hierarchy(levels=tuple(groups), ids=ids, summing=np.vstack(blocks))


def shrunk_covariance(residuals: FloatArray) -> FloatArray:
    """Covariance of residuals with the correlations shrunk towards 0 (Schaefer and Strimmer 2005).

    Args:
        residuals: Shape (n_series, n_periods); periods with a NaN in any series are left out.
    """
    complete = residuals[:, ~np.isnan(residuals).any(axis=0)]
    n = complete.shape[1]
    # Residuals are errors: their second moment counts, not the spread around their mean.
    covariance = complete @ complete.T / n
    deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
    standardised = complete / deviation[:, None]
    correlation = standardised @ standardised.T / n
    squares = standardised**2
    variance = (squares @ squares.T / n - correlation**2) * n / (n - 1) ** 2
    off = ~np.eye(len(deviation), dtype=bool)
    denominator = float((correlation[off] ** 2).sum())
    intensity = float(np.clip(variance[off].sum() / denominator, 0.0, 1.0)) if denominator > 0 else 1.0
    shrunk = (1 - intensity) * correlation
    np.fill_diagonal(shrunk, 1.0)
    shrunk_matrix: FloatArray = shrunk * np.outer(deviation, deviation)
    return shrunk_matrix


def projection(hierarchy: Hierarchy, residuals: FloatArray, *, method: Method) -> FloatArray:
    """P: from base forecasts of all series to reconciled forecasts of the bottom ones, shape (n_bottom, n_series)."""
    summing = hierarchy.summing
    weighted: FloatArray
    if method == "bottom_up":
        matrix: FloatArray = np.zeros((summing.shape[1], summing.shape[0]))
        matrix[:, hierarchy.bottom] = np.eye(summing.shape[1])
        return matrix
    if method == "ols":
        weighted = summing
    elif method == "wls":
        weights = 1.0 / np.maximum(np.nanmean(residuals**2, axis=1), 1e-12)
        weighted = summing * weights[:, None]
    else:
        weighted = np.asarray(np.linalg.solve(shrunk_covariance(residuals), summing), dtype=np.float64)
    solved: FloatArray = np.asarray(np.linalg.solve(summing.T @ weighted, weighted.T), dtype=np.float64)
    return solved
