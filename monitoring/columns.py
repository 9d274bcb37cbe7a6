"""The two sides of a comparison, column by column, in the form that the distances need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from common.errors import ContractError, shorten
from monitoring.distances import BoolArray, FloatArray, IntArray

PREDICTION = "probability"
OTHER = "(all other categories)"
_MOST_CATEGORIES = 40


class Feature(Protocol):
    """What a drift report needs to know of a feature; `features.catalogue.FeatureSpec` is one."""

    @property
    def name(self) -> str:
        """Column of the feature."""

    @property
    def dtype(self) -> str:
        """float, int, bool or category."""

    @property
    def about(self) -> str:
        """One sentence on what it is."""


@dataclass(frozen=True, kw_only=True)
class ColumnPair:
    """One column of the reference and the current frame, pooled: reference rows first.

    Args:
        name: Column.
        about: What it is, in words.
        kind: numeric (compared by Wasserstein distance) or categorical (Jensen-Shannon).
        numbers: Pooled values for numeric columns, NaN where missing; empty otherwise.
        codes: Pooled category numbers for categorical columns, -1 where missing; empty otherwise.
        labels: Text of each category number; the rarest beyond the first 40 of the pool share one.
        reference_rows: How many of the pooled rows are reference.
        unseen: Categories of the current side that the reference lacks, with their row counts, most frequent first.
    """

    name: str
    about: str
    kind: Literal["numeric", "categorical"]
    numbers: FloatArray
    codes: IntArray
    labels: tuple[str, ...]
    reference_rows: int
    unseen: tuple[tuple[str, int], ...] = ()

    @property
    def is_missing(self) -> BoolArray:
        """Which pooled rows have no value."""
        return np.isnan(self.numbers) if self.kind == "numeric" else self.codes < 0

    def series(self, side: Literal["reference", "current"]) -> pd.Series[Any]:
        """One side as a pandas column: float64, or text with None where missing."""
        rows = slice(None, self.reference_rows) if side == "reference" else slice(self.reference_rows, None)
        if self.kind == "numeric":
            return pd.Series(self.numbers[rows], dtype="float64")
        texts = np.array([*self.labels, None], dtype=object)
        return pd.Series(texts[self.codes[rows]], dtype=object)


def thinned(pair: ColumnPair, *, most: int) -> ColumnPair:
    """The same column with evenly spaced rows, at most `most` a side; the same rows for every column of a report."""
    rows = pair.is_missing.size
    sides = (np.arange(pair.reference_rows), np.arange(pair.reference_rows, rows))
    kept = [side[np.linspace(0, len(side) - 1, most).astype(np.int64)] if len(side) > most else side for side in sides]
    chosen = np.concatenate(kept)
    return replace(
        pair,
        numbers=pair.numbers[chosen] if pair.kind == "numeric" else pair.numbers,
        codes=pair.codes[chosen] if pair.kind == "categorical" else pair.codes,
        reference_rows=len(kept[0]),
    )


def as_frame(table: pa.Table | pd.DataFrame, *, columns: Sequence[str], side: str) -> pd.DataFrame:
    """The wanted columns of an Arrow table or a pandas frame, as a pandas frame with a fresh index.

    Raises:
        ContractError: if a column is not there; a feature that vanished is no drift but a broken frame.
    """
    present = table.column_names if isinstance(table, pa.Table) else list(table.columns)
    absent = [name for name in columns if name not in present]
    if absent:
        raise ContractError(
            f"The {side} frame lacks {len(absent)} of {len(columns)} columns: {shorten(absent)}",
            expected="every feature of the model, missing values as null",
            got=f"columns {shorten(present)}" if present else "no columns",
            next_step="rebuild the frame with the model's feature service",
        )
    if isinstance(table, pa.Table):
        frame: pd.DataFrame = table.select(list(columns)).to_pandas()
        return frame
    return table.loc[:, list(columns)].reset_index(drop=True)


def pair_columns(reference: pd.DataFrame, current: pd.DataFrame, *, features: Iterable[Feature]) -> list[ColumnPair]:
    """Pool both sides of every feature, and of the prediction column if both frames have one.

    Raises:
        ContractError: if a numeric column holds text.
    """
    pairs = [_pair(reference, current, name=f.name, about=f.about, dtype=f.dtype) for f in features]
    if PREDICTION in reference.columns and PREDICTION in current.columns:
        about = "The model's own answer."
        pairs.insert(0, _pair(reference, current, name=PREDICTION, about=about, dtype="float"))
    return pairs


def _pair(reference: pd.DataFrame, current: pd.DataFrame, *, name: str, about: str, dtype: str) -> ColumnPair:
    shared: Mapping[str, Any] = {"name": name, "about": about, "reference_rows": len(reference)}
    if dtype in ("category", "bool"):
        texts = np.concatenate([_texts(reference[name]), _texts(current[name])])
        codes, labels = _encode(texts)
        unseen = _unseen(texts[: len(reference)], texts[len(reference) :])
        return ColumnPair(kind="categorical", numbers=np.empty(0), codes=codes, labels=labels, unseen=unseen, **shared)
    numbers = np.concatenate([_numbers(reference[name]), _numbers(current[name])])
    return ColumnPair(kind="numeric", numbers=numbers, codes=np.empty(0, dtype=np.int64), labels=(), **shared)


def _numbers(column: pd.Series[Any]) -> FloatArray:
    try:
        values = pd.to_numeric(column, errors="raise").to_numpy(dtype="float64", na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"Column '{column.name}' should hold numbers",
            got=str(error),
            next_step="declare it a category, or fix the frame",
        ) from error
    return np.where(np.isfinite(values), values, np.nan)


def _texts(column: pd.Series[Any]) -> np.ndarray[Any, Any]:
    codes, values = pd.factorize(column, use_na_sentinel=True)
    return np.array([*(str(value) for value in values), None], dtype=object)[codes]


def _encode(texts: np.ndarray[Any, Any]) -> tuple[IntArray, tuple[str, ...]]:
    """Number the categories, most frequent in the pool first; what is left over shares the last number.

    The pool decides, not the reference, so that both sides stay exchangeable under "nothing changed".
    """
    counts: Counter[str] = Counter(text for text in texts if text is not None)
    ranked = sorted(counts, key=lambda label: (-counts[label], label))
    kept = ranked if len(ranked) <= _MOST_CATEGORIES else ranked[: _MOST_CATEGORIES - 1]
    number = {label: i for i, label in enumerate(kept)}
    codes = [-1 if text is None else number.get(text, len(kept)) for text in texts]
    labels = kept if len(kept) == len(ranked) else [*kept, OTHER]
    return np.asarray(codes, dtype=np.int64), tuple(labels)


def _unseen(reference: np.ndarray[Any, Any], current: np.ndarray[Any, Any]) -> tuple[tuple[str, int], ...]:
    known = set(reference)
    counts: Counter[str] = Counter(text for text in current if text is not None and text not in known)
    return tuple(sorted(counts.items(), key=lambda found: (-found[1], found[0])))
