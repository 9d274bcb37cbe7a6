"""What a CRM records of the leads: their versions, and when reps first worked and qualified them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from warehouse.contracts import LEAD_STATUSES
from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import Accounts
from warehouse.simulator.config import Cell
from warehouse.simulator.deals import Deals
from warehouse.simulator.leads import CONVERTED, DISQUALIFIED, LeadPaths, Leads
from warehouse.simulator.moments import (
    DAY,
    HOUR,
    NEVER,
    Calendar,
    Draws,
    Floats,
    Ints,
    late_by,
    place_within_day,
    weekday,
)
from warehouse.simulator.names import country_text, employee_count, industry_text, with_typos
from warehouse.simulator.organisation import Reps
from warehouse.simulator.writer import Columns, handovers, ids, rows_of, stack, words

_REASONS = ("no response", "no budget", "not a fit", "chose another product", "duplicate")
_MOST_AT_ONCE = 6
"""Events of one kind in one step of a lead; more are too rare to count."""


@dataclass(frozen=True)
class Touches:
    """When reps first touched and qualified each lead; NEVER where they did not."""

    working_at: Ints
    qualified_at: Ints


def scatter(rng: np.random.Generator, leads: Leads, paths: LeadPaths, rates: Floats) -> tuple[Ints, Ints, Ints]:
    """Poisson events over all steps of all leads at a rate given by the hidden state.

    Returns:
        Lead, step and state of each event, in the order of the steps' beginnings.
    """
    draws = rng.random(paths.states.shape, dtype=np.float32).ravel()
    states = paths.states.ravel()
    at_least = 1.0 - np.cumsum(
        [np.exp(-rates) * rates**k / np.prod(np.arange(1, k + 1)) for k in range(_MOST_AT_ONCE)], axis=0
    )
    chance = np.append(at_least[0], 0.0).astype(np.float32)
    cell = np.flatnonzero(draws < chance[states])
    count = np.sum(draws[cell] < at_least[:, states[cell].astype(np.int64)], axis=0)
    cell = np.repeat(cell, count)
    n = paths.states.shape[1]
    lead, step = cell % n, cell // n
    order = np.argsort(leads.created[lead] + step * DAY, kind="stable")
    return lead[order], step[order], states[cell[order]].astype(np.int64)


def touch(cell: Cell, leads: Leads, paths: LeadPaths, reps: Reps) -> Touches:
    """When leads were first worked and when they were marked as qualified."""
    draw = Draws(cell, "lead touches")
    hours = draw("hours").lognormal(*p.LEAD_TOUCH_HOURS, leads.count) / reps.diligence[leads.rep]
    working = leads.created + (hours * HOUR).astype(np.int64)
    day = weekday(working)
    working += np.where(day >= 5, (7 - day) * DAY, 0)
    seen = (draw("seen").random(leads.count) < p.LEAD_TOUCHED) & (working < paths.outcome_at)
    working = np.where(seen, working, NEVER)
    lead, step, _ = scatter(draw("qualified"), leads, paths, p.LEAD_QUALIFY)
    moment = place_within_day(draw("clock").random((len(lead), 2)), leads.created[lead] + step * DAY)
    counts = (moment > working[lead]) & (moment < paths.outcome_at[lead])
    qualified = np.full(leads.count, NEVER)
    np.minimum.at(qualified, lead[counts], moment[counts])
    return Touches(working_at=working, qualified_at=qualified)


def lead_versions(
    cell: Cell,
    calendar: Calendar,
    leads: Leads,
    paths: LeadPaths,
    touches: Touches,
    deals: Deals,
    accounts: Accounts,
    reps: Reps,
) -> Columns:
    """All versions of all leads: new, working, qualified, the outcome, and a change of owner when a rep leaves."""
    draw = Draws(cell, "lead versions")
    never = np.full(leads.count, NEVER)
    outcome = [np.where(paths.outcome == kind, paths.outcome_at, never) for kind in (CONVERTED, DISQUALIFIED)]
    moments = np.stack([leads.created, touches.working_at, touches.qualified_at, *outcome], axis=1)
    lead, status = np.nonzero(moments < NEVER)
    event = moments[lead, status]
    is_won = status == LEAD_STATUSES.index("converted")
    is_given_up = status == LEAD_STATUSES.index("disqualified")
    account, deal = _became(leads.count, deals)
    draws = draw("lag").random((*moments.shape, 3))[lead, status]
    chance = 0.04 * reps.laziness[leads.rep[lead]]
    lag = np.where(status == 0, _entry_lag(draw, leads)[lead], late_by(draws, chance=chance, days=2.0, minutes=3.0))
    rows = rows_of(_profile(cell, leads, reps), lead) | {
        "status": words(LEAD_STATUSES, status),
        "account_id": accounts.ids(np.where(is_won, account[lead], -1)),
        "opportunity_id": deals.ids(np.where(is_won, deal[lead], -1)),
        "disqualified_reason": words(_REASONS, np.where(is_given_up, _reason(draw, leads)[lead], -1)),
        "event_timestamp": event,
        "created_timestamp": event + lag,
    }
    until = np.minimum(paths.outcome_at, leads.created + p.LEAD_DAYS * DAY)
    at = reps.handover(leads.rep, since=leads.created, until=until)
    copies, moved = handovers(rows, thing=lead, at=at, origin=calendar.start)
    versions, number = stack([rows, copies]), np.concatenate([lead, moved])
    owner = reps.owner_at(leads.rep[number], versions["event_timestamp"])
    return versions | {"rep_id": ids("R", owner + 1, width=3)}


def _became(leads: int, deals: Deals) -> tuple[Ints, Ints]:
    """Account and deal of each lead; -1 where it became none."""
    account, deal = np.full(leads, -1), np.full(leads, -1)
    from_lead = np.flatnonzero(deals.lead >= 0)
    account[deals.lead[from_lead]], deal[deals.lead[from_lead]] = deals.account[from_lead], from_lead
    return account, deal


def _entry_lag(draw: Draws, leads: Leads) -> Ints:
    """Leads are known at once; lists and trade shows are partly loaded days later."""
    loaded = leads.is_entered_by_hand & (draw("loaded").random(leads.count) < p.LATE_LEAD)
    days = draw("loaded after").uniform(0.2, p.LATE_LEAD_DAYS, leads.count)
    return np.where(loaded, days * DAY, 0).astype(np.int64)


def _reason(draw: Draws, leads: Leads) -> Ints:
    reason = draw("reason").choice(len(_REASONS) - 1, leads.count, p=[0.5, 0.17, 0.2, 0.13])
    return np.where(leads.is_duplicate, len(_REASONS) - 1, reason).astype(np.int64)


def _profile(cell: Cell, leads: Leads, reps: Reps) -> Columns:
    """The columns that stay the same over a lead's versions; lazy reps leave more of them empty."""
    draw = Draws(cell, "lead profile")
    n, company, lazy = leads.count, leads.company, reps.laziness[leads.rep]
    email = leads.email
    no_email = draw("no email").random(n) < p.MISSING_EMAIL
    return {
        "lead_id": leads.ids(np.arange(n)),
        "lead_created_at": leads.created,
        "source": words([name for name, _, _ in p.SOURCES], leads.source),
        "campaign_id": ids("C", np.where(leads.campaign >= 0, leads.campaign + 1, -1), width=3),
        "landing_page": words([name for name, _, _ in p.LANDING_PAGES], leads.landing),
        "company_name": with_typos(draw("typos"), company.name),
        "industry": industry_text(draw("industry"), company.industry, missing=p.MISSING_INDUSTRY * lazy),
        "employee_count": employee_count(draw("employees"), company.employees, missing=p.MISSING_EMPLOYEES * lazy),
        "country": country_text(draw("country"), company.country),
        "region": words(p.REGIONS, company.region),
        "title": words(
            [name for name, _, _ in p.TITLES], leads.title, missing=draw("no title").random(n) < p.MISSING_TITLE * lazy
        ),
        "email": email.take(pa.array(np.arange(n), mask=no_email)),
    }
