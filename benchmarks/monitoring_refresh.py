"""Refreshing where there is nothing to learn: how often luck lets a recalibrated champion in, and what that costs.

The champion says the true probabilities, and the world stays as it is. Every twelve weeks, for two years, it is
recalibrated on what became known, and the gate's question is asked: surely better in log-loss? (The gate's other checks
can only keep more out.) Whatever gets in does so by luck, and is the champion from then on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

WORLDS, QUICK_WORLDS = 60, 8
WEEKS, EVERY_WEEKS, HORIZON_DAYS = 104, 12, 90
LEADS_A_WEEK, ROWS_A_LEAD = 120, 3
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


def steady_world(random: np.random.Generator) -> Steady:
    """Leads that come evenly, with rows at once, after one and after two weeks; one in eight or so converts."""
    leads = LEADS_A_WEEK * WEEKS
    first, margin = np.sort(random.uniform(0, 7 * WEEKS, leads)), random.normal(-2.4, 1.2, leads)
    label = (random.random(leads) < 1 / (1 + np.exp(-margin))).astype(float)
    rows = np.repeat(np.arange(leads), ROWS_A_LEAD)
    day = first[rows] + np.tile(7.0 * np.arange(ROWS_A_LEAD), leads)
    order = np.argsort(day, kind="stable")
    rows = rows[order]
    return Steady(day=day[order], lead=rows, margin=margin[rows], label=label[rows])


def refreshes(seed: int) -> tuple[list[bool], int, float]:
    """Whether each challenger got in, how many answered otherwise than the champion, and what that costs in the end.

    The cost is the share by which the last champion's expected log-loss is above the truth's.
    """
    from monitoring.recalibrating import divide
    from training.calibration import choose_calibration
    from training.gate.paired import compare_log_loss

    world = steady_world(np.random.default_rng(seed))
    truth = 1 / (1 + np.exp(-world.margin))
    as_of = np.datetime64("2024-01-01", "us") + (world.day * 86_400e6).astype("timedelta64[us]")
    entity = world.lead.astype(str).astype(object)
    answers, learned_until, got_in, others = truth, 0.0, [], 0
    for week in range(EVERY_WEEKS, WEEKS + 1, EVERY_WEEKS):
        known = np.flatnonzero((world.day > learned_until) & (world.day <= 7 * week))
        label = np.where(world.day[known] <= 7 * week - HORIZON_DAYS, world.label[known], np.nan)
        division = divide(as_of[known], entity[known], label) if np.isfinite(label).any() else None
        if division is None:
            continue
        learned, judged = known[division.learned], known[division.judged]
        calibration, _ = choose_calibration(world.margin[learned], world.label[learned])
        offered = calibration.apply(world.margin)
        found = compare_log_loss(offered[judged], answers[judged], world.label[judged], entity[judged], seed=seed)
        others += not np.allclose(offered, answers)
        got_in.append(bool(found.at_most() < 0.0))
        if got_in[-1]:
            answers, learned_until = offered, float(world.day[learned].max())
    return got_in, others, expected_loss(truth, answers) / expected_loss(truth, truth) - 1


def expected_loss(truth: np.ndarray, answers: np.ndarray) -> float:
    """Mean log-loss that the truth expects."""
    told = np.clip(answers, 1e-9, 1 - 1e-9)
    return float(-(truth * np.log(told) + (1 - truth) * np.log1p(-told)).mean())


def luck_of_refreshing(quick: bool) -> bool:
    """Print how many challengers got in by luck, and what the champions cost in the end."""
    began, worlds = time.process_time(), QUICK_WORLDS if quick else WORLDS
    found = [refreshes(seed) for seed in range(worlds)]
    got_in = [one for each, _, _ in found for one in each]
    others, costs = sum(other for _, other, _ in found), np.array([cost for _, _, cost in found])
    share, most = float(np.mean(got_in)), float(costs.max())
    print(
        f"Refreshing a champion that says the truth, {worlds} steady worlds of two years: {sum(got_in)} of "
        f"{len(got_in)} recalibrated challengers got in = {share:.1%} ({others} of them answered otherwise than the "
        f"champion); log-loss above the truth's in the end "
        f"{costs.mean():.3%} (at most {most:.2%}); {time.process_time() - began:.0f} s of CPU"
    )
    good = share <= MOST_IN and float(costs.mean()) <= MOST_COST
    print(f"{'PASS' if good else 'FAIL'}: at most {MOST_IN:.0%} get in, and cost {MOST_COST:.0%} in the mean\n")
    return good
