"""What a CRM sees of the deals: their versions, as reps enter them."""

from __future__ import annotations

import numpy as np

from warehouse.contracts import DEAL_STATUSES
from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import Accounts
from warehouse.simulator.config import Cell
from warehouse.simulator.deals import LOST, MIGRATED, OUTBOUND, RIVAL, WON, Deals
from warehouse.simulator.leads import Leads
from warehouse.simulator.moments import DAY, Bools, Calendar, Draws, Floats, Ints, late_by, normal
from warehouse.simulator.organisation import Reps
from warehouse.simulator.pursuit import DealHistory, closed_at
from warehouse.simulator.truth import DealTruth
from warehouse.simulator.writer import Columns, handovers, ids, rows_of, stack, words

_CATEGORIES = ("omitted", "pipeline", "best_case", "commit", "closed")
_REASONS = ("price", "competitor", "no decision", "timing", "missing feature", "lost contact")


def booked_amount(cell: Cell, calendar: Calendar, history: DealHistory) -> Floats:
    """Amount of each row if it is the winning one: the amount as entered, less the discount given at closing."""
    discount = p.DISCOUNT_MOST * history.by_week(Draws(cell, "discounts")("at closing"))[:, 0]
    return np.round(history.amount * (1 - discount - _extra_discount(calendar, history)), -1)


def expected_booking(calendar: Calendar, history: DealHistory) -> Floats:
    """Mean of `booked_amount` over the discount, given the amount as entered before the step."""
    before = np.concatenate([history.amount[:1], history.amount[:-1]])
    drift = 1 + p.AMOUNT_CHANGE * (np.exp(-0.02 + 0.15**2 / 2) - 1)
    mean: Floats = before * drift * (1 - p.DISCOUNT_MOST / 2 - _extra_discount(calendar, history))
    return mean


def _extra_discount(calendar: Calendar, history: DealHistory) -> Floats:
    return np.where(calendar.ends_quarter(calendar.mondays(history.week)), p.DISCOUNT_QUARTER_END, 0.0)


def _perceived(cell: Cell, deals: Deals, history: DealHistory, truth: DealTruth, reps: Reps) -> Floats:
    """What the rep believes after each step: the stage's default, a part of the truth, own optimism, and some noise."""
    draw = Draws(cell, "perception")
    n = len(history.deal)
    stage, chance = history.after.clip(0, WON - 1), truth.unforeseeing()
    last = np.concatenate([history.deal[1:] != history.deal[:-1], [True]])
    known = np.where(last, chance, np.concatenate([chance[1:], [0.0]]))
    belief = p.STAGE_PROBABILITY[stage] * (1 - p.PERCEPTION_WEIGHT) + p.PERCEPTION_WEIGHT * known
    noise = history.by_week(draw("noise"), 2)
    belief += reps.optimism[deals.rep[history.deal]] + p.PERCEPTION_SD * normal(noise)
    again = history.by_week(draw("refresh"))[:, 0] < p.PERCEPTION_REFRESH
    fresh = history.is_opening | (history.after != history.stage) | again
    held: Floats = belief[np.maximum.accumulate(np.where(fresh, np.arange(n), 0))]
    return held


def deal_versions(
    cell: Cell,
    calendar: Calendar,
    deals: Deals,
    history: DealHistory,
    truth: DealTruth,
    leads: Leads,
    accounts: Accounts,
    reps: Reps,
    *,
    booked: Floats,
) -> Columns:
    """All versions of all deals: the opening, each week in which something was entered, changes of owner."""
    draw = Draws(cell, "deal versions")
    over, won = history.after >= WON, history.after == WON
    belief = _perceived(cell, deals, history, truth, reps)
    chance = np.where(over, won * 1.0, np.round(belief.clip(0.05, 0.95) * 20) / 20)
    category = np.where(over, np.where(won, 4, 0), _category(belief, history, reps.habit[deals.rep[history.deal]]))
    amount = np.where(won, booked, history.amount)
    close = np.where(over, history.moment // DAY, history.close_day)
    unplanned = over | _leaves_out(draw, deals, reps)[history.deal]
    step = np.where(unplanned, np.datetime64("NaT"), history.next_step.astype("datetime64[D]"))
    kept = _entered(
        history, chance, category, amount, close, history.competitor, np.where(unplanned, 0, history.next_step)
    )
    deal, after = history.deal[kept], history.after[kept]
    lag = _entry_lag(draw, history, reps.laziness[deals.rep[history.deal]])[kept]
    rows = rows_of(_fixed(deals, leads, accounts), deal) | {
        "status": words(DEAL_STATUSES, np.where(after < WON, 0, after - WON + 1)),
        "stage": words((*p.STAGES, p.WON_STAGE, p.LOST_STAGE), after),
        "amount_usd": amount[kept],
        "close_date": close[kept].astype("datetime64[D]"),
        "crm_probability": chance[kept],
        "forecast_category": words(_CATEGORIES, category[kept]),
        "competitor": words(p.COMPETITORS, np.where(history.competitor > 0, history.competitor, -1)[kept]),
        "next_step_date": step[kept],
        "lost_reason": words(_REASONS, np.where(history.after == LOST, _lost_reason(draw, deals, history), -1)[kept]),
        "event_timestamp": history.moment[kept],
        "created_timestamp": history.moment[kept] + lag,
    }
    parts, owned = [rows], [deal]
    closed, _ = closed_at(deals, history)
    for at in accounts.handovers(deals.account, reps, since=deals.opened, until=closed):
        copies, who = handovers(rows, thing=deal, at=at, origin=calendar.start)
        parts.append(copies)
        owned.append(who)
    versions = stack(parts)
    account = deals.account[np.concatenate(owned)]
    owner = accounts.owner_at(account, versions["event_timestamp"], reps)
    return versions | {"rep_id": ids("R", owner + 1, width=3)}


def _entered(history: DealHistory, *columns: np.ndarray) -> Ints:
    """The rows in which something is entered: openings, new stages, anything that differs from the row before."""
    changed = history.is_opening | (history.after != history.stage)
    for values in columns:
        changed |= np.concatenate([[True], values[1:] != values[:-1]])
    return np.flatnonzero(changed)


def _leaves_out(draw: Draws, deals: Deals, reps: Reps) -> Bools:
    """Which deals never get a next step entered, most of them lazy reps' deals."""
    return np.asarray(draw("no next step").random(deals.count) < p.MISSING_NEXT_STEP * reps.laziness[deals.rep])


def _fixed(deals: Deals, leads: Leads, accounts: Accounts) -> Columns:
    """The columns that stay the same over a deal's versions."""
    others = ("outbound", "expansion", "migration")
    sources = [name for name, _, _ in p.SOURCES] + list(others)
    own = len(p.SOURCES) + np.select([deals.origin == OUTBOUND, deals.origin == MIGRATED], [0, 2], 1)
    n = deals.count
    return {
        "opportunity_id": deals.ids(np.arange(n)),
        "opened_at": deals.opened,
        "pipeline": words(("sales",), np.zeros(n, np.int64)),
        "account_id": accounts.ids(deals.account),
        "lead_id": leads.ids(deals.lead),
        "product_id": ids("P", deals.product + 1, width=2),
        "source": words(sources, np.where(deals.lead >= 0, leads.source[deals.lead], own)),
        "deal_type": words(("new", "expansion"), (own == len(p.SOURCES) + 1).astype(np.int64) * (deals.lead < 0)),
    }


def _category(belief: Floats, history: DealHistory, habit: Ints) -> Ints:
    """The rep's call: sandbaggers commit when a deal is all but won, optimists early and in earlier stages."""
    commit = np.array(p.COMMIT_FROM)[habit]
    late_stage = history.after >= np.array(p.COMMIT_STAGE)[habit]
    levels = [(belief >= commit) & late_stage, belief >= p.BEST_CASE_FROM, belief >= p.OMIT_BELOW]
    return np.select(levels, [3, 2, 1], 0)


def _lost_reason(draw: Draws, deals: Deals, history: DealHistory) -> Ints:
    draws = history.by_week(draw("lost reason"), 3)
    reason = np.array([0, 2, 3, 4])[np.searchsorted([0.35, 0.65, 0.85], draws[:, 0], side="right")]
    competes = (deals.competitor[history.deal] > 0) | (history.mode >= RIVAL)
    silent = history.stalled & (draws[:, 1] < 0.4)
    return np.where(competes & (draws[:, 2] < 0.45), 1, np.where(silent, 5, reason))


def _entry_lag(draw: Draws, history: DealHistory, lazy: Floats) -> Ints:
    """Openings are known at once, stage changes sometimes days later, closings too, the rest within minutes."""
    over, moved = history.after >= WON, history.after != history.stage
    chance = np.select([over, moved], [p.LATE_CLOSE, p.LATE_STAGE], 0.02) * lazy
    days = np.select([over, moved], [p.LATE_CLOSE_DAYS, p.LATE_STAGE_DAYS], 2.0)
    minutes = np.where(over | moved, 20.0, 10.0)
    lag = late_by(history.by_week(draw("lag"), 3), chance=chance, days=days, minutes=minutes)
    return np.where(history.is_opening, 0, lag)
