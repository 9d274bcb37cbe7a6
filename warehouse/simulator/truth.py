"""The truths: exact probabilities under the model that made the world, computed backwards along its chains.

*Lead*: P(converts in (as_of, as_of + 90 days]) given that it is open at as_of, its hidden state in the 24-hour step
that begins at as_of, its latent quality (which holds profile, campaign, first rep's skill and noise) and the
calendar, scenario included.

*Deal*: P(is ever won), P(is won in (as_of, as_of + 180 days]) given that it is open at as_of, its stage and hidden
momentum, whether a rival has appeared, its latent quality (which holds company, product, true competitor, first rep's
skill, amount at opening and noise), who the rival would be, and the calendar.

Both condition on more than anybody could see, and whatever can be seen up to as_of depends on the past of these
states alone. So no model that uses only what was known at as_of has a lower expected log-loss than the truth. No
feature may read these files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from warehouse.simulator import parameters as p
from warehouse.simulator.deals import RIVAL, WON, DealRates, Deals, deal_rates
from warehouse.simulator.leads import LeadPaths, LeadRates, Leads, lead_rates
from warehouse.simulator.moments import DAY, WEEK, Bools, Calendar, Floats, Ints, worked_share
from warehouse.simulator.pursuit import DealHistory
from warehouse.simulator.writer import Columns

Array = npt.NDArray[Any]
"""Floats of either precision."""
_BLOCK = 2_048
"""Rows whose recursion is made at once: their arrays stay in the processor's cache."""


def _by_block(rows: int, part: Callable[[Ints], Floats]) -> Floats:
    """`part` of all rows, a block at a time."""
    blocks = [part(np.arange(begin, min(begin + _BLOCK, rows))) for begin in range(0, rows, _BLOCK)]
    return np.concatenate(blocks) if blocks else np.zeros(0)


def lead_truth(calendar: Calendar, leads: Leads, paths: LeadPaths) -> Columns:
    """True probability of each lead at creation and at days 1, 3, 7, 14, 30, 60 while it is open."""
    lead, day = [], []
    for days in p.LEAD_TRUTH_DAYS:
        as_of = leads.created + days * DAY
        open_then = np.flatnonzero((paths.outcome_at > as_of) & (as_of < calendar.end))
        lead.append(open_then)
        day.append(np.full(len(open_then), days, np.int64))
    who, offset = np.concatenate(lead), np.concatenate(day)
    return {
        "lead_id": leads.ids(who),
        "as_of": leads.created[who] + offset * DAY,
        "true_probability": _by_block(
            len(who), lambda rows: _lead_probability(calendar, leads, paths, who[rows], offset[rows])
        ),
        "horizon_days": np.full(len(who), p.LEAD_HORIZON_DAYS),
    }


def _lead_probability(calendar: Calendar, leads: Leads, paths: LeadPaths, who: Ints, offset: Ints) -> Floats:
    """The value of the hidden state that was."""
    value = lead_values(calendar, leads, who, offset)
    return np.asarray(value[np.arange(len(who)), paths.states[offset, who].astype(np.int64)], np.float64)


def lead_values(calendar: Calendar, leads: Leads, who: Ints, offset: Ints) -> Array:
    """P(converts in the 90 steps after `offset`) from each hidden state, backwards; shape (n, 4), single precision.

    Args:
        calendar: The world's calendar, scenario included.
        leads: The world's leads; `quality` is what the chances are made of.
        who: Number of the lead, shape (n,).
        offset: Steps since its first contact, shape (n,).
    """
    rates = LeadRates(**{name: values.astype(np.float32) for name, values in vars(lead_rates(leads, who)).items()})
    horizon = p.LEAD_HORIZON_DAYS
    factor = calendar.conversion_by_day((calendar.end - calendar.start) // DAY + horizon + 2).astype(np.float32)
    first_day = leads.first_day(calendar)[who] + offset
    value: Array = np.zeros(rates.convert.shape, np.float32)
    stay = 1.0 - rates.up - rates.down
    for step in range(horizon - 1, -1, -1):
        convert = np.minimum(rates.convert * factor[first_day + step][:, None], 0.6)
        following = value * stay
        following[:, :-1] += rates.up[:, :-1] * value[:, 1:]
        following[:, 1:] += rates.down[:, 1:] * value[:, :-1]
        value = convert + np.maximum(1.0 - convert - rates.disqualify, 0.0) * following
    return value


def _after_moods(value: Array, rates: DealRates) -> Array:
    """The value of each stage and mode before momentum is lost or found and a rival may appear, shape (n, 4, 4)."""
    stall, revive, enter = rates.stall[:, None], rates.revive[:, None], rates.enter[:, None]
    kept = np.empty_like(value)
    without, rival = value[:, :, :RIVAL], value[:, :, RIVAL:]
    kept[:, :, 2] = rival[:, :, 0] + stall[:, :, 1] * (rival[:, :, 1] - rival[:, :, 0])
    kept[:, :, 3] = rival[:, :, 1] + revive[:, :, 1] * (rival[:, :, 0] - rival[:, :, 1])
    met = without + enter[:, :, None] * (rival - without)
    kept[:, :, 0] = met[:, :, 0] + stall[:, :, 0] * (met[:, :, 1] - met[:, :, 0])
    kept[:, :, 1] = met[:, :, 1] + revive[:, :, 0] * (met[:, :, 0] - met[:, :, 1])
    return kept


def _step_back(value: Array, rates: DealRates, *, advance: Array, lose: Array, win_value: Array | float) -> Array:
    """One week backwards: the value of each state before the step, shape (n, 4, 4); a win is worth `win_value`."""
    kept = _after_moods(value, rates)
    forward = np.minimum(rates.advance * advance[:, :, None], p.MOST_ADVANCE)
    lost = np.minimum(rates.lose * lose[:, None, None], p.MOST_LOSE)
    back = p.DEAL_REGRESS[:, None]
    before: Array = (1.0 - forward - lost - back) * kept
    before[:, :-1] += forward[:, :-1] * kept[:, 1:]
    before[:, -1] += forward[:, -1] * (win_value[:, None] if isinstance(win_value, np.ndarray) else win_value)
    before[:, 1:] += back[1:] * kept[:, :-1]
    return before


class DealTruth:
    """The truths of all deals at their openings and at every Monday on which they are open."""

    def __init__(self, calendar: Calendar, deals: Deals, history: DealHistory) -> None:
        self.calendar, self.deals, self.history = calendar, deals, history
        mondays = calendar.mondays(history.week)
        self.as_of = np.where(history.is_opening, deals.opened[history.deal], mondays)
        self.first_step = history.week + history.is_opening
        self.stage = np.where(history.is_opening, history.after, history.stage)
        self.won_ever = self._ever(calendar)

    def unforeseeing(self) -> Floats:
        """P(ever won) as one sees it who learns of a change in the week after it has come."""
        if not self.calendar.is_changed:
            return self.won_ever
        before = self.as_of - WEEK < self.calendar.change
        return np.where(before, self._ever(self.calendar.unchanged), self.won_ever)

    def _calendar_factors(self, weeks: int) -> tuple[Floats, Floats]:
        return self.calendar.advance_by_week(weeks), self.calendar.lose_by_week(weeks)

    def _ever(self, calendar: Calendar) -> Floats:
        """P(ever won), backwards over the ages of all deals at once; a deal of DEAL_WEEKS weeks is lost."""
        deals = self.deals
        opening = calendar.week_of(deals.opened)
        age = self.first_step - opening[self.history.deal]
        order = np.argsort(age, kind="stable")
        bounds = np.searchsorted(age[order], np.arange(p.DEAL_WEEKS + 2))
        weeks = int(opening.max()) + p.DEAL_WEEKS + 1
        advance, lose = calendar.advance_by_week(weeks), calendar.lose_by_week(weeks)
        rates = deal_rates(deals, np.arange(deals.count))
        value = np.zeros((deals.count, len(p.STAGES), 4))
        result = np.zeros(len(age))
        for weeks_old in range(p.DEAL_WEEKS - 1, 0, -1):
            week = opening + weeks_old
            value = _step_back(value, rates, advance=advance[week], lose=lose[week], win_value=1.0)
            rows = order[bounds[weeks_old] : bounds[weeks_old + 1]]
            result[rows] = value[self.history.deal[rows], self.stage[rows], self.history.mode[rows]]
        return result

    def within_horizon(self) -> Floats:
        """P(won in (as_of, as_of + 180 days]): 26 steps backwards; the last may count in part, by working time."""
        factors = self._calendar_factors(int(self.first_step.max()) + p.DEAL_HORIZON_STEPS + 1)
        advance, lose = (factor.astype(np.float32) for factor in factors)
        return _by_block(len(self.as_of), lambda rows: self._soon(rows, advance=advance, lose=lose))

    def _soon(self, rows: Ints, *, advance: Array, lose: Array) -> Floats:
        steps, first = p.DEAL_HORIZON_STEPS, self.first_step[rows]
        rates = _single_precision(deal_rates(self.deals, self.history.deal[rows]))
        last = self.as_of[rows] + p.DEAL_HORIZON_DAYS * DAY
        share = worked_share((last - self.calendar.mondays(first + steps - 1)).clip(0)).astype(np.float32)
        value: Array = np.zeros((len(rows), len(p.STAGES), 4), np.float32)
        for step in range(steps - 1, -1, -1):
            counted, week = share if step == steps - 1 else 1.0, first + step
            value = _step_back(value, rates, advance=advance[week], lose=lose[week], win_value=counted)
        chosen = value[np.arange(len(rows)), self.stage[rows], self.history.mode[rows]]
        return np.asarray(chosen.astype(np.float64))

    def win_this_week(self) -> Floats:
        """P(won in the step that begins at as_of), 0 for openings."""
        rates = deal_rates(self.deals, self.history.deal)
        advance, _ = self._calendar_factors(int(self.first_step.max()) + 1)
        mode = self.history.mode
        chance = rates.advance[np.arange(len(mode)), -1, mode] * advance[self.history.week, -1]
        return np.where(self._may_be_won(), np.minimum(chance, p.MOST_ADVANCE), 0.0)

    def _may_be_won(self) -> Bools:
        return np.asarray(~self.history.is_opening & (self.stage == WON - 1))

    def columns(self) -> Columns:
        """The file of deal truths: rows up to the end."""
        kept = np.flatnonzero(self.as_of < self.calendar.end)
        return {
            "opportunity_id": self.deals.ids(self.history.deal[kept]),
            "as_of": self.as_of[kept],
            "true_probability": self.won_ever[kept],
            "true_probability_180d": self.within_horizon()[kept],
            "is_opening": self.history.is_opening[kept],
        }


def _single_precision(rates: DealRates) -> DealRates:
    """Half the memory and time for the longest recursion."""
    return DealRates(**{name: values.astype(np.float32) for name, values in vars(rates).items()})
