"""What a CRM sees of the leads: versions, web and mail behaviour, the reps' touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse.contracts import ACTIVITY_KINDS, LEAD_EVENT_KINDS, LEAD_STATUSES
from warehouse.simulator import parameters as p
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.leads import CONVERTED, DISQUALIFIED, LeadPaths, Leads
from warehouse.simulator.moments import (
    DAY,
    HOUR,
    NEVER,
    SECOND,
    Calendar,
    Floats,
    Ints,
    late,
    moment_within_day,
    stream,
    weekday,
)
from warehouse.simulator.names import choose_by_row, country_text, employee_count, industry_text, with_typos
from warehouse.simulator.organisation import Reps
from warehouse.simulator.writer import Columns, handovers, ids, rows_of, stack, words

_SUBJECTS = (
    "/product",
    "/pricing",
    "Monthly news",
    "Case study",
    "Your question",
    "Buyer's guide",
    "Live tour",
    "/demo",
    "/contact",
    "Post",
)
"""What each kind of event is about, in the order of LEAD_EVENT_KINDS."""
_SECONDS = np.array([70.0, 95.0, np.nan, np.nan, np.nan, 240.0, 2_400.0, 120.0, 90.0, np.nan])
"""Median duration of each kind; NaN where none is measured."""
_REASONS = ("no response", "no budget", "not a fit", "chose another product", "duplicate")


@dataclass(frozen=True)
class Touches:
    """When reps first touched and qualified each lead; NEVER where they did not."""

    working_at: Ints
    qualified_at: Ints


def scatter(rng: np.random.Generator, paths: LeadPaths, rates: Floats) -> tuple[Ints, Ints, Ints]:
    """Poisson events over all steps of all leads at a rate given by the hidden state.

    Returns:
        Lead, step and state of each event, in no particular order.
    """
    n = paths.states.shape[1]
    flat = paths.states.ravel()
    cells, kinds = [], []
    for state, rate in enumerate(rates):
        where = np.flatnonzero(flat == state)
        count = rng.poisson(rate * len(where))
        if count:
            cells.append(where[rng.integers(0, len(where), count)])
            kinds.append(np.full(count, state))
    if not cells:
        empty = np.zeros(0, np.int64)
        return empty, empty, empty
    cell = np.concatenate(cells)
    return cell % n, cell // n, np.concatenate(kinds)


def touch(config: SimulationConfig, leads: Leads, paths: LeadPaths, reps: Reps) -> Touches:
    """When leads were first worked and when they were marked as qualified."""
    rng = stream(config, "lead touches")
    hours = rng.lognormal(*p.LEAD_TOUCH_HOURS, leads.count) / reps.diligence[leads.rep]
    working = leads.created + (hours * HOUR).astype(np.int64)
    day = weekday(working)
    working += np.where(day >= 5, (7 - day) * DAY, 0)
    seen = (rng.random(leads.count) < p.LEAD_TOUCHED) & (working < paths.outcome_at)
    working = np.where(seen, working, NEVER)
    lead, step, _ = scatter(rng, paths, p.LEAD_QUALIFY)
    moment = moment_within_day(rng, leads.created[lead] + step * DAY)
    counts = (moment > working[lead]) & (moment < paths.outcome_at[lead])
    qualified = np.full(leads.count, NEVER)
    np.minimum.at(qualified, lead[counts], moment[counts])
    return Touches(working_at=working, qualified_at=qualified)


def lead_versions(
    config: SimulationConfig,
    calendar: Calendar,
    leads: Leads,
    paths: LeadPaths,
    touches: Touches,
    reps: Reps,
    *,
    account: Ints,
    deal: Ints,
) -> Columns:
    """All versions of all leads: new, working, qualified, the outcome, and a change of owner when a rep leaves.

    `account` and `deal` hold what each converted lead became, -1 for the others.
    """
    rng = stream(config, "lead versions")
    never = np.full(leads.count, NEVER)
    outcome = [np.where(paths.outcome == kind, paths.outcome_at, never) for kind in (CONVERTED, DISQUALIFIED)]
    moments = np.stack([leads.created, touches.working_at, touches.qualified_at, *outcome], axis=1)
    lead, status = np.nonzero(moments < NEVER)
    event = moments[lead, status]
    profile = _profile(config, leads)
    rows = rows_of(profile, lead)
    ended = status >= LEAD_STATUSES.index("converted")
    is_won = status == LEAD_STATUSES.index("converted")
    lag = np.where(status == 0, _entry_lag(rng, leads)[lead], late(rng, len(lead), chance=0.04, days=2.0, minutes=3.0))
    rows |= {
        "status": words(LEAD_STATUSES, status),
        "account_id": ids("A", np.where(is_won, account[lead] + 1, -1), width=5),
        "opportunity_id": ids("D", np.where(is_won, deal[lead] + 1, -1), width=6),
        "disqualified_reason": words(_REASONS, np.where(ended & ~is_won, _reason(rng, leads)[lead], -1)),
        "event_timestamp": event,
        "created_timestamp": event + lag,
    }
    at = reps.handover(
        leads.rep, since=leads.created, until=np.minimum(paths.outcome_at, leads.created + p.LEAD_DAYS * DAY)
    )
    extra = handovers(rows, thing=lead, at=at, origin=calendar.start)
    extra_lead = np.flatnonzero(at < NEVER)
    versions = stack([rows, extra])
    number = np.concatenate([lead, extra_lead])
    versions["rep_id"] = ids("R", reps.owner_at(leads.rep[number], versions["event_timestamp"]) + 1, width=3)
    return versions


def _entry_lag(rng: np.random.Generator, leads: Leads) -> Ints:
    """Leads are known at once; lists and trade shows are partly loaded days later."""
    loaded = leads.is_entered_by_hand & (rng.random(leads.count) < p.LATE_LEAD)
    return np.where(loaded, rng.uniform(0.2, p.LATE_LEAD_DAYS, leads.count) * DAY, 0).astype(np.int64)


def _reason(rng: np.random.Generator, leads: Leads) -> Ints:
    reason = rng.choice(len(_REASONS) - 1, leads.count, p=[0.5, 0.17, 0.2, 0.13])
    return np.where(leads.is_duplicate, len(_REASONS) - 1, reason).astype(np.int64)


def _profile(config: SimulationConfig, leads: Leads) -> Columns:
    """The columns that stay the same over a lead's versions."""
    rng = stream(config, "lead profile")
    n = leads.count
    company = leads.company
    return {
        "lead_id": ids("L", np.arange(1, n + 1), width=6),
        "lead_created_at": leads.created,
        "source": words([name for name, _, _ in p.SOURCES], leads.source),
        "campaign_id": ids("C", np.where(leads.campaign >= 0, leads.campaign + 1, -1), width=3),
        "landing_page": words([name for name, _, _ in p.LANDING_PAGES], leads.landing),
        "company_name": with_typos(rng, company.name),
        "industry": industry_text(rng, company.industry, missing=p.MISSING_INDUSTRY),
        "employee_count": employee_count(rng, company.employees, missing=p.MISSING_EMPLOYEES),
        "country": country_text(rng, company.country),
        "region": words(p.REGIONS, company.region),
        "title": words([name for name, _, _ in p.TITLES], leads.title, missing=rng.random(n) < p.MISSING_TITLE),
        "email": words(leads.email.to_pylist(), np.arange(n), missing=rng.random(n) < p.MISSING_EMAIL),
    }


def lead_events(config: SimulationConfig, leads: Leads, paths: LeadPaths) -> Columns:
    """Web and mail behaviour in sessions: before the first contact (known with it), at it, while the lead is open."""
    rng = stream(config, "lead events")
    sessions = stack([_first_contact(leads, paths), _earlier(rng, leads, paths), _later(rng, leads, paths)])
    length = 1 + rng.poisson(p.LEAD_EVENTS_PER_SESSION, len(sessions["lead"]))
    length[: leads.count] = 1
    at = np.repeat(np.arange(len(length)), length)
    position = np.arange(len(at)) - np.repeat(np.cumsum(length) - length, length)
    lead, state = sessions["lead"][at], sessions["state"][at]
    kind = choose_by_row(rng, p.LEAD_EVENT_MIX[state])
    opening = at < leads.count
    kind[opening] = LEAD_EVENT_KINDS.index("form_submission")
    gap = rng.exponential(100.0, len(at)) * SECOND
    moment = sessions["moment"][at] + (np.where(opening, 0, 1 + position) * gap).astype(np.int64)
    early = moment <= leads.created[lead]
    moment = np.where(sessions["before"][at], np.minimum(moment, leads.created[lead]), moment)
    kept = (moment < paths.outcome_at[lead]) & ~(opening & leads.is_entered_by_hand[lead])
    lag = late(rng, len(at), chance=0.01, days=2.0, minutes=0.5)
    known = np.where(early, leads.created[lead], moment + lag)
    mailed = np.isin(kind, [2, 3, 4])
    columns: Columns = {
        "lead_id": ids("L", lead + 1, width=6),
        "kind": words(LEAD_EVENT_KINDS, kind),
        "subject": words(_SUBJECTS, kind),
        "campaign_id": ids("C", np.where(mailed & (leads.campaign[lead] >= 0), leads.campaign[lead] + 1, -1), width=3),
        "duration_seconds": np.round(_SECONDS[kind] * rng.lognormal(0, 0.7, len(at))),
        "event_timestamp": moment,
        "created_timestamp": known,
    }
    return rows_of(columns, np.flatnonzero(kept))


def _first_contact(leads: Leads, paths: LeadPaths) -> dict[str, Any]:
    return {
        "lead": np.arange(leads.count),
        "state": paths.states[0].astype(np.int64),
        "moment": leads.created,
        "before": np.ones(leads.count, bool),
    }


def _earlier(rng: np.random.Generator, leads: Leads, paths: LeadPaths) -> dict[str, Any]:
    state = paths.states[0].astype(np.int64)
    lead = np.repeat(np.arange(leads.count), rng.poisson(p.LEAD_EARLIER_SESSIONS[state]))
    ago = rng.exponential(4.0, len(lead)).clip(0, 14) * DAY
    moment = leads.created[lead] - ago.astype(np.int64)
    return {"lead": lead, "state": state[lead], "moment": moment, "before": np.ones(len(lead), bool)}


def _later(rng: np.random.Generator, leads: Leads, paths: LeadPaths) -> dict[str, Any]:
    most = p.WEEKDAY_BEHAVIOUR.max()
    lead, step, state = scatter(rng, paths, p.LEAD_SESSIONS * most)
    begins = leads.created[lead] + step * DAY
    kept = rng.random(len(lead)) * most < p.WEEKDAY_BEHAVIOUR[weekday(begins)]
    lead, state, begins = lead[kept], state[kept], begins[kept]
    moment = begins + (rng.random(len(lead)) * DAY).astype(np.int64)
    return {"lead": lead, "state": state, "moment": moment, "before": np.zeros(len(lead), bool)}


def lead_activities(config: SimulationConfig, leads: Leads, paths: LeadPaths, touches: Touches, reps: Reps) -> Columns:
    """The reps' touches: the first one, then others that follow the lead's interest and fade with its age."""
    rng = stream(config, "lead activities")
    lead, step, state = scatter(rng, paths, p.LEAD_ACTIVITIES)
    moment = moment_within_day(rng, leads.created[lead] + step * DAY)
    fades = rng.random(len(lead)) < np.exp(-step / p.LEAD_ACTIVITY_FADE_DAYS)
    kept = fades & (moment > touches.working_at[lead]) & (moment < paths.outcome_at[lead])
    first = np.flatnonzero(touches.working_at < NEVER)
    number = np.concatenate([first, lead[kept]])
    state = np.concatenate([paths.states[0, first].astype(np.int64), state[kept]])
    moment = np.concatenate([touches.working_at[first], moment[kept]])
    n, kind = len(number), choose_by_row(rng, p.LEAD_ACTIVITY_MIX[state])
    opening = np.arange(n) < len(first)
    kind = np.where(opening, rng.integers(0, 2, n), kind)
    inbound = ~opening & (kind < 2) & (rng.random(n) < p.LEAD_INBOUND[state])
    reached = inbound | (rng.random(n) < p.LEAD_REACHED[state])
    talks = (kind > 0) & (kind < 4)
    return {
        "kind": words(ACTIVITY_KINDS, kind),
        "lead_id": ids("L", number + 1, width=6),
        "rep_id": ids("R", reps.owner_at(leads.rep[number], moment) + 1, width=3),
        "direction": words(("outbound", "inbound"), inbound.astype(np.int64)),
        "outcome": words(("no answer", "reached"), reached.astype(np.int64), missing=kind == len(ACTIVITY_KINDS) - 1),
        "duration_minutes": np.where(talks, np.round(np.where(reached, 1, 0.1) * rng.lognormal(2.7, 0.6, n)), np.nan),
        "participant_count": np.where(talks, 1.0 + reached, np.nan),
        "event_timestamp": moment,
        "created_timestamp": moment + late(rng, n, chance=p.LATE_ACTIVITY, days=p.LATE_ACTIVITY_DAYS, minutes=40),
    }
