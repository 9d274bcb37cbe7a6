"""What a score would have done in the newest weeks of the test period: each week the team works the best it has.

A lead or deal stands in the queue of a week when it had a moment to be scored in it, and was not worked before; its
newest row of the week says its score and its outcome. Nothing is known about what working it would have changed: the
figures say how many of the outcomes that came would have been on the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.capacity import CHANCE
from training.resampling import entity_codes, interval, resample
from training.results import Metric

Vector = NDArray[np.float64]
Rows = NDArray[np.int64]

WEEKS = 13
_WEEK, _DAY = np.timedelta64(7, "D"), np.timedelta64(1, "D")
_CHANCE_RUNS = 40
_REPLICATES = 200


@dataclass(frozen=True, kw_only=True)
class Week:
    """One week.

    Args:
        start: Its first day, ISO 8601.
        queue: Leads or deals that had a moment to be scored in the week, worked before or not.
        caught: Outcomes among those worked, by order; chance is a mean.
    """

    start: str
    queue: int
    caught: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The weeks and what they add up to.

    Args:
        start: First day, ISO 8601.
        end: Last day, ISO 8601.
        per_week: Most that the team works in a week.
        worked: Leads or deals worked by the first order in all.
        entities: Leads or deals that stood in the queue.
        outcomes: Those of them that had the outcome.
        weeks: The weeks, oldest first.
        totals: Outcomes caught in all, by order; for chance with the middle 95 % of its runs.
        ahead: What the first order caught beyond each other one, with a 95 % interval by entity.
    """

    start: str
    end: str
    per_week: int
    worked: int
    entities: int
    outcomes: int
    weeks: tuple[Week, ...]
    totals: Mapping[str, Metric]
    ahead: Mapping[str, Metric]


def replay_quarter(
    label: Vector,
    orders: Mapping[str, Vector],
    *,
    entity: NDArray[Any],
    as_of: NDArray[np.datetime64],
    capacity: float,
    seed: int,
) -> Replay | None:
    """Replay the newest quarter of a test period, or all of it where it is shorter.

    Args:
        label: 0 or 1 per row.
        orders: Scores to work by, highest first, by name; the first is the one in question.
        entity: Lead or deal of each row.
        as_of: Moment of each row.
        capacity: Below 1 a share of the leads or deals that come in, from 1 on a number a week.
        seed: Seed of chance, and of the order within ties.

    Returns:
        None where the rows do not fill two weeks.
    """
    if not len(label):
        return None
    end = as_of.max()
    weeks = min(WEEKS, int((end - as_of.min()) / _WEEK) + 1)
    if weeks < 2:
        return None
    start = end - weeks * _WEEK
    code = entity_codes(np.asarray(entity))
    queues = _queues(code, as_of, start=start, weeks=weeks)
    queued = np.concatenate(queues)
    in_queue = np.unique(code[queued])
    per_week = round(capacity) if capacity >= 1 else max(1, round(capacity * len(in_queue) / weeks))
    generator = np.random.default_rng(seed)

    def work(score: Vector | None) -> list[Rows]:
        return _work(queues, code, score, per_week=per_week, generator=generator)

    picks = {name: work(score) for name, score in orders.items()}
    chances = [work(None) for _ in range(_CHANCE_RUNS)]
    by_chance = np.array([[label[rows].sum() for rows in picked] for picked in chances])
    caught = {name: [float(label[rows].sum()) for rows in picked] for name, picked in picks.items()}
    totals = {name: Metric(sum(found)) for name, found in caught.items()}
    caught[CHANCE] = by_chance.mean(axis=0).tolist()
    totals[CHANCE] = Metric(sum(caught[CHANCE]), *(interval(by_chance.sum(axis=1)) or (None, None)))
    taken = {name: np.concatenate(picked) for name, picked in picks.items()}
    return Replay(
        start=_day(start + _DAY),
        end=_day(end),
        per_week=per_week,
        worked=len(next(iter(taken.values()))),
        entities=len(in_queue),
        outcomes=len(np.unique(code[queued[label[queued] == 1]])),
        weeks=tuple(
            Week(
                start=_day(start + index * _WEEK + _DAY),
                queue=len(queues[index]),
                caught={name: found[index] for name, found in caught.items()},
            )
            for index in range(weeks)
        ),
        totals=totals,
        ahead=_ahead(label, taken, code, in_queue, by_chance=sum(caught[CHANCE]), seed=seed),
    )


def _day(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[D]"))


def _queues(code: Rows, as_of: NDArray[np.datetime64], *, start: np.datetime64, weeks: int) -> list[Rows]:
    """Rows in each week's queue: the newest row of each entity in that week."""
    recent = np.argsort(as_of, kind="stable")
    recent = recent[as_of[recent] > start]
    week = np.ceil((as_of[recent] - start) / _WEEK).astype(np.int64) - 1
    queues = []
    for index in range(weeks):
        newest_first = recent[week == index][::-1]
        queues.append(newest_first[np.unique(code[newest_first], return_index=True)[1]])
    return queues


def _work(
    queues: list[Rows], code: Rows, score: Vector | None, *, per_week: int, generator: np.random.Generator
) -> list[Rows]:
    """Rows worked in each week: the highest scores, in any order within ties; without a score, any."""
    is_done = np.zeros(int(code.max()) + 1, dtype=bool)
    picked = []
    for queue in queues:
        rows = queue[~is_done[code[queue]]]
        chosen = generator.permutation(rows)
        if score is not None:
            chosen = chosen[np.argsort(-score[chosen], kind="stable")]
        chosen = chosen[:per_week]
        is_done[code[chosen]] = True
        picked.append(chosen)
    return picked


def _ahead(
    label: Vector, taken: Mapping[str, Rows], code: Rows, in_queue: Rows, *, by_chance: float, seed: int
) -> dict[str, Metric]:
    """Outcomes of the first order beyond each other one; entities are drawn, the choice of whom to work stays."""
    drawn = resample(in_queue, replicates=_REPLICATES, seed=seed)
    size = int(code.max()) + 1
    caught = [np.bincount(code[rows], label[rows], minlength=size)[in_queue] for rows in taken.values()]
    first, *others = [found.astype(np.float64) for found in caught]

    def metric(difference: Vector, less: float = 0.0) -> Metric:
        ends = interval(drawn.sums(difference)[0] - less)
        return Metric(float(difference.sum()) - less, *(ends or (None, None)))

    ahead = {name: metric(first - other) for name, other in zip(list(taken)[1:], others, strict=True)}
    ahead[CHANCE] = metric(first, by_chance)
    return ahead
