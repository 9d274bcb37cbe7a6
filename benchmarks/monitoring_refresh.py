"""Recalibrating a champion again and again: where there is nothing to learn, and where the level of outcomes fell.

The champion says the true probabilities. It is recalibrated on what became known, and the gate's question is asked:
surely better in log-loss? (The gate's other checks can only keep more out.) What gets in is the champion from then
on.

*Luck.* The world stays as it is for two years, and a recalibrated champion is offered every twelve weeks: whatever
gets in does so by luck. So it does where weeks differ in their level and none stays, which asks for more than the
gate promises. *Following.* After 60 weeks the odds of every lead fall or rise, and one is offered every four weeks: how
far above the truth's the champion's expected log-loss on the new times is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

WORLDS, QUICK_WORLDS = 60, 8
WEEKS, EVERY_WEEKS, HORIZON_DAYS = 104, 12, 90
LEADS_A_WEEK, ROWS_A_LEAD = 120, 3
# How much more or less the odds of single weeks are, standard deviation in log-odds.
UNEASE = (0.0, 0.2)
FALLING_LEADS_A_WEEK, FALL_WEEK, FALLS = 55, 60, (0.4, 0.7, 1.5)
OFFERED_EVERY_WEEKS, LOOKED_AT_WEEKS = 4, (24, 36, 48, 60)
FALLING_WORLDS = 12
# None of the worlds that were looked at while the constants of `monitoring.level` were chosen.
FIRST_SEED = 300
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
    random: np.random.Generator,
    *,
    weeks: int,
    a_week: int,
    mean: float,
    fall: float = 1.0,
    fall_week: int = 0,
    unease: float = 0.0,
) -> Steady:
    """Leads that come evenly, with rows at once, after one and after two weeks; their odds may change at some week."""
    leads = a_week * weeks
    first, margin = np.sort(random.uniform(0, 7 * weeks, leads)), random.normal(mean, 1.2, leads)
    true_margin = margin + np.log(fall) * (first >= 7 * fall_week)
    if unease:
        true_margin = true_margin + random.normal(0.0, unease, weeks)[(first // 7).astype(int)]
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
    from monitoring.recalibrating import foretell
    from training.calibration import logit, sigmoid
    from training.gate.paired import compare_log_loss

    as_of = np.datetime64("2024-01-01", "us") + (world.day * 86_400e6).astype("timedelta64[us]")
    entity = world.lead.astype(str).astype(object)
    answers, learned_until = sigmoid(world.margin), as_of[0] - np.timedelta64(1, "D")
    for week in weeks:
        label = np.where(world.day <= 7 * week - HORIZON_DAYS, world.label, np.nan)
        found = foretell(as_of, entity, label, answers, learned_until=learned_until)
        if found is None:
            continue
        rows, offered = found.judged, sigmoid(logit(answers) + found.level)
        pair = compare_log_loss(found.probability, answers[rows], label[rows], entity[rows], seed=seed)
        got_in, is_other = bool(pair.at_most() < 0.0), not np.allclose(offered, answers)
        if got_in:
            answers, learned_until = offered, as_of[found.known].max()
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
    following(quick)
    held = [luck_of_refreshing(quick, unease=unease) for unease in UNEASE]
    return all(held)


def luck_of_refreshing(quick: bool, *, unease: float) -> bool:
    """Print how many challengers got in by luck, and what the champions cost in the end."""
    began, worlds = time.process_time(), QUICK_WORLDS if quick else WORLDS
    found, costs = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + worlds):
        world = simulated(np.random.default_rng(seed), weeks=WEEKS, a_week=LEADS_A_WEEK, mean=-2.4, unease=unease)
        own = list(offers(world, range(EVERY_WEEKS, WEEKS + 1, EVERY_WEEKS), seed=seed))
        found += own
        costs.append(cost(1 / (1 + np.exp(-world.margin)), own[-1].answers))
    share = float(np.mean([each.got_in for each in found]))
    print(
        f"Refreshing a champion that says the truth, {worlds} steady worlds of two years whose weeks differ by "
        f"{unease:g} in log-odds: {sum(each.got_in for each in found)} of {len(found)} recalibrated challengers got in "
        f"= {share:.1%} ({sum(each.is_other for each in found)} of them answered otherwise than the champion); "
        f"log-loss above the truth's in the end {np.mean(costs):.3%} (at most {max(costs):.2%}); "
        f"{time.process_time() - began:.0f} s of CPU"
    )
    good = share <= MOST_IN and float(np.mean(costs)) <= MOST_COST
    print(f"{'PASS' if good else 'FAIL'}: at most {MOST_IN:.0%} get in, and cost {MOST_COST:.0%} in the mean\n")
    return good


def following(quick: bool) -> None:
    """Print how far behind the champion is so many weeks after a change of the level."""
    worlds = 2 if quick else FALLING_WORLDS
    print(f"Odds change: log-loss above the truth's, mean and most of {worlds} worlds")
    print(f"{'times':<8}{'untouched':>12}" + "".join(f"{f'after {week} weeks':>22}" for week in LOOKED_AT_WEEKS))
    for fall in FALLS:
        behind = np.array([behind_after(fall, seed) for seed in range(FIRST_SEED, FIRST_SEED + worlds)])
        shown = zip(behind.mean(axis=0)[1:], behind.max(axis=0)[1:], strict=True)
        cells = "".join(f"{f'{mean:.1%} ({most:.1%})':>22}" for mean, most in shown)
        print(f"{fall:<8g}{behind[:, 0].mean():>12.1%}{cells}", flush=True)


def behind_after(fall: float, seed: int) -> list[float]:
    """How far behind an untouched champion is, and this one at each of `LOOKED_AT_WEEKS`, on leads of the new times."""
    last = FALL_WEEK + max(LOOKED_AT_WEEKS)
    world = simulated(
        np.random.default_rng([seed, 1]),
        weeks=last,
        a_week=FALLING_LEADS_A_WEEK,
        mean=-2.8,
        fall=fall,
        fall_week=FALL_WEEK,
    )
    truth = 1 / (1 + np.exp(-world.margin - np.log(fall)))
    untouched = cost(truth, 1 / (1 + np.exp(-world.margin)))
    behind = dict.fromkeys(LOOKED_AT_WEEKS, untouched)
    for each in offers(world, range(FALL_WEEK + 8, last + 1, OFFERED_EVERY_WEEKS), seed=seed):
        behind |= {week: cost(truth, each.answers) for week in LOOKED_AT_WEEKS if each.week <= FALL_WEEK + week}
    return [untouched, *behind.values()]
