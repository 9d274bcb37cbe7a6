"""What a score is worth to a team that can work only some of the leads or deals.

Each lead or deal counts once, at its first row: that is the moment at which a team decides whether to work it. The rows
are worked from the highest score down; rows of one score share the last places, so that a coarse rule is neither lucky
nor unlucky. Intervals draw whole entities, the same draws for every order, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation import as_metric, rank_scores
from training.resampling import Resample, entity_codes, resample
from training.results import Metric

Vector = NDArray[np.float64]

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
CURVE = tuple(index / 50 for index in range(51))
CHANCE = "chance"
REPLICATES = 200
_WEEK = np.timedelta64(7, "D")


@dataclass(frozen=True, kw_only=True)
class Worked:
    """What comes of working a share of the entities in one order.

    Args:
        caught: Outcomes among those worked.
        precision: Share of those worked that have the outcome.
        found: Share of all outcomes that are among those worked.
        value: What the caught outcomes are worth, in the unit of `worth`; counts where there is none.
        expected: The same as the probabilities foretold it; None for orders that are no probability.
        gain: Outcomes caught beyond those of chance.
    """

    caught: Metric
    precision: Metric
    found: Metric
    value: Metric
    expected: float | None
    gain: Metric


@dataclass(frozen=True, kw_only=True)
class AtCapacity:
    """Working one share of the entities.

    Args:
        share: Share of the entities that is worked.
        count: Entities worked.
        by_order: What each order brings, chance among them.
        ahead: Outcomes that the first order catches beyond each other one, with the paired interval.
    """

    share: float
    count: int
    by_order: Mapping[str, Worked]
    ahead: Mapping[str, Metric]


def first_rows(entity: NDArray[Any], as_of: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Row numbers of each entity's first row, in order of time."""
    order = np.argsort(as_of, kind="stable")
    _, first = np.unique(entity_codes(np.asarray(entity)[order]), return_index=True)
    return np.asarray(order[np.sort(first)], dtype=np.int64)


def share_of(capacity: float, as_of: NDArray[np.datetime64]) -> float:
    """The share of the entities that a team can work.

    Args:
        capacity: Below 1 a share, from 1 on a number a week.
        as_of: Moment at which each entity was first seen.
    """
    if capacity < 1 or not len(as_of):
        return min(capacity, 1.0)
    weeks = max(1.0, float((as_of.max() - as_of.min()) / _WEEK))
    return min(1.0, capacity * weeks / len(as_of))


def at_capacity(
    label: Vector,
    orders: Mapping[str, Vector],
    *,
    entity: NDArray[Any],
    shares: Sequence[float] = SHARES,
    worth: Vector | None = None,
    probabilities: Sequence[str] = (),
    seed: int,
    replicates: int = REPLICATES,
) -> tuple[AtCapacity, ...]:
    """What each order brings at each share.

    Args:
        label: 0 or 1 per row; one row per entity.
        orders: Scores to work by, highest first, by name; the first is the one in question.
        entity: Lead or deal of each row.
        shares: Shares to work, above 0 and at most 1.
        worth: What the outcome of each row is worth; None where each counts 1.
        probabilities: Names of the orders that are probabilities, and so foretell what they will catch.
        seed: Seed of the bootstrap.
        replicates: Bootstrap replicates.
    """
    drawn = resample(entity, replicates=replicates, seed=seed)
    gains = label if worth is None else label * worth
    counted = {name: _Counted.of(score, label, gains, drawn) for name, score in orders.items()}
    return tuple(_at(share, len(label), orders, counted, worth=worth, probabilities=probabilities) for share in shares)


def gain_curve(label: Vector, score: Vector, *, shares: Sequence[float] = CURVE) -> tuple[float, ...]:
    """Share of all outcomes found when the `shares` with the highest scores are worked.

    Example:
        >>> import numpy as np
        >>> gain_curve(np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.7, 0.1]), shares=(0.0, 0.5, 0.75))
        (0.0, 0.5, 1.0)
    """
    total = max(float(label.sum()), 1.0)
    position, scores = rank_scores(score, most=len(score))
    rows = np.bincount(position, minlength=scores).astype(np.float64)[:, None]
    found = np.bincount(position, label, minlength=scores)[:, None]
    return tuple(float((_taken(rows, share) * found).sum() / total) for share in shares)


@dataclass(frozen=True)
class _Counted:
    """An order, counted up by score: of all rows in column 0, of the replicates in the others."""

    rows: Vector
    caught: Vector
    value: Vector

    @classmethod
    def of(cls, score: Vector, label: Vector, gains: Vector, drawn: Resample) -> _Counted:
        position, scores = rank_scores(score)

        def both(values: Vector) -> Vector:
            whole = np.bincount(position, values, minlength=scores)[:, None]
            return np.hstack([whole, drawn.sums(values, cell=position, cells=scores)])

        return cls(both(np.ones(len(label))), both(label), both(gains))

    def at(self, share: float) -> tuple[Vector, Vector]:
        """Outcomes caught and their value per row worked of all; (1 + n_replicates,) each."""
        taken = _taken(self.rows, share)
        total = self.rows.sum(axis=0)
        return (taken * self.caught).sum(axis=0) / total, (taken * self.value).sum(axis=0) / total


def _taken(rows: Vector, share: float) -> Vector:
    """Share of each score's rows that is worked, lowest score first; (n_scores, n_columns)."""
    above = np.cumsum(rows[::-1], axis=0)[::-1] - rows
    room = share * rows.sum(axis=0) - above
    taken = np.divide(np.clip(room, 0.0, rows), rows, out=np.zeros_like(rows), where=rows > 0)
    return np.asarray(taken, dtype=np.float64)


def _at(
    share: float,
    n_rows: int,
    orders: Mapping[str, Vector],
    counted: Mapping[str, _Counted],
    *,
    worth: Vector | None,
    probabilities: Sequence[str],
) -> AtCapacity:
    anyone = next(iter(counted.values()))
    total = anyone.rows.sum(axis=0)
    outcomes = anyone.caught.sum(axis=0) / total
    caught = {name: each.at(share) for name, each in counted.items()}
    caught[CHANCE] = (share * outcomes, share * anyone.value.sum(axis=0) / total)
    first = next(iter(orders))
    by_order = {}
    for name, (found, value) in caught.items():
        expected = _expected(orders[name], share, worth) if name in probabilities else None
        by_order[name] = Worked(
            caught=_metric(found * n_rows),
            precision=_metric(found / share),
            found=_metric(np.divide(found, outcomes, out=np.full_like(found, np.nan), where=outcomes > 0)),
            value=_metric(value * n_rows),
            expected=expected,
            gain=_metric((found - caught[CHANCE][0]) * n_rows),
        )
    ahead = {name: _metric((caught[first][0] - found[0]) * n_rows) for name, found in caught.items() if name != first}
    return AtCapacity(share=share, count=round(share * n_rows), by_order=by_order, ahead=ahead)


def _expected(probability: Vector, share: float, worth: Vector | None) -> float:
    """What the probabilities of those worked add up to."""
    position, scores = rank_scores(probability, most=len(probability))
    foretold = probability if worth is None else probability * worth
    rows = np.bincount(position, minlength=scores).astype(np.float64)[:, None]
    sums = np.bincount(position, foretold, minlength=scores)[:, None]
    return float((_taken(rows, share) * sums).sum())


def _metric(values: Vector) -> Metric:
    """The figure of all rows (first) with the interval of the replicates (the others)."""
    return as_metric(float(values[0]), values[1:])
