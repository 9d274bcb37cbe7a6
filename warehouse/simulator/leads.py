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
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.simulator import parameters as p
from warehouse.simulator.config import Cell
from warehouse.simulator.moments import DAY, NEVER, Bools, Calendar, Draws, Floats, Ints, place_within_day
from warehouse.simulator.names import Companies, choose, choose_by_row, companies, other_address, people
from warehouse.simulator.organisation import Campaigns, Reps
from warehouse.simulator.writer import ids, joined

OPEN, CONVERTED, DISQUALIFIED = 0, 1, 2
_LAST_STATE = len(p.LEAD_STATES) - 1


@dataclass(frozen=True)
class Leads:
    """The leads in order of arrival; arrays by lead. `quality` is latent.

    Those that stay away in a recession are among them, with a `created` after the end, so that all others keep
    their places. `first` is the number before that of the first lead.
    """

    first: int
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

    def ids(self, index: Ints) -> Any:
        """Identifiers of the leads `index`; null where it is negative."""
        return ids("L", np.where(index >= 0, index + self.first + 1, -1), width=6)

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


def arrive(cell: Cell, calendar: Calendar, reps: Reps, campaigns: Campaigns) -> Leads:
    """Draw the leads with their profiles, reps and quality."""
    draw = Draws(cell, "leads")
    n = cell.leads
    created = calendar.arrivals(draw("arrivals"), n, weekdays=p.WEEKDAY_ARRIVALS)
    original = _repeats(draw, n)
    itself = np.where(original >= 0, original, np.arange(n))
    company = companies(Draws(cell, "lead companies"), n, cell=cell.number).take(itself)
    source = choose(draw("source"), [share for _, share, _ in p.SOURCES], n)
    landing = choose(draw("landing"), [share for _, share, _ in p.LANDING_PAGES], n)
    title = choose(draw("title"), [share for _, share, _ in p.TITLES], n)[itself]
    channels = np.array([p.CHANNELS.index(name) if name in p.CHANNELS else -1 for name, _, _ in p.SOURCES], np.int64)
    campaign = campaigns.of(calendar, channel=channels[source], moments=created)
    rep = reps.assign(draw("rep"), regions=company.region, moments=created)
    profile = (
        _effect(p.SOURCES, source) + _effect(p.LANDING_PAGES, landing) + _effect(p.TITLES, title) + 0.7 * company.fit
    )
    profile += np.where(campaign >= 0, campaigns.effect[campaign], 0.0)
    quality = profile + draw("noise").normal(0, p.LEAD_LATENT_SD, n) + p.LEAD_SKILL * reps.skill[rep]
    person, email = _persons(draw, company, original)
    away = calendar.stay_away(draw("away"), created)
    return Leads(
        first=cell.first,
        created=np.where(away, calendar.end + DAY, created),
        company=company,
        person=person,
        email=email,
        source=source,
        landing=landing,
        title=title,
        campaign=campaign,
        rep=rep,
        original=original,
        quality=quality,
    )


def _repeats(draw: Draws, n: int) -> Ints:
    """For each lead the earlier one it repeats (some hundred places before), or -1."""
    number = np.arange(n, dtype=np.int64)
    earlier = number - draw("earlier").integers(1, 400, n)
    chosen = (draw("repeats").random(n) < p.DUPLICATES) & (earlier >= 0)
    chosen &= ~chosen[earlier.clip(0)]
    return np.where(chosen, earlier, -1)


def _persons(draw: Draws, company: Companies, original: Ints) -> tuple[Any, Any]:
    """Names and addresses; who comes again has the same name and sometimes another address."""
    repeats, at = pa.array(original >= 0), pa.array(original.clip(0))
    person, local = people(draw("people"), len(original))
    local = pc.if_else(repeats, local.take(at), local)
    other = (original >= 0) & (draw("other address").random(len(original)) < p.DUPLICATE_OTHER_ADDRESS)
    local = pc.if_else(pa.array(other), other_address(local), local)
    return pc.if_else(repeats, person.take(at), person), joined(local, "@", company.domain)


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


def live(cell: Cell, calendar: Calendar, leads: Leads) -> LeadPaths:
    """Let every lead run through its chain until its outcome, its last step or the end."""
    draw = Draws(cell, "lead paths")
    n = leads.count
    states = np.full((p.LEAD_DAYS + 1, n), -1, np.int8)
    outcome, outcome_at = np.zeros(n, np.int64), np.full(n, NEVER)
    tilt = np.exp(p.LEAD_START_TILT * leads.quality[:, None] * np.arange(len(p.LEAD_STATES)))
    states[0] = choose_by_row(draw("start"), p.LEAD_START * tilt)
    rates = lead_rates(leads, np.arange(n))
    factor = calendar.conversion_by_day((calendar.end - calendar.start) // DAY + 2)
    first_day = leads.first_day(calendar)
    ends, moves, clock = draw("end"), draw("move"), draw("clock").random((n, 2))
    alive = np.flatnonzero(leads.created < calendar.end)
    for step in range(p.LEAD_DAYS):
        begins = leads.created[alive] + step * DAY
        alive, begins = alive[begins < calendar.end], begins[begins < calendar.end]
        state = states[step, alive].astype(np.int64)
        convert = np.minimum(rates.convert[alive, state] * factor[first_day[alive] + step], 0.6)
        end = ends.random(n)[alive]
        won = end < convert
        over = won | (end < convert + rates.disqualify[alive, state])
        outcome[alive[over]] = np.where(won[over], CONVERTED, DISQUALIFIED)
        outcome_at[alive[over]] = place_within_day(clock[alive[over]], begins[over])
        alive, state = alive[~over], state[~over]
        move, up = moves.random(n)[alive], rates.up[alive, state]
        moved = state + (move < up) - ((move >= up) & (move < up + rates.down[alive, state]))
        states[step + 1, alive] = moved.clip(0, _LAST_STATE)
    return LeadPaths(states=states, outcome=outcome, outcome_at=outcome_at)
