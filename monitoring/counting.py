"""Columns as counts: how many rows of each value or category a split of the rows puts on the current side.

Every statistic of a column depends on the data only through these counts, and counting is all that has to be done
anew for each of hundreds of splits. Numbers with more than `MOST_VALUES` different values are put into bins of equally
many rows; the distance between two bins is that of their means. Where the pool has heavy tails, the distance between
values is that of their ranks: a few giants would drown everything else. The pool decides that, so that both sides stay
exchangeable when nothing has changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitoring.columns import ColumnPair
from monitoring.distances import FEWEST_PRESENT, SMALLEST_NORM, FloatArray, IntArray

MOST_VALUES = 1_024
HEAVY_TAILS = 10.0
"""Excess kurtosis of the pool from which on numbers are compared by rank (an exponential distribution has 6)."""
_CHUNK = 8_192
"""Rows counted in one call."""


@dataclass(frozen=True)
class Coded:
    """A column's pooled rows as small whole numbers.

    Args:
        codes: Value or category number of each pooled row; `kinds` where missing.
        kinds: Number of different values or categories.
        position: For numbers, the value that each code stands for, rising; None for categories.
    """

    codes: IntArray
    kinds: int
    position: FloatArray | None


@dataclass(frozen=True)
class Members:
    """Which rows each split calls current.

    Args:
        rows: Pooled rows in all.
        current_rows: Rows on the current side of each split, shape (n_splits,).
        chosen: Per split, the rows it names.
        names_current: Whether the rows named are the current side; otherwise they are the reference.
    """

    rows: int
    current_rows: IntArray
    chosen: tuple[IntArray, ...]
    names_current: bool

    def count(self, coded: Coded) -> IntArray:
        """Current rows per split and code, the missing ones last; shape (n_splits, kinds + 1)."""
        width = coded.kinds + 1
        counted = np.empty((len(self.chosen), width), dtype=np.int64)
        longest = max((len(rows) for rows in self.chosen), default=0)
        # Short splits are counted many at once, because of what a call costs; long ones stay in the processor's cache.
        step = max(1, _CHUNK // max(longest, 1))
        for start in range(0, len(self.chosen), step):
            part = self.chosen[start : start + step]
            if len(part) == 1:
                counted[start] = np.bincount(coded.codes[part[0]], minlength=width)
                continue
            which = np.repeat(np.arange(len(part)), [len(rows) for rows in part])
            flat = coded.codes[np.concatenate(part)] + width * which
            counted[start : start + len(part)] = np.bincount(flat, minlength=width * len(part)).reshape(-1, width)
        if self.names_current:
            return counted
        return np.bincount(coded.codes, minlength=width)[None, :] - counted


def shuffled(rows: int, *, reference_rows: int, draws: int, seed: int) -> Members:
    """The real split first, then `draws` random ones of the same sizes."""
    random = np.random.default_rng(seed)
    current_rows = rows - reference_rows
    names_current = current_rows <= reference_rows
    size = current_rows if names_current else reference_rows
    real = np.arange(reference_rows, rows) if names_current else np.arange(reference_rows)
    drawn = (random.choice(rows, size=size, replace=False, shuffle=False) for _ in range(draws))
    chosen = (real, *(np.asarray(picked, dtype=np.int64) for picked in drawn))
    return Members(rows, np.full(1 + draws, current_rows), chosen, names_current)


def by_block(blocks: IntArray, *, most: int, seed: int) -> Members:
    """The real split first, then one split per block of the reference: that block against everything else.

    Args:
        blocks: Block of each pooled row, -1 for the current rows.
        most: Most rows of a block that are called current, drawn at random: as many as the current side has.
        seed: Seed of the draw.
    """
    random = np.random.default_rng(seed)
    chosen = []
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)
        chosen.append(rows if len(rows) <= most or block < 0 else random.choice(rows, size=most, replace=False))
    if not len(blocks) or blocks.min(initial=0) >= 0:
        chosen.insert(0, np.empty(0, dtype=np.int64))
    sizes = np.array([len(rows) for rows in chosen], dtype=np.int64)
    return Members(len(blocks), sizes, tuple(chosen), names_current=True)


def encode(pair: ColumnPair) -> Coded:
    """The pooled rows of a column as codes."""
    if pair.kind == "categorical":
        kinds = len(pair.labels)
        return Coded(np.where(pair.codes < 0, kinds, pair.codes), kinds, None)
    present = ~np.isnan(pair.numbers)
    values = pair.numbers[present]
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) > MOST_VALUES:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, MOST_VALUES + 1)[1:-1]))
        codes = np.searchsorted(edges, values, side="left")
        filled, codes = np.unique(codes, return_inverse=True)
        distinct = np.bincount(codes, values) / np.bincount(codes, minlength=len(filled))
    if _excess_kurtosis(values) > HEAVY_TAILS:
        rows = np.bincount(codes, minlength=len(distinct))
        distinct = (np.cumsum(rows) - rows / 2) / len(values)
    coded = np.full(len(pair.numbers), len(distinct), dtype=np.int64)
    coded[present] = codes
    return Coded(coded, len(distinct), distinct)


def _excess_kurtosis(values: FloatArray) -> float:
    if len(values) < FEWEST_PRESENT:
        return 0.0
    centred = values - values.mean()
    variance = float(np.mean(centred**2))
    return float(np.mean(centred**4)) / variance**2 - 3.0 if variance > 0 else 0.0


def distances(coded: Coded, current: IntArray) -> FloatArray:
    """Distance between current and reference values per split, as `monitoring.distances` defines them.

    Args:
        coded: The column.
        current: What `Members.count` gave, the missing included.

    Returns:
        Shape (n_splits,); NaN where a side has fewer than `FEWEST_PRESENT` values.
    """
    total = np.bincount(coded.codes, minlength=coded.kinds + 1)[: coded.kinds].astype(np.float64)
    now = current[:, : coded.kinds].astype(np.float64)
    before = total[None, :] - now
    now_rows, before_rows = now.sum(axis=1), before.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        q, p = now / now_rows[:, None], before / before_rows[:, None]
        distance = _wasserstein(p, q, coded.position) if coded.position is not None else _jensen_shannon(p, q)
    return np.where(np.minimum(now_rows, before_rows) >= FEWEST_PRESENT, distance, np.nan)


def _wasserstein(p: FloatArray, q: FloatArray, position: FloatArray) -> FloatArray:
    gaps = np.diff(position)
    apart = np.abs(np.cumsum(q - p, axis=1)[:, :-1]) @ gaps
    centred = position - (float(position.mean()) if len(position) else 0.0)
    mean, square = p @ centred, p @ centred**2
    norm = np.maximum(np.sqrt(np.maximum(square - mean**2, 0.0)), SMALLEST_NORM)
    return np.asarray(apart / norm)


def _jensen_shannon(p: FloatArray, q: FloatArray) -> FloatArray:
    middle = (p + q) / 2
    terms = sum(np.where(side > 0, side * np.log(np.where(side > 0, side / middle, 1.0)), 0.0) for side in (p, q))
    return np.asarray(np.sqrt(np.maximum(np.asarray(terms).sum(axis=1) / 2, 0.0)))
