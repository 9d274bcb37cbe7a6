"""Money: bookings of won deals, yearly renewals, credits, quotas, and the revenue that was to be expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import YEAR, Accounts
from warehouse.simulator.config import Cell, SimulationConfig
from warehouse.simulator.deal_records import expected_booking
from warehouse.simulator.deals import EXPANSION, WON, Deals
from warehouse.simulator.moments import (
    DAY,
    NEVER,
    WEEK,
    Calendar,
    Draws,
    Floats,
    Ints,
    late,
    quarter,
    quarter_start,
    worked_share,
)
from warehouse.simulator.organisation import Reps
from warehouse.simulator.pursuit import DealHistory, customer_since
from warehouse.simulator.truth import DealTruth
from warehouse.simulator.writer import Columns, dates, ids, rows_of, stack, words

KINDS = ("booking", "expansion", "renewal", "credit")


def bookings(
    cell: Cell,
    calendar: Calendar,
    deals: Deals,
    history: DealHistory,
    accounts: Accounts,
    reps: Reps,
    *,
    booked: Floats,
) -> Columns:
    """All money: a row per booking, renewal and credit, as numbers (`deal` is -1 where there is none)."""
    draw = Draws(cell, "money")
    won = np.flatnonzero(history.after == WON)
    won = won[np.argsort(history.moment[won], kind="stable")]
    deal, moment, amount = history.deal[won], history.moment[won], booked[won]
    sales = {
        "deal": deal,
        "account": deals.account[deal],
        "product": deals.product[deal],
        "amount": amount,
        "kind": (deals.origin[deal] == EXPANSION).astype(np.int64),
        "moment": moment,
    }
    installed = _installed(draw, calendar, deals, accounts)
    left = customer_since(calendar, deals, history, accounts)
    left = np.where(left < NEVER, left + accounts.patience, NEVER)
    money = stack([sales, *_renewals(draw, calendar, installed, sales, left=left), _credits(draw, sales)])
    money["rep"] = accounts.owner_at(money["account"], money["moment"], reps)
    return money


def _installed(draw: Draws, calendar: Calendar, deals: Deals, accounts: Accounts) -> dict[str, Any]:
    """Contracts of the first-day customers, signed in the year before the start."""
    n = accounts.base
    known = deals.amount[(deals.opened < calendar.change) & (deals.amount > 0)]
    typical = float(np.median(known)) if len(known) else p.PLAN_AMOUNT_USD
    return {
        "deal": np.full(n, -1),
        "account": np.arange(n),
        "product": draw("installed product").integers(0, len(p.PRODUCTS) - 1, n),
        "amount": np.round(typical * draw("installed amount").lognormal(0, 0.6, n), -1),
        "kind": np.zeros(n, np.int64),
        "moment": calendar.start - (draw("installed at").random(n) * YEAR).astype(np.int64),
    }


def _renewals(draw: Draws, calendar: Calendar, installed: Columns, sales: Columns, *, left: Ints) -> list[Columns]:
    """Each contract is renewed a year later, or never again; a customer who has left (`left`, by account) never."""
    times = int((calendar.end - calendar.start) // YEAR) + 2
    chance = np.full(times, p.LATER_RENEWAL)
    parts = []
    for name, contracts, first in (("installed", installed, p.LATER_RENEWAL), ("sold", sales, p.FIRST_RENEWAL)):
        n = len(contracts["moment"])
        chance[0] = first
        renewed = np.logical_and.accumulate(draw(f"{name} renewed").random((n, times)) < chance, axis=1)
        for time in range(1, times + 1):
            rows = rows_of(contracts, np.arange(n))
            rows["moment"] = rows["moment"] + time * YEAR
            kept = np.flatnonzero(renewed[:, time - 1] & (rows["moment"] < left[rows["account"]]))
            rows = rows_of(rows, kept)
            rows["amount"] = np.round(rows["amount"] * p.RENEWAL_UPLIFT**time, -1)
            rows["kind"] = np.full(len(kept), KINDS.index("renewal"))
            rows["deal"] = np.full(len(kept), -1)
            parts.append(rows)
    return parts


def _credits(draw: Draws, sales: Columns) -> Columns:
    """A few bookings are partly taken back one to four months later."""
    draws = draw("credits").random((len(sales["deal"]), 3))
    credited = np.flatnonzero(draws[:, 0] < p.CREDIT_CHANCE)
    rows, n = rows_of(sales, credited), len(credited)
    rows["moment"] = rows["moment"] + ((30 + 90 * draws[credited, 1]) * DAY).astype(np.int64)
    rows["amount"] = -np.round(rows["amount"] * (0.2 + 0.8 * draws[credited, 2]), -1)
    rows["kind"] = np.full(n, KINDS.index("credit"))
    return rows


def transactions(cell: Cell, money: Columns, deals: Deals, accounts: Accounts) -> Columns:
    """The money as canonical transactions, known within hours."""
    rows = rows_of(money, np.argsort(money["moment"], kind="stable"))
    moment = rows["moment"]
    lag = late(Draws(cell, "transactions")("lag"), len(moment), chance=0.03, days=3.0, minutes=90)
    return {
        "opportunity_id": deals.ids(rows["deal"]),
        "account_id": accounts.ids(rows["account"]),
        "rep_id": ids("R", rows["rep"] + 1, width=3),
        "product_id": ids("P", rows["product"] + 1, width=2),
        "amount_usd": rows["amount"],
        "kind": words(KINDS, rows["kind"]),
        "event_timestamp": moment,
        "created_timestamp": moment + lag,
    }


def _quarters(calendar: Calendar) -> Ints:
    first, last = quarter(np.array([calendar.start, calendar.end - 1]))
    return np.arange(first, last + 1)


@dataclass(frozen=True)
class Ledger:
    """Money by rep and quarter, shape (reps, quarters), and all sales by quarter (the last: outside the span)."""

    booked: Floats
    expected: Floats
    other: Floats
    sales: Floats

    @classmethod
    def empty(cls, calendar: Calendar, reps: Reps) -> Ledger:
        """A ledger without an entry."""
        quarters = len(_quarters(calendar))
        none = np.zeros((reps.count, quarters))
        return cls(booked=none, expected=none, other=none, sales=np.zeros(quarters + 1))

    def plus(self, other: Ledger) -> Ledger:
        """Both ledgers' entries."""
        return Ledger(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def ledger(
    calendar: Calendar,
    deals: Deals,
    history: DealHistory,
    truth: DealTruth,
    money: Columns,
    accounts: Accounts,
    reps: Reps,
) -> Ledger:
    """What one cell's deals brought and were expected to bring.

    `expected` adds up, over the quarter's weeks and the deals open at each Monday, the chance of being won that week
    times the mean booking: what the deals' states gave reason to expect. Booked minus expected has mean 0.
    """
    quarters = _quarters(calendar)
    first, size = quarters[0], (reps.count, len(quarters))
    inside = (money["moment"] >= calendar.start) & (money["moment"] < calendar.end)
    booked, other, expected = np.zeros(size), np.zeros(size), np.zeros(size)
    for target, chosen in ((booked, money["kind"] < 2), (other, money["kind"] >= 2)):
        rows = np.flatnonzero(inside & chosen)
        np.add.at(target, (money["rep"][rows], quarter(money["moment"][rows]) - first), money["amount"][rows])
    value = truth.win_this_week() * expected_booking(calendar, history)
    rows = np.flatnonzero(value > 0)
    mondays = calendar.mondays(history.week[rows])
    owner = accounts.owner_at(deals.account[history.deal[rows]], mondays, reps)
    begins = quarter(mondays)
    share = worked_share(np.minimum(quarter_start(begins + 1) - mondays, WEEK))
    cut = worked_share(np.clip(calendar.end - mondays, 0, WEEK))
    for place, part in ((begins - first, np.minimum(share, cut)), (begins + 1 - first, np.maximum(cut - share, 0.0))):
        fits = (place >= 0) & (place < size[1])
        np.add.at(expected, (owner[fits], place[fits]), (value[rows] * part)[fits])
    sold = np.flatnonzero(money["kind"] < 2)
    at = np.clip(quarter(money["moment"][sold]) - first, 0, len(quarters))
    sales = np.zeros(len(quarters) + 1)
    np.add.at(sales, at, money["amount"][sold])
    return Ledger(booked=booked, expected=expected, other=other, sales=sales)


def revenue_truth(calendar: Calendar, entries: Ledger) -> Columns:
    """Booked and expected revenue by quarter for the company and each rep; renewals and credits are apart."""
    quarters = _quarters(calendar)
    booked, expected, other = (
        np.concatenate([table.sum(axis=0, keepdims=True), table])
        for table in (entries.booked, entries.expected, entries.other)
    )
    entity, period = np.indices(booked.shape).reshape(2, -1)
    names = ["company", *ids("R", np.arange(1, len(booked)), width=3).to_pylist()]
    return {
        "level": words(("company", "rep"), (entity > 0).astype(np.int64)),
        "entity_id": words(names, entity),
        "period_start": dates(quarter_start(quarters[period])),
        "booked_usd": booked.ravel(),
        "expected_usd": expected.ravel(),
        "renewals_and_credits_usd": other.ravel(),
    }


def quota_versions(config: SimulationConfig, calendar: Calendar, sales: Floats, reps: Reps) -> Columns:
    """Quotas of all levels, set on the first day of each quarter from what was booked before (`sales`, by quarter)."""
    quarters = _quarters(calendar)
    season = np.array([0.93, 1.0, 0.97, 1.1])[quarters % 4]
    plan = np.zeros(len(quarters))
    for number in range(len(quarters)):
        recent = slice(max(0, number - 4), number)
        first = p.PLAN_WIN_RATE * p.PLAN_AMOUNT_USD * config.deals / (4 * config.years)
        level = float(np.mean(sales[recent] / season[recent])) if number else first
        plan[number] = level * season[number] * p.QUOTA_STRETCH
    begin = np.maximum(quarter_start(quarters), calendar.start)
    working = (reps.hired[:, None] < begin + 60 * DAY) & (reps.left[:, None] > begin)
    ramp = np.clip((begin - reps.hired[:, None]) / (270 * DAY), 0.35, 1.0)
    weight = working * ramp * Draws(config, "quotas")("weight").lognormal(0, 0.12, (reps.count, 1))
    by_rep = np.round(plan * weight / weight.sum(axis=0), -3)
    return _quota_rows(quarters, begin, by_rep, reps)


def _quota_rows(quarters: Ints, begin: Ints, by_rep: Floats, reps: Reps) -> Columns:
    by_team, by_region = (
        np.stack([by_rep[member == k].sum(axis=0) for k in range(n)]) * 0.95
        for member, n in ((reps.team, len(p.TEAMS)), (reps.region, len(p.REGIONS)))
    )
    amounts = np.concatenate([by_rep, by_team, by_region, by_rep.sum(axis=0, keepdims=True) * 0.9])
    names = (
        ids("R", np.arange(1, reps.count + 1), width=3).to_pylist()
        + [name for name, _ in p.TEAMS]
        + [*p.REGIONS, "company"]
    )
    levels = np.repeat(np.arange(4), [reps.count, len(p.TEAMS), len(p.REGIONS), 1])
    entity, period = np.nonzero(amounts > 0)
    start = quarter_start(quarters[period])
    year = 1970 + quarters[period] // 4
    labels = [f"Q-{names[e]}-{y}Q{q % 4 + 1}" for e, y, q in zip(entity, year, quarters[period], strict=True)]
    return {
        "quota_id": words(labels, np.arange(len(labels))),
        "level": words(("rep", "team", "region", "company"), levels[entity]),
        "entity_id": words(names, entity),
        "period_start": dates(start),
        "period_end": dates(quarter_start(quarters[period] + 1) - DAY),
        "amount_usd": np.round(amounts[entity, period], -3),
        "event_timestamp": begin[period],
        "created_timestamp": begin[period],
    }
