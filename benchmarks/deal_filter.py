"""What the best possible reader of a CRM could say of the simulated deals: the bound of every deal model.

The truth (warehouse/simulator/truth.py) conditions on a deal's momentum, on who competes and whether a rival has
appeared, and on the part of its quality that is noise; no column holds these. This reader has none of them, but knows
all that can be known besides, and more than any CRM shows or any model could learn: every rate that the simulator is
made of, the calendar and what it will bring, the company's profile as it truly is, the quality of the lead that the
deal came from, its first rep's skill, optimism and diligence; and every sign that a deal gives, at once: moves between
stages, close dates and next steps as they are entered, whether the two sides talk as agreed, every activity with its
direction and outcome, the reply to each mail, how many met, the competitor where one is named, and what the rep
believes, to the last digit. From these it forms the exact distribution of what is hidden by Bayes' rule, week by week
(the forward algorithm, Rabiner 1989), the noise on the nodes of a Gauss-Hermite quadrature, and from that the
probability of a win. So in expectation no model of what a CRM shows ranks deals better or has a lower log-loss.

What it is told that no CRM shows in full makes it better than any reader can be: the bound is generous. It lies above
the truth of the matter by what the rep's and the lead's hidden sides are worth, by entries that are late or missing,
by replies and talks that count from the day of what they answer, and by the last digits of what a rep believes. What it
does not look at says nothing of what is hidden once the rest is known: amounts after the opening, contacts, minutes,
moments within the week, other deals of the rep or the company. Nothing is left out that would make it worse. The
world has to be a steady one, because a change of regime is foreseen by the calendar but not by the reps.

Moves between stages, close dates, next steps and competitors named are those of the tables. Activities and beliefs
are drawn anew for the deals' own hidden states, by the same rates: of the same kind and the same worth, though not the
same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from warehouse.contracts import ACTIVITY_KINDS
from warehouse.simulator import SimulationConfig
from warehouse.simulator import parameters as p
from warehouse.simulator.deals import STALLED, WON, DealRates, Deals, deal_rates
from warehouse.simulator.moments import DAY, worked_share
from warehouse.simulator.organisation import Reps
from warehouse.simulator.pursuit import DealHistory
from warehouse.simulator.truth import DealTruth, _step_back
from warehouse.simulator.world import _live, _Shared

NODES = 7
"""Values of the noise in a deal's quality that are reckoned with."""
WEEKS = 26
"""A win counts within so many weeks."""
_MODES = 4
_KNOWN = 2
_BLOCK = 2_048
_EMAIL, _CALL, _MEETING, _DEMO, _TASK = range(len(ACTIVITY_KINDS))
_FEAR, _FEAR_DAYS = 0.06, (20, 60)
_PULLED_DAYS = (10, 35)
_SLIP_DAYS = 20


@dataclass(frozen=True)
class Reading:
    """What the reader says at every Monday on which a deal is open, beside the truth.

    Args:
        opportunity_id: The deal.
        as_of: Monday 00:00 UTC, datetime64[us].
        stage: Number of the stage it is in.
        truth: True P(won within WEEKS weeks).
        said: The reader's.
    """

    opportunity_id: np.ndarray
    as_of: np.ndarray
    stage: np.ndarray
    truth: np.ndarray
    said: np.ndarray


@dataclass(frozen=True)
class _Scene:
    """A world's deals as they are and as they might be.

    Args:
        reps: Who works them.
        truth: The deals, their history and the calendar.
        suspects: The deals as they might be, one for each case of what is hidden and stays.
        chance: Chance of each case, shape (V,).
        competes: Who competes in each case and mode, shape (V, 4).
    """

    reps: Reps
    truth: DealTruth
    suspects: list[Deals]
    chance: Any
    competes: Any


def best_reader(config: SimulationConfig, *, seed: int) -> Reading:
    """The best reader's P(won within WEEKS weeks) at all Mondays of all deals.

    Args:
        config: The world, a steady one.
        seed: Of the signs that are drawn anew.
    """
    if config.scenario != "steady":
        raise ValueError("The reader knows steady worlds alone: reps do not foresee a change of regime.")
    shared, rng = _Shared.of(config), np.random.default_rng(seed)
    parts = [_read(_scene(shared.reps, _live(shared, cell, lambda _: None).truth), rng) for cell in config.cells()]
    return Reading(*(np.concatenate([getattr(part, name) for part in parts]) for name in Reading.__annotations__))


def _scene(reps: Reps, truth: DealTruth) -> _Scene:
    """All that a deal may hide: its noise, who competes, and where nobody does, who would appear."""
    deals, share = truth.deals, p.COMPETITOR_SHARE
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    rivals = share[1:] / share[1:].sum()
    cases = [(who, 1, share[who]) for who in range(1, len(share))]
    cases += [(0, 1 + number, share[0] * chance) for number, chance in enumerate(rivals)]
    bare = deals.quality - deals.noise - p.COMPETITOR_EFFECT[deals.competitor]
    suspects, chances, competes = [], [], []
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        for who, rival, chance in cases:
            quality = bare + p.COMPETITOR_EFFECT[who] + p.DEAL_LATENT_SD * node
            everywhere = {"competitor": np.full(deals.count, who), "rival": np.full(deals.count, rival)}
            suspects.append(replace(deals, quality=quality, **everywhere))
            chances.append(weight * chance)
            competes.append([who, who, *([who or rival] * 2)])
    return _Scene(reps, truth, suspects, np.array(chances), np.array(competes))


def _read(scene: _Scene, rng: np.random.Generator) -> Reading:
    """The forward algorithm over the deals' ages, all deals of an age at once."""
    truth, history = scene.truth, scene.truth.history
    first = np.flatnonzero(history.is_opening)
    rows = np.diff(np.r_[first, len(history.deal)])
    soon, ever = _by_suspect(scene, _wins_soon), _by_suspect(scene, _wins_ever)
    moods, chances = _moods(scene, rng), _Chances.of(scene)
    said = np.full(len(history.deal), np.nan)
    belief = _at_opening(scene, len(first))
    for age in range(int(rows.max())):
        if age:
            now = np.flatnonzero(rows > age)
            said[first[now] + age] = (belief[now].sum(axis=2) * soon[first[now] + age]).sum(axis=(1, 2))
        goes_on = np.flatnonzero(rows > age + 1)
        at = first[goes_on] + age
        seen = belief[goes_on] * _likelihood(moods[at])[:, None, None, :]
        if age:
            seen = _found_out(seen * chances.moved(truth, at)[:, :, None, :], truth.stage[at])
        seen = seen * _named(scene, history.competitor[at])
        seen = _next_moods(seen, chances, history.deal[at]) if age else seen
        seen = seen * _believed(truth, ever, at, rng)[:, :, None, :]
        belief[goes_on] = seen / seen.sum(axis=(1, 2, 3), keepdims=True)
    asked = np.flatnonzero(~history.is_opening & (truth.as_of < truth.calendar.end))
    return Reading(
        opportunity_id=np.asarray(truth.deals.ids(history.deal[asked])).astype(str),
        as_of=truth.as_of[asked].astype("datetime64[us]"),
        stage=truth.stage[asked],
        truth=_wins_soon(truth, truth.deals)[asked, history.mode[asked]],
        said=said[asked],
    )


def _at_opening(scene: _Scene, deals: int) -> Any:
    """Chances of case, of whether the rep knows who competes, and of mode: shape (n, V, 2, 4)."""
    mode = np.array([1.0 - p.STALLED_AT_OPENING, p.STALLED_AT_OPENING, 0.0, 0.0])
    known = np.array([1.0 - p.COMPETITOR_KNOWN_AT_OPENING, p.COMPETITOR_KNOWN_AT_OPENING])
    one = scene.chance[:, None, None] * known[:, None] * mode
    return np.repeat(one[None], deals, axis=0)


def _likelihood(logarithms: Any) -> Any:
    """By mode, from logarithms by whether the deal is stalled, shape (n, 2)."""
    return np.exp(logarithms - logarithms.max(axis=1, keepdims=True))[:, [0, 1, 0, 1]]


def _by_suspect(scene: _Scene, values: Any) -> Any:
    """Values of each row of the history in each case and mode, shape (n, V, 4), in single precision."""
    found = np.empty((len(scene.truth.history.deal), len(scene.suspects), _MODES), np.float32)
    for number, deals in enumerate(scene.suspects):
        found[:, number] = values(scene.truth, deals)
    return found


def _wins_soon(truth: DealTruth, deals: Deals) -> Any:
    """P(won within WEEKS weeks) of each row in each mode, were the deals these; shape (n, 4)."""
    advance, lose = truth._calendar_factors(int(truth.first_step.max()) + WEEKS + 1)
    found = np.empty((len(truth.as_of), _MODES), np.float32)
    for begin in range(0, len(found), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(found)))
        rates = _single(deal_rates(deals, truth.history.deal[rows]))
        value = np.zeros((len(rows), len(p.STAGES), _MODES), np.float32)
        for step in range(WEEKS - 1, -1, -1):
            week = truth.first_step[rows] + step
            factors = {"advance": advance[week].astype(np.float32), "lose": lose[week].astype(np.float32)}
            value = _step_back(value, rates, **factors, win_value=1.0)
        found[rows] = value[np.arange(len(rows)), truth.stage[rows]]
    return found


def _wins_ever(truth: DealTruth, deals: Deals) -> Any:
    """P(ever won), in the same way: what a rep's belief is drawn to."""
    history, calendar = truth.history, truth.calendar
    opening = calendar.week_of(deals.opened)
    age = truth.first_step - opening[history.deal]
    order = np.argsort(age, kind="stable")
    bounds = np.searchsorted(age[order], np.arange(p.DEAL_WEEKS + 2))
    advance, lose = truth._calendar_factors(int(opening.max()) + p.DEAL_WEEKS + 1)
    rates = _single(deal_rates(deals, np.arange(deals.count)))
    value = np.zeros((deals.count, len(p.STAGES), _MODES), np.float32)
    found = np.zeros((len(age), _MODES), np.float32)
    for weeks_old in range(p.DEAL_WEEKS - 1, 0, -1):
        week = opening + weeks_old
        factors = {"advance": advance[week].astype(np.float32), "lose": lose[week].astype(np.float32)}
        value = _step_back(value, rates, **factors, win_value=1.0)
        rows = order[bounds[weeks_old] : bounds[weeks_old + 1]]
        found[rows] = value[history.deal[rows], truth.stage[rows]]
    return found


def _single(rates: DealRates) -> DealRates:
    return DealRates(**{name: values.astype(np.float32) for name, values in vars(rates).items()})


@dataclass(frozen=True)
class _Chances:
    """Every case's chances per week; arrays by deal and case, then as in DealRates; the calendar's factors by week."""

    advance: Any
    lose: Any
    stall: Any
    revive: Any
    enter: Any
    by_week: tuple[Any, Any]

    @classmethod
    def of(cls, scene: _Scene) -> _Chances:
        every = np.arange(scene.truth.deals.count)
        rates = [_single(deal_rates(deals, every)) for deals in scene.suspects]
        stacked = {name: np.stack([vars(each)[name] for each in rates], axis=1) for name in vars(rates[0])}
        return cls(**stacked, by_week=scene.truth._calendar_factors(int(scene.truth.first_step.max()) + 1))

    def moved(self, truth: DealTruth, at: Any) -> Any:
        """Likelihood of where each deal's step led, of those that stay open; shape (n, V, 4)."""
        history = truth.history
        deal, before, after, week = history.deal[at], history.stage[at], history.after[at], history.week[at]
        advance, lose = self.by_week
        row = np.arange(len(at))
        factors = advance[week, before][:, None, None], lose[week][:, None, None]
        forward = np.minimum(self.advance[deal][row, :, before] * factors[0], p.MOST_ADVANCE)
        lost = np.minimum(self.lose[deal][row, :, before] * factors[1], p.MOST_LOSE)
        back = p.DEAL_REGRESS[before][:, None, None]
        step = (after - before)[:, None, None]
        return np.where(step > 0, forward, np.where(step < 0, back, 1.0 - forward - lost - back))


def _found_out(belief: Any, stage: Any) -> Any:
    """From Qualification on, a rep may learn who competes."""
    learns = np.where(stage >= 1, p.COMPETITOR_FOUND_PER_WEEK, 0.0)[:, None, None]
    return np.stack([belief[:, :, 0] * (1.0 - learns), belief[:, :, 1] + learns * belief[:, :, 0]], axis=2)


def _named(scene: _Scene, competitor: Any) -> Any:
    """Likelihood of the name that the CRM shows, none included; shape (n, V, 2, 4)."""
    shown = competitor[:, None, None]
    unknown = np.broadcast_to(shown == 0, (len(competitor), *scene.competes.shape))
    return np.stack([unknown, scene.competes == shown], axis=2).astype(np.float64)


def _next_moods(belief: Any, chances: _Chances, deal: Any) -> Any:
    """Momentum is lost or found; a rival may appear, and nobody knows him then."""
    moved = np.empty_like(belief)
    for rival in (0, 1):
        going, stalled = belief[..., 2 * rival], belief[..., 2 * rival + STALLED]
        stall, revive = (rate[deal, :, None, rival] for rate in (chances.stall, chances.revive))
        moved[..., 2 * rival] = going * (1.0 - stall) + stalled * revive
        moved[..., 2 * rival + STALLED] = stalled * (1.0 - revive) + going * stall
    comes = chances.enter[deal][:, :, None] * moved[..., :2].sum(axis=2)
    moved[..., :2] *= 1.0 - chances.enter[deal][:, :, None, None]
    moved[:, :, 0, 2:] += comes
    return moved


def _believed(truth: DealTruth, ever: Any, at: Any, rng: np.random.Generator) -> Any:
    """Likelihood of what the rep believes after the step, where that is thought over; shape (n, V, 4)."""
    history = truth.history
    known, noise = truth.won_ever[at + 1], rng.normal(0.0, p.PERCEPTION_SD, len(at))
    again = rng.random(len(at)) < p.PERCEPTION_REFRESH
    fresh = history.is_opening[at] | (history.after[at] != history.stage[at]) | again
    gap = p.PERCEPTION_WEIGHT * (known[:, None, None] - ever[at + 1]) + noise[:, None, None]
    return np.where(fresh[:, None, None], np.exp(-0.5 * (gap / p.PERCEPTION_SD) ** 2), 1.0)


def _moods(scene: _Scene, rng: np.random.Generator) -> Any:
    """Log-likelihood, by whether the deal is stalled, of what is seen of each row of the history; shape (n, 2)."""
    return _activities(scene, rng) + _next_steps(scene.truth.history) + _close_dates(scene.truth)


class _Signs:
    """Draws signs for the moods that are, and sums their log-likelihood by the moods that might be."""

    def __init__(self, stalled: Any, rng: np.random.Generator) -> None:
        self.stalled, self.rng = stalled.astype(np.int64), rng
        self.log_likelihood = np.zeros((len(stalled), 2))

    def count(self, rates: Any) -> Any:
        """Events with a mean by mood, shape (n, 2); gives their number."""
        number = self.rng.poisson(rates[np.arange(len(rates)), self.stalled])
        sure = np.where(rates > 0, rates, 1.0)
        self.log_likelihood += number[:, None] * np.log(sure) - rates
        return number

    def happens(self, chances: tuple[float, float], number: Any) -> Any:
        """Which of `number` chances (stalled, with momentum: as in parameters.py) come true; gives how many."""
        by_mood = np.array(chances[::-1])
        yes = self.rng.binomial(number, by_mood[self.stalled])
        self.log_likelihood += yes[:, None] * np.log(by_mood) + (number - yes)[:, None] * np.log1p(-by_mood)
        return yes


def _activities(scene: _Scene, rng: np.random.Generator) -> Any:
    """What is done about a deal in a week, and what answers it; of an opening, in the rest of the week."""
    truth, history, deals = scene.truth, scene.truth.history, scene.truth.deals
    signs = _Signs(history.stalled, rng)
    since = deals.opened[history.deal] - truth.calendar.mondays(history.week)
    exposure = np.where(history.is_opening, 1.0 - worked_share(since), 1.0)
    pace = exposure * scene.reps.diligence[deals.rep[history.deal]]
    usual = p.DEAL_ACTIVITIES[truth.stage] * pace[:, None]
    done = [
        signs.count(usual[:, [kind]] * np.array([1.0, p.STALLED_ACTIVITIES[kind]]))
        for kind in (_EMAIL, _CALL, _MEETING, _DEMO, _TASK)
    ]
    for kind in (_EMAIL, _CALL):
        signs.happens(p.INBOUND, done[kind])
    replies = signs.happens(p.REPLY, done[_EMAIL])
    talks = signs.happens(p.NEXT_STEP_KEPT, history.is_agreed.astype(np.int64))
    met = done[_MEETING] + done[_DEMO]
    follow_ups = rng.binomial(met, p.FOLLOW_UP)
    signs.happens(p.GOOD_OUTCOME, sum(done[:_TASK]) + replies + talks + follow_ups)
    met = met + rng.binomial(talks, sum(p.NEXT_STEP_KINDS[1:]))
    signs.count(met[:, None] * (0.7 + 0.3 * truth.stage[:, None] + np.array([0.5, 0.0])))
    return signs.log_likelihood


def _next_steps(history: DealHistory) -> Any:
    """Whether a new next step was agreed in the week; at the opening there always is one."""
    chances = np.array(p.NEXT_STEP[::-1])
    said = np.where(history.is_agreed[:, None], np.log(chances), np.log1p(-chances))
    return np.where(history.is_opening[:, None], 0.0, said)


def _close_dates(truth: DealTruth) -> Any:
    """How the date of closing was moved: by habit when it came near, out of fear, or nearer."""
    history, calendar = truth.history, truth.calendar
    mondays = calendar.mondays(history.week)
    today, now, before = mondays // DAY, history.close_day, np.r_[0, history.close_day[:-1]]
    slips = np.where(before < today + 10, np.array(p.SLIP)[calendar.ends_quarter(mondays).astype(np.int64)], 0.0)
    may_pull = (history.after == WON - 1) & (before > today + 45)
    likelihoods = []
    for moves, since, (first, last) in (
        (p.PULL_IN * may_pull, today, _PULLED_DAYS),
        (np.full(len(now), _FEAR), before, _FEAR_DAYS),
    ):
        there = (now >= since + first) & (now < since + last)
        moved = slips * _slipped(now, today) + (1.0 - slips) * moves * there / (last - first)
        likelihoods.append(np.where(now == before, (1.0 - slips) * (1.0 - moves), moved))
    return np.where(history.is_opening[:, None], 0.0, np.log(np.maximum(np.stack(likelihoods, axis=1), 1e-12)))


def _slipped(now: Any, today: Any) -> Any:
    """P(a date that slips is put on this day): some days later, or the end of that month or quarter."""

    def by(day: Any) -> Any:
        return 1.0 - (1.0 - 1.0 / _SLIP_DAYS) ** np.maximum(day - today - 14, 0)

    date = now.astype("datetime64[D]")
    to_month, to_quarter = p.CLOSE_DATE_AT_PERIOD_END
    month = date.astype("datetime64[M]")
    quarter = (month.astype(np.int64) // 3 * 3).astype("datetime64[M]")
    found = (1.0 - to_month - to_quarter) * (by(now) - by(now - 1))
    for share, begins, months in ((to_month, month, 1), (to_quarter, quarter, 3)):
        first = begins.astype("datetime64[D]").astype(np.int64)
        last = (begins + months).astype("datetime64[D]").astype(np.int64) - 1
        found += np.where(now == last, share * (by(last) - by(first - 1)), 0.0)
    return found
