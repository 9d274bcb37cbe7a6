"""Recalibrating a champion again and again: where there is nothing to learn, and where the level of outcomes fell.

The champion says the true probabilities. It is recalibrated on what became known, and the gate's question is asked:
surely better in log-loss? (The gate's other checks can only keep more out.) What gets in is the champion from then
on.

*Luck.* The world stays as it is for two years, and a recalibrated champion is offered every twelve weeks: whatever
gets in does so by luck. *Following.* After 60 weeks the odds of every lead fall to 0.4 of what they were, and one is
offered every four weeks: how far above the truth's the champion's expected log-loss on the new times is, by how many
leads of the rarer outcome may judge at most. How many do so in the product was chosen on these worlds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

WORLDS, QUICK_WORLDS = 60, 8
WEEKS, EVERY_WEEKS, HORIZON_DAYS = 104, 12, 90
LEADS_A_WEEK, ROWS_A_LEAD = 120, 3
FALLING_LEADS_A_WEEK, FALL_WEEK, FALL = 55, 60, float(np.log(0.4))
OFFERED_EVERY_WEEKS, LOOKED_AT_WEEKS = 4, (24, 36, 48, 60)
FALLING_WORLDS, JUDGING = 6, (100, 50, 25)
MOST_IN = 0.05
# How much worse than the truth the champion may be in the end, as a share of the log-loss.
MOST_COST = 0.01


@dataclass(frozen=True, kw_only=True)
class Steady:
    """Two years of leads: moment in days, lead, margin of the true probability and outcome of each row."""

    day: np.ndarray
    lead: np.ndarray
    margin: np.ndarray
    label: np.ndarray


def simulated(
    random: np.random.Generator, *, weeks: int, a_week: int, mean: float, fall_week: int | None = None
) -> Steady:
    """Leads that come evenly, with rows at once, after one and after two weeks; their odds may fall at some week."""
    leads = a_week * weeks
    first, margin = np.sort(random.uniform(0, 7 * weeks, leads)), random.normal(mean, 1.2, leads)
    true_margin = margin if fall_week is None else margin + FALL * (first >= 7 * fall_week)
    label = (random.random(leads) < 1 / (1 + np.exp(-true_margin))).astype(float)
    rows = np.repeat(np.arange(leads), ROWS_A_LEAD)
    day = first[rows] + np.tile(7.0 * np.arange(ROWS_A_LEAD), leads)
    order = np.argsort(day, kind="stable")
    rows = rows[order]
    return Steady(day=day[order], lead=rows, margin=margin[rows], label=label[rows])


@dataclass(frozen=True, kw_only=True)
class Offered:
    """One offer: its week, whether it got in, whether it answers otherwise, and what the champion then answers."""

    week: int
    got_in: bool
    is_other: bool
    answers: np.ndarray


def offers(world: Steady, weeks: range, *, seed: int) -> Iterator[Offered]:
    """Recalibrate the champion at each of some weeks, where enough is known, and ask the gate's question."""
    from monitoring.recalibrating import divide
    from training.calibration import choose_calibration
    from training.gate.paired import compare_log_loss

    as_of = np.datetime64("2024-01-01", "us") + (world.day * 86_400e6).astype("timedelta64[us]")
    entity = world.lead.astype(str).astype(object)
    answers, learned_until = 1 / (1 + np.exp(-world.margin)), 0.0
    for week in weeks:
        known = np.flatnonzero((world.day > learned_until) & (world.day <= 7 * week))
        label = np.where(world.day[known] <= 7 * week - HORIZON_DAYS, world.label[known], np.nan)
        division = divide(as_of[known], entity[known], label) if np.isfinite(label).any() else None
        if division is None:
            continue
        learned, judged = known[division.learned], known[division.judged]
        calibration, _ = choose_calibration(world.margin[learned], world.label[learned])
        offered = calibration.apply(world.margin)
        found = compare_log_loss(offered[judged], answers[judged], world.label[judged], entity[judged], seed=seed)
        got_in, is_other = bool(found.at_most() < 0.0), not np.allclose(offered, answers)
        if got_in:
            answers, learned_until = offered, float(world.day[learned].max())
        yield Offered(week=week, got_in=got_in, is_other=is_other, answers=answers)


def expected_loss(truth: np.ndarray, answers: np.ndarray) -> float:
    """Mean log-loss that the truth expects."""
    told = np.clip(answers, 1e-9, 1 - 1e-9)
    return float(-(truth * np.log(told) + (1 - truth) * np.log1p(-told)).mean())


def cost(truth: np.ndarray, answers: np.ndarray) -> float:
    """The share by which the expected log-loss of answers is above the truth's."""
    return expected_loss(truth, answers) / expected_loss(truth, truth) - 1


def refreshing(quick: bool) -> bool:
    """Print both; the first has bars."""
    following_a_fall(quick)
    return luck_of_refreshing(quick)


def luck_of_refreshing(quick: bool) -> bool:
    """Print how many challengers got in by luck, and what the champions cost in the end."""
    began, worlds = time.process_time(), QUICK_WORLDS if quick else WORLDS
    found, costs = [], []
    for seed in range(worlds):
        world = simulated(np.random.default_rng(seed), weeks=WEEKS, a_week=LEADS_A_WEEK, mean=-2.4)
        own = list(offers(world, range(EVERY_WEEKS, WEEKS + 1, EVERY_WEEKS), seed=seed))
        found += own
        costs.append(cost(1 / (1 + np.exp(-world.margin)), own[-1].answers))
    share = float(np.mean([each.got_in for each in found]))
    print(
        f"Refreshing a champion that says the truth, {worlds} steady worlds of two years: "
        f"{sum(each.got_in for each in found)} of {len(found)} recalibrated challengers got in = {share:.1%} "
        f"({sum(each.is_other for each in found)} of them answered otherwise than the champion); log-loss above the "
        f"truth's in the end {np.mean(costs):.3%} (at most {max(costs):.2%}); "
        f"{time.process_time() - began:.0f} s of CPU"
    )
    good = share <= MOST_IN and float(np.mean(costs)) <= MOST_COST
    print(f"{'PASS' if good else 'FAIL'}: at most {MOST_IN:.0%} get in, and cost {MOST_COST:.0%} in the mean\n")
    return good


def following_a_fall(quick: bool) -> None:
    """Print how far behind the champion is so many weeks after a fall, by how many may judge."""
    worlds = 2 if quick else FALLING_WORLDS
    print(f"Odds fall to 0.4: log-loss above the truth's, mean and most of {worlds} worlds")
    print(f"{'may judge':<12}" + "".join(f"{f'after {week} weeks':>22}" for week in LOOKED_AT_WEEKS))
    for judging in JUDGING:
        with patch("monitoring.recalibrating.MOST_JUDGING", judging):
            behind = np.array([behind_after_a_fall(seed) for seed in range(worlds)])
        shown = zip(behind.mean(axis=0), behind.max(axis=0), strict=True)
        print(f"{judging:<12}" + "".join(f"{f'{mean:.1%} ({most:.1%})':>22}" for mean, most in shown), flush=True)


def behind_after_a_fall(seed: int) -> list[float]:
    """How far behind the champion is at each of `LOOKED_AT_WEEKS` after the fall, on leads of the new times."""
    last = FALL_WEEK + max(LOOKED_AT_WEEKS)
    world = simulated(
        np.random.default_rng([seed, 1]), weeks=last, a_week=FALLING_LEADS_A_WEEK, mean=-2.8, fall_week=FALL_WEEK
    )
    truth = 1 / (1 + np.exp(-world.margin - FALL))
    behind = {week: cost(truth, 1 / (1 + np.exp(-world.margin))) for week in LOOKED_AT_WEEKS}
    for each in offers(world, range(FALL_WEEK + 8, last + 1, OFFERED_EVERY_WEEKS), seed=seed):
        behind |= {week: cost(truth, each.answers) for week in LOOKED_AT_WEEKS if each.week <= FALL_WEEK + week}
    return [behind[week] for week in LOOKED_AT_WEEKS]
