"""What is done about the deals: rounds of contact that follow the deal's state, and what answers them."""

from __future__ import annotations

import numpy as np

from warehouse.contracts import ACTIVITY_KINDS
from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import Accounts, Contacts
from warehouse.simulator.config import Cell
from warehouse.simulator.deals import Deals
from warehouse.simulator.moments import DAY, HOUR, Calendar, Draws, Floats, Ints, late, working_moment
from warehouse.simulator.organisation import Reps
from warehouse.simulator.pursuit import DealHistory, closed_at
from warehouse.simulator.writer import Columns, ids, rows_of, stack, words

_OUTCOMES = ("no answer", "neutral", "positive")
EMAIL, CALL, MEETING, DEMO, TASK = range(len(ACTIVITY_KINDS))
OUTBOUND, INBOUND, EITHER = 0, 1, 2
"""Direction of an activity; of either, the deal's momentum decides."""


def deal_activities(
    cell: Cell,
    calendar: Calendar,
    deals: Deals,
    history: DealHistory,
    accounts: Accounts,
    contacts: Contacts,
    reps: Reps,
) -> Columns:
    """Emails, calls, meetings, demos and tasks in the order of time.

    Reps act at rates given by stage, momentum and their diligence; an email of theirs may be replied to, a meeting is
    followed up, and on the day of an agreed next step the two sides talk. All of it depends on the deal's state at
    the time of what is answered, never on what comes later.
    """
    draw = Draws(cell, "deal activities")
    acts = _rounds(draw, calendar, deals, history, reps)
    acts = stack([acts, _replies(draw, history, acts), _follow_ups(draw, acts), _next_steps(draw, history)])
    closed, _ = closed_at(deals, history)
    deal = history.deal[acts["row"]]
    kept = np.flatnonzero((acts["moment"] > deals.opened[deal]) & (acts["moment"] < closed[deal]))
    kept = kept[np.argsort(acts["moment"][kept], kind="stable")]
    return _described(draw, deals, history, accounts, contacts, reps, rows_of(acts, kept))


def _rounds(draw: Draws, calendar: Calendar, deals: Deals, history: DealHistory, reps: Reps) -> Columns:
    """What reps do by themselves; a row number of the history, kind, direction and moment each, by week."""
    by_week = np.argsort(history.week, kind="stable")
    stage = np.where(history.is_opening, history.after, history.stage)
    pace = np.where(history.stalled[:, None], p.STALLED_ACTIVITIES, 1.0)
    rates = p.DEAL_ACTIVITIES[stage] * pace * reps.diligence[deals.rep[history.deal]][:, None]
    count = draw("count").poisson(rates[by_week])
    place, kind = np.repeat(np.indices(count.shape).reshape(2, -1), count.ravel(), axis=1)
    row = by_week[place]
    moment = working_moment(draw("moment"), calendar.mondays(history.week[row]))
    acts = {"row": row, "kind": kind, "direction": np.where(kind <= CALL, EITHER, OUTBOUND), "moment": moment}
    return rows_of(acts, np.flatnonzero(moment > deals.opened[history.deal[row]]))


def _replies(draw: Draws, history: DealHistory, acts: Columns) -> Columns:
    """The customer's emails in reply to the rep's."""
    live = (~history.stalled[acts["row"]]).astype(np.int64)
    draws = draw("replies").random(len(live))
    mail = np.flatnonzero((acts["kind"] == EMAIL) & (draws < np.array(p.REPLY)[live]))
    hours = draw("reply after").lognormal(*p.REPLY_HOURS, len(mail))
    return _answers(acts, mail, EMAIL, INBOUND, hours)


def _follow_ups(draw: Draws, acts: Columns) -> Columns:
    """The rep's emails after meetings and demos, within a day."""
    draws = draw("follow-ups").random(len(acts["kind"]))
    met = np.flatnonzero(np.isin(acts["kind"], (MEETING, DEMO)) & (draws < p.FOLLOW_UP))
    return _answers(acts, met, EMAIL, OUTBOUND, draw("follow-up after").uniform(1.0, 26.0, len(met)))


def _answers(acts: Columns, to: Ints, kind: int, direction: int, hours: Floats) -> Columns:
    return {
        "row": acts["row"][to],
        "kind": np.full(len(to), kind),
        "direction": np.full(len(to), direction),
        "moment": acts["moment"][to] + (hours * HOUR).astype(np.int64),
    }


def _next_steps(draw: Draws, history: DealHistory) -> Columns:
    """Calls, meetings and demos on the day of the agreed next step."""
    draws = history.by_week(draw("next steps"), 3)
    live = (~history.stalled).astype(np.int64)
    row = np.flatnonzero(history.is_agreed & (draws[:, 0] < np.array(p.NEXT_STEP_KEPT)[live]))
    first, last = p.BUSINESS_HOURS
    hour = first + (last - first) * draws[row, 1]
    kind = np.searchsorted(np.cumsum(p.NEXT_STEP_KINDS)[:-1], draws[row, 2], side="right") + CALL
    return {
        "row": row,
        "kind": kind.astype(np.int64),
        "direction": np.full(len(row), OUTBOUND),
        "moment": history.next_step[row] * DAY + (hour * HOUR).astype(np.int64),
    }


def _described(
    draw: Draws,
    deals: Deals,
    history: DealHistory,
    accounts: Accounts,
    contacts: Contacts,
    reps: Reps,
    acts: Columns,
) -> Columns:
    """The columns of the activities, which are in the order of time."""
    row, kind, moment = acts["row"], acts["kind"], acts["moment"]
    n, deal = len(row), history.deal[row]
    live = (~history.stalled[row]).astype(np.int64)
    chance = np.where(acts["direction"] == EITHER, np.array(p.INBOUND)[live], acts["direction"] == INBOUND)
    inbound = draw("inbound").random(n) < chance
    good = draw("good").random(n) < np.array(p.GOOD_OUTCOME)[live]
    silent = ~good & ~inbound & (kind <= CALL) & (draw("silent").random(n) < 0.6)
    is_task = kind == TASK
    talks = (kind > EMAIL) & ~is_task
    account = deals.account[deal]
    contact = contacts.first[account] + (draw("contact").random(n) * contacts.per_account[account]).astype(np.int64)
    minutes = np.array([0.0, 12.0, 40.0, 50.0, 0.0])[kind] * draw("minutes").lognormal(0, 0.5, n)
    more = np.where(kind == CALL, 0.1, 0.7 + 0.5 * live + 0.3 * history.stage[row].clip(0))
    group = 2 + draw("group").poisson(more)
    chance_late = p.LATE_ACTIVITY * reps.laziness[deals.rep[deal]]
    return {
        "kind": words(ACTIVITY_KINDS, kind),
        "opportunity_id": deals.ids(deal),
        "account_id": accounts.ids(account),
        "contact_id": contacts.ids(np.where(is_task, -1, contact)),
        "rep_id": ids("R", accounts.owner_at(account, moment, reps) + 1, width=3),
        "direction": words(("outbound", "inbound"), inbound.astype(np.int64)),
        "outcome": words(_OUTCOMES, np.where(good, 2, np.where(silent, 0, 1)), missing=is_task),
        "duration_minutes": np.where(talks, np.maximum(1, np.round(minutes * np.where(silent, 0.1, 1.0))), np.nan),
        "participant_count": np.where(talks, np.where(silent, 1, group), np.nan).astype(float),
        "event_timestamp": moment,
        "created_timestamp": moment + late(draw("lag"), n, chance=chance_late, days=p.LATE_ACTIVITY_DAYS, minutes=60),
    }
