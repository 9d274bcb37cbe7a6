"""The weeks go by: every open deal moves through the stages, and reps enter what they see."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import Accounts
from warehouse.simulator.config import Cell
from warehouse.simulator.deals import LOST, RIVAL, STALLED, WON, Deals, deal_rates, settle
from warehouse.simulator.moments import (
    DAY,
    NEVER,
    Bools,
    Calendar,
    Draws,
    Floats,
    Ints,
    next_working_day,
    working_moment,
)
from warehouse.simulator.names import choose
from warehouse.simulator.organisation import Reps


@dataclass(frozen=True)
class DealHistory:
    """One row per deal and week (and one per opening), sorted by deal and time.

    Args:
        deal: Number of the deal.
        week: Week of the step; for an opening, the week of the opening.
        is_opening: True for the row of the opening.
        stage: Stage before the step.
        mode: Mode during the step: stalled or not, with a rival or not.
        after: Stage after the step, 4 won, 5 lost.
        moment: When the step's news happened, in the working hours of the week.
        close_day: Close date as entered after the step, days since 1970.
        amount: Amount as entered after the step.
        next_step: Next step's date as entered after the step, days since 1970.
        is_agreed: Whether that date was set in this step.
        competitor: Competitor as known after the step; 0 while none is known.
    """

    deal: Ints
    week: Ints
    is_opening: Bools
    stage: Ints
    mode: Ints
    after: Ints
    moment: Ints
    close_day: Ints
    amount: Floats
    next_step: Ints
    is_agreed: Bools
    competitor: Ints

    @property
    def stalled(self) -> Bools:
        """Whether the deal is without momentum during the step."""
        return np.asarray(self.mode % 2 == STALLED)

    def by_week(self, rng: np.random.Generator, columns: int = 1) -> Floats:
        """Uniform numbers for every row, drawn in the order of weeks; shape (n, columns)."""
        draws = np.empty((len(self.week), columns))
        draws[np.argsort(self.week, kind="stable")] = rng.random((len(self.week), columns))
        return draws


class _Desk:
    """The open deals' changing state while the weeks go by."""

    def __init__(self, draw: Draws, calendar: Calendar, deals: Deals, reps: Reps) -> None:
        n = deals.count
        self.draw, self.calendar, self.deals, self.reps = draw, calendar, deals, reps
        self.open_week = calendar.week_of(deals.opened)
        self.opened = 0
        self.stage, self.mode = deals.stage.copy(), deals.stalled.astype(np.int64)
        self.amount = deals.amount.copy()
        self.close_day, self.next_step = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.known = draw("known").random(n) < p.COMPETITOR_KNOWN_AT_OPENING
        self.weeks = calendar.weeks
        self.advance, self.lose = calendar.advance_by_week(self.weeks), calendar.lose_by_week(self.weeks)
        self.streams: dict[str, np.random.Generator] = {}
        self.rows: list[tuple[np.ndarray, ...]] = []

    def chance(self, thing: str, index: Ints) -> Floats:
        """A uniform number for each deal in `index`; one is drawn for every deal that has been opened so far."""
        return np.asarray(self._stream(thing).random(self.opened)[index])

    def normal(self, thing: str, index: Ints) -> Floats:
        """The same with standard normal numbers."""
        return np.asarray(self._stream(thing).standard_normal(self.opened)[index])

    def _stream(self, thing: str) -> np.random.Generator:
        if thing not in self.streams:
            self.streams[thing] = self.draw(thing)
        return self.streams[thing]

    def open(self, index: Ints, week: int) -> None:
        """Enter new deals: amount, a hopeful close date, a next step."""
        deals = self.deals
        self.amount[index] = deals.amount[index]
        left = 1.0 - 0.2 * self.stage[index]
        hope = p.CLOSE_DATE_OPTIMISM * np.exp(-self.reps.optimism[deals.rep[index]])
        noise = np.exp(0.35 * self.normal("first close date", index))
        days = (p.CYCLE_DAYS * hope * left / deals.speed[index] * noise).astype(np.int64)
        today = deals.opened[index] // DAY
        self.close_day[index] = _period_ends(self.chance("first period", index), today + 7 + days)
        first = 2 + (13 * self.chance("first next step", index)).astype(np.int64)
        self.next_step[index] = next_working_day(today + first)
        agreed = np.ones(len(index), bool)
        self._note(index, week, self.stage[index], self.mode[index], deals.opened[index], agreed, opening=True)

    def step(self, index: Ints, week: int) -> Ints:
        """Move the open deals by one week; gives those still open."""
        rates = deal_rates(self.deals, index)
        row, stage, mode = np.arange(len(index)), self.stage[index], self.mode[index]
        advance = np.minimum(rates.advance[row, stage, mode] * self.advance[week, stage], p.MOST_ADVANCE)
        lose = np.minimum(rates.lose[row, stage, mode] * self.lose[week], p.MOST_LOSE)
        draw = self.chance("step", index)
        forward, lost = draw < advance, (draw >= advance) & (draw < advance + lose)
        back = (draw >= advance + lose) & (draw < advance + lose + p.DEAL_REGRESS[stage])
        lost |= week - self.open_week[index] >= p.DEAL_WEEKS
        after = np.where(lost, LOST, stage + (forward & ~lost) - (back & ~lost))
        stalled, rival = mode % RIVAL, mode // RIVAL
        flip = self.chance("flip", index) < np.where(
            stalled == STALLED, rates.revive[row, rival], rates.stall[row, rival]
        )
        enters = (rival == 0) & (self.chance("rival", index) < rates.enter)
        moment = working_moment(self._stream("moment"), self.calendar.mondays(np.full(self.opened, week)))[index]
        agreed = self._enter(index, week, after, stage)
        self._look_around(index, stage)
        self.stage[index] = after
        self.mode[index] = np.where(flip, 1 - stalled, stalled) + RIVAL * (rival | enters)
        self._note(index, week, stage, mode, moment, agreed, opening=False)
        self.known[index[enters]] = False
        return index[after < WON]

    def _enter(self, index: Ints, week: int, after: Ints, before: Ints) -> Bools:
        """What reps write down this week: close dates slip or come nearer, amounts change, next steps are set."""
        today = int(self.calendar.first_monday // DAY + 7 * week)
        calm = self.mode[index] % RIVAL != STALLED
        self._move_close_dates(index, today, calm=calm, after=after)
        quoted = (after == 2) & (before < 2) & (self.chance("requote", index) < p.REQUOTE)
        changed = quoted | (self.chance("amount", index) < p.AMOUNT_CHANGE)
        factor = np.where(changed, np.exp(-0.02 + 0.15 * self.normal("new amount", index)), 1.0)
        concede = p.CONCESSION[int(self._ends_quarter(week))]
        conceded = (before == WON - 1) & (after == WON - 1) & (self.chance("concession", index) < concede)
        least, most = p.CONCESSION_SIZE
        factor *= np.where(conceded, 1 - least - (most - least) * self.chance("conceded", index), 1.0)
        amount = self.amount[index]
        self.amount[index] = np.where(changed | conceded, np.round(amount * factor, -2), amount)
        agreed = self.chance("next step", index) < np.where(calm, p.NEXT_STEP[1], p.NEXT_STEP[0])
        ahead = today + 7 + (14 * self.chance("next step day", index)).astype(np.int64)
        self.next_step[index] = np.where(agreed, next_working_day(ahead), self.next_step[index])
        return np.asarray(agreed)

    def _move_close_dates(self, index: Ints, today: int, *, calm: Bools, after: Ints) -> None:
        """Dates that come near without the deal being ready slip, most of all at the end of a quarter."""
        close = self.close_day[index]
        week = (today - self.calendar.first_monday // DAY) // 7
        due = (close < today + 10) & (self.chance("slip", index) < p.SLIP[int(self._ends_quarter(week))])
        weeks_later = np.ceil(np.log1p(-self.chance("slip length", index)) / np.log1p(-1 / 20)).astype(np.int64)
        later = _period_ends(self.chance("slip period", index), today + 14 + weeks_later)
        fear = ~calm & (self.chance("fear", index) < 0.06)
        feared = close + 20 + (40 * self.chance("fear length", index)).astype(np.int64)
        near = calm & (after == WON - 1) & (close > today + 45) & (self.chance("pull in", index) < p.PULL_IN)
        pulled = today + 10 + (25 * self.chance("pulled in", index)).astype(np.int64)
        close = np.where(due, later, np.where(fear, feared, close))
        self.close_day[index] = np.where(near & ~due, pulled, close)

    def _ends_quarter(self, week: int) -> bool:
        return bool(self.calendar.ends_quarter(self.calendar.mondays(np.array([week])))[0])

    def _look_around(self, index: Ints, before: Ints) -> None:
        found = self.chance("found", index) < p.COMPETITOR_FOUND_PER_WEEK
        self.known[index] |= found & (before >= 1)

    def _note(
        self, index: Ints, week: int, stage: Ints, mode: Ints, moment: Ints, agreed: Bools, *, opening: bool
    ) -> None:
        n, deals = len(index), self.deals
        competes = np.where(mode >= RIVAL, deals.rival[index], deals.competitor[index])
        self.rows.append((
            index, np.full(n, week), np.full(n, opening), stage, mode, self.stage[index], moment,
            self.close_day[index], self.amount[index], self.next_step[index], agreed,
            np.where(self.known[index], competes, 0),
        ))  # fmt: skip


def _period_ends(draw: Floats, days: Ints) -> Ints:
    """Dates as people enter them: many at the end of their month, some at the end of their quarter."""
    month = days.astype("datetime64[D]").astype("datetime64[M]")
    month_end = (month + 1).astype("datetime64[D]").astype(np.int64) - 1
    quarter = (month.astype(np.int64) // 3 * 3 + 3).astype("datetime64[M]")
    quarter_end = quarter.astype("datetime64[D]").astype(np.int64) - 1
    to_month, to_quarter = p.CLOSE_DATE_AT_PERIOD_END
    return np.where(draw < to_month, month_end, np.where(draw < to_month + to_quarter, quarter_end, days))


class _Customers:
    """Who may buy again: customers who have not left, each as readily as its appetite says."""

    def __init__(self, calendar: Calendar, accounts: Accounts) -> None:
        self.accounts = accounts
        self.since = np.full(accounts.count, NEVER)
        self.since[: accounts.base] = calendar.start

    def buy(self, account: Ints, moment: int) -> None:
        """Note that these accounts are customers from `moment` on."""
        self.since[account] = np.minimum(self.since[account], moment)

    def choose(self, rng: np.random.Generator, n: int, moment: int) -> Ints:
        """Accounts that buy again; one that has left comes back only where nobody else is there."""
        customers = np.flatnonzero(self.since < moment)
        left = self.since[customers] + self.accounts.patience[customers] < moment
        return customers[choose(rng, self.accounts.appetite[customers] * np.where(left, 1e-9, 1.0), n)]


def pursue(cell: Cell, calendar: Calendar, deals: Deals, accounts: Accounts, reps: Reps) -> DealHistory:
    """Let the weeks go by: open deals, find expansions among the customers, move every open deal."""
    draw = Draws(cell, "deal paths")
    desk, customers = _Desk(draw, calendar, deals, reps), _Customers(calendar, accounts)
    again_stream = draw("again")
    alive = np.zeros(0, np.int64)
    openings = np.searchsorted(desk.open_week, np.arange(calendar.weeks + 1))
    for week in range(calendar.weeks):
        monday = int(calendar.first_monday + week * 7 * DAY)
        if len(alive):
            still = desk.step(alive, week)
            customers.buy(deals.account[alive[desk.stage[alive] == WON]], monday + 7 * DAY)
            alive = still
        new = np.arange(openings[week], openings[week + 1])
        if len(new):
            desk.opened = int(openings[week + 1])
            again = new[deals.account[new] < 0]
            if len(again):
                deals.account[again] = customers.choose(again_stream, len(again), monday + 7 * DAY)
                settle(deals, again, calendar, accounts, reps)
            desk.open(new, week)
            alive = np.concatenate([alive, new])
    return _sorted(desk.rows)


def _sorted(rows: list[tuple[np.ndarray, ...]]) -> DealHistory:
    columns = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return DealHistory(
        **{field.name: column[order] for field, column in zip(fields(DealHistory), columns, strict=True)}
    )


def closed_at(deals: Deals, history: DealHistory) -> tuple[Ints, Ints]:
    """Moment of closing (NEVER while open) and final stage (-1 while open) of each deal."""
    moment, stage = np.full(deals.count, NEVER), np.full(deals.count, -1)
    over = history.after >= WON
    moment[history.deal[over]], stage[history.deal[over]] = history.moment[over], history.after[over]
    return moment, stage


def customer_since(calendar: Calendar, deals: Deals, history: DealHistory, accounts: Accounts) -> Ints:
    """When each account first bought; NEVER where it has not. It leaves `patience` later."""
    since = np.full(accounts.count, NEVER)
    since[: accounts.base] = calendar.start
    won = history.after == WON
    np.minimum.at(since, deals.account[history.deal[won]], history.moment[won])
    return since
