"""Fields as the probes look at them: few levels, one of which may be "missing"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.encoding import is_missing

Vector = NDArray[np.float64]
Levels = NDArray[np.int64]
Cells = Sequence[Any] | NDArray[Any]

MISSING = -1
MIN_LEVEL_ROWS = 20
FOLDS = 5
_BINS = 20
_FEW = 30
_NUMBER_SHARE = 0.97
_PRIOR_ROWS = 20.0
_MONEY = re.compile(r"[$€£,%\s]")
_UNIQUE_SHARE = 0.95


@dataclass(frozen=True)
class Field:
    """One candidate field.

    Args:
        name: Name.
        level: Level of each row, 0, 1, …; -1 where the value is missing.
        labels: What each level is, in words.
        is_number: Whether the levels are ranges of numbers, in order.
        distinct: Number of different values.
        has_rest: Whether the last level joins all rare values.
    """

    name: str
    level: Levels
    labels: tuple[str, ...]
    is_number: bool
    distinct: int
    has_rest: bool = False

    @cached_property
    def is_filled(self) -> NDArray[np.bool_]:
        """Whether each row has a value."""
        return np.asarray(self.level != MISSING)

    @property
    def is_identifier(self) -> bool:
        """Whether nearly every filled row has a value of its own, and the values are no numbers."""
        return not self.is_number and self.distinct >= max(_UNIQUE_SHARE * self.is_filled.sum(), MIN_LEVEL_ROWS)

    def counts(self, label: Vector) -> tuple[Vector, Vector]:
        """Rows and outcomes per level, the missing rows last."""
        place = np.where(self.level == MISSING, len(self.labels), self.level)
        size = len(self.labels) + 1
        rows = np.bincount(place, minlength=size).astype(np.float64)
        return rows, np.bincount(place, weights=label, minlength=size).astype(np.float64)

    def cross_fitted(self, label: Vector, *, seed: int, rows: NDArray[np.bool_] | None = None) -> Vector:
        """Outcome rate of each row's level in the other folds: what the field alone says, without its own row.

        Args:
            label: 0 or 1.
            seed: Seed of the folds.
            rows: Rows that count; the others' rates are of no use.
        """
        fold = np.random.default_rng(seed).integers(0, FOLDS, len(label))
        counted = np.ones(len(label), dtype=bool) if rows is None else rows
        base = float(label[counted].mean())
        place = np.where(self.level == MISSING, len(self.labels), self.level)
        size = len(self.labels) + 1
        score = np.empty(len(label))
        for held in range(FOLDS):
            others = counted & (fold != held)
            rows_there = np.bincount(place[others], minlength=size)
            outcomes = np.bincount(place[others], weights=label[others], minlength=size)
            rate = (outcomes + _PRIOR_ROWS * base) / (rows_there + _PRIOR_ROWS)
            score[fold == held] = rate[place[fold == held]]
        return score


def number_field(name: str, values: Vector) -> Field:
    """A field of numbers (NaN: missing): its values where they are few, else at most twenty ranges of equal share."""
    filled = values[~np.isnan(values)]
    different = np.unique(filled)
    if len(different) <= _FEW:
        edges = different
        labels = tuple(f"{value:g}" for value in different)
    else:
        edges = np.unique(np.quantile(filled, np.linspace(0, 1, _BINS + 1)[1:], method="higher"))
        labels = tuple(f"up to {value:g}" for value in edges)
    level = np.minimum(np.searchsorted(edges, values, "left"), max(len(edges) - 1, 0))
    return Field(name, np.where(np.isnan(values), MISSING, level), labels, True, len(different))


def word_field(name: str, values: Sequence[Any]) -> Field:
    """A field of words (None: missing); values on fewer than twenty rows are one level."""
    counts = Counter(value for value in values if value is not None)
    frequent = sorted(value for value, rows in counts.items() if rows >= MIN_LEVEL_ROWS)
    places = {value: place for place, value in enumerate(frequent)}
    rest = len(frequent)
    level = np.array([MISSING if value is None else places.get(value, rest) for value in values], dtype=np.int64)
    has_rest = len(counts) > len(frequent)
    labels = (*map(str, frequent), *(("a rare value",) if has_rest else ()))
    return Field(name, level, labels, False, len(counts), has_rest)


def field_of(name: str, cells: Cells) -> Field:
    """A field from cells as they stand in a file: text, numbers or truths; None and NaN are missing."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind == "f":
        return number_field(name, cells)
    plain = plain_cells(cells)
    numbers = as_numbers(plain)
    return word_field(name, plain) if numbers is None else number_field(name, numbers)


def plain_cells(cells: Cells) -> list[str | None]:
    """Cells as their text without surrounding blanks; None where they are empty or say that nothing is there."""
    from warehouse.suggest.columns import MISSING_WORDS

    seen: dict[Any, str | None] = {}
    plain = []
    for cell in cells:
        if cell not in seen:
            text = "" if is_missing(cell) else str(cell).strip()
            seen[cell] = None if not text or text.lower() in MISSING_WORDS else text
        plain.append(seen[cell])
    return plain


def as_numbers(cells: Sequence[Any]) -> Vector | None:
    """The cells as numbers, NaN where missing or unreadable; None if too many of them are no numbers."""
    values, wrong, filled = np.full(len(cells), np.nan), 0, 0
    allowed = (1.0 - _NUMBER_SHARE) * sum(cell is not None for cell in cells)
    for place, cell in enumerate(cells):
        if cell is None:
            continue
        filled += 1
        try:
            values[place] = float(_MONEY.sub("", cell))
        except ValueError:
            wrong += 1
            if wrong > allowed:
                return None
    return values if filled else None
