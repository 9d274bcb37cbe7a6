"""Deals: where they come from, their latent quality, and the chances that move them from week to week (pursuit.py).

A deal's steps are calendar weeks, Monday 00:00 UTC to the next. In the week of its opening nothing moves; in each
later week it advances (from Negotiation: is won), falls back, is lost, or stays, and then momentum may be lost or
found. All chances depend on stage, momentum, the deal's quality and the calendar; the truth (truth.py) uses the same
functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import Accounts, found
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.leads import CONVERTED, LeadPaths, Leads
from warehouse.simulator.moments import (
    DAY,
    HOUR,
    SECOND,
    Bools,
    Calendar,
    Floats,
    Ints,
    stream,
)
from warehouse.simulator.names import choose
from warehouse.simulator.organisation import Reps

INBOUND_LEAD, OUTBOUND, EXPANSION, MIGRATED = 0, 1, 2, 3
WON, LOST = 4, 5
"""Stages behind the four open ones."""


@dataclass
class Deals:
    """The deals in order of opening; arrays by deal. Those of expansions are settled when they are opened.

    `quality` is latent; `competitor` is who really competes, known or not.
    """

    opened: Ints
    origin: Ints
    lead: Ints
    account: Ints
    product: Ints
    competitor: Ints
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

    @property
    def speed(self) -> Floats:
        """How fast the product sells."""
        return np.array([product[4] for product in p.PRODUCTS])[self.product]


def plan_deals(
    config: SimulationConfig, calendar: Calendar, leads: Leads, paths: LeadPaths, reps: Reps
) -> tuple[Deals, Accounts]:
    """All deals with their moments of opening, and the accounts; expansions get their account when they open."""
    rng = stream(config, "deals")
    converted = np.flatnonzero((paths.outcome == CONVERTED) & (paths.outcome_at <= calendar.end))
    at = paths.outcome_at[converted]
    backlog, expansions, outbound = _shares(config, len(converted))
    loaded = np.sort(calendar.start + 8 * HOUR + rng.integers(0, 3 * DAY // SECOND, backlog) * SECOND)
    weekdays = np.array([1.0, 1.1, 1.1, 1.1, 0.9, 0.02, 0.02])
    own = calendar.arrivals(rng, outbound, weekdays=weekdays)
    again = calendar.arrivals(rng, expansions, weekdays=weekdays)
    approached = np.concatenate([own, loaded])
    accounts, of_leads, of_others = found(
        config, calendar, leads, reps, converted=converted, at=at, approached=approached
    )
    opened = np.concatenate([at, own, loaded, again])
    sizes = [len(converted), outbound, backlog, expansions]
    order = np.argsort(opened, kind="stable")
    origin = np.repeat([INBOUND_LEAD, OUTBOUND, MIGRATED, EXPANSION], sizes)[order]
    lead = np.concatenate([converted, np.full(sum(sizes[1:]), -1)])[order]
    account = np.concatenate([of_leads, of_others, np.full(expansions, -1)])[order]
    deals = _draw(rng, config, calendar, opened[order], origin, lead=lead, account=account)
    deals.lead_quality = np.where(lead >= 0, leads.quality[lead], 0.0)
    settle(deals, np.flatnonzero(account >= 0), calendar, accounts, reps)
    return deals, accounts


def _shares(config: SimulationConfig, converted: int) -> tuple[int, int, int]:
    """Numbers of deals loaded at the start, of expansions, and of deals that reps open on their own."""
    backlog = min(round(p.MIGRATED_SHARE * config.deals), max(config.deals - converted, 0))
    rest = max(config.deals - converted - backlog, 0)
    expansions = round(p.EXPANSION_SHARE * rest)
    return backlog, expansions, rest - expansions


def _draw(
    rng: np.random.Generator,
    config: SimulationConfig,
    calendar: Calendar,
    opened: Ints,
    origin: Ints,
    *,
    lead: Ints,
    account: Ints,
) -> Deals:
    n = len(opened)
    product = choose(rng, [product[3] for product in p.PRODUCTS], n)
    beacon = (rng.random(n) < p.BEACON_SHARE) & (opened >= calendar.change) & (config.scenario == "new-product")
    stage = np.where(origin == EXPANSION, 1, 0)
    stage = np.where(origin == MIGRATED, choose(rng, p.MIGRATED_STAGES, n), stage)
    return Deals(
        opened=opened,
        origin=origin,
        lead=lead,
        account=account,
        product=np.where(beacon, len(p.PRODUCTS) - 1, product),
        competitor=choose(rng, p.COMPETITOR_SHARE, n),
        stage=stage,
        stalled=rng.random(n) < p.STALLED_AT_OPENING,
        rep=np.full(n, -1),
        amount=np.zeros(n),
        quality=np.zeros(n),
        noise=rng.normal(0, p.DEAL_LATENT_SD, n),
        units_noise=rng.normal(*p.LOG_UNITS, n),
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
    rep = reps.owner_at(accounts.rep[account], opened)
    quality = p.DEAL_FIT * company.fit + effect + p.COMPETITOR_EFFECT[deals.competitor[index]] + deals.noise[index]
    quality += p.DEAL_SKILL * reps.skill[rep] + p.DEAL_AMOUNT_EFFECT * (np.log(amount) - np.log(18_000.0))
    quality += p.DEAL_LEAD_QUALITY * deals.lead_quality[index]
    quality += np.where(deals.origin[index] == EXPANSION, p.EXPANSION_EFFECT, 0.0)
    deals.rep[index], deals.amount[index], deals.quality[index] = rep, np.round(amount, -2), quality


@dataclass(frozen=True)
class DealRates:
    """A set of deals' chances per week before the calendar's factor; last axis: with momentum, stalled."""

    advance: Floats
    lose: Floats
    stall: Floats
    revive: Floats


def deal_rates(deals: Deals, index: Ints) -> DealRates:
    """The chances of the deals `index`, advance and lose of shape (n, 4, 2): shared by the simulation and the truth."""
    quality, speed = deals.quality[index], deals.speed[index]
    faster = (speed * np.exp(p.DEAL_ADVANCE_QUALITY * quality))[:, None, None]
    worse = (speed * np.exp(p.DEAL_LOSE_QUALITY * quality))[:, None, None]
    momentum = np.exp(p.DEAL_MOMENTUM_QUALITY * quality)
    return DealRates(
        advance=faster * p.DEAL_ADVANCE[:, None] * np.array([1.0, p.STALLED_ADVANCE]),
        lose=worse * p.DEAL_LOSE[:, None] * np.array([1.0, p.STALLED_LOSE]),
        stall=np.minimum(p.STALL / momentum, 0.5),
        revive=np.minimum(p.REVIVE * momentum, 0.5),
    )
