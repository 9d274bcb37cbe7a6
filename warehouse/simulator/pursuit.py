"""The weeks go by: every open deal moves through the stages, and reps enter what they see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import Accounts
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.deals import LOST, WON, Deals, deal_rates, settle
from warehouse.simulator.moments import DAY, NEVER, Bools, Calendar, Floats, Ints, stream, working_moment
from warehouse.simulator.organisation import Reps


@dataclass(frozen=True)
class DealHistory:
    """One row per deal and week (and one per opening), sorted by deal and time.

    Args:
        deal: Number of the deal.
        week: Week of the step; for an opening, the week of the opening.
        is_opening: True for the row of the opening.
        stage: Stage before the step.
        stalled: Whether the deal is without momentum during the step.
        after: Stage after the step, 4 won, 5 lost.
        moment: When the step's news happened, in the working hours of the week.
        close_day: Close date as entered after the step, days since 1970.
        amount: Amount as entered after the step.
        next_step: Next step's date as entered after the step, days since 1970.
        competitor_known: Whether the competitor is known after the step.
    """

    deal: Ints
    week: Ints
    is_opening: Bools
    stage: Ints
    stalled: Bools
    after: Ints
    moment: Ints
    close_day: Ints
    amount: Floats
    next_step: Ints
    competitor_known: Bools


class _Desk:
    """The open deals' changing state while the weeks go by."""

    def __init__(self, rng: np.random.Generator, calendar: Calendar, deals: Deals) -> None:
        n = deals.count
        self.rng, self.calendar, self.deals = rng, calendar, deals
        self.open_week = calendar.week_of(deals.opened)
        self.stage, self.stalled = deals.stage.copy(), deals.stalled.copy()
        self.amount = deals.amount.copy()
        self.close_day, self.next_step = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.known = rng.random(n) < p.COMPETITOR_KNOWN_AT_OPENING
        self.weeks = calendar.weeks
        self.advance, self.lose = calendar.advance_by_week(self.weeks), calendar.lose_by_week(self.weeks)
        self.rows: list[tuple[np.ndarray, ...]] = []

    def open(self, index: Ints, week: int) -> None:
        """Enter new deals: amount, a hopeful close date, a next step."""
        rng, deals = self.rng, self.deals
        self.amount[index] = deals.amount[index]
        left = 1.0 - 0.2 * self.stage[index]
        days = p.CYCLE_DAYS * p.CLOSE_DATE_OPTIMISM * left / deals.speed[index] * rng.lognormal(0, 0.35, len(index))
        self.close_day[index] = _month_ends(rng, deals.opened[index] // DAY + 7 + days.astype(np.int64))
        self.next_step[index] = deals.opened[index] // DAY + rng.integers(2, 15, len(index))
        self._note(index, week, self.stage[index], self.stalled[index], deals.opened[index], opening=True)

    def step(self, index: Ints, week: int) -> Ints:
        """Move the open deals by one week; gives those still open."""
        rng, rates = self.rng, deal_rates(self.deals, index)
        row, stage, stalled = np.arange(len(index)), self.stage[index], self.stalled[index]
        slow = stalled.astype(np.int64)
        advance = np.minimum(rates.advance[row, stage, slow] * self.advance[week, stage], p.MOST_ADVANCE)
        lose = np.minimum(rates.lose[row, stage, slow] * self.lose[week], p.MOST_LOSE)
        draw = rng.random(len(index))
        forward, lost = draw < advance, (draw >= advance) & (draw < advance + lose)
        back = (draw >= advance + lose) & (draw < advance + lose + p.DEAL_REGRESS[stage])
        lost |= week - self.open_week[index] >= p.DEAL_WEEKS
        after = np.where(lost, LOST, stage + (forward & ~lost) - (back & ~lost))
        flip = rng.random(len(index)) < np.where(stalled, rates.revive, rates.stall)
        monday_at = self.calendar.mondays(np.full(len(index), week))
        moment = working_moment(rng, monday_at)
        self._enter(index, week, after, stage)
        self.stage[index], self.stalled[index] = after, stalled ^ flip
        self._note(index, week, stage, stalled, moment, opening=False)
        return index[after < WON]

    def _enter(self, index: Ints, week: int, after: Ints, before: Ints) -> None:
        """What reps write down this week: close dates slip or come nearer, amounts change, next steps are set."""
        rng, n = self.rng, len(index)
        today = int(self.calendar.first_monday // DAY + 7 * week)
        calm, close = ~self.stalled[index], self.close_day[index]
        due = (close < today + 10) & (rng.random(n) < p.SLIP)
        later = today + 14 + rng.geometric(1 / 20, n)
        fear = ~calm & (rng.random(n) < 0.06)
        near = calm & (after == WON - 1) & (close > today + 45) & (rng.random(n) < p.PULL_IN)
        close = np.where(due, _month_ends(rng, later), np.where(fear, close + rng.integers(20, 60, n), close))
        self.close_day[index] = np.where(near & ~due, today + rng.integers(10, 35, n), close)
        quoted = (after == 2) & (before < 2) & (rng.random(n) < p.REQUOTE)
        changed = quoted | (rng.random(n) < p.AMOUNT_CHANGE)
        amount = self.amount[index] * np.where(changed, rng.lognormal(-0.02, 0.15, n), 1.0)
        self.amount[index] = np.where(changed, np.round(amount, -2), self.amount[index])
        agreed = rng.random(n) < np.where(calm, p.NEXT_STEP[1], p.NEXT_STEP[0])
        self.next_step[index] = np.where(agreed, today + 5 + rng.integers(2, 16, n), self.next_step[index])
        self.known[index] |= (rng.random(n) < p.COMPETITOR_FOUND_PER_WEEK) & (before >= 1)

    def _note(self, index: Ints, week: int, stage: Ints, stalled: Bools, moment: Ints, *, opening: bool) -> None:
        n = len(index)
        self.rows.append((
            index, np.full(n, week), np.full(n, opening), stage, stalled, self.stage[index], moment,
            self.close_day[index], self.amount[index], self.next_step[index], self.known[index],
        ))  # fmt: skip


def _month_ends(rng: np.random.Generator, days: Ints) -> Ints:
    """Half of the dates moved to the end of their month, as people enter them."""
    month = days.astype("datetime64[D]").astype("datetime64[M]")
    ends = (month + 1).astype("datetime64[D]").astype(np.int64) - 1
    return np.where(rng.random(len(days)) < 0.5, ends, days)


def pursue(config: SimulationConfig, calendar: Calendar, deals: Deals, accounts: Accounts, reps: Reps) -> DealHistory:
    """Let the weeks go by: open deals, find expansions among the customers, move every open deal."""
    rng = stream(config, "deal paths")
    desk = _Desk(rng, calendar, deals)
    customers = [np.arange(accounts.base)]
    alive = np.zeros(0, np.int64)
    openings = np.searchsorted(desk.open_week, np.arange(calendar.weeks + 1))
    for week in range(calendar.weeks):
        if len(alive):
            still = desk.step(alive, week)
            won = alive[desk.stage[alive] == WON]
            customers.append(deals.account[won])
            alive = still
        new = np.arange(openings[week], openings[week + 1])
        if len(new):
            again = new[deals.account[new] < 0]
            if len(again):
                deals.account[again] = rng.choice(np.concatenate(customers), len(again))
                settle(deals, again, calendar, accounts, reps)
            desk.open(new, week)
            alive = np.concatenate([alive, new])
    return _sorted(desk.rows)


def _sorted(rows: list[tuple[np.ndarray, ...]]) -> DealHistory:
    columns = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return DealHistory(*[column[order] for column in columns])


def closed_at(deals: Deals, history: DealHistory) -> tuple[Ints, Ints]:
    """Moment of closing (NEVER while open) and final stage (-1 while open) of each deal."""
    moment, stage = np.full(deals.count, NEVER), np.full(deals.count, -1)
    over = history.after >= WON
    moment[history.deal[over]], stage[history.deal[over]] = history.moment[over], history.after[over]
    return moment, stage
