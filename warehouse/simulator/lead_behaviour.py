"""What leads do on the web and with mails: sessions of page views minutes apart, opens and clicks that answer mails."""

from __future__ import annotations

import numpy as np

from warehouse.contracts import LEAD_EVENT_KINDS
from warehouse.simulator import parameters as p
from warehouse.simulator.config import Cell
from warehouse.simulator.lead_contacts import EMAIL, Correspondence
from warehouse.simulator.lead_records import scatter
from warehouse.simulator.leads import LeadPaths, Leads
from warehouse.simulator.moments import (
    DAY,
    HOUR,
    SECOND,
    WEEK,
    Bools,
    Calendar,
    Draws,
    Ints,
    late,
    monday,
    weekday,
)
from warehouse.simulator.names import choose_by_row
from warehouse.simulator.writer import Columns, ids, rows_of, stack, words

_SUBJECTS = (
    "/product", "/pricing", "Monthly news", "Case study", "Your question", "Buyer's guide", "Live tour", "/demo",
    "/contact", "Post",
)  # fmt: skip
"""What each kind of event is about, in the order of LEAD_EVENT_KINDS."""
_SECONDS = np.array([70.0, 95.0, np.nan, np.nan, np.nan, 240.0, 2_400.0, 120.0, 90.0, np.nan])
"""Median duration of each kind; NaN where none is measured."""
_PAGE, _OPEN, _CLICK, _REPLY, _FORM = (
    LEAD_EVENT_KINDS.index(kind)
    for kind in ("page_view", "email_open", "email_click", "email_reply", "form_submission")
)
_MAILED = (_OPEN, _CLICK, _REPLY)
_TRACKED = tuple(
    LEAD_EVENT_KINDS.index(kind)
    for kind in ("page_view", "pricing_view", "content_download", "email_open", "email_click")
)
"""Kinds that the tracking code records, and that are lost while it is down."""


def lead_events(
    cell: Cell, calendar: Calendar, leads: Leads, paths: LeadPaths, contacts: Correspondence, *, deal_activities: int
) -> Columns:
    """All behaviour: sessions before the first contact (known with it), the form at it, sessions and mails after it.

    `deal_activities` counts the rows of activities of the cell's deals, for a world with a given number of events.
    """
    draw = Draws(cell, "lead events")
    mails = stack([_newsletters(draw, leads, paths), _letters(draw, contacts)])
    answers = stack([_read(draw, mails), _answered(contacts)])
    visits = stack([_earlier(draw, leads, paths), _later(draw, leads, paths)])
    others = leads.count + len(answers["lead"]) + len(contacts.lead) + deal_activities
    pages = _further_pages(cell, others=others, visits=len(visits["lead"]))
    events = stack([_first_contact(leads), _pages(draw, visits, pages), answers])
    return _described(cell, calendar, leads, paths, events)


def _events(lead: Ints, kind: Ints, moment: Ints, *, before: bool | Bools = False) -> Columns:
    return {"lead": lead, "kind": kind, "moment": moment, "before": np.broadcast_to(before, len(lead)).copy()}


def _first_contact(leads: Leads) -> Columns:
    by_form = np.flatnonzero(~leads.is_entered_by_hand)
    return _events(by_form, np.full(len(by_form), _FORM), leads.created[by_form], before=True)


def _earlier(draw: Draws, leads: Leads, paths: LeadPaths) -> Columns:
    """Anonymous sessions of the two weeks before the first contact."""
    state = paths.states[0].astype(np.int64)
    lead = np.repeat(np.arange(leads.count), draw("earlier").poisson(p.LEAD_EARLIER_SESSIONS[state]))
    ago = draw("ago").exponential(4.0, len(lead)).clip(0, 14) * DAY
    moment = leads.created[lead] - ago.astype(np.int64)
    return {"lead": lead, "state": state[lead], "moment": moment, "before": np.ones(len(lead), bool)}


def _later(draw: Draws, leads: Leads, paths: LeadPaths) -> Columns:
    most = p.WEEKDAY_BEHAVIOUR.max()
    lead, step, state = scatter(draw("sessions"), leads, paths, p.LEAD_SESSIONS * most)
    begins = leads.created[lead] + step * DAY
    draws = draw("session").random((len(lead), 2))
    moment = begins + (draws[:, 0] * DAY).astype(np.int64)
    kept = np.flatnonzero(draws[:, 1] * most < p.WEEKDAY_BEHAVIOUR[weekday(begins)])
    return {"lead": lead[kept], "state": state[kept], "moment": moment[kept], "before": np.zeros(len(kept), bool)}


def _further_pages(cell: Cell, *, others: int, visits: int) -> float:
    """Mean number of pages after a session's first: as many as give the wanted number of events."""
    wanted = cell.config.events_per_lead
    if wanted is None or visits == 0:
        return p.LEAD_EVENTS_PER_SESSION
    return max(0.0, (wanted * cell.leads - others) / visits - 1.0)


def _pages(draw: Draws, visits: Columns, pages: float) -> Columns:
    """The events of each session, seconds to minutes apart."""
    length = 1 + draw("length").poisson(pages, len(visits["lead"]))
    at = np.repeat(np.arange(len(length)), length)
    begins = np.cumsum(length) - length
    gap = draw("gap").exponential(p.PAGE_GAP_SECONDS, len(at))
    gap[begins] = 0.0
    passed = np.cumsum(gap)
    passed -= np.repeat(passed[begins], length)
    kind = choose_by_row(draw("kind"), p.LEAD_EVENT_MIX[visits["state"][at]])
    moment = visits["moment"][at] + (passed * SECOND).astype(np.int64)
    return _events(visits["lead"][at], kind, moment, before=visits["before"][at])


def _newsletters(draw: Draws, leads: Leads, paths: LeadPaths) -> Columns:
    """The weekly mailing to every open lead: lead, state and moment of sending, in the order of time."""
    weeks = p.LEAD_DAYS // 7
    sent = monday(leads.created) + p.NEWSLETTER_DAY * DAY + int(p.NEWSLETTER_HOUR * HOUR)
    sent += np.where(sent <= leads.created, WEEK, 0)
    moment = sent[:, None] + np.arange(weeks) * WEEK
    step = (moment - leads.created[:, None]) // DAY
    state = paths.states[step, np.arange(leads.count)[:, None]].astype(np.int64)
    opened = (draw("newsletter").random(state.shape) < np.append(p.NEWSLETTER_OPENED, 0.0)[state]) & (state >= 0)
    lead, week = np.nonzero(opened)
    order = np.argsort(moment[lead, week], kind="stable")
    lead, week = lead[order], week[order]
    return {"lead": lead, "state": state[lead, week], "moment": moment[lead, week]}


def _letters(draw: Draws, contacts: Correspondence) -> Columns:
    """The reps' own emails that are opened."""
    opened = draw("letters").random(len(contacts.lead)) < p.LETTER_OPENED[contacts.state]
    mail = np.flatnonzero((contacts.kind == EMAIL) & ~contacts.is_inbound & opened)
    return {"lead": contacts.lead[mail], "state": contacts.state[mail], "moment": contacts.moment[mail]}


def _read(draw: Draws, mails: Columns) -> Columns:
    """An opened mail hours after it was sent; sometimes a click, which brings the lead to a page."""
    mails = rows_of(mails, np.argsort(mails["moment"], kind="stable"))
    n = len(mails["lead"])
    moment = mails["moment"] + (draw("opened after").lognormal(*p.OPENED_HOURS, n) * HOUR).astype(np.int64)
    draws = draw("clicks").random((n, 2))
    click = np.flatnonzero(draws[:, 0] < p.MAIL_CLICKED[mails["state"]])
    clicked = moment[click] + ((10 + 110 * draws[click, 1]) * SECOND).astype(np.int64)
    lead = mails["lead"]
    return stack(
        [
            _events(lead, np.full(n, _OPEN), moment),
            _events(lead[click], np.full(len(click), _CLICK), clicked),
            _events(lead[click], np.full(len(click), _PAGE), clicked + 3 * SECOND),
        ]
    )


def _answered(contacts: Correspondence) -> Columns:
    """The leads' own emails to the reps, replies most of them, as the mail system sees them."""
    reply = np.flatnonzero((contacts.kind == EMAIL) & contacts.is_inbound)
    return _events(contacts.lead[reply], np.full(len(reply), _REPLY), contacts.moment[reply])


def _described(cell: Cell, calendar: Calendar, leads: Leads, paths: LeadPaths, events: Columns) -> Columns:
    """The columns of the events that were recorded, in the order in which they became known."""
    lead, created = events["lead"], leads.created[events["lead"]]
    moment = np.where(events["before"], np.minimum(events["moment"], created), events["moment"])
    down = calendar.is_down(moment) & np.isin(events["kind"], _TRACKED)
    kept = np.flatnonzero((moment < paths.outcome_at[lead]) & ~down)
    early = events["before"][kept]
    kept = kept[np.argsort(np.where(early, created[kept], moment[kept]), kind="stable")]
    lead, kind, moment, early = lead[kept], events["kind"][kept], moment[kept], events["before"][kept]
    draw, n = Draws(cell, "lead event records"), len(kept)
    lag = late(draw("lag"), n, chance=0.01, days=2.0, minutes=0.5)
    campaign = np.where(np.isin(kind, _MAILED), leads.campaign[lead], -1)
    return {
        "lead_id": leads.ids(lead),
        "kind": words(LEAD_EVENT_KINDS, kind),
        "subject": words(_SUBJECTS, kind),
        "campaign_id": ids("C", np.where(campaign >= 0, campaign + 1, -1), width=3),
        "duration_seconds": np.round(_SECONDS[kind] * draw("seconds").lognormal(0, 0.7, n)),
        "event_timestamp": moment,
        "created_timestamp": np.where(early, leads.created[lead], moment + lag),
    }
