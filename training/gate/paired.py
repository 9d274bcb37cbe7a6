"""Two models' figures on the same rows, and how sure their difference is: a bootstrap that draws whole entities.

Both models meet the same draws, so that what the rows have in common cancels out (Efron and Tibshirani 1993, ch. 16).
Segments are many and some are small: their standard error comes from the entities' sums in closed form (the cluster-
robust variance of a ratio, Cameron and Miller 2015), and the level is divided by their number (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from training.calibration import log_loss_rows
from training.evaluation import MAX_SCORES, ece, ece_replicates, rank_scores
from training.resampling import Resample, entity_codes, resample

Vector = NDArray[np.float64]
Entities = NDArray[np.object_] | NDArray[np.str_]

REPLICATES = 1_000
ONE_SIDED = 0.95


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
    sample = resample(entity, replicates=REPLICATES, seed=seed)
    drawn = sample.sums(loss - rival)[0] / sample.sums(np.ones(len(label)))[0]
    return Paired(float(loss.mean()), float(rival.mean()), drawn)


def compare_calibration(ours: Vector, theirs: Vector, label: Vector, entity: Entities, *, seed: int) -> Paired:
    """Expected calibration error (ten bins of equally many rows) of two answers to the same rows."""
    sample, ones = resample(entity, replicates=REPLICATES, seed=seed), np.ones((len(label), 1))
    drawn = [ece_replicates(label, answer, sample) for answer in (ours, theirs)]
    return Paired(float(ece(label, ours, ones)[0]), float(ece(label, theirs, ones)[0]), drawn[0] - drawn[1])


def compare_value(ours: Vector, theirs: Vector, value: Vector, entity: Entities, *, share: float, seed: int) -> Paired:
    """What working the rows with the highest probabilities would have brought, by two answers to the same rows.

    Args:
        ours: Probabilities of the challenger.
        theirs: Probabilities of the champion.
        value: What each row's outcome brought, 0 without it.
        entity: Lead or deal of each row; these are drawn.
        share: Share of the rows that is worked.
        seed: Seed of the draws.
    """
    sample = resample(entity, replicates=REPLICATES, seed=seed)
    once = Resample(np.zeros(len(value), dtype=np.int64), np.ones((1, 1)))
    drawn = _value_at_capacity(ours, value, sample, share) - _value_at_capacity(theirs, value, sample, share)
    points = [float(_value_at_capacity(answer, value, once, share, most=len(value))[0]) for answer in (ours, theirs)]
    return Paired(points[0], points[1], drawn)


def _value_at_capacity(
    probability: Vector, value: Vector, sample: Resample, share: float, *, most: int = MAX_SCORES
) -> Vector:
    """Value of the `share` of the rows with the highest probabilities in each replicate; ties share the last places."""
    position, count = rank_scores(-probability, most=most)
    rows = sample.sums(np.ones(len(value)), cell=position, cells=count)
    worth = sample.sums(value, cell=position, cells=count)
    before = np.cumsum(rows, axis=0) - rows
    taken = np.clip(share * rows.sum(axis=0) - before, 0.0, rows)
    part = np.divide(taken, rows, out=np.zeros_like(rows), where=rows > 0)
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
    cluster = entity_codes(entity)
    count = int(cluster.max()) + 1
    mean = float((loss - rival).mean())
    rest = np.bincount(cluster, loss - rival - mean, minlength=count)
    error = float(np.sqrt((rest**2).sum() * count / max(count - 1, 1)) / len(label))
    return SegmentPair(kind, name, len(label), count, float(loss.mean()), float(rival.mean()), error)
