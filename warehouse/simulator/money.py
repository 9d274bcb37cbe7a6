"""Money: bookings of won deals, yearly renewals, credits, quotas, and the revenue that was to be expected."""

from __future__ import annotations

from typing import Any

import numpy as np

from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import Accounts
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.deal_records import expected_booking
from warehouse.simulator.deals import EXPANSION, WON, Deals
from warehouse.simulator.moments import (
    DAY,
    WEEK,
    Calendar,
    Floats,
    Ints,
    late,
    quarter,
    quarter_start,
    stream,
    worked_share,
)
from warehouse.simulator.organisation import Reps
from warehouse.simulator.pursuit import DealHistory
from warehouse.simulator.truth import DealTruth
from warehouse.simulator.writer import Columns, dates, ids, rows_of, stack, words

KINDS = ("booking", "expansion", "renewal", "credit")
YEAR = 365 * DAY


def bookings(
    config: SimulationConfig,
    calendar: Calendar,
    deals: Deals,
    history: DealHistory,
    accounts: Accounts,
    reps: Reps,
    *,
    booked: Floats,
) -> Columns:
    """All money: a row per booking, renewal and credit, as numbers (`deal` is -1 where there is none)."""
    rng = stream(config, "money")
    won = np.flatnonzero(history.after == WON)
    deal, moment, amount = history.deal[won], history.moment[won], booked[won]
    sales = {
        "deal": deal,
        "account": deals.account[deal],
        "product": deals.product[deal],
        "amount": amount,
        "kind": (deals.origin[deal] == EXPANSION).astype(np.int64),
        "moment": moment,
    }
    contracts = stack([rows_of(sales, np.arange(len(deal))), _installed(rng, calendar, deals, accounts)])
    money = stack([sales, _renewals(rng, calendar, contracts), _credits(rng, sales)])
    money["rep"] = reps.owner_at(accounts.rep[money["account"]], money["moment"])
    return money


def _installed(rng: np.random.Generator, calendar: Calendar, deals: Deals, accounts: Accounts) -> dict[str, Any]:
    """Contracts of the first-day customers, signed in the year before the start."""
    n = accounts.base
    product = rng.integers(0, len(p.PRODUCTS) - 1, n)
    typical = float(np.median(deals.amount)) if deals.count else p.PLAN_AMOUNT_USD
    return {
        "deal": np.full(n, -1),
        "account": np.arange(n),
        "product": product,
        "amount": np.round(typical * rng.lognormal(0, 0.6, n), -1),
        "kind": np.zeros(n, np.int64),
        "moment": calendar.start - (rng.random(n) * YEAR).astype(np.int64),
    }


def _renewals(rng: np.random.Generator, calendar: Calendar, contracts: Columns) -> Columns:
    """Each contract is renewed a year later, or never again."""
    current, parts = contracts, []
    chance = np.where(contracts["deal"] >= 0, p.FIRST_RENEWAL, p.LATER_RENEWAL)
    for _ in range(int((calendar.end - calendar.start) // YEAR) + 2):
        kept = np.flatnonzero(rng.random(len(current["moment"])) < chance)
        chance = np.full(len(kept), p.LATER_RENEWAL)
        current = rows_of(current, kept)
        current["moment"] = current["moment"] + YEAR
        current["amount"] = np.round(current["amount"] * p.RENEWAL_UPLIFT, -1)
        current["kind"] = np.full(len(kept), KINDS.index("renewal"))
        current["deal"] = np.full(len(kept), -1)
        parts.append(current)
    return stack(parts)


def _credits(rng: np.random.Generator, sales: Columns) -> Columns:
    """A few bookings are partly taken back one to four months later."""
    rows = rows_of(sales, np.flatnonzero(rng.random(len(sales["deal"])) < p.CREDIT_CHANCE))
    n = len(rows["deal"])
    rows["moment"] = rows["moment"] + (rng.uniform(30, 120, n) * DAY).astype(np.int64)
    rows["amount"] = -np.round(rows["amount"] * rng.uniform(0.2, 1.0, n), -1)
    rows["kind"] = np.full(n, KINDS.index("credit"))
    return rows


def transactions(config: SimulationConfig, money: Columns) -> Columns:
    """The money as canonical transactions, known within hours."""
    moment = money["moment"]
    lag = late(stream(config, "transactions"), len(moment), chance=0.03, days=3.0, minutes=90)
    return {
        "opportunity_id": ids("D", np.where(money["deal"] >= 0, money["deal"] + 1, -1), width=6),
        "account_id": ids("A", money["account"] + 1, width=5),
        "rep_id": ids("R", money["rep"] + 1, width=3),
        "product_id": ids("P", money["product"] + 1, width=2),
        "amount_usd": money["amount"],
        "kind": words(KINDS, money["kind"]),
        "event_timestamp": moment,
        "created_timestamp": moment + lag,
    }


def _quarters(calendar: Calendar) -> Ints:
    first, last = quarter(np.array([calendar.start, calendar.end - 1]))
    return np.arange(first, last + 1)


def revenue_truth(
    calendar: Calendar, deals: Deals, history: DealHistory, truth: DealTruth, money: Columns, reps: Reps
) -> Columns:
    """Booked and expected revenue by quarter for the company and each rep.

    `expected_usd` adds up, over the quarter's weeks and the deals open at each Monday, the chance of being won that
    week times the mean booking: what the deals' states gave reason to expect. Booked minus expected has mean 0.
    Renewals and credits are apart.
    """
    quarters = _quarters(calendar)
    first, size = quarters[0], (reps.count + 1, len(quarters))
    inside = (money["moment"] >= calendar.start) & (money["moment"] < calendar.end)
    deals_booked, other = np.zeros(size), np.zeros(size)
    for target, chosen in ((deals_booked, money["kind"] < 2), (other, money["kind"] >= 2)):
        rows = np.flatnonzero(inside & chosen)
        cell = (money["rep"][rows] + 1, quarter(money["moment"][rows]) - first)
        np.add.at(target, cell, money["amount"][rows])
    expected = np.zeros(size)
    value = truth.win_this_week() * expected_booking(calendar, history)
    rows = np.flatnonzero(value > 0)
    mondays = calendar.mondays(history.week[rows])
    owner = reps.owner_at(deals.rep[history.deal[rows]], mondays)
    begins = quarter(mondays)
    share = worked_share(np.minimum(quarter_start(begins + 1) - mondays, WEEK))
    cut = worked_share(np.clip(calendar.end - mondays, 0, WEEK))
    for place, part in ((begins - first, np.minimum(share, cut)), (begins + 1 - first, np.maximum(cut - share, 0.0))):
        fits = (place >= 0) & (place < size[1])
        np.add.at(expected, (owner[fits] + 1, place[fits]), (value[rows] * part)[fits])
    for table in (deals_booked, other, expected):
        table[0] = table[1:].sum(axis=0)
    return _tabulated(quarters, reps, booked=deals_booked, expected=expected, other=other)


def _tabulated(quarters: Ints, reps: Reps, *, booked: Floats, expected: Floats, other: Floats) -> Columns:
    entity, period = np.indices(booked.shape).reshape(2, -1)
    names = ["company", *ids("R", np.arange(1, reps.count + 1), width=3).to_pylist()]
    return {
        "level": words(("company", "rep"), (entity > 0).astype(np.int64)),
        "entity_id": words(names, entity),
        "period_start": dates(quarter_start(quarters[period])),
        "booked_usd": booked.ravel(),
        "expected_usd": expected.ravel(),
        "renewals_and_credits_usd": other.ravel(),
    }


def quota_versions(config: SimulationConfig, calendar: Calendar, money: Columns, reps: Reps) -> Columns:
    """Quotas of all levels, set on the first day of each quarter from what was booked before."""
    rng = stream(config, "quotas")
    quarters = _quarters(calendar)
    sales = money["kind"] < 2
    booked = np.bincount(
        np.clip(quarter(money["moment"][sales]) - quarters[0], 0, len(quarters)),
        weights=money["amount"][sales],
        minlength=len(quarters) + 1,
    )
    season = np.array([0.93, 1.0, 0.97, 1.1])[quarters % 4]
    plan = np.zeros(len(quarters))
    for number in range(len(quarters)):
        recent = slice(max(0, number - 4), number)
        first = p.PLAN_WIN_RATE * p.PLAN_AMOUNT_USD * config.deals / (4 * config.years)
        level = float(np.mean(booked[recent] / season[recent])) if number else first
        plan[number] = level * season[number] * p.QUOTA_STRETCH
    begin = np.maximum(quarter_start(quarters), calendar.start)
    working = (reps.hired[:, None] < begin + 60 * DAY) & (reps.left[:, None] > begin)
    ramp = np.clip((begin - reps.hired[:, None]) / (270 * DAY), 0.35, 1.0)
    weight = working * ramp * rng.lognormal(0, 0.12, (reps.count, 1))
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
