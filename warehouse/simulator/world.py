"""The whole world, in order: organisation, leads, deals, money, files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from warehouse.simulator.accounts import account_versions, contact_versions, meet
from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.deal_records import booked_amount, deal_activities, deal_versions
from warehouse.simulator.deals import plan_deals
from warehouse.simulator.lead_records import lead_activities, lead_events, lead_versions, touch
from warehouse.simulator.leads import arrive, live
from warehouse.simulator.moments import Calendar, Ints
from warehouse.simulator.money import bookings, quota_versions, revenue_truth, transactions
from warehouse.simulator.organisation import (
    campaign_versions,
    hire,
    plan_campaigns,
    product_versions,
    rep_versions,
    territory_versions,
)
from warehouse.simulator.pursuit import pursue
from warehouse.simulator.truth import DealTruth, lead_truth
from warehouse.simulator.writer import Columns, stack, write_table, write_truth

Progress = Callable[[str, int, int], None]
_PREFIXES = {"lead_events": "E", "activities": "V", "transactions": "X"}
_STEPS = ("leads", "deals", "records", "truths", "files")


def simulate(
    config: SimulationConfig, *, landing: Path, truth: Path, progress: Progress | None = None
) -> dict[str, int]:
    """Write a simulated CRM's history and its hidden truths; the same configuration gives the same bytes.

    Nothing in `landing` happened or became known after `config.end`. The truths go to another folder, because no
    feature may read them: `lead_truth.parquet` (lead_id, as_of, true_probability within 90 days),
    `deal_truth.parquet` (opportunity_id, as_of: opening and every Monday 00:00 UTC while open; true_probability of
    ever being won, and within 180 days), `revenue_truth.parquet`.

    Args:
        config: Span, size, seed, scenario.
        landing: Folder for `<table>.parquet`, made if absent; files of that name are replaced.
        truth: Folder for the truths, made if absent.
        progress: Called with what is being made, steps done, steps in total.

    Returns:
        Rows written per canonical table.
    """

    def say(step: int) -> None:
        if progress is not None:
            progress(_STEPS[min(step, len(_STEPS) - 1)], step, len(_STEPS))

    for folder in (landing, truth):
        folder.mkdir(parents=True, exist_ok=True)
    calendar = Calendar.of(config)
    say(0)
    reps, campaigns = hire(config, calendar), plan_campaigns(config)
    leads = arrive(config, calendar, reps, campaigns)
    paths = live(config, calendar, leads)
    touches = touch(config, leads, paths, reps)
    say(1)
    deals, accounts = plan_deals(config, calendar, leads, paths, reps)
    history = pursue(config, calendar, deals, accounts, reps)
    deal_truth = DealTruth(calendar, deals, history)
    say(2)
    contacts = meet(config, accounts)
    booked = booked_amount(config, calendar, history)
    money = bookings(config, calendar, deals, history, accounts, reps, booked=booked)
    account, deal = _became(leads.count, deals.lead, deals.account)
    tables: dict[str, Columns] = {
        "reps": rep_versions(config, calendar, reps),
        "territories": territory_versions(calendar),
        "products": product_versions(config, calendar),
        "campaigns": campaign_versions(config, calendar, campaigns),
        "accounts": account_versions(config, calendar, accounts, reps),
        "contacts": contact_versions(config, leads, accounts, contacts),
        "leads": lead_versions(config, calendar, leads, paths, touches, reps, account=account, deal=deal),
        "lead_events": lead_events(config, leads, paths),
        "opportunities": deal_versions(config, calendar, deals, history, deal_truth, leads, reps, booked=booked),
        "activities": _together(
            lead_activities(config, leads, paths, touches, reps),
            deal_activities(config, calendar, deals, history, contacts, reps),
        ),
        "transactions": transactions(config, money),
        "quotas": quota_versions(config, calendar, money, reps),
    }
    say(3)
    write_truth("lead_truth", lead_truth(calendar, leads, paths), folder=truth)
    write_truth("deal_truth", deal_truth.columns(), folder=truth)
    write_truth("revenue_truth", revenue_truth(calendar, deals, history, deal_truth, money, reps), folder=truth)
    say(4)
    rows = {
        table: write_table(table, columns, folder=landing, end=calendar.end, id_prefix=_PREFIXES.get(table))
        for table, columns in tables.items()
    }
    say(5)
    return rows


def _became(leads: int, lead: Ints, account: Ints) -> tuple[Ints, Ints]:
    """Account and deal of each lead; -1 where it became none."""
    accounts, deals = np.full(leads, -1), np.full(leads, -1)
    from_lead = np.flatnonzero(lead >= 0)
    accounts[lead[from_lead]], deals[lead[from_lead]] = account[from_lead], from_lead
    return accounts, deals


def _together(of_leads: Columns, of_deals: Columns) -> Columns:
    """Activities of leads and of deals as one table; what one lacks is null there."""
    n = len(of_leads["event_timestamp"])
    filled = {name: of_leads.get(name, pa.nulls(n, pa.string())) for name in of_deals}
    lead_id = pa.concat_arrays([of_leads["lead_id"], pa.nulls(len(of_deals["event_timestamp"]), pa.string())])
    return stack([filled, of_deals]) | {"lead_id": lead_id}
