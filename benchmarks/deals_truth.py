"""What becomes of simulated deals, exactly, week by week: the simulator's own chains, for benchmarks only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse.simulator import SimulationConfig
from warehouse.simulator import parameters as p
from warehouse.simulator.deals import deal_rates
from warehouse.simulator.truth import DealTruth, _step_back
from warehouse.simulator.world import _live, _Shared


@dataclass(frozen=True)
class Truths:
    """True probabilities of snapshots on Mondays.

    Args:
        opportunity_id: The deal.
        as_of: Monday 00:00 UTC, datetime64[us].
        won: P(won within k weeks), shape (n, n_weeks + 1), k from 0.
        open: P(still open after k weeks), the same shape.
    """

    opportunity_id: np.ndarray
    as_of: np.ndarray
    won: np.ndarray
    open: np.ndarray


def truths_since(config: SimulationConfig, *, since: np.datetime64, weeks: int) -> Truths:
    """The truths of all Monday snapshots from `since` to the world's end; the world is made again in memory."""
    shared = _Shared.of(config)
    parts = [_cell(_live(shared, cell, lambda _step: None).truth, since=since, weeks=weeks) for cell in config.cells()]
    return Truths(*(np.concatenate([getattr(part, name) for part in parts]) for name in Truths.__annotations__))


def _cell(truth: DealTruth, *, since: np.datetime64, weeks: int) -> Truths:
    begin = int((since - np.datetime64(0, "us")) / np.timedelta64(1, "us"))
    rows = np.flatnonzero(~truth.history.is_opening & (truth.as_of >= begin) & (truth.as_of < truth.calendar.end))
    advance, lose = truth._calendar_factors(int(truth.first_step.max()) + weeks + 1)
    rates, first = deal_rates(truth.deals, truth.history.deal[rows]), truth.first_step[rows]
    place = (np.arange(len(rows)), truth.stage[rows], truth.history.mode[rows])

    def backwards(count: int, *, terminal: float, win_value: float) -> Any:
        value = np.full((len(rows), len(p.STAGES), 4), terminal)
        for step in range(count - 1, -1, -1):
            week = first + step
            value = _step_back(value, rates, advance=advance[week], lose=lose[week], win_value=win_value)
        return value[place]

    won = [backwards(count, terminal=0.0, win_value=1.0) for count in range(weeks + 1)]
    still = [backwards(count, terminal=1.0, win_value=0.0) for count in range(weeks + 1)]
    return Truths(
        opportunity_id=np.asarray(truth.deals.ids(truth.history.deal[rows])).astype(str),
        as_of=truth.as_of[rows].astype("datetime64[us]"),
        won=np.column_stack(won),
        open=np.column_stack(still),
    )
