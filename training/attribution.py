"""What each theme and each component added to a row's log-odds: the fast form, exact for every kind of model.

Shapley values of a sum of models are the sum of their Shapley values, and those of a theme are the sum over its
features. So one table of columns serves both the reasons (by theme) and the component scores (by group): a column is a
theme within a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.manifest import FeatureEntry
from training.models import Model
from training.pattern_tables import PatternTables, build_tables
from training.themes import theme_of

Matrix = NDArray[np.float64]

TABLES_FILE = "reasons.npz"


@dataclass(frozen=True)
class Columns:
    """Themes within groups, in order of their first feature.

    Args:
        themes: Titles of the themes.
        theme_of_column: Theme of each column.
        group_of_column: Group of each column.
        column_of_feature: Column of each feature.
        features_of_theme: Positions of each theme's features.
    """

    themes: tuple[str, ...]
    theme_of_column: NDArray[np.int64]
    group_of_column: tuple[str, ...]
    column_of_feature: NDArray[np.int64]
    features_of_theme: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, entries: Sequence[FeatureEntry]) -> Columns:
        """The columns of a model's features."""
        pairs = [(entry.theme or theme_of(entry.name), entry.group) for entry in entries]
        columns = list(dict.fromkeys(pairs))
        themes = list(dict.fromkeys(theme for theme, _ in columns))
        return cls(
            themes=tuple(themes),
            theme_of_column=np.array([themes.index(theme) for theme, _ in columns], dtype=np.int64),
            group_of_column=tuple(group for _, group in columns),
            column_of_feature=np.array([columns.index(pair) for pair in pairs], dtype=np.int64),
            features_of_theme=tuple(
                np.array([place for place, (theme, _) in enumerate(pairs) if theme == title], dtype=np.int64)
                for title in themes
            ),
        )

    def by_column(self, contributions: Matrix) -> Matrix:
        """Contributions of features (n_rows, n_features) summed by column."""
        return np.asarray(contributions @ self._columns, dtype=np.float64)

    def by_theme(self, columns: Matrix) -> Matrix:
        """Contributions of columns summed by theme."""
        return np.asarray(columns @ self._themes, dtype=np.float64)

    @cached_property
    def _columns(self) -> Matrix:
        return _one_hot(self.column_of_feature, len(self.group_of_column))

    @cached_property
    def _themes(self) -> Matrix:
        return _one_hot(self.theme_of_column, len(self.themes))

    def by_group(self, columns: Matrix, group: str) -> Matrix:
        """Contributions of the columns of one group, summed, shape (n_rows,)."""
        chosen = [place for place, of in enumerate(self.group_of_column) if of == group]
        return np.asarray(columns[:, chosen].sum(axis=1), dtype=np.float64)


def _one_hot(target: NDArray[np.int64], width: int) -> Matrix:
    found = np.zeros((len(target), width))
    found[np.arange(len(target)), target] = 1.0
    return found


class Attribution(Protocol):
    """Contributions to the log-odds by column."""

    def columns(self, matrix: Matrix) -> Matrix:
        """Shape (n_rows, n_columns)."""


@dataclass(frozen=True)
class Exact:
    """By the model's own contributions: cheap for a linear model, dear for trees without tables."""

    model: Model
    layout: Columns

    def columns(self, matrix: Matrix) -> Matrix:
        """Shape (n_rows, n_columns)."""
        return self.layout.by_column(self.model.contributions(matrix)[:, :-1])


@dataclass(frozen=True)
class Weighted:
    """The weighted sum of several models' attributions."""

    parts: tuple[tuple[float, Attribution], ...]

    def columns(self, matrix: Matrix) -> Matrix:
        """Shape (n_rows, n_columns)."""
        total = self.parts[0][0] * self.parts[0][1].columns(matrix)
        for weight, part in self.parts[1:]:
            total += weight * part.columns(matrix)
        return total


def members_of(model: Model) -> list[tuple[float, Model]]:
    """A blend's parts with their weights; any other model with weight 1."""
    if model.library != "blend":
        return [(1.0, model)]
    from training.blend import BlendModel

    if not isinstance(model, BlendModel):
        raise TypeError(f"A blend is a BlendModel, got {type(model).__name__}")
    return [
        (weight * inner, member)
        for weight, part in zip(model.weights, model.parts, strict=True)
        for inner, member in members_of(part)
    ]


def write_tables(folder: Path, model: Model, entries: Sequence[FeatureEntry]) -> None:
    """Write the tables of every member that consists of trees, one file each.

    Args:
        folder: The bundle.
        model: Its model.
        entries: The model's features, with their themes.
    """
    if model.library == "competing_risks":
        from training.deals.attribution import write_deal_tables

        write_deal_tables(folder, model, entries)
        return
    from training.plain_trees import read_trees

    layout = Columns.of(entries)
    for place, (_, member) in enumerate(members_of(model)):
        if _has_trees(member):
            tables = build_tables(
                read_trees(member), columns=layout.column_of_feature.tolist(), is_single=member.library == "xgboost"
            )
            tables.save(folder / _file(place))


def load_attribution(folder: Path, model: Model, entries: Sequence[FeatureEntry]) -> Attribution:
    """The attribution of a bundle; a member whose tables are missing is asked itself.

    Args:
        folder: The bundle.
        model: Its model.
        entries: The model's features.
    """
    if model.library == "competing_risks":
        from training.deals.attribution import load_deal_attribution

        return load_deal_attribution(folder, model, entries)
    layout = Columns.of(entries)
    parts: list[tuple[float, Attribution]] = []
    for place, (weight, member) in enumerate(members_of(model)):
        file = folder / _file(place)
        has_tables = _has_trees(member) and file.is_file()
        parts.append((weight, PatternTables.load(file) if has_tables else Exact(member, layout)))
    return parts[0][1] if len(parts) == 1 and parts[0][0] == 1.0 else Weighted(tuple(parts))


def _has_trees(model: Model) -> bool:
    return model.library in ("lightgbm", "xgboost")


def _file(place: int) -> str:
    return TABLES_FILE if place == 0 else TABLES_FILE.replace(".npz", f"-{place}.npz")
