"""What passes between reps and leads: the first touch, others that follow, replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse.contracts import ACTIVITY_KINDS
from warehouse.simulator import parameters as p
from warehouse.simulator.config import Cell
from warehouse.simulator.lead_records import Touches, scatter
from warehouse.simulator.leads import LeadPaths, Leads
from warehouse.simulator.moments import DAY, HOUR, NEVER, Draws, Ints, late, place_within_day
from warehouse.simulator.names import choose_by_row
from warehouse.simulator.organisation import Reps
from warehouse.simulator.writer import Columns, ids, rows_of, stack, words

EMAIL, CALL, MEETING, DEMO, TASK = range(len(ACTIVITY_KINDS))


@dataclass(frozen=True)
class Correspondence:
    """Every contact with a lead, in the order of time.

    `state` is the lead's when the contact, or the email it answers, was begun; `is_inbound` holds where the lead called
    or wrote.
    """

    lead: Ints
    state: Ints
    kind: Ints
    moment: Ints
    is_inbound: Any


def correspond(cell: Cell, leads: Leads, paths: LeadPaths, touches: Touches) -> Correspondence:
    """The first touch, others that follow the lead's interest and fade with its age, and replies to emails."""
    draw = Draws(cell, "lead contacts")
    begun = stack([_first(draw, leads, paths, touches), _further(draw, leads, paths, touches)])
    begun = rows_of(begun, np.argsort(begun["moment"], kind="stable"))
    every = stack([begun, _replies(draw, paths, begun)])
    return Correspondence(**rows_of(every, np.argsort(every["moment"], kind="stable")))


def _first(draw: Draws, leads: Leads, paths: LeadPaths, touches: Touches) -> Columns:
    lead = np.flatnonzero(touches.working_at < NEVER)
    kind = draw("first kind").integers(0, 2, leads.count)[lead]
    return _contacts(lead, paths.states[0, lead].astype(np.int64), kind, touches.working_at[lead])


def _further(draw: Draws, leads: Leads, paths: LeadPaths, touches: Touches) -> Columns:
    lead, step, state = scatter(draw("steps"), leads, paths, p.LEAD_ACTIVITIES)
    moment = place_within_day(draw("clock").random((len(lead), 2)), leads.created[lead] + step * DAY)
    fades = draw("fades").random(len(lead)) < np.exp(-step / p.LEAD_ACTIVITY_FADE_DAYS)
    kind = choose_by_row(draw("kind"), p.LEAD_ACTIVITY_MIX[state])
    inbound = (kind <= CALL) & (draw("inbound").random(len(lead)) < p.LEAD_INBOUND[state])
    kept = np.flatnonzero(fades & (moment > touches.working_at[lead]) & (moment < paths.outcome_at[lead]))
    return _contacts(lead[kept], state[kept], kind[kept], moment[kept], inbound=inbound[kept])


def _replies(draw: Draws, paths: LeadPaths, begun: Columns) -> Columns:
    """Replies to the reps' emails; how likely one is depends on the state in which the email found the lead."""
    answered = draw("replies").random(len(begun["lead"])) < p.LEAD_REPLY[begun["state"]]
    mail = np.flatnonzero((begun["kind"] == EMAIL) & ~begun["is_inbound"] & answered)
    hours = draw("reply after").lognormal(*p.REPLY_HOURS, len(mail))
    moment = begun["moment"][mail] + (hours * HOUR).astype(np.int64)
    open_still = np.flatnonzero(moment < paths.outcome_at[begun["lead"][mail]])
    mail, moment = mail[open_still], moment[open_still]
    kind, inbound = np.full(len(mail), EMAIL), np.ones(len(mail), bool)
    return _contacts(begun["lead"][mail], begun["state"][mail], kind, moment, inbound=inbound)


def _contacts(lead: Ints, state: Ints, kind: Ints, moment: Ints, *, inbound: Any = None) -> Columns:
    n = len(lead)
    return {
        "lead": lead,
        "state": state,
        "kind": kind,
        "moment": moment,
        "is_inbound": np.zeros(n, bool) if inbound is None else inbound,
    }


def lead_activities(cell: Cell, leads: Leads, contacts: Correspondence, reps: Reps) -> Columns:
    """The contacts as canonical activities."""
    draw = Draws(cell, "lead activities")
    lead, kind, moment, n = contacts.lead, contacts.kind, contacts.moment, len(contacts.lead)
    reached = contacts.is_inbound | (draw("reached").random(n) < p.LEAD_REACHED[contacts.state])
    talks = (kind > EMAIL) & (kind < TASK)
    minutes = np.round(np.where(reached, 1, 0.1) * draw("minutes").lognormal(2.7, 0.6, n))
    chance = p.LATE_ACTIVITY * reps.laziness[leads.rep[lead]]
    return {
        "kind": words(ACTIVITY_KINDS, kind),
        "lead_id": leads.ids(lead),
        "rep_id": ids("R", reps.owner_at(leads.rep[lead], moment) + 1, width=3),
        "direction": words(("outbound", "inbound"), contacts.is_inbound.astype(np.int64)),
        "outcome": words(("no answer", "reached"), reached.astype(np.int64), missing=kind == TASK),
        "duration_minutes": np.where(talks, minutes, np.nan),
        "participant_count": np.where(talks, 1.0 + reached, np.nan),
        "event_timestamp": moment,
        "created_timestamp": moment + late(draw("lag"), n, chance=chance, days=p.LATE_ACTIVITY_DAYS, minutes=40),
    }
