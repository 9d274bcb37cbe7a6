"""The pace of what becomes of open things, week by week: in weeks without a shift, and in worlds that change."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from benchmarks.monitoring_worlds import simulated_warehouse

MOST_FALSE = 0.05
# What a thing does in a week (moved, won, lost) in two places, as deals of the simulator do.
PACE = np.array([[0.16, 0.01, 0.06], [0.10, 0.06, 0.05]])
QUIET_SEEDS = (7, 8, 9)


def pace_population(random: np.random.Generator, weeks: int, things: int, *, week: float) -> Any:
    """What becomes of so many open things, week by week; `week` moves what the things of one week have in common."""
    from monitoring.pace import Weeks

    rates = np.clip(PACE * np.exp(random.normal(0, week, (weeks, 1, 3))), 0, 0.3)
    rates = np.concatenate([rates, 1 - rates.sum(axis=2, keepdims=True)], axis=2)
    return Weeks(things=np.full((weeks, 2), things / 2), events=random.multinomial(things // 2, rates)[:, :, :3] * 1.0)


def pace_rings(random: np.random.Generator, things: int, *, week: float) -> bool:
    """Whether the pace of a week without shift rings, with a year and a half of weeks as reference."""
    from monitoring.pace import compare_pace

    past, newest = (pace_population(random, count, things, week=week) for count in (80, 8))
    pace = compare_pace(past, newest)
    return pace is not None and pace.rings


def quiet_weeks(*, quick: bool) -> bool:
    """Weeks of quiet simulated worlds whose pace rings."""
    good = True
    for task in ("deal", "lead"):
        seeds = QUIET_SEEDS[: 1 if quick else None]
        rung = [rang for seed in seeds for rang in quiet_paces(seed, task, quick=quick)]
        share = sum(rung) / len(rung)
        print(
            f"Pace of the quiet simulator's {task}s, seeds {seeds}: {sum(rung)} of {len(rung)} weeks = {share:.1%} ring"
        )
        good &= share <= MOST_FALSE
    print(f"{'PASS' if good else 'FAIL'}: at most {MOST_FALSE:.0%}\n")
    return good


def quiet_paces(seed: int, task: str, *, quick: bool) -> list[bool]:
    """Whether each week of the last year of a quiet world rings."""
    from warehouse.simulator import SimulationConfig

    config = SimulationConfig(years=3, seed=seed, leads=6_000 if quick else 20_000, deals=1_800 if quick else 6_000)
    with simulated_warehouse(config) as (_, warehouse, _):
        return [rang for _, rang in paces(warehouse, task, change=config.change, end=config.end)]


def paces(warehouse: Any, task: str, *, change: datetime, end: datetime) -> list[tuple[float, bool]]:
    """Weeks from the change to the end of each week, from eight weeks before it, and whether the week's pace rings."""
    from monitoring.pace import MOST_WEEKS, compare_pace, split_weeks, weekly_pace

    weeks, found = weekly_pace(warehouse, task=task, end=end, most=MOST_WEEKS + 60), []
    learned_until = change - timedelta(weeks=8)
    for ago in range(59, -1, -1):
        at = end - timedelta(weeks=ago)
        if at > learned_until:
            known = weeks.rows(slice(None, len(weeks) - ago))
            past, newest = split_weeks(known, end=at, learned_until=learned_until)
            pace = compare_pace(past, newest)
            found.append(((at - change) / timedelta(weeks=1), pace is not None and pace.rings))
    return found
