"""Leads: who arrives, the hidden chain of intent that each follows, and how it ends.

Each lead lives in 24-hour steps counted from its first contact. In a step it has one of four hidden states
(`LEAD_STATES`); in that step it may convert or be disqualified, and if it does neither it may move one state up or
down for the next step. All chances depend on the state and on the lead's quality; conversion also on the calendar.
What can be seen (lead_records.py) depends on the state of the step and on nothing that comes later, so that the
truth (truth.py) is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse.simulator import parameters as p
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.moments import DAY, NEVER, Bools, Calendar, Floats, Ints, moment_within_day, stream
from warehouse.simulator.names import Companies, choose, choose_by_row, companies, people
from warehouse.simulator.organisation import Campaigns, Reps
from warehouse.simulator.writer import joined

OPEN, CONVERTED, DISQUALIFIED = 0, 1, 2
_LAST_STATE = len(p.LEAD_STATES) - 1


@dataclass(frozen=True)
class Leads:
    """The leads in order of arrival; arrays by lead. `quality` is latent."""

    created: Ints
    company: Companies
    person: Any
    email: Any
    source: Ints
    landing: Ints
    title: Ints
    campaign: Ints
    rep: Ints
    original: Ints
    quality: Floats

    @property
    def count(self) -> int:
        """Number of leads."""
        return len(self.created)

    @property
    def is_duplicate(self) -> Bools:
        """Whether a lead repeats an earlier one."""
        return self.original >= 0

    @property
    def is_entered_by_hand(self) -> Bools:
        """Whether a lead comes from a list, of a trade show or bought, and not from a form on the web."""
        by_hand = np.array([name in p.ENTERED_BY_HAND for name, _, _ in p.SOURCES])
        return np.asarray(by_hand[self.source], np.bool_)

    def first_day(self, calendar: Calendar) -> Ints:
        """Days between the calendar's start and the day of first contact."""
        return self.created // DAY - calendar.start // DAY


@dataclass(frozen=True)
class LeadPaths:
    """What became of the leads.

    Args:
        states: Hidden state by step and lead, int8, shape (LEAD_DAYS + 1, n); -1 from the step after the outcome on.
        outcome: OPEN, CONVERTED or DISQUALIFIED, by lead.
        outcome_at: Moment of the outcome; NEVER for open leads.
    """

    states: Any
    outcome: Ints
    outcome_at: Ints


def arrive(config: SimulationConfig, calendar: Calendar, reps: Reps, campaigns: Campaigns) -> Leads:
    """Draw the leads with their profiles, reps and quality."""
    rng = stream(config, "leads")
    n = config.leads
    created = calendar.arrivals(rng, n, weekdays=p.WEEKDAY_ARRIVALS)
    original = _repeats(rng, n)
    itself = np.where(original >= 0, original, np.arange(n))
    company = companies(rng, n).take(itself)
    person, local = people(rng, n)
    source = choose(rng, [share for _, share, _ in p.SOURCES], n)
    landing = choose(rng, [share for _, share, _ in p.LANDING_PAGES], n)
    title = choose(rng, [share for _, share, _ in p.TITLES], n)[itself]
    channels = np.array([p.CHANNELS.index(name) if name in p.CHANNELS else -1 for name, _, _ in p.SOURCES], np.int64)
    campaign = campaigns.of(calendar, channel=channels[source], moments=created)
    rep = reps.assign(rng, regions=company.region, moments=created)
    profile = (
        _effect(p.SOURCES, source) + _effect(p.LANDING_PAGES, landing) + _effect(p.TITLES, title) + 0.7 * company.fit
    )
    profile += np.where(campaign >= 0, campaigns.effect[campaign], 0.0)
    quality = profile + rng.normal(0, p.LEAD_LATENT_SD, n) + p.LEAD_SKILL * reps.skill[rep]
    at = original.clip(0)
    return Leads(
        created=created,
        company=company,
        person=_same(person, at, original >= 0),
        email=_same(joined(local, "@", company.domain), at, original >= 0),
        source=source,
        landing=landing,
        title=title,
        campaign=campaign,
        rep=rep,
        original=original,
        quality=quality,
    )


def _repeats(rng: np.random.Generator, n: int) -> Ints:
    """For each lead the earlier one it repeats (some hundred places before), or -1."""
    number = np.arange(n, dtype=np.int64)
    earlier = number - rng.integers(1, 400, n)
    chosen = (rng.random(n) < p.DUPLICATES) & (earlier >= 0)
    chosen &= ~chosen[earlier.clip(0)]
    return np.where(chosen, earlier, -1)


def _same(text: Any, original: Ints, repeats: Bools) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pa.array(repeats), text.take(pa.array(original)), text)


def _effect(table: tuple[tuple[str, float, float], ...], index: Ints) -> Floats:
    return np.array([row[2] for row in table])[index]


@dataclass(frozen=True)
class LeadRates:
    """A set of leads' chances per step, each of shape (n, 4); conversion before the calendar's factor."""

    convert: Floats
    disqualify: Floats
    up: Floats
    down: Floats


def lead_rates(leads: Leads, index: Ints) -> LeadRates:
    """The chances of the leads `index`: the one definition that the simulation and the truth share."""
    quality = leads.quality[index][:, None]
    duplicate = leads.is_duplicate[index][:, None]
    convert = np.where(duplicate, 0.0, p.LEAD_CONVERT * np.exp(p.LEAD_CONVERT_QUALITY * quality))
    disqualify = p.LEAD_DISQUALIFY * np.exp(p.LEAD_DISQUALIFY_QUALITY * quality)
    return LeadRates(
        convert=convert,
        disqualify=np.where(duplicate, p.LEAD_DUPLICATE_DISQUALIFY, np.minimum(disqualify, 0.1)),
        up=np.minimum(p.LEAD_UP * np.exp(p.LEAD_UP_QUALITY * quality), 0.4),
        down=np.broadcast_to(p.LEAD_DOWN, convert.shape),
    )


def live(config: SimulationConfig, calendar: Calendar, leads: Leads) -> LeadPaths:
    """Let every lead run through its chain until its outcome, its last step or the end."""
    rng = stream(config, "lead paths")
    n = leads.count
    states = np.full((p.LEAD_DAYS + 1, n), -1, np.int8)
    outcome, outcome_at = np.zeros(n, np.int64), np.full(n, NEVER)
    tilt = np.exp(p.LEAD_START_TILT * leads.quality[:, None] * np.arange(len(p.LEAD_STATES)))
    states[0] = choose_by_row(rng, p.LEAD_START * tilt)
    rates = lead_rates(leads, np.arange(n))
    factor = calendar.conversion_by_day((calendar.end - calendar.start) // DAY + 2)
    first_day = leads.first_day(calendar)
    alive = np.arange(n)
    for step in range(p.LEAD_DAYS):
        begins = leads.created[alive] + step * DAY
        alive, begins = alive[begins < calendar.end], begins[begins < calendar.end]
        state = states[step, alive].astype(np.int64)
        convert = np.minimum(rates.convert[alive, state] * factor[first_day[alive] + step], 0.6)
        draw = rng.random(len(alive))
        won = draw < convert
        over = won | (draw < convert + rates.disqualify[alive, state])
        outcome[alive[over]] = np.where(won[over], CONVERTED, DISQUALIFIED)
        outcome_at[alive[over]] = moment_within_day(rng, begins[over])
        alive, state = alive[~over], state[~over]
        move, up = rng.random(len(alive)), rates.up[alive, state]
        moved = state + (move < up) - ((move >= up) & (move < up + rates.down[alive, state]))
        states[step + 1, alive] = moved.clip(0, _LAST_STATE)
    return LeadPaths(states=states, outcome=outcome, outcome_at=outcome_at)
