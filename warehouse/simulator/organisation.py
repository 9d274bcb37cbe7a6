"""The selling company: regions, teams, reps who come and go, territories, products, campaigns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warehouse.simulator import parameters as p
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.moments import DAY, NEVER, SECOND, Calendar, Floats, Ints, monday, stream
from warehouse.simulator.names import people
from warehouse.simulator.writer import Columns, dates, ids, stack, words


@dataclass(frozen=True)
class Reps:
    """The salespeople; arrays by rep. Skill, optimism and diligence are latent."""

    team: Ints
    region: Ints
    hired: Ints
    left: Ints
    successor: Ints
    skill: Floats
    optimism: Floats
    diligence: Floats

    @property
    def count(self) -> int:
        """Number of reps over the whole span."""
        return len(self.team)

    def assign(self, rng: np.random.Generator, *, regions: Ints, moments: Ints) -> Ints:
        """A rep of the region who is there at the moment, each with the same chance."""
        there = (self.hired <= moments[:, None]) & (self.left > moments[:, None]) & (self.region == regions[:, None])
        rank = np.cumsum(there, axis=1)
        pick = (rng.random(len(moments)) * rank[:, -1]).astype(np.int64) + 1
        chosen: Ints = np.argmax(rank == pick[:, None], axis=1).astype(np.int64)
        return chosen

    def owner_at(self, first: Ints, moments: Ints) -> Ints:
        """Who owns a thing at a moment, given its first owner: the successor once that one has left."""
        return np.where(moments >= self.left[first], self.successor[first], first)

    def handover(self, first: Ints, *, since: Ints, until: Ints) -> Ints:
        """When each thing, alive in (since, until), goes to its owner's successor; NEVER if it does not."""
        left = self.left[first]
        return np.where((left > since) & (left < until), left, NEVER)


def hire(config: SimulationConfig, calendar: Calendar) -> Reps:
    """The reps: each team's first is its lead, there from before the start to the end."""
    rng = stream(config, "reps")
    n, teams = config.reps, len(p.TEAMS)
    team = np.arange(n, dtype=np.int64) % teams
    leads_team = np.arange(n) < teams
    span = calendar.end - calendar.start
    early = leads_team | (rng.random(n) < p.HIRED_BEFORE_START)
    before = calendar.start - (rng.uniform(0.1, 5.0, n) * 365 * DAY).astype(np.int64)
    hired = np.where(early, before, calendar.start + (rng.uniform(0.02, 0.85, n) * span).astype(np.int64))
    hired = monday(hired)
    leaves = ~leads_team & (rng.random(n) < p.LEAVERS)
    begin = np.maximum(hired, calendar.start)
    left = begin + (rng.uniform(0.15, 1.0, n) * (calendar.end - begin)).astype(np.int64) // SECOND * SECOND
    left = np.where(leaves, monday(left) + 4 * DAY + 17 * 3_600 * SECOND, NEVER)
    region = np.array([p.REGIONS.index(name) for _, name in p.TEAMS], np.int64)[team]
    return Reps(
        team=team,
        region=region,
        hired=hired,
        left=left,
        successor=_successors(team, hired=hired, left=left),
        skill=rng.normal(0, p.SKILL_SD, n),
        optimism=rng.normal(0, p.REP_OPTIMISM_SD, n),
        diligence=rng.lognormal(0, 0.25, n),
    )


def _successors(team: Ints, *, hired: Ints, left: Ints) -> Ints:
    """Who takes over when a rep leaves: the team's members who stay, in turn."""
    successor = np.arange(len(team), dtype=np.int64)
    for rep in np.flatnonzero(left < NEVER):
        staying = np.flatnonzero((team == team[rep]) & (left == NEVER) & (hired < left[rep]))
        successor[rep] = staying[rep % len(staying)]
    return successor


def rep_versions(config: SimulationConfig, calendar: Calendar, reps: Reps) -> Columns:
    """Versions of the reps: one when hired (or at the start), one when they leave."""
    number = np.arange(reps.count, dtype=np.int64)
    begin = np.maximum(reps.hired, calendar.start)
    names, _ = people(stream(config, "rep names"), reps.count)
    lead = reps.team
    base: Columns = {
        "rep_id": ids("R", number + 1, width=3),
        "name": names,
        "team": words([name for name, _ in p.TEAMS], reps.team),
        "region": words(p.REGIONS, reps.region),
        "territory_id": ids(
            "T", reps.region * p.TERRITORIES_PER_REGION + number % p.TERRITORIES_PER_REGION + 1, width=2
        ),
        "manager_id": ids("R", np.where(number == lead, -1, lead + 1), width=3),
        "hired_at": reps.hired,
        "is_active": np.ones(reps.count, bool),
        "event_timestamp": begin,
        "created_timestamp": begin,
    }
    gone = {
        **base,
        "is_active": np.zeros(reps.count, bool),
        "event_timestamp": reps.left,
        "created_timestamp": reps.left,
    }
    return stack([base, gone])


def territory_versions(calendar: Calendar) -> Columns:
    """The territories, known from the start."""
    number = np.arange(len(p.REGIONS) * p.TERRITORIES_PER_REGION, dtype=np.int64)
    region = number // p.TERRITORIES_PER_REGION
    names = [f"{p.REGIONS[r]} {'NESW'[k % p.TERRITORIES_PER_REGION]}" for k, r in zip(number, region, strict=True)]
    begin = np.full(len(number), calendar.start)
    return {
        "territory_id": ids("T", number + 1, width=2),
        "name": words(names, number),
        "region": words(p.REGIONS, region),
        "event_timestamp": begin,
        "created_timestamp": begin,
    }


def product_versions(config: SimulationConfig, calendar: Calendar) -> Columns:
    """The products; Beacon appears with the scenario `new-product`, list prices rise by 3 % each January."""
    years = config.years
    launched = len(p.PRODUCTS) if config.scenario == "new-product" else len(p.PRODUCTS) - 1
    number = np.tile(np.arange(launched, dtype=np.int64), years)
    year = np.repeat(np.arange(years), launched)
    first = calendar.start + (year * 365.25 * DAY).astype(np.int64) // DAY * DAY
    begin = np.where(number == len(p.PRODUCTS) - 1, np.maximum(first, calendar.change), first)
    price = np.array([product[2] for product in p.PRODUCTS])[number] * 1.03**year
    return {
        "product_id": ids("P", number + 1, width=2),
        "name": words([product[0] for product in p.PRODUCTS], number),
        "family": words([product[1] for product in p.PRODUCTS], number),
        "list_price_usd": np.round(price, -1),
        "event_timestamp": begin,
        "created_timestamp": begin,
    }


@dataclass(frozen=True)
class Campaigns:
    """One campaign per channel and half-year; the effect is latent."""

    halves: int
    effect: Floats

    def of(self, calendar: Calendar, *, channel: Ints, moments: Ints) -> Ints:
        """The campaign of a channel at each moment; -1 where the channel has none (negative)."""
        half = np.minimum((moments - calendar.start) // (182 * DAY), self.halves - 1)
        return np.where(channel >= 0, channel * self.halves + half, -1)


def plan_campaigns(config: SimulationConfig) -> Campaigns:
    """The campaigns of all channels."""
    halves = 2 * config.years
    effect = stream(config, "campaigns").normal(0, p.CAMPAIGN_EFFECT_SD, len(p.CHANNELS) * halves)
    return Campaigns(halves=halves, effect=effect)


def campaign_versions(config: SimulationConfig, calendar: Calendar, campaigns: Campaigns) -> Columns:
    """Versions of the campaigns: planned cost at the start of each, full cost at its end."""
    number = np.arange(len(campaigns.effect), dtype=np.int64)
    channel, half = number // campaigns.halves, number % campaigns.halves
    begin = calendar.start + half * 182 * DAY
    finish = begin + 182 * DAY
    cost = np.round(stream(config, "campaign costs").lognormal(10.2, 0.4, len(number)), -2)
    names = [
        f"{p.CHANNELS[c].replace('_', ' ').title()} H{h % 2 + 1}-{h // 2 + 1}"
        for c, h in zip(channel, half, strict=True)
    ]
    base: Columns = {
        "campaign_id": ids("C", number + 1, width=3),
        "name": words(names, number),
        "channel": words(p.CHANNELS, channel),
        "cost_usd": np.round(cost * 0.4, -2),
        "starts_on": dates(begin),
        "ends_on": dates(finish - DAY),
        "event_timestamp": begin,
        "created_timestamp": begin,
    }
    return stack([base, {**base, "cost_usd": cost, "event_timestamp": finish, "created_timestamp": finish}])
