"""Deals: where they come from, their latent quality, and the chances that move them from week to week (pursuit.py).

A deal's steps are calendar weeks, Monday 00:00 UTC to the next. In the week of its opening nothing moves; in each
later week it advances (from Negotiation: is won), falls back, is lost, or stays; then momentum may be lost or found,
and where nobody competes a rival may appear. A deal is so in one of four modes (`MOMENTUM` to `STALLED_WITH_RIVAL`),
which together with the stage make its hidden state. All chances depend on that state, the deal's quality and the
calendar; the truth (truth.py) uses the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import Accounts, found
from warehouse.simulator.config import Cell
from warehouse.simulator.leads import CONVERTED, LeadPaths, Leads
from warehouse.simulator.moments import (
    DAY,
    HOUR,
    SECOND,
    Bools,
    Calendar,
    Draws,
    Floats,
    Ints,
)
from warehouse.simulator.names import choose
from warehouse.simulator.organisation import Reps
from warehouse.simulator.writer import ids

INBOUND_LEAD, OUTBOUND, EXPANSION, MIGRATED = 0, 1, 2, 3
WON, LOST = 4, 5
"""Stages behind the four open ones."""
MOMENTUM, STALLED, RIVAL, STALLED_WITH_RIVAL = 0, 1, 2, 3
"""Modes of a deal: stalled or not, plus `RIVAL` once one has appeared."""


@dataclass
class Deals:
    """The deals in order of opening; arrays by deal. Those of expansions are settled when they are opened.

    `quality` is latent; `competitor` is who really competes from the start, known or not; `rival` is who would appear
    later where that is nobody. `first` is the number before that of the first deal. Deals that a recession prevents
    are among them, opened after the end, so that all others keep their places.
    """

    first: int
    opened: Ints
    origin: Ints
    lead: Ints
    account: Ints
    product: Ints
    competitor: Ints
    rival: Ints
    stage: Ints
    stalled: Bools
    rep: Ints
    amount: Floats
    quality: Floats
    noise: Floats
    units_noise: Floats
    lead_quality: Floats

    @property
    def count(self) -> int:
        """Number of deals."""
        return len(self.opened)

    def ids(self, index: Ints) -> Any:
        """Identifiers of the deals `index`; null where it is negative."""
        return ids("D", np.where(index >= 0, index + self.first + 1, -1), width=6)

    @property
    def speed(self) -> Floats:
        """How fast the product sells."""
        return np.array([product[4] for product in p.PRODUCTS])[self.product]


def plan_deals(cell: Cell, calendar: Calendar, leads: Leads, paths: LeadPaths, reps: Reps) -> tuple[Deals, Accounts]:
    """All deals with their moments of opening, and the accounts; expansions get their account when they open."""
    draw = Draws(cell, "deals")
    converted = np.flatnonzero((paths.outcome == CONVERTED) & (paths.outcome_at <= calendar.end))
    converted = converted[np.argsort(paths.outcome_at[converted], kind="stable")]
    at = paths.outcome_at[converted]
    backlog, expansions, outbound = _shares(cell, calendar, at)
    loaded = np.sort(calendar.start + 8 * HOUR + draw("loaded").integers(0, 3 * DAY // SECOND, backlog) * SECOND)
    weekdays = np.array([1.0, 1.1, 1.1, 1.1, 0.9, 0.02, 0.02])
    own = calendar.arrivals(draw("outbound"), outbound, weekdays=weekdays)
    again = calendar.arrivals(draw("expansions"), expansions, weekdays=weekdays)
    approached = np.concatenate([own, loaded])
    accounts, of_leads, of_others = found(
        cell, calendar, leads, reps, converted=converted, at=at, approached=approached
    )
    own, again = (
        np.where(calendar.stay_away(draw(f"{name} away"), moments), calendar.end + DAY, moments)
        for name, moments in (("outbound", own), ("expansions", again))
    )
    opened = np.concatenate([at, own, loaded, again])
    sizes = [len(converted), outbound, backlog, expansions]
    order = np.argsort(opened, kind="stable")
    origin = np.repeat([INBOUND_LEAD, OUTBOUND, MIGRATED, EXPANSION], sizes)[order]
    lead = np.concatenate([converted, np.full(sum(sizes[1:]), -1)])[order]
    account = np.concatenate([of_leads, of_others, np.full(expansions, -1)])[order]
    deals = _draw(draw, cell, calendar, opened[order], origin, lead=lead, account=account)
    deals.lead_quality = np.where(lead >= 0, leads.quality[lead], 0.0)
    settle(deals, np.flatnonzero(account >= 0), calendar, accounts, reps)
    return deals, accounts


def _shares(cell: Cell, calendar: Calendar, converted_at: Ints) -> tuple[int, int, int]:
    """Numbers of deals loaded at the start, of expansions, and of deals that reps open on their own.

    What leads will bring is judged from the time before a scenario's change, which so does not touch the others.
    """
    usual = float(np.sum(converted_at < calendar.change)) * (calendar.end - calendar.start)
    expected = round(usual / (calendar.change - calendar.start))
    backlog = min(round(p.MIGRATED_SHARE * cell.deals), max(cell.deals - expected, 0))
    rest = max(cell.deals - expected - backlog, 0)
    expansions = round(p.EXPANSION_SHARE * rest)
    return backlog, expansions, rest - expansions


def _draw(
    draw: Draws, cell: Cell, calendar: Calendar, opened: Ints, origin: Ints, *, lead: Ints, account: Ints
) -> Deals:
    n = len(opened)
    product = choose(draw("product"), [product[3] for product in p.PRODUCTS], n)
    is_sold = (opened >= calendar.change) & (cell.config.scenario == "new-product")
    beacon = (draw("beacon").random(n) < p.BEACON_SHARE) & is_sold
    stage = np.where(origin == EXPANSION, 1, 0)
    stage = np.where(origin == MIGRATED, choose(draw("stage"), p.MIGRATED_STAGES, n), stage)
    return Deals(
        first=cell.first,
        opened=opened,
        origin=origin,
        lead=lead,
        account=account,
        product=np.where(beacon, len(p.PRODUCTS) - 1, product),
        competitor=choose(draw("competitor"), p.COMPETITOR_SHARE, n),
        rival=1 + choose(draw("rival"), p.COMPETITOR_SHARE[1:], n),
        stage=stage,
        stalled=draw("stalled").random(n) < p.STALLED_AT_OPENING,
        rep=np.full(n, -1),
        amount=np.zeros(n),
        quality=np.zeros(n),
        noise=draw("noise").normal(0, p.DEAL_LATENT_SD, n),
        units_noise=draw("units").normal(*p.LOG_UNITS, n),
        lead_quality=np.zeros(n),
    )


def settle(deals: Deals, index: Ints, calendar: Calendar, accounts: Accounts, reps: Reps) -> None:
    """Fill in what depends on the account, in place: rep, amount, quality."""
    account, opened, product = deals.account[index], deals.opened[index], deals.product[index]
    company = accounts.company.take(account)
    price, effect = (np.array([row[k] for row in p.PRODUCTS])[product] for k in (2, 5))
    years = (opened - calendar.start) // (365 * DAY)
    units = np.exp(deals.units_noise[index] + p.UNITS_SIZE * (np.log(company.employees) - p.LOG_EMPLOYEES[0]))
    amount = price * 1.03**years * units * calendar.factor("amount", opened)
    rep = accounts.owner_at(account, opened, reps)
    quality = p.DEAL_FIT * company.fit + effect + p.COMPETITOR_EFFECT[deals.competitor[index]] + deals.noise[index]
    quality += p.DEAL_SKILL * reps.skill[rep] + p.DEAL_AMOUNT_EFFECT * (np.log(amount) - np.log(18_000.0))
    quality += p.DEAL_LEAD_QUALITY * deals.lead_quality[index]
    quality += np.where(deals.origin[index] == EXPANSION, p.EXPANSION_EFFECT, 0.0)
    deals.rep[index], deals.amount[index], deals.quality[index] = rep, np.round(amount, -2), quality


@dataclass(frozen=True)
class DealRates:
    """A set of deals' chances per week before the calendar's factor.

    Args:
        advance: By stage and mode, shape (n, 4, 4).
        lose: By stage and mode, shape (n, 4, 4).
        stall: That momentum is lost, without and with a rival, shape (n, 2).
        revive: That it is found again, shape (n, 2).
        enter: That a rival appears, shape (n,).
    """

    advance: Floats
    lose: Floats
    stall: Floats
    revive: Floats
    enter: Floats


def deal_rates(deals: Deals, index: Ints) -> DealRates:
    """The chances of the deals `index`: shared by the simulation and the truth."""
    speed, nobody = deals.speed[index], deals.competitor[index] == 0
    harm = np.where(nobody, p.COMPETITOR_EFFECT[deals.rival[index]] - p.COMPETITOR_EFFECT[0], 0.0)
    quality = deals.quality[index][:, None] + harm[:, None] * np.array([0.0, 1.0])
    faster = np.repeat(speed[:, None] * np.exp(p.DEAL_ADVANCE_QUALITY * quality), 2, axis=1)[:, None, :]
    worse = np.repeat(speed[:, None] * np.exp(p.DEAL_LOSE_QUALITY * quality), 2, axis=1)[:, None, :]
    momentum = np.exp(p.DEAL_MOMENTUM_QUALITY * quality)
    return DealRates(
        advance=faster * p.DEAL_ADVANCE[:, None] * np.tile([1.0, p.STALLED_ADVANCE], 2),
        lose=worse * p.DEAL_LOSE[:, None] * np.tile([1.0, p.STALLED_LOSE], 2),
        stall=np.minimum(p.STALL / momentum, 0.5),
        revive=np.minimum(p.REVIVE * momentum, 0.5),
        enter=np.where(nobody, p.RIVAL_ENTERS, 0.0),
    )
