"""Outcomes told on by a first model: what a deal looked like weeks later says more than how one deal happened to end.

A deal gives one outcome and many snapshots, all with the same luck in it. So the final models learn from each snapshot
what happened in the next weeks, and from there on what a first model says of the deal as it then looked: its end is
drawn from that model, evenly spread over the deal's snapshots. That is one step of temporal-difference learning
(Sutton 1988). It is right on average where the later snapshot tells all that the earlier one does, which
`training.deals.told_on` checks on later wins; the calibration goes by what really came. On a simulated world (true
probabilities known) it took two fifths of what the luck in the outcomes cost, and the log-loss on later real outcomes
fell from 0.548 to 0.540; two weeks gave half of that.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.deals.hazards import Futures
from training.deals.outcomes import Outcomes
from training.deals.periods import N_PERIODS, PERIOD_DAYS
from training.splits import Entities

Vector = NDArray[np.float64]

STEP_DAYS = 28.0
"""What happened so long after a snapshot is taken as it was; what came later is drawn."""
_STARTS, _ENDS = np.r_[0.0, PERIOD_DAYS[:-1]], np.array(PERIOD_DAYS)
_LEAST = 1e-9
_SPREAD = np.array([(5.0**0.5 - 1.0) / 2.0, 2.0**0.5 - 1.0])


def continued(
    outcomes: Outcomes, *, as_of: NDArray[np.datetime64], entity: Entities, futures: Futures, seed: int
) -> Outcomes:
    """The outcomes, those that came later than `STEP_DAYS` replaced by what is drawn from the deal's later snapshot.

    Until when a deal was watched stays: a row per period is there or not as it was before.

    Args:
        outcomes: How the snapshots' deals ended.
        as_of: Moment of each snapshot, UTC.
        entity: Its deal.
        futures: What models that had not seen the deal say of each snapshot.
        seed: Seed of the draw.
    """
    later = later_snapshot(as_of, entity)
    draws = spread_draws(as_of, entity, np.random.default_rng(seed))
    gap = (as_of[later] - as_of) / np.timedelta64(1, "D")
    goes_on = (later >= 0) & ~(outcomes.days <= gap)
    days, won = draw_ends(futures.take(later), draws)
    return replace(
        outcomes,
        days=np.where(goes_on, gap + days, outcomes.days),
        won=np.where(goes_on, won, outcomes.won),
    )


def later_snapshot(as_of: NDArray[np.datetime64], entity: Entities) -> NDArray[np.int64]:
    """Position of each deal's first snapshot at least `STEP_DAYS` later; -1 where there is none."""
    code = np.unique(entity.astype(str), return_inverse=True)[1].astype(np.int64)
    moment = as_of.astype("datetime64[us]").astype(np.int64)
    moment -= moment.min() if len(moment) else 0
    step = int(STEP_DAYS * 86_400e6)
    # One number per snapshot that orders by deal, then by time; no deal reaches into the next one's.
    line = code * (int(moment.max(initial=0)) + step + 1) + moment
    order = np.argsort(line, kind="stable")
    place = np.searchsorted(line[order], line + step)
    found = order[np.minimum(place, len(order) - 1)]
    return np.where((place < len(order)) & (code[found] == code), found, -1)


def spread_draws(as_of: NDArray[np.datetime64], entity: Entities, generator: np.random.Generator) -> Vector:
    """Two uniform numbers per snapshot, shape (n, 2), spread evenly over the snapshots of a deal.

    A deal's snapshots look alike from week to week, so what is drawn for them is a sample from nearly the same future.
    Each deal begins at random, and goes on in steps that leave no gaps (Weyl's sequence, with the golden section and
    the root of 2, to which fractions come least near): half of the snapshots of a deal that is as likely won as lost
    are won, and luck does not come back by the draw.
    """
    names, deal = np.unique(entity.astype(str), return_inverse=True)
    order = np.lexsort((as_of.astype("datetime64[us]"), deal))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - np.searchsorted(deal[order], deal[order])
    return np.asarray((generator.random((len(names), 2))[deal] + place[:, None] * _SPREAD) % 1.0)


def draw_ends(futures: Futures, draws: Vector) -> tuple[Vector, Vector]:
    """An end of each deal, drawn: days ahead, and 1.0 won or 0.0 lost; beyond the last period it is a day later.

    Args:
        futures: What is said of each.
        draws: Two uniform numbers of each, shape (n, 2): when it ends, and how.
    """
    before, row, draw = futures.open_before, np.arange(len(futures.hazard)), draws[:, 0]
    # The deal is open after a period as long as the draw lies below what is left of it.
    period = (before[:, 1:] > draw[:, None]).sum(axis=1)
    is_beyond = period == N_PERIODS
    period = np.minimum(period, N_PERIODS - 1)
    hazard = np.clip(futures.hazard[row, period], _LEAST, 1.0 - _LEAST)
    left = np.clip(draw / np.maximum(before[row, period], _LEAST), 1.0 - hazard, 1.0)
    # Open after the share s of the period: (1 - hazard)^s.
    inside = np.clip(np.log(left) / np.log1p(-hazard), 1e-6, 1.0)
    days = np.where(is_beyond, _ENDS[-1] + 1.0, _STARTS[period] + inside * (_ENDS - _STARTS)[period])
    won = (draws[:, 1] < futures.share[row, period]).astype(np.float64)
    return days, won
