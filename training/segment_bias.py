"""Quality by segment, and which segments a model serves worse than the rest: beyond noise, and by how much.

Two questions per segment: does the probability lie further off than for the other rows, and does it rank worse within
itself than the other segments are ranked within themselves? Each difference has a standard error from the sums of its
influence function by entity (Cameron and Miller 2015; for the area under the curve Obuchowski 1997), so that rows of
one deal count once, and entities in both parts too. The level is divided by the number of questions asked (Bonferroni),
so that a frame where nothing is wrong raises no note in 98 of 100 trainings however many segments it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.brier import wilson
from training.calibration import log_loss_rows
from training.evaluation import REPLICATES, as_metric, figure_replicates, rank_scores
from training.resampling import Resample, count_distinct, entity_codes, resample
from training.results import Metric

Vector = NDArray[np.float64]
Names = NDArray[np.object_]
Mask = NDArray[np.bool_]

LEVEL = 0.02
"""Probability that any segment of a frame is named where none is served worse."""
MIN_OUTCOMES = 20
"""Entities with and without the outcome below which a segment is too small to say."""
_MOST_SCORES = 20_000
"""Scores beyond this number are put into bins of equally many rows: at most 0.00003 of AUC."""
MIN_GAP = 0.01
"""A smaller gap between expected and observed rate is no use to anybody, however sure."""

Problem = Literal["under-predicted", "over-predicted", "ranks worse"]


@dataclass(frozen=True, kw_only=True)
class SegmentFigures:
    """One segment.

    Args:
        name: Its value, or its band.
        rows: Rows of the test period.
        entities: Different leads or deals among them.
        outcomes: Rows with the outcome.
        rate: Share with the outcome.
        predicted: Mean probability.
        gap: Observed rate less mean probability.
        auc: How well it ranks within the segment; None where rows are too few to say.
        log_loss: Log-loss within the segment; None where rows are too few to say.
        is_enough: Whether there are outcomes enough of both kinds to say anything.
    """

    name: str
    rows: int
    entities: int
    outcomes: int
    rate: Metric
    predicted: float
    gap: Metric
    auc: Metric | None
    log_loss: Metric | None
    is_enough: bool


@dataclass(frozen=True, kw_only=True)
class BiasNote:
    """A segment that is served worse than the rest.

    Args:
        kind: Kind of segment, such as `source`.
        segment: The segment.
        problem: What is worse.
        ours: The figure in the segment: gap (observed less expected), or AUC.
        rest: The same of all other rows; of AUC, the mean of the other segments, each within itself.
        z: Difference over its standard error.
        p: Its probability by chance, before the correction.
    """

    kind: str
    segment: str
    problem: Problem
    ours: float
    rest: float
    z: float
    p: float


def figures_by_segment(
    label: Vector,
    probability: Vector,
    segments: Mapping[str, Names],
    *,
    entity: NDArray[Any],
    seed: int,
    replicates: int = REPLICATES,
) -> dict[str, tuple[SegmentFigures, ...]]:
    """Figures of every segment, the largest first.

    Args:
        label: 0 or 1 per row.
        probability: Predicted probability per row.
        segments: Name of each row's segment, by kind.
        entity: Lead or deal of each row.
        seed: Seed of the bootstrap.
        replicates: Bootstrap replicates.
    """
    code = entity_codes(entity)
    return {
        kind: tuple(
            _figures(name, place == index, label, probability, code, seed=seed, replicates=replicates)
            for index, name in enumerate(ranked)
        )
        for kind, (ranked, place) in ((kind, _largest_first(names)) for kind, names in segments.items())
    }


def bias_notes(
    label: Vector,
    probability: Vector,
    segments: Mapping[str, Names],
    *,
    entity: NDArray[Any],
    level: float = LEVEL,
) -> tuple[BiasNote, ...]:
    """The segments that are served worse than the rest, surest first.

    Args:
        label: 0 or 1 per row.
        probability: Predicted probability per row.
        segments: Name of each row's segment, by kind.
        entity: Lead or deal of each row.
        level: Probability of any false note, over all segments together.
    """
    code = entity_codes(entity)
    rank = rank_scores(probability, most=_MOST_SCORES)[0]
    asked: list[BiasNote] = []
    for kind, names in segments.items():
        ranked, place = _largest_first(names)
        masks = {name: place == index for index, name in enumerate(ranked)}
        masks = {name: inside for name, inside in masks.items() if _is_enough(label[inside], code[inside])}
        for name, inside in masks.items():
            if _is_enough(label[~inside], code[~inside]):
                asked.append(_ask_gap(kind, name, inside, label, probability, code))
        if len(masks) > 1:
            asked += _ask_areas(kind, masks, label, rank, code)
    bar = level / max(1, len(asked))
    return tuple(sorted((note for note in asked if note.p <= bar and _matters(note)), key=lambda note: note.p))


def _largest_first(names: Names) -> tuple[list[str], NDArray[np.int64]]:
    """The different names, the most frequent first, and the place of each row's name among them."""
    import pandas as pd

    place, values = pd.factorize(names)
    order = np.argsort(-np.bincount(place, minlength=len(values)), kind="stable")
    return [str(values[index]) for index in order], np.argsort(order)[place]


def _is_enough(label: Vector, code: NDArray[np.int64]) -> bool:
    return all(count_distinct(code[label == outcome]) >= MIN_OUTCOMES for outcome in (0, 1))


def _matters(note: BiasNote) -> bool:
    """Whether it is this segment, and not the rest, that lies further off, and far enough to matter."""
    return note.problem == "ranks worse" or abs(note.ours) >= max(MIN_GAP, abs(note.rest))


def _figures(
    name: str,
    inside: Mask,
    label: Vector,
    probability: Vector,
    entity: NDArray[np.int64],
    *,
    seed: int,
    replicates: int,
) -> SegmentFigures:
    y, p, who = label[inside], probability[inside], entity_codes(entity[inside])
    order = np.argsort(p, kind="stable")
    y, p, who = y[order], p[order], who[order]
    drawn = resample(who, replicates=replicates, seed=seed)
    is_enough = _is_enough(y, who)
    found = figure_replicates(y, p, drawn) if is_enough else {}
    entities, predicted = int(who.max()) + 1, float(p.mean())
    low, high = wilson(float(y.mean()), entities)
    rate = Metric(float(y.mean()), low, high)
    # Where outcomes are few, draws know nothing of those that might have come.
    gap = _mean(y - p, drawn) if is_enough else Metric(rate.value - predicted, low - predicted, high - predicted)
    return SegmentFigures(
        name=name,
        rows=len(y),
        entities=entities,
        outcomes=int(y.sum()),
        rate=rate,
        predicted=predicted,
        gap=gap,
        auc=as_metric(_area(y, rank_scores(p, most=len(p))[0])[0], found["auc"]) if is_enough else None,
        log_loss=as_metric(float(log_loss_rows(y, p).mean()), found["log_loss"]) if is_enough else None,
        is_enough=is_enough,
    )


def _mean(values: Vector, drawn: Resample) -> Metric:
    return as_metric(float(values.mean()), (drawn.sums(values) / drawn.sums(np.ones(len(values))))[0])


def _ask_gap(
    kind: str, segment: str, inside: Mask, label: Vector, probability: Vector, code: NDArray[np.int64]
) -> BiasNote:
    """Whether the probability lies further off than for all other rows."""
    gap, rest, z = _gap_difference(inside, label, probability, code)
    problem: Problem = "under-predicted" if gap > rest else "over-predicted"
    return BiasNote(kind=kind, segment=segment, problem=problem, ours=gap, rest=rest, z=z, p=2 * _tail(abs(z)))


def _ask_areas(
    kind: str, masks: Mapping[str, Mask], label: Vector, rank: NDArray[np.int64], code: NDArray[np.int64]
) -> list[BiasNote]:
    """Whether each segment is ranked worse than the others are, each within itself.

    Not than all other rows together: these differ from segment to segment as well (a late stage wins more often than an
    early one), and to order that is easier.
    """
    areas, influence, sizes = {}, np.zeros(len(label)), {}
    for name, inside in masks.items():
        areas[name], influence[inside] = _area(label[inside], rank[inside])
        sizes[name] = float(inside.sum())
    rows = np.zeros(len(label))
    for name, inside in masks.items():
        rows[inside] = sizes[name]
    notes = []
    for name, inside in masks.items():
        others = sum(sizes.values()) - sizes[name]
        rest = sum(sizes[other] * areas[other] for other in masks if other != name) / others
        variance = _variance(np.where(inside, influence, -influence * rows / others), code)
        z = (areas[name] - rest) / variance**0.5 if variance > 0 else 0.0
        notes.append(
            BiasNote(kind=kind, segment=name, problem="ranks worse", ours=areas[name], rest=rest, z=z, p=_tail(-z))
        )
    return notes


def _tail(z: float) -> float:
    return 1.0 - NormalDist().cdf(z)


def _gap_difference(
    inside: Mask, label: Vector, probability: Vector, code: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Observed less expected rate in the segment and in the rest, and the difference over its standard error.

    Few outcomes that happen to be even fewer make the spread look small; it is never taken for smaller than the
    probabilities themselves say (the variance under the hypothesis that they are right).
    """
    residual = label - probability
    gaps = [float(residual[part].mean()) for part in (inside, ~inside)]
    sizes = [float(part.sum()) for part in (inside, ~inside)]
    influence = np.where(inside, (residual - gaps[0]) / sizes[0], -(residual - gaps[1]) / sizes[1])
    spread = probability * (1.0 - probability)
    least = sum(float(spread[part].sum()) / size**2 for part, size in zip((inside, ~inside), sizes, strict=True))
    variance = max(_variance(influence, code), least)
    return gaps[0], gaps[1], (gaps[0] - gaps[1]) / variance**0.5 if variance > 0 else 0.0


def _area(label: Vector, rank: NDArray[np.int64]) -> tuple[float, Vector]:
    """Area under the curve, and what each row's placement moves it (DeLong, DeLong and Clarke-Pearson 1988)."""
    positive = np.bincount(rank, label)
    negative = np.bincount(rank, 1.0 - label)
    wins = (np.cumsum(negative) - negative / 2.0) / negative.sum()
    losses = (positive.sum() - np.cumsum(positive) + positive / 2.0) / positive.sum()
    area = float((positive * wins).sum() / positive.sum())
    placed = np.where(label == 1, wins[rank] - area, 0.0) / positive.sum()
    return area, placed + np.where(label == 0, losses[rank] - area, 0.0) / negative.sum()


def _variance(influence: Vector, code: NDArray[np.int64]) -> float:
    sums = np.bincount(code, influence)
    entities = len(sums)
    return float((sums**2).sum() * entities / max(1, entities - 1))
