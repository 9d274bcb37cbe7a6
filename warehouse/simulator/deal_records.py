"""What a CRM sees of the deals: versions as reps enter them, and activities that follow the deal's state."""

from __future__ import annotations

import numpy as np

from warehouse.contracts import ACTIVITY_KINDS, DEAL_STATUSES
from warehouse.simulator import parameters as p
from warehouse.simulator.accounts import Contacts
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.deals import LOST, MIGRATED, OUTBOUND, WON, Deals
from warehouse.simulator.leads import Leads
from warehouse.simulator.moments import DAY, NEVER, Bools, Calendar, Floats, Ints, late, stream, working_moment
from warehouse.simulator.organisation import Reps
from warehouse.simulator.pursuit import DealHistory, closed_at
from warehouse.simulator.truth import DealTruth
from warehouse.simulator.writer import Columns, handovers, ids, rows_of, stack, words

_CATEGORIES = ("omitted", "pipeline", "best_case", "commit", "closed")
_REASONS = ("price", "competitor", "no decision", "timing", "missing feature", "lost contact")
_OUTCOMES = ("no answer", "neutral", "positive")


def booked_amount(config: SimulationConfig, calendar: Calendar, history: DealHistory) -> Floats:
    """Amount of each row if it is the winning one: the amount as entered, less the discount given at closing."""
    discount = stream(config, "discounts").uniform(0, p.DISCOUNT_MOST, len(history.deal))
    return np.round(history.amount * (1 - discount - _extra_discount(calendar, history)), -1)


def expected_booking(calendar: Calendar, history: DealHistory) -> Floats:
    """Mean of `booked_amount` over the discount, given the amount as entered before the step."""
    before = np.concatenate([history.amount[:1], history.amount[:-1]])
    drift = 1 + p.AMOUNT_CHANGE * (np.exp(-0.02 + 0.15**2 / 2) - 1)
    mean: Floats = before * drift * (1 - p.DISCOUNT_MOST / 2 - _extra_discount(calendar, history))
    return mean


def _extra_discount(calendar: Calendar, history: DealHistory) -> Floats:
    return np.where(calendar.ends_quarter(calendar.mondays(history.week)), p.DISCOUNT_QUARTER_END, 0.0)


def _perceived(config: SimulationConfig, deals: Deals, history: DealHistory, truth: DealTruth, reps: Reps) -> Floats:
    """What the rep believes after each step: the stage's default, a part of the truth, own optimism, and some noise."""
    rng = stream(config, "perception")
    n = len(history.deal)
    stage = history.after.clip(0, WON - 1)
    last = np.concatenate([history.deal[1:] != history.deal[:-1], [True]])
    known = np.where(last, truth.won_ever, np.concatenate([truth.won_ever[1:], [0.0]]))
    belief = p.STAGE_PROBABILITY[stage] * (1 - p.PERCEPTION_WEIGHT) + p.PERCEPTION_WEIGHT * known
    belief += reps.optimism[deals.rep[history.deal]] + rng.normal(0, p.PERCEPTION_SD, n)
    fresh = history.is_opening | (history.after != history.stage) | (rng.random(n) < p.PERCEPTION_REFRESH)
    held: Floats = belief[np.maximum.accumulate(np.where(fresh, np.arange(n), 0))]
    return held


def deal_versions(
    config: SimulationConfig,
    calendar: Calendar,
    deals: Deals,
    history: DealHistory,
    truth: DealTruth,
    leads: Leads,
    reps: Reps,
    *,
    booked: Floats,
) -> Columns:
    """All versions of all deals: the opening, each week in which something was entered, changes of owner."""
    rng = stream(config, "deal versions")
    over = history.after >= WON
    won = history.after == WON
    belief = _perceived(config, deals, history, truth, reps)
    chance = np.where(over, won * 1.0, np.round(belief.clip(0.05, 0.95) * 20) / 20)
    category = np.where(over, np.where(won, 4, 0), _category(belief, history))
    amount = np.where(won, booked, history.amount)
    close = np.where(over, history.moment // DAY, history.close_day)
    told = history.competitor_known & (deals.competitor[history.deal] > 0)
    changed = history.is_opening | (history.after != history.stage)
    for values in (chance, category, amount, close, told, history.next_step):
        changed |= np.concatenate([[True], values[1:] != values[:-1]])
    kept = np.flatnonzero(changed)
    deal, after = history.deal[kept], history.after[kept]
    status = np.where(after < WON, 0, after - WON + 1)
    rows = rows_of(_fixed(deals, leads), deal) | {
        "status": words(DEAL_STATUSES, status),
        "stage": words((*p.STAGES, p.WON_STAGE, p.LOST_STAGE), after),
        "amount_usd": amount[kept],
        "close_date": close[kept].astype("datetime64[D]"),
        "crm_probability": chance[kept],
        "forecast_category": words(_CATEGORIES, category[kept]),
        "competitor": words(p.COMPETITORS, np.where(told[kept], deals.competitor[deal], -1)),
        "next_step_date": np.where(over[kept], np.datetime64("NaT"), history.next_step[kept].astype("datetime64[D]")),
        "lost_reason": words(_REASONS, np.where(after == LOST, _lost_reason(rng, deals, history, kept), -1)),
        "event_timestamp": history.moment[kept],
        "created_timestamp": history.moment[kept] + _entry_lag(rng, history, kept),
    }
    at = reps.handover(deals.rep, since=deals.opened, until=closed_at(deals, history)[0])
    versions = stack([rows, handovers(rows, thing=deal, at=at, origin=calendar.start)])
    owner = np.concatenate([deal, np.flatnonzero(at < NEVER)])
    versions["rep_id"] = ids("R", reps.owner_at(deals.rep[owner], versions["event_timestamp"]) + 1, width=3)
    return versions


def _fixed(deals: Deals, leads: Leads) -> Columns:
    """The columns that stay the same over a deal's versions."""
    others = ("outbound", "expansion", "migration")
    sources = [name for name, _, _ in p.SOURCES] + list(others)
    own = len(p.SOURCES) + np.select([deals.origin == OUTBOUND, deals.origin == MIGRATED], [0, 2], 1)
    n = deals.count
    return {
        "opportunity_id": ids("D", np.arange(1, n + 1), width=6),
        "opened_at": deals.opened,
        "pipeline": words(("sales",), np.zeros(n, np.int64)),
        "account_id": ids("A", deals.account + 1, width=5),
        "lead_id": ids("L", np.where(deals.lead >= 0, deals.lead + 1, -1), width=6),
        "product_id": ids("P", deals.product + 1, width=2),
        "source": words(sources, np.where(deals.lead >= 0, leads.source[deals.lead], own)),
        "deal_type": words(("new", "expansion"), (own == len(p.SOURCES) + 1).astype(np.int64) * (deals.lead < 0)),
    }


def _category(belief: Floats, history: DealHistory) -> Ints:
    late_stage = history.after >= len(p.STAGES) - 2
    levels = [(belief >= p.COMMIT_FROM) & late_stage, belief >= p.BEST_CASE_FROM, belief >= p.OMIT_BELOW]
    return np.select(levels, [3, 2, 1], 0)


def _lost_reason(rng: np.random.Generator, deals: Deals, history: DealHistory, kept: Ints) -> Ints:
    n = len(kept)
    reason = rng.choice([0, 2, 3, 4], n, p=[0.35, 0.3, 0.2, 0.15])
    rival = (deals.competitor[history.deal[kept]] > 0) & (rng.random(n) < 0.45)
    silent = history.stalled[kept] & (rng.random(n) < 0.4)
    return np.where(rival, 1, np.where(silent, 5, reason))


def _entry_lag(rng: np.random.Generator, history: DealHistory, kept: Ints) -> Ints:
    """Openings are known at once, stage changes sometimes days later, closings too, the rest within minutes."""
    n = len(kept)
    over, moved = history.after[kept] >= WON, history.after[kept] != history.stage[kept]
    lag = late(rng, n, chance=0.02, days=2.0, minutes=10)
    lag = np.where(moved, late(rng, n, chance=p.LATE_STAGE, days=p.LATE_STAGE_DAYS), lag)
    lag = np.where(over, late(rng, n, chance=p.LATE_CLOSE, days=p.LATE_CLOSE_DAYS), lag)
    return np.where(history.is_opening[kept], 0, lag)


def deal_activities(
    config: SimulationConfig, calendar: Calendar, deals: Deals, history: DealHistory, contacts: Contacts, reps: Reps
) -> Columns:
    """Emails, calls, meetings, demos and tasks, at rates given by stage, momentum and the rep's diligence."""
    rng = stream(config, "deal activities")
    stage = np.where(history.is_opening, history.after, history.stage)
    pace = np.where(history.stalled[:, None], p.STALLED_ACTIVITIES, 1.0)
    rates = p.DEAL_ACTIVITIES[stage] * pace * reps.diligence[deals.rep[history.deal]][:, None]
    count = rng.poisson(rates)
    row, kind = np.repeat(np.indices(count.shape).reshape(2, -1), count.ravel(), axis=1)
    moment = working_moment(rng, calendar.mondays(history.week[row]))
    closed, _ = closed_at(deals, history)
    kept = (moment > deals.opened[history.deal[row]]) & (moment < closed[history.deal[row]])
    row, kind, moment = row[kept], kind[kept], moment[kept]
    return _described(rng, deals, history, contacts, reps, row=row, kind=kind, moment=moment)


def _described(
    rng: np.random.Generator,
    deals: Deals,
    history: DealHistory,
    contacts: Contacts,
    reps: Reps,
    *,
    row: Ints,
    kind: Ints,
    moment: Ints,
) -> Columns:
    n, deal = len(row), history.deal[row]
    live = (~history.stalled[row]).astype(np.int64)
    inbound = (kind < 2) & (rng.random(n) < np.array(p.INBOUND)[live])
    good = rng.random(n) < np.array(p.GOOD_OUTCOME)[live]
    silent: Bools = ~good & ~inbound & (kind < 2) & (rng.random(n) < 0.6)
    is_task = kind == len(ACTIVITY_KINDS) - 1
    talks = (kind > 0) & ~is_task
    account = deals.account[deal]
    contact = contacts.first[account] + (rng.random(n) * contacts.per_account[account]).astype(np.int64)
    minutes = np.array([0.0, 12.0, 40.0, 50.0, 0.0])[kind] * rng.lognormal(0, 0.5, n) * np.where(silent, 0.1, 1.0)
    group = 2 + rng.poisson(np.where(kind == 1, 0.1, 0.7 + 0.5 * live + 0.3 * history.stage[row].clip(0)), n)
    return {
        "kind": words(ACTIVITY_KINDS, kind),
        "opportunity_id": ids("D", deal + 1, width=6),
        "account_id": ids("A", account + 1, width=5),
        "contact_id": ids("K", np.where(is_task, -1, contact + 1), width=5),
        "rep_id": ids("R", reps.owner_at(deals.rep[deal], moment) + 1, width=3),
        "direction": words(("outbound", "inbound"), inbound.astype(np.int64)),
        "outcome": words(_OUTCOMES, np.where(good, 2, np.where(silent, 0, 1)), missing=is_task),
        "duration_minutes": np.where(talks, np.maximum(1, np.round(minutes)), np.nan),
        "participant_count": np.where(talks, np.where(silent, 1, group), np.nan).astype(float),
        "event_timestamp": moment,
        "created_timestamp": moment + late(rng, n, chance=p.LATE_ACTIVITY, days=p.LATE_ACTIVITY_DAYS, minutes=60),
    }
