"""Rows with mature labels that the model did not learn from, and the stretches they fall into."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


FEWEST_ROWS = 50
FEWEST_OUTCOMES = 10


@dataclass(frozen=True, kw_only=True)
class Matured:
    """Rows with mature labels that the model did not learn from, oldest first.

    Args:
        as_of: Moment of each row, UTC.
        entity: Lead or deal of each row.
        label: 0 or 1.
        probability: What the model answered.
        groups: Category features of the same rows, by name, for the look at segments.
    """

    as_of: NDArray[np.datetime64]
    entity: NDArray[np.object_]
    label: Vector
    probability: Vector
    groups: dict[str, NDArray[np.object_]]

    def rows(self, chosen: NDArray[np.bool_]) -> Matured:
        """Some of them."""
        return Matured(
            as_of=self.as_of[chosen],
            entity=self.entity[chosen],
            label=self.label[chosen],
            probability=self.probability[chosen],
            groups={name: values[chosen] for name, values in self.groups.items()},
        )

    def one_each(self, *, seed: int) -> Matured:
        """One random row of each entity: rows of one thing share its outcome."""
        order = np.random.default_rng(seed).permutation(len(self.label))
        _, first = np.unique(self.entity[order].astype(str), return_index=True)
        chosen = np.zeros(len(self.label), dtype=np.bool_)
        chosen[order[first]] = True
        return self.rows(chosen)


def too_few(rows: Matured) -> str | None:
    """Why these rows say nothing; None where they are enough."""
    positives = int(rows.label.sum())
    fewest = min(positives, len(rows.label) - positives)
    if len(rows.label) < FEWEST_ROWS or fewest < FEWEST_OUTCOMES:
        return (
            f"{len(rows.label)} rows it has not learned from have mature labels, {positives} of them with the outcome; "
            f"{FEWEST_ROWS} rows and {FEWEST_OUTCOMES} of each kind are needed."
        )
    return None


def stretches_of(as_of: NDArray[np.datetime64], end: np.datetime64, length: timedelta) -> NDArray[np.int64]:
    """Stretch of each moment, counted back from `end`: 0 for the newest."""
    back = (end - as_of.astype("datetime64[us]")).astype(np.int64) / 1e6
    return np.asarray(np.floor(back / length.total_seconds()), dtype=np.int64)


def one_each_per_stretch(rows: Matured, end: np.datetime64, length: timedelta, *, seed: int) -> Matured:
    """One random row of each entity and stretch."""
    stretch = stretches_of(rows.as_of, end, length)
    order = np.random.default_rng(seed).permutation(len(rows.label))
    names = np.char.add(rows.entity[order].astype(str), np.char.add("/", stretch[order].astype(str)))
    _, first = np.unique(names, return_index=True)
    chosen = np.zeros(len(rows.label), dtype=np.bool_)
    chosen[order[first]] = True
    return rows.rows(chosen)
