"""Two models' figures on the same rows, and how sure their difference is: a bootstrap that draws whole entities.

Both models meet the same draws, so that what the rows have in common cancels out (Efron and Tibshirani 1993, ch. 16).
Segments are many and some are small: their standard error comes from the entities' sums in closed form (the cluster-
robust variance of a ratio, Cameron and Miller 2015), and the level is divided by their number (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from training.calibration import log_loss_rows

Vector = NDArray[np.float64]
Entities = NDArray[np.object_] | NDArray[np.str_]
# A figure of (probability, weights (n_rows, n_replicates)) -> (n_replicates,).
RowFigure = Callable[[Vector, Vector], Vector]

REPLICATES = 1_000
FIGURE_REPLICATES = 300
ONE_SIDED = 0.95
_CHUNK = 50


@dataclass(frozen=True)
class Paired:
    """A figure of two models on the same rows.

    Args:
        ours: The challenger's.
        theirs: The champion's.
        drawn: Replicates of ours minus theirs.
    """

    ours: float
    theirs: float
    drawn: Vector

    @property
    def difference(self) -> float:
        """Ours minus theirs."""
        return self.ours - self.theirs

    def at_most(self, level: float = ONE_SIDED) -> float:
        """The difference lies below this with so much confidence."""
        return float(np.quantile(self.drawn, level))

    def at_least(self, level: float = ONE_SIDED) -> float:
        """The difference lies above this with so much confidence."""
        return float(np.quantile(self.drawn, 1.0 - level))


def clusters(entity: Entities) -> tuple[NDArray[np.int64], int]:
    """A number for each row's entity, and how many there are."""
    names, position = np.unique(np.asarray(entity).astype(str), return_inverse=True)
    return np.asarray(position), len(names)


def draws(count: int, *, replicates: int, seed: int) -> Iterator[Vector]:
    """How often each of `count` entities is drawn, in parts of shape (count, at most 50)."""
    generator = np.random.default_rng(seed)
    for start in range(0, replicates, _CHUNK):
        width = min(_CHUNK, replicates - start)
        chosen = generator.integers(0, count, size=(width, count))
        yield np.stack([np.bincount(row, minlength=count) for row in chosen], axis=1).astype(np.float64)


def compare_log_loss(ours: Vector, theirs: Vector, label: Vector, entity: Entities, *, seed: int) -> Paired:
    """Log-loss of two answers to the same rows.

    Args:
        ours: Probabilities of the challenger.
        theirs: Probabilities of the champion.
        label: 0 or 1 per row.
        entity: Lead or deal of each row; these are drawn.
        seed: Seed of the draws.
    """
    loss, rival = log_loss_rows(label, ours), log_loss_rows(label, theirs)
    cluster, count = clusters(entity)
    sums = np.bincount(cluster, loss - rival, minlength=count)
    sizes = np.bincount(cluster, minlength=count).astype(np.float64)
    drawn = [(sums @ part) / (sizes @ part) for part in draws(count, replicates=REPLICATES, seed=seed)]
    return Paired(float(loss.mean()), float(rival.mean()), np.concatenate(drawn))


def compare_figure(
    figure: RowFigure,
    ours: Vector,
    theirs: Vector,
    entity: Entities,
    *,
    seed: int,
    replicates: int = FIGURE_REPLICATES,
) -> Paired:
    """Any figure of two answers to the same rows; see `compare_log_loss`."""
    cluster, count = clusters(entity)
    ones = np.ones((len(ours), 1))
    drawn = []
    for part in draws(count, replicates=replicates, seed=seed):
        weights = part[cluster]
        drawn.append(figure(ours, weights) - figure(theirs, weights))
    return Paired(float(figure(ours, ones)[0]), float(figure(theirs, ones)[0]), np.concatenate(drawn))


def value_at_capacity(value: Vector, probability: Vector, weights: Vector, *, share: float) -> Vector:
    """Value of the rows with the highest probabilities, as many as a team can work; ties share the last places.

    Args:
        value: What each row's outcome brought, 0 without it.
        probability: What the rows are ordered by.
        weights: How often each row counts, (n_rows, n_replicates).
        share: Share of the rows that is worked.

    Returns:
        Shape (n_replicates,), in the unit of `value`.
    """
    order = np.argsort(-probability, kind="stable")
    scores = probability[order]
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    total = np.add.reduceat(weights[order], starts, axis=0)
    worth = np.add.reduceat(weights[order] * value[order][:, None], starts, axis=0)
    before = np.cumsum(total, axis=0) - total
    taken = np.clip(share * total.sum(axis=0) - before, 0.0, total)
    part = np.divide(taken, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray((part * worth).sum(axis=0), dtype=np.float64)


@dataclass(frozen=True)
class SegmentPair:
    """Two models' log-loss in one segment.

    Args:
        kind: `source`, `industry`, …
        name: The segment.
        rows: Rows in it.
        entities: Leads or deals in it.
        ours: The challenger's log-loss.
        theirs: The champion's.
        error: Standard error of the difference.
    """

    kind: str
    name: str
    rows: int
    entities: int
    ours: float
    theirs: float
    error: float

    @property
    def difference(self) -> float:
        """Ours minus theirs."""
        return self.ours - self.theirs

    def at_least(self, *, looked_at: int) -> float:
        """The difference lies above this with 95 % for all of so many segments together."""
        return self.difference - NormalDist().inv_cdf(1.0 - (1.0 - ONE_SIDED) / looked_at) * self.error


def compare_segment(
    ours: Vector, theirs: Vector, label: Vector, entity: Entities, *, kind: str, name: str
) -> SegmentPair:
    """Log-loss of two answers to the rows of one segment."""
    loss, rival = log_loss_rows(label, ours), log_loss_rows(label, theirs)
    cluster, count = clusters(entity)
    mean = float((loss - rival).mean())
    rest = np.bincount(cluster, loss - rival - mean, minlength=count)
    error = float(np.sqrt((rest**2).sum() * count / max(count - 1, 1)) / len(label))
    return SegmentPair(kind, name, len(label), count, float(loss.mean()), float(rival.mean()), error)
