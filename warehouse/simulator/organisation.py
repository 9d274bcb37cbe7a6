"""The selling company: regions, teams, reps who come and go, territories, products, campaigns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warehouse.simulator import parameters as p
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.moments import DAY, HOUR, NEVER, SECOND, Calendar, Draws, Floats, Ints, monday
from warehouse.simulator.names import people
from warehouse.simulator.writer import Columns, dates, ids, rows_of, stack, words

SOBER, SANDBAGGER, OPTIMIST = 0, 1, 2
"""How a rep calls deals: as they are, below what they are, above it."""


@dataclass(frozen=True)
class Reps:
    """The salespeople; arrays by rep. Skill, optimism, habit and diligence are latent.

    `second_lead` and `promoted` say by team who becomes its lead and when; NEVER where the first lead stays.
    """

    team: Ints
    region: Ints
    hired: Ints
    left: Ints
    successor: Ints
    skill: Floats
    optimism: Floats
    habit: Ints
    diligence: Floats
    second_lead: Ints
    promoted: Ints

    @property
    def count(self) -> int:
        """Number of reps over the whole span."""
        return len(self.team)

    @property
    def laziness(self) -> Floats:
        """Factor on what a rep leaves out or enters late, 1 on average."""
        factor = np.clip(self.diligence**-p.LAZINESS_POWER, 0.3, 3.0)
        return np.asarray(factor / factor.mean())

    def assign(self, rng: np.random.Generator, *, regions: Ints, moments: Ints) -> Ints:
        """A rep of the region who is there at the moment, each with the same chance."""
        begins = np.unique(np.concatenate([self.hired, self.left[self.left < NEVER]]))
        period = np.searchsorted(begins, moments, side="right") - 1
        draw, chosen = rng.random(len(moments)), np.zeros(len(moments), np.int64)
        for region in range(len(p.REGIONS)):
            rows, members = np.flatnonzero(regions == region), np.flatnonzero(self.region == region)
            there = (self.hired[members, None] <= begins) & (self.left[members, None] > begins)
            present_first = np.argsort(~there, axis=0, kind="stable")
            place = (draw[rows] * there.sum(axis=0)[period[rows]]).astype(np.int64)
            chosen[rows] = members[present_first[place, period[rows]]]
        return chosen

    def owner_at(self, first: Ints, moments: Ints) -> Ints:
        """Who owns a thing at a moment, given its first owner: the successor once that one has left."""
        return np.where(moments >= self.left[first], self.successor[first], first)

    def handover(self, first: Ints, *, since: Ints, until: Ints) -> Ints:
        """When each thing, alive in (since, until), goes to its owner's successor; NEVER if it does not."""
        left = self.left[first]
        return np.where((left > since) & (left < until), left, NEVER)

    def manager_at(self, rep: Ints, moments: Ints) -> Ints:
        """Who leads each rep at a moment, -1 for nobody: the team's lead, who after a promotion has one above."""
        team = self.team[rep]
        changed = moments >= self.promoted[team]
        lead = np.where(changed, self.second_lead[team], team)
        above = np.where(changed & (rep != team), team, -1)
        return np.where(rep == lead, above, np.where(rep == team, -1, lead))


def hire(config: SimulationConfig, calendar: Calendar) -> Reps:
    """The reps: each team's first is its lead, there from before the start to the end."""
    draw = Draws(config, "reps")
    n, teams = config.reps, len(p.TEAMS)
    team = np.arange(n, dtype=np.int64) % teams
    leads_team = np.arange(n) < teams
    span = calendar.end - calendar.start
    early = leads_team | (draw("early").random(n) < p.HIRED_BEFORE_START)
    before = calendar.start - (draw("tenure").uniform(0.1, 5.0, n) * 365 * DAY).astype(np.int64)
    hired = np.where(early, before, calendar.start + (draw("joined").uniform(0.02, 0.85, n) * span).astype(np.int64))
    hired = monday(hired)
    leaves = ~leads_team & (draw("leaves").random(n) < 1 - (1 - p.LEAVERS_PER_YEAR) ** config.years)
    begin = np.maximum(hired, calendar.start)
    left = begin + (draw("left").uniform(0.15, 1.0, n) * (calendar.end - begin)).astype(np.int64) // SECOND * SECOND
    left = np.where(leaves, monday(left) + 4 * DAY + 17 * HOUR, NEVER)
    region = np.array([p.REGIONS.index(name) for _, name in p.TEAMS], np.int64)[team]
    habit = np.searchsorted(np.cumsum(p.REP_HABITS)[:-1], draw("habit").random(n), side="right").astype(np.int64)
    second_lead, promoted = _promotions(draw, calendar, hired=hired, left=left)
    return Reps(
        team=team,
        region=region,
        hired=hired,
        left=left,
        successor=_successors(team, hired=hired, left=left),
        skill=draw("skill").normal(0, p.SKILL_SD, n),
        optimism=draw("optimism").normal(0, p.REP_OPTIMISM_SD, n) + np.array(p.HABIT_OPTIMISM)[habit],
        habit=habit,
        diligence=draw("diligence").lognormal(0, p.DILIGENCE_SD, n),
        second_lead=second_lead,
        promoted=promoted,
    )


def _successors(team: Ints, *, hired: Ints, left: Ints) -> Ints:
    """Who takes over when a rep leaves: the team's members who stay, in turn."""
    successor = np.arange(len(team), dtype=np.int64)
    for rep in np.flatnonzero(left < NEVER):
        staying = np.flatnonzero((team == team[rep]) & (left == NEVER) & (hired < left[rep]))
        successor[rep] = staying[rep % len(staying)]
    return successor


def _promotions(draw: Draws, calendar: Calendar, *, hired: Ints, left: Ints) -> tuple[Ints, Ints]:
    """By team: the member of longest standing who stays becomes its lead, in some teams, on a Monday of the span."""
    teams = len(p.TEAMS)
    wanted = draw("promotion").random(teams) < p.PROMOTIONS
    at = calendar.start + (draw("promoted").uniform(0.2, 0.9, teams) * (calendar.end - calendar.start)).astype(np.int64)
    at = monday(at) + 8 * HOUR
    second, promoted = np.full(teams, -1), np.full(teams, NEVER)
    for team in np.flatnonzero(wanted):
        members = np.arange(team + teams, len(hired), teams)
        fit = members[(left[members] == NEVER) & (hired[members] < at[team])]
        if len(fit):
            second[team], promoted[team] = fit[np.argmin(hired[fit])], at[team]
    return second, promoted


def rep_versions(config: SimulationConfig, calendar: Calendar, reps: Reps) -> Columns:
    """Versions of the reps: when hired (or at the start), when they get another manager, when they leave."""
    number = np.arange(reps.count, dtype=np.int64)
    names, _ = people(Draws(config, "rep names")("names"), reps.count)
    begin = np.maximum(reps.hired, calendar.start)
    promoted = reps.promoted[reps.team]
    affected = np.flatnonzero((begin < promoted) & (reps.left > promoted) & (promoted < NEVER))
    rep = np.concatenate([number, affected, number])
    event = np.concatenate([begin, promoted[affected], reps.left])
    base: Columns = {
        "rep_id": ids("R", number + 1, width=3),
        "name": names,
        "team": words([name for name, _ in p.TEAMS], reps.team),
        "region": words(p.REGIONS, reps.region),
        "territory_id": ids(
            "T", reps.region * p.TERRITORIES_PER_REGION + number % p.TERRITORIES_PER_REGION + 1, width=2
        ),
        "hired_at": reps.hired,
    }
    manager = reps.manager_at(rep, event)
    return rows_of(base, rep) | {
        "manager_id": ids("R", np.where(manager >= 0, manager + 1, -1), width=3),
        "is_active": event < reps.left[rep],
        "event_timestamp": event,
        "created_timestamp": event,
    }


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
    effect = Draws(config, "campaigns")("effect").normal(0, p.CAMPAIGN_EFFECT_SD, len(p.CHANNELS) * halves)
    return Campaigns(halves=halves, effect=effect)


def campaign_versions(config: SimulationConfig, calendar: Calendar, campaigns: Campaigns) -> Columns:
    """Versions of the campaigns: planned cost at the start of each, full cost at its end."""
    number = np.arange(len(campaigns.effect), dtype=np.int64)
    channel, half = number // campaigns.halves, number % campaigns.halves
    begin = calendar.start + half * 182 * DAY
    finish = begin + 182 * DAY
    scale = config.leads / config.years * p.CAMPAIGN_COST_PER_LEAD_USD / (2 * len(p.CHANNELS))
    cost = np.round(scale * Draws(config, "campaigns")("cost").lognormal(0, 0.4, len(number)), -2)
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
